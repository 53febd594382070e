"""What searches would have tried: histories to learn from that look as those at run time do.

Shapes: B functions, N trials, P hyperparameters, M candidate points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from airtune.models.pocket.training.episodes import Trials
from airtune.models.pocket.training.functions import Bools, Floats

Function = Callable[[Floats, Bools], Floats]
Activity = Callable[[Floats], Bools]
Snap = Callable[[Floats], Floats]

LOCAL, PROCESS = 0.3, 0.3  # shares of the batches
_POOL = 128  # points that a process chooses from
_MOST = 24  # trials of a process
_STARTS = 3  # points tried before it


def some_search(rng: np.random.Generator, default: Floats, categorical: Bools, n: int) -> Trials | None:
    """A search for the histories of a batch, or None: uniform trials, and some around the best of them.

    Args:
        rng: Draws which one, and all that it draws.
        default: (B, P) tried first, in most of them.
        categorical: (B, P).
        n: How many trials.
    """
    u = rng.uniform()
    first = np.where(rng.uniform(size=(len(default), 1)) < 0.7, default, rng.uniform(size=default.shape))
    first = first.astype(np.float32)
    if u < LOCAL:
        return lambda function, activity, snap: local_moves(rng, first, n, function, activity, snap)
    if u < LOCAL + PROCESS and n <= _MOST:
        return lambda function, activity, snap: by_process(
            rng, first, categorical, n, function, activity, snap
        )
    return None


def local_moves(
    rng: np.random.Generator, first: Floats, n: int, function: Function, activity: Activity, snap: Snap
) -> Floats:
    """The first point, then the best one so far with one active hyperparameter, or in three of ten two, set anew."""
    b, p = first.shape
    trials = np.empty((b, n, p), dtype=np.float32)
    trials[:, :1] = best = snap(first[:, None])
    lowest = function(best, activity(best))
    for t in range(1, n):
        key = np.where(activity(best)[:, 0], rng.uniform(size=(b, p)), 2.0)
        turn = key.argsort(1).argsort(1) < np.where(rng.uniform(size=(b, 1)) < 0.3, 2, 1)
        moved = np.where(turn, rng.uniform(size=(b, p)), best[:, 0]).astype(np.float32)
        trials[:, t : t + 1] = moved = snap(moved[:, None])
        value = function(moved, activity(moved))
        better = value < lowest
        best, lowest = np.where(better[:, :, None], moved, best), np.where(better, value, lowest)
    return trials


def by_process(
    rng: np.random.Generator,
    first: Floats,
    categorical: Bools,
    n: int,
    function: Function,
    activity: Activity,
    snap: Snap,
) -> Floats:
    """The first points, then the lower confidence bound of a Gaussian process whose length scale was drawn."""
    b, p = first.shape
    pool = rng.uniform(size=(b, _POOL, p)).astype(np.float32)
    pool[:, 0] = first
    pool = snap(pool)
    value = function(pool, activity(pool))
    gap = pool[:, :, None] - pool[:, None]
    gap = np.where(categorical[:, None, None], np.abs(gap) > 1e-3, gap)
    length = np.exp(rng.uniform(np.log(0.2), np.log(0.8), size=(b, 1, 1))) * np.sqrt(p)
    kernel = np.exp(-0.5 * (gap**2).sum(3) / length**2)
    bold = rng.uniform(0.5, 2.5, size=(b, 1))
    rows = np.arange(b)[:, None]
    tried = np.tile(np.arange(_STARTS), (b, 1))
    for t in range(_STARTS, n):
        y = np.take_along_axis(value, tried, 1)
        centre, scale = y.mean(1, keepdims=True), y.std(1, keepdims=True) + 1e-9
        known = kernel[rows[:, :, None], tried[:, :, None], tried[:, None]] + 1e-3 * np.eye(t)
        across = kernel[rows, tried]  # (b, t, pool)
        solved = np.linalg.solve(known, np.concatenate([((y - centre) / scale)[:, :, None], across], axis=2))
        mean = (across * solved[:, :, :1]).sum(1)
        deviation = np.sqrt(np.maximum(1 - (across * solved[:, :, 1:]).sum(1), 1e-6))
        score = mean - bold * deviation
        np.put_along_axis(score, tried, np.inf, 1)
        tried = np.concatenate([tried, score.argmin(1)[:, None]], axis=1)
    return np.take_along_axis(pool, tried[:, :n, None], 1)
