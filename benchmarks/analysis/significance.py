"""Tests of whether one method is better than another, over seeds and over tasks.

All are two-sided, and exact: Wilcoxon's signed-rank test. Over seeds, on one task: of the differences between two
methods' studies of the same number. Over tasks: of the differences between the mean normalised regrets. The p-values
that one table prints are one family, and Holm's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from airtune.benchmarks.analysis.statistics import TIE, Array

LEVEL = 0.05
Verdict = Literal["better", "no clear difference", "worse"]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Tests over seeds, task by task, of a method against another.

    Attributes:
        better: Tasks on which the method is better at LEVEL, each task tested by itself.
        worse: Tasks on which it is worse.
        better_holm: The same with Holm's correction over the family.
        worse_holm: The same with Holm's correction over the family.
        tasks: Tasks that could be tested.
        seeds: Pairs per task.
        least_p: The smallest p-value that so many pairs can give.
        family: Tests that are corrected together: those of all methods that this one was compared with.
    """

    better: int
    worse: int
    better_holm: int
    worse_holm: int
    tasks: int
    seeds: int
    least_p: float
    family: int

    @property
    def holm_possible(self) -> bool:
        """Whether any number of seeds this small can pass the first step of Holm's procedure."""
        return self.tasks > 0 and self.least_p * self.family <= LEVEL

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def wilcoxon(method: Array, reference: Array, scale: float = 0.0) -> tuple[float, int]:
    """Wilcoxon's signed-rank test that the paired differences are symmetric about zero.

    Ties share ranks, and zeros keep theirs without a sign (Pratt, 1959). scipy's exact test has no ties, and its
    permutation test takes a fifth of a second at ten; the distribution over all signs is a product of one
    factor per rank (Streitberg and Roehmel, 1986), which takes microseconds.

    Differences of less than TIE of the values that they are between are rounding: zero if they are so near to it, and
    of one rank if they are so near to each other (0.3 - 0.2 is as far as 0.2 - 0.1).

    Args:
        method: Shape (n,).
        reference: Shape (n,), what it is paired with.
        scale: What the values are at least taken for, where they were computed from larger ones.

    Returns:
        The exact p-value, 1 if all are zero; and the sign of the sum of signed ranks, -1 where the method is lower.
    """
    from scipy.stats import rankdata

    difference = method - reference
    tolerance = TIE * np.maximum(scale, np.maximum(np.abs(method), np.abs(reference)))
    size = np.where(np.abs(difference) <= tolerance, 0.0, np.abs(difference))
    order = np.argsort(size, kind="stable")
    near = np.maximum(tolerance[order][1:], tolerance[order][:-1])
    level = np.zeros(len(size), dtype=int)  # the same number where they are the same size
    level[order[1:]] = np.cumsum(np.diff(size[order]) > near)
    kept = size > 0
    ranks = np.rint(2.0 * rankdata(level)).astype(int)[kept]  # doubled: whole numbers
    chances = np.ones(1)  # of the sum of signed ranks, from -total to total in steps of two
    for rank in ranks:
        padded = np.zeros(len(chances) + rank)
        padded[: len(chances)] += 0.5 * chances
        padded[rank:] += 0.5 * chances
        chances = padded
    total, found = int(ranks.sum()), int(np.sign(difference[kept]) @ ranks)
    sums = np.arange(-total, total + 1, 2)
    return min(1.0, float(chances[np.abs(sums) >= abs(found)].sum())), int(np.sign(found))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: reject those at most LEVEL, and the chance of any false one is at most LEVEL."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def over_seeds(pairs: Sequence[tuple[Array, Array]]) -> list[Verdicts]:
    """Task by task, whether a method is better than each of several others.

    Args:
        pairs: Best losses of the method, and of another, each of shape (tasks, seeds). Tasks with NaN are left out.
            The tests of all pairs are one family.
    """
    tests = [
        [wilcoxon(a, b) for a, b in zip(method, reference, strict=True) if not np.isnan(a - b).any()]
        for method, reference in pairs
    ]
    family = [p for found in tests for p, _ in found]
    adjusted = iter(holm(family))
    verdicts = []
    for (method, _), found in zip(pairs, tests, strict=True):
        both = [(p, next(adjusted), sign) for p, sign in found]
        verdicts.append(
            Verdicts(
                better=sum(p <= LEVEL and sign < 0 for p, _, sign in both),
                worse=sum(p <= LEVEL and sign > 0 for p, _, sign in both),
                better_holm=sum(p <= LEVEL and sign < 0 for _, p, sign in both),
                worse_holm=sum(p <= LEVEL and sign > 0 for _, p, sign in both),
                tasks=len(found),
                seeds=method.shape[1],
                least_p=min(1.0, 2.0 / 2.0 ** method.shape[1]),
                family=len(family),
            )
        )
    return verdicts


def over_tasks(method: Array, reference: Array) -> tuple[float, int]:
    """The p-value and the direction of a difference between two methods, from one mean normalised regret per task.

    A regret of 1 is what one random evaluation has: those near zero are differences of losses, and as rough as these.

    Args:
        method: Shape (tasks,).
        reference: The same of the other method.
    """
    return wilcoxon(method, reference, scale=1.0)


def over_sets(method: Array, reference: Array, clusters: Sequence[str]) -> tuple[float, int]:
    """The same of the data sets' means, `clusters` the data set of each task."""
    sets = np.array(clusters)
    chosen = [sets == name for name in dict.fromkeys(clusters)]
    return over_tasks(*(np.array([values[of].mean() for of in chosen]) for values in (method, reference)))


def verdict_of(p: float, direction: int) -> Verdict:
    """What a test says of a method, in a word or two; `direction` as `wilcoxon` has it."""
    return "no clear difference" if p > LEVEL else "better" if direction < 0 else "worse"


def critical_difference(methods: int, tasks: int) -> float:
    """Nemenyi's: mean ranks further apart than this differ at LEVEL, all pairs considered together.

    q sqrt(k (k + 1) / (6 N)), with q of the studentised range (Demsar, JMLR 7, 2006); NaN for one method.
    """
    if methods < 2 or tasks < 1:
        return math.nan
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1.0 - LEVEL, methods, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(methods * (methods + 1) / (6.0 * tasks))
