"""Statistics of a comparison: beats random, change, rank, wins, each with a bootstrap interval.

The figures are those of Zhang et al. (arXiv 2312.04528). A method's figure on a task is its best loss within
the budget, averaged over seeds. Then, over the tasks:

- beats: the share of tasks on which that figure is below the reference's (a tie is not a win);
- change: (reference - method) / |reference|, in percent; median and mean over the tasks;
- rank: the mean place among all methods compared, 1 the best, ties sharing the mean of their places.

A toy task's loss is its regret, loss - optimum, so that zero means the same everywhere. Relative change
explodes where the reference is near zero, so the mean is given twice, the second time without the tasks where
the reference is within `NEAR_ZERO` of zero. Where it is exactly zero there is no relative change, and the task is
in neither mean nor in the median.

Intervals are percentiles of a bootstrap over clusters and seeds. Tasks on one data set are a cluster
(`tasks.clusters`): clusters are drawn with replacement, each with all of its tasks, and then, for every task, seeds.
All methods get the same clusters and the same seeds, so that what the studies of one number have in common (a default
to begin with; between language models behind one proposer the seed itself) does not widen an interval. Between
methods that have nothing in common this changes nothing. With one cluster only seeds are drawn; where these do not
change the figure either (one seed, or on which all agree), there is no interval, and not one of a single point.

Resamples of data sets that all agree are all the same: a share of 0 or 100 %, or without any spread, reaches at least
as far as Clopper and Pearson's exact interval for so many data sets (8 that are all won: 63 to 100 %).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.analysis.shares import exact_interval

Array = NDArray[np.float64]
Reduce = Callable[..., Any]

NEAR_ZERO = 0.01  # one percent of error, or a regret of 0.01
RESAMPLES = 2000
COVERAGE = 0.95
TIE = 1e-12  # means over seeds of the same error rates differ in the last bits by the order of summation


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def json(self) -> dict[str, float | None]:
        """As JSON, which has no NaN."""
        return {
            key: None if math.isnan(v) else v
            for key, v in (("value", self.value), ("low", self.low), ("high", self.high))
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One method against the reference at one budget.

    Attributes:
        method: The method.
        reference: What it is compared with.
        budget: Evaluations.
        beats: Percent of tasks on which it is better.
        median_change: Percent, over the tasks.
        mean_change: Percent.
        mean_change_far: Percent, without the tasks on which the reference is within NEAR_ZERO of zero.
        rank: Mean rank among all methods.
        wins: Tasks on which it is better than the reference.
        ties: Tasks on which it is equal.
        losses: Tasks on which it is worse.
        tasks: How many tasks there are.
        tasks_far: How many of them `mean_change_far` is over.
    """

    method: str
    reference: str
    budget: int
    beats: Estimate
    median_change: Estimate
    mean_change: Estimate
    mean_change_far: Estimate
    rank: Estimate
    wins: int
    ties: int
    losses: int
    tasks: int
    tasks_far: int

    def json(self) -> dict[str, Any]:
        """As JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: v.json() if isinstance(v, Estimate) else v for name, v in fields.items()}


def ranks(means: Array) -> Array:
    """Ranks of the methods on every task, 1 the best, ties averaged.

    Args:
        means: Shape (..., methods, tasks).

    Returns:
        The same shape. Cost: quadratic in the number of methods.
    """
    mine, others = means[..., :, None, :], means[..., None, :, :]
    tolerance = TIE * np.maximum(np.abs(mine), np.abs(others))
    below = (others < mine - tolerance).sum(axis=-2)
    equal = (np.abs(others - mine) <= tolerance).sum(axis=-2)  # itself included
    return np.where(np.isnan(means), np.nan, below + (equal + 1) / 2)


def outcomes(method: Array, reference: Array) -> Array:
    """1 where the method is better, 0 where equal, -1 where worse, NaN where one of them is NaN."""
    tolerance = TIE * np.maximum(np.abs(method), np.abs(reference))
    difference = reference - method
    return np.where(np.abs(difference) <= tolerance, 0.0, np.sign(difference))


def change(method: Array, reference: Array) -> Array:
    """(reference - method) / |reference| in percent, positive where the method is lower; NaN where it is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(reference != 0, 100.0 * (reference - method) / np.abs(reference), np.nan)


def compare(
    best: Array,
    methods: Sequence[str],
    reference: str,
    budget: int,
    clusters: Sequence[str],
    bootstrap: Array | None = None,
) -> list[Row]:
    """All methods against the reference.

    Args:
        best: Best loss within the budget, shape (methods, tasks, seeds), regrets for toy tasks.
        methods: Names of the first axis.
        reference: One of them.
        budget: For the rows.
        clusters: The cluster of each task.
        bootstrap: `bootstrap_means(best, clusters)`, where the caller has it already.
    """
    bootstrap = bootstrap_means(best, clusters) if bootstrap is None else bootstrap
    means, sets = best.mean(axis=2), len(set(clusters))
    places = _rank_estimates(means, bootstrap, sets)
    base = list(methods).index(reference)
    return [
        _row(means[[m, base]], bootstrap[:, [m, base]], method, reference, budget, places[m], sets)
        for m, method in enumerate(methods)
    ]


def pairwise(
    best: Array,
    methods: Sequence[str],
    focal: str,
    budget: int,
    clusters: Sequence[str],
    bootstrap: Array | None = None,
) -> list[Row]:
    """One method against every other, in their order; the arguments are those of `compare`."""
    bootstrap = bootstrap_means(best, clusters) if bootstrap is None else bootstrap
    means, sets = best.mean(axis=2), len(set(clusters))
    mine = list(methods).index(focal)
    place = _rank_estimates(means, bootstrap, sets)[mine]
    return [
        _row(means[[mine, m]], bootstrap[:, [mine, m]], focal, method, budget, place, sets)
        for m, method in enumerate(methods)
        if m != mine
    ]


