"""Tests of whether one method is better than another, over seeds and over tasks.

All are two-sided. Over seeds, on one task: Wilcoxon's signed-rank test of the paired differences between two
methods' studies with the same number (the studies share no random numbers, so the pairing is arbitrary but
fixed beforehand, which the test allows). Over tasks: the same test of the differences between the mean
normalised regrets. Where several tests are read together their p-values are Holm's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEVEL = 0.05
TIE = 1e-12  # as in `statistics`: smaller differences are rounding


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Tests over seeds, task by task.

    Attributes:
        better: Tasks on which the method is better at LEVEL, each task tested by itself.
        worse: Tasks on which it is worse.
        better_holm: The same with Holm's correction over the tasks.
        worse_holm: The same with Holm's correction over the tasks.
        tasks: Tasks that could be tested.
        seeds: Pairs per task.
        least_p: The smallest p-value that so many pairs can give.
    """

    better: int
    worse: int
    better_holm: int
    worse_holm: int
    tasks: int
    seeds: int
    least_p: float

    @property
    def holm_possible(self) -> bool:
        """Whether any number of seeds this small can pass the first step of Holm's procedure."""
        return self.tasks > 0 and self.least_p * self.tasks <= LEVEL

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def wilcoxon(differences: Array) -> float:
    """The exact p-value of Wilcoxon's signed-rank test that they are symmetric about zero; 1 if all are zero.

    Ties share ranks, and zeros keep theirs without a sign (Pratt, 1959). scipy's exact test has no ties, and its
    permutation test takes a fifth of a second at ten; the distribution over all signs is a product of one
    factor per rank (Streitberg and Roehmel, 1986), which takes microseconds.
    """
    from scipy.stats import rankdata

    signs = np.sign(differences)
    ranks = np.rint(2.0 * rankdata(np.abs(differences)))[signs != 0].astype(int)  # doubled: whole numbers
    signs = signs[signs != 0]
    chances = np.ones(1)  # of the sum of signed ranks, from -total to total in steps of two
    for rank in ranks:
        padded = np.zeros(len(chances) + rank)
        padded[: len(chances)] += 0.5 * chances
        padded[rank:] += 0.5 * chances
        chances = padded
    total = int(ranks.sum())
    sums = np.arange(-total, total + 1, 2)
    return min(1.0, float(chances[np.abs(sums) >= abs(int(signs @ ranks))].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: reject those at most LEVEL, and the chance of any false one is at most LEVEL."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def over_seeds(method: Array, reference: Array) -> Verdicts:
    """Task by task, whether the method is better.

    Args:
        method: Best losses, shape (tasks, seeds); tasks with NaN are left out.
        reference: The same of the other method.
    """
    difference = method - reference
    difference = difference[~np.isnan(difference).any(axis=1)]
    scale = np.maximum(np.abs(method), np.abs(reference)).max(
        initial=0.0, where=~np.isnan(method - reference)
    )
    difference = np.where(np.abs(difference) <= TIE * scale, 0.0, difference)
    seeds = difference.shape[1] if len(difference) else 0
    p_values = [wilcoxon(row) for row in difference]
    signs = [_sign(row) for row in difference]
    counted = {}
    for suffix, ps in (("", p_values), ("_holm", holm(p_values))):
        for word, sign in (("better", -1), ("worse", 1)):
            counted[word + suffix] = sum(p <= LEVEL and s == sign for p, s in zip(ps, signs, strict=True))
    least_p = min(1.0, 2.0 / 2.0**seeds) if seeds else 1.0
    return Verdicts(**counted, tasks=len(p_values), seeds=seeds, least_p=least_p)


def over_tasks(method: Array, reference: Array) -> float:
    """The p-value of a difference between two methods, from one figure per task each, shape (tasks,)."""
    difference = method - reference
    return wilcoxon(np.where(np.abs(difference) <= TIE, 0.0, difference))


def critical_difference(methods: int, tasks: int) -> float:
    """Nemenyi's: mean ranks further apart than this differ at LEVEL, all pairs considered together.

    q sqrt(k (k + 1) / (6 N)), with q of the studentised range (Demsar, JMLR 7, 2006); NaN for one method.
    """
    if methods < 2 or tasks < 1:
        return math.nan
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1.0 - LEVEL, methods, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(methods * (methods + 1) / (6.0 * tasks))


def _sign(differences: Array) -> int:
    """The direction of the signed-rank statistic: -1 where the method's losses are lower."""
    from scipy.stats import rankdata

    return int(np.sign(np.sum(np.sign(differences) * rankdata(np.abs(differences)))))
