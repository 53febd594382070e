"""Which trials of a long history the process is fitted to: its cost grows with their number to the third power."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from airtune.engine.proposers.lm_gp.gaussian_process import Floats

# Of more trials than this, that many say what the kernel is, and what the process is fitted to. Chosen by speed, and
# on development tasks by what it costs (docs/log/speed.md).
KERNEL_TRIALS, PROCESS_TRIALS = 128, 300


def subset(x: Floats, y: Floats, size: int) -> NDArray[np.intp]:
    """Indices of at most `size` trials, ascending: the best, those around the best one, and some of everywhere else.

    A third are those of the lowest values and a third those nearest to the lowest of all, where the search goes on:
    there nothing that is known may be forgotten. The rest are each the one farthest from all before it, so that no
    region that has been looked into is taken for a new one. Of equals the earlier one is taken.

    Args:
        x: (n, d) points tried, in the order of the trials.
        y: (n,) their values, lower is better.
        size: How many at most, 3 or more.
    """
    if len(y) <= size:
        return np.arange(len(y))
    from scipy.spatial.distance import cdist

    def distances(points: Floats) -> Floats:  # (n,) squared, to the nearest of the points
        return np.asarray(cdist(x, points, "sqeuclidean").min(1))

    best = np.argsort(y, kind="stable")
    third = size // 3
    chosen = np.zeros(len(y), dtype=bool)
    chosen[best[:third]] = True
    around = np.where(chosen, np.inf, distances(x[best[:1]]))
    chosen[np.argsort(around, kind="stable")[:third]] = True
    nearest = distances(x[chosen])
    for _ in range(size - chosen.sum()):
        nearest[chosen] = -1.0  # also where all that are left lie on chosen ones
        farthest = int(nearest.argmax())
        chosen[farthest] = True
        np.minimum(nearest, distances(x[[farthest]]), out=nearest)
    return np.flatnonzero(chosen)
