"""How sure a share is that was seen of a few data sets."""

from __future__ import annotations


def exact_interval(percent: float, sets: int, coverage: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a percentage that was seen on so many independent data sets.

    >>> [round(end) for end in exact_interval(100.0, 8)]
    [63, 100]
    """
    from scipy.stats import beta

    tail, seen = (1.0 - coverage) / 2.0, percent / 100.0 * sets
    low = 100.0 * float(beta.ppf(tail, seen, sets - seen + 1.0)) if percent > 0.0 else 0.0
    high = 100.0 * float(beta.ppf(1.0 - tail, seen + 1.0, sets - seen)) if percent < 100.0 else 100.0
    return low, high