def bootstrap_means(best: Array, clusters: Sequence[str], seed: int = 0) -> Array:
    """Means over resampled seeds of the tasks of resampled clusters, the same for all methods.

    Args:
        best: Shape (methods, tasks, seeds, ...): whatever follows, such as budgets, is resampled together.
        clusters: The cluster of each task.
        seed: Of the bootstrap.

    Returns:
        Shape (RESAMPLES, methods, places, ...): places are tasks where all clusters are of one size; where they are
        not, resamples differ in how many tasks they have, and the last places of the smaller ones are NaN.
    """
    methods, _, seeds = best.shape[:3]
    chosen = list(_resamples(clusters, seeds, seed))
    places = max(len(tasks) for tasks, _ in chosen)
    means = np.full((RESAMPLES, methods, places, *best.shape[3:]), np.nan)
    for r, (tasks, seed_of) in enumerate(chosen):
        means[r, :, : len(tasks)] = best[:, tasks[:, None], seed_of].mean(axis=2)
    return means


def curve_bands(values: Array, clusters: Sequence[str], seed: int = 0) -> tuple[Array, Array, Array]:
    """The mean over tasks and seeds of curves, and the interval of every point of it.

    Args:
        values: Shape (methods, tasks, seeds, points).
        clusters: The cluster of each task.
        seed: Of the bootstrap.

    Returns:
        Mean, low and high, each of shape (methods, points).
    """
    means = np.nanmean(bootstrap_means(values, clusters, seed), axis=2)
    return values.mean(axis=(1, 2)), *interval(means)


def _resamples(clusters: Sequence[str], seeds: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """RESAMPLES times: task indices, shape (n,), and seed indices, shape (n, seeds)."""
    rng = np.random.default_rng(seed)
    labels = np.array(clusters)
    members = [np.flatnonzero(labels == name) for name in dict.fromkeys(clusters)]
    for _ in range(RESAMPLES):
        tasks = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        yield tasks, rng.integers(seeds, size=(len(tasks), seeds))


def interval(values: Array) -> tuple[Array, Array]:
    """The percentile interval of the first axis, COVERAGE wide: (low, high), each without that axis."""
    tail = 100.0 * (1.0 - COVERAGE) / 2.0
    low, high = np.percentile(values, [tail, 100.0 - tail], axis=0)
    return low, high


def _rank_estimates(means: Array, bootstrap: Array, sets: int) -> list[Estimate]:
    values, spread = ranks(means).mean(axis=-1), np.nanmean(ranks(bootstrap), axis=-1)
    return [estimate_of(float(value), spread[:, m], sets) for m, value in enumerate(values)]


def _row(
    means: Array, bootstrap: Array, method: str, reference: str, budget: int, place: Estimate, sets: int
) -> Row:
    """The row of two methods, (method, reference) on the axis before the last, which is the tasks."""
    signs = outcomes(means[0], means[1])
    figures, spread = _figures(means), _figures(bootstrap)
    return Row(
        method=method,
        reference=reference,
        budget=budget,
        rank=place,
        wins=int((signs > 0).sum()),
        ties=int((signs == 0).sum()),
        losses=int((signs < 0).sum()),
        tasks=means.shape[1],
        tasks_far=int((np.abs(means[1]) >= NEAR_ZERO).sum()),
        **{key: estimate_of(float(one), spread[key], sets, key == "beats") for key, one in figures.items()},
    )


def _figures(means: Array) -> Mapping[str, Array]:
    """Every figure of a method against a reference, shape (...), from their means of shape (..., 2, tasks)."""
    method, reference = means[..., 0, :], means[..., 1, :]
    signs, relative = outcomes(method, reference), change(method, reference)
    far = np.where(np.abs(reference) >= NEAR_ZERO, relative, np.nan)
    return {
        "beats": _over_tasks(np.mean, np.nanmean, 100.0 * np.where(np.isnan(signs), np.nan, signs > 0)),
        "median_change": _over_tasks(np.median, np.nanmedian, relative),
        "mean_change": _over_tasks(np.mean, np.nanmean, relative),
        "mean_change_far": _over_tasks(np.mean, np.nanmean, far),
    }


def _over_tasks(reduce: Reduce, reduce_known: Reduce, values: Array) -> Array:
    """The values reduced over the last axis without the NaN in it; NaN where all of it is."""
    unknown: NDArray[np.bool_] = np.isnan(values)
    if not unknown.any():
        return np.asarray(reduce(values, axis=-1))  # numpy's NaN-aware median is slow
    empty = np.asarray(unknown.all(axis=-1))
    reduced = np.asarray(reduce_known(np.where(empty[..., None], 0.0, values), axis=-1))
    return np.where(empty, np.nan, reduced)


def estimate_of(value: float, spread: Array, sets: int, share: bool = False) -> Estimate:
    """A figure with its interval, if it has one.

    Args:
        value: The figure.
        spread: The same of every resample; what is not finite is left out.
        sets: How many clusters there are: one in which nothing differs says nothing of others.
        share: Whether it is a percentage of tasks.
    """
    spread = spread[np.isfinite(spread)]
    same = len(spread) == 0 or bool(np.ptp(spread) <= TIE * np.abs(spread).max())
    if math.isnan(value) or len(spread) == 0 or (sets == 1 and same):
        return Estimate(value, math.nan, math.nan)
    low, high = map(float, interval(spread))
    if share and sets > 1 and (same or value in (0.0, 100.0)):
        least, most = exact_interval(value, sets, COVERAGE)
        low, high = min(low, least), max(high, most)
    return Estimate(value, low, high)
