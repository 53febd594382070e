"""Random search on a table, exactly: what n draws without replacement are expected to find.

Of N points sorted by loss, the k-th smallest is the least of n draws in C(N - k, n - 1) of the C(N, n) equally
likely draws, so E[best of n] = sum over k of loss_(k) C(N - k, n - 1) / C(N, n). Equal losses need no care
there: their weights add up. They do for the test error at the chosen point: among equal losses the earliest
draw is chosen, by symmetry any of them with the same chance, so each counts with the mean over its equals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def least_weights(points: int, draws: int) -> Array:
    """The chance that the k-th smallest of `points` is the least of `draws` without replacement.

    Args:
        points: N.
        draws: n; more than N are N.

    Returns:
        Shape (N,), k = 1 first, summing to one.

    Raises:
        ValueError: If one of them is less than one.
    """
    if points < 1 or draws < 1:
        raise ValueError(f"{draws} draws of {points} points")
    n = min(draws, points)
    # C(N-k-1, n-1) / C(N-k, n-1) = (N-k-n+1) / (N-k): no binomial is ever formed, so nothing overflows.
    left = points - np.arange(1, points, dtype=np.float64)
    ratios = np.maximum(left - n + 1.0, 0.0) / left
    weights: Array = np.concatenate(([n / points], ratios)).cumprod()
    return weights


def random_search(loss: Array, test_loss: Array, budget: int) -> tuple[Array, Array]:
    """Expected best loss, and expected test error at the point chosen by it, after 1, 2, ... draws.

    Args:
        loss: Validation error of every point of the table, shape (N,). A point without one (not finite)
            counts as the worst point that has one.
        test_loss: Test error of every point, shape (N,).
        budget: Draws.

    Returns:
        Two arrays of shape (budget,).

    Raises:
        ValueError: If no point has a loss.
    """
    known = np.isfinite(loss)
    if not known.any():
        raise ValueError("no point of the table has a loss")
    loss = np.where(known, loss, loss[known].max())
    order = np.argsort(loss, kind="stable")
    ordered = loss[order]
    _, group, size = np.unique(ordered, return_inverse=True, return_counts=True)
    chosen = (np.bincount(group, weights=test_loss[order]) / size)[group]
    weights = np.stack([least_weights(len(loss), n) for n in range(1, budget + 1)])
    return weights @ ordered, weights @ chosen
