"""How the programs of a study hang together: which earlier one each is nearest to, and which choices matter.

A program is a configuration of a space with conditions, so what tells two programs apart are decisions: those made
otherwise in the other one, and those that only one of the two has, because they lie within another choice.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airtune.engine.types import Trial

FEWEST = (
    8  # losses, and five more than there are alternatives: of fewer nothing is said of what a choice explains
)


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """The decisions in which two programs differ: in their order in `b`, then those that only `a` has."""
    nothing = object()
    return [name for name in dict.fromkeys((*b, *a)) if a.get(name, nothing) != b.get(name, nothing)]


def ancestors(trials: Sequence[Trial]) -> dict[int, int]:
    """For each program but the first, the number of the earlier trial that is nearest to it.

    Nearest is the one that differs in the fewest decisions; of equals the one with the least loss, then the latest.
    This says which programs are alike: who made one of which, only its proposer knows.

    Args:
        trials: In the order of their numbers.
    """
    import numpy as np

    names = dict.fromkeys(name for trial in trials for name in trial.config)
    codes: dict[tuple[str, Any], int] = {}  # 0 stands for what is not decided
    rows = [
        [codes.setdefault((n, one.config[n]), len(codes) + 1) if n in one.config else 0 for n in names]
        for one in trials
    ]
    decisions = np.array(rows, dtype=np.int32).reshape(len(trials), len(names))
    found: dict[int, int] = {}
    for i, trial in enumerate(trials[1:], 1):
        distances = (decisions[:i] != decisions[i]).sum(axis=1).tolist()
        nearest = min(
            zip(distances, trials[:i], strict=True),
            key=lambda pair: (pair[0], math.inf if pair[1].loss is None else pair[1].loss, -pair[1].number),
        )
        found[trial.number] = nearest[1].number
    return found


def lineage(number: int, parents: Mapping[int, int]) -> list[int]:
    """A trial, the one that it is nearest to, and so on to the first; in the order of their numbers."""
    line = [number]
    while line[-1] in parents:
        line.append(parents[line[-1]])
    return line[::-1]


@dataclass(frozen=True, slots=True)
class Alternative:
    """What became of the programs that have one alternative of a choice.

    Attributes:
        value: The alternative.
        losses: Of those with a loss, in the order of their trials.
        failed: How many failed.
    """

    value: Any
    losses: tuple[float, ...]
    failed: int

    @property
    def median(self) -> float | None:
        """The middle loss; None if there is none."""
        return statistics.median(self.losses) if self.losses else None


@dataclass(frozen=True, slots=True)
class ChoiceMade:
    """A choice, and the losses of the programs by what was chosen.

    Attributes:
        name: The hyperparameter.
        alternatives: Those that were tried: with losses the least median first, then those that only failed.
        explains: The share of the losses' ranks that the choice explains, from 0 to 1 (`rank_effect`); None if there
            are too few to say.
        chance: How likely as much would be, did the choice not matter.
    """

    name: str
    alternatives: tuple[Alternative, ...]
    explains: float | None
    chance: float


def choices_made(trials: Sequence[Trial], names: Collection[str]) -> list[ChoiceMade]:
    """The choices of which two alternatives at least were tried; those that matter most surely first.

    A choice within another one is looked at among the programs that have it.

    Args:
        trials: All, in the order of their numbers.
        names: The choices.
    """
    found = []
    for name in dict.fromkeys(name for trial in trials for name in trial.config if name in names):
        having = [trial for trial in trials if name in trial.config and trial.status != "asked"]
        values = dict.fromkeys(trial.config[name] for trial in having)
        if len(values) < 2:
            continue
        alternatives = [
            Alternative(
                value,
                tuple(one.loss for one in having if one.config[name] == value and one.loss is not None),
                sum(one.status == "failed" for one in having if one.config[name] == value),
            )
            for value in values
        ]
        alternatives.sort(key=lambda one: math.inf if one.median is None else one.median)
        groups = [one.losses for one in alternatives if one.losses]
        effect = rank_effect(groups)
        found.append(ChoiceMade(name, tuple(alternatives), *((None, 1.0) if effect is None else effect)))
    return sorted(found, key=lambda one: (one.explains is None, one.chance))


def rank_effect(groups: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """Epsilon squared of Kruskal and Wallis's test: the share of the ranks' variance that lies between groups.

    Less what chance gives: (H - k + 1) / (n - k) for k groups of n values in all, not below 0 (Kelley 1935; Tomczak and
    Tomczak 2014). Of ranks, so that one bad loss counts no more than it is worth, whatever the losses' scale.

    Returns:
        From 0 to 1, and the test's p-value (of chi squared); None of fewer than two groups, or too few values.
    """
    from scipy.stats import kruskal

    n, k = sum(map(len, groups)), len(groups)
    if k < 2 or n < max(FEWEST, k + 5):
        return None
    if len({loss for group in groups for loss in group}) == 1:
        return 0.0, 1.0
    found = kruskal(*groups)
    return max(0.0, (float(found.statistic) - k + 1) / (n - k)), float(found.pvalue)


def always_with(
    failed: Sequence[Trial], told: Sequence[Trial], names: Collection[str]
) -> list[tuple[str, Any]]:
    """The alternatives that all the failed programs have, two at least, and none of those with a loss."""
    if len(failed) < 2:
        return []
    first, *others = failed
    return [
        (name, value)
        for name, value in first.config.items()
        if name in names
        and all(name in one.config and one.config[name] == value for one in others)
        and not any(name in one.config and one.config[name] == value for one in told)
    ]
