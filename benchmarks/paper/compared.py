"""The arms of a part with their runs: figures against random search, differences, and tests, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from airtune.benchmarks.analysis.comparison import RANDOM, Comparison, Run, compare_runs
from airtune.benchmarks.analysis.costs import Costs, comparison_costs
from airtune.benchmarks.analysis.significance import LEVEL, holm, over_sets, verdict_of
from airtune.benchmarks.analysis.statistics import (
    Array,
    Estimate,
    Row,
    bootstrap_means,
    compare,
    estimate_of,
    outcomes,
)
from airtune.benchmarks.paper.protocol import Arm
from airtune.benchmarks.paper.results import Worth
from airtune.benchmarks.running.plan import Plan, method_label
from airtune.benchmarks.running.suites import get_suite
from airtune.benchmarks.tasks.moved import unmoved

Statistic = Callable[[Array], Array]


@dataclass(frozen=True)
class Compared:
    """An arm that was run.

    Attributes:
        arm: What was to be run.
        plan: The comparison.
        runs: All its runs.
        folder: Of its study file, which may hold more than this arm's studies.
    """

    arm: Arm
    plan: Plan
    runs: tuple[Run, ...]
    folder: Path

    @cached_property
    def comparison(self) -> Comparison:
        """The runs as arrays, of the tasks on which any method had a loss."""
        return _compared([replace(run) for run in self.runs], self.plan.methods, self.plan)

    @property
    def last(self) -> int:
        """The number of evaluations of its last look."""
        return min(self.arm.looks[-1], self.plan.budget)

    def rows(self, look: int) -> dict[str, Row]:
        """Every method against random search after so many evaluations."""
        best = self.comparison.best[..., look - 1]
        found = compare(best, self.comparison.methods, RANDOM, look, self.comparison.clusters)
        return {row.method: row for row in found}

    def regret(self, method: str, look: int) -> Array:
        """Normalised regret of a method, shape (tasks, seeds)."""
        return self.comparison.regret[self.comparison.methods.index(method), :, :, look - 1]

    def best(self, method: str, look: int) -> Array:
        """Best loss so far of a method, shape (tasks, seeds)."""
        return self.comparison.best[self.comparison.methods.index(method), :, :, look - 1]

    def costs(self) -> list[Costs]:
        """What each method took."""
        return comparison_costs(self.folder, self.plan.methods, self.plan.seeds, self.plan.budget)

    def has(self, method: str | None) -> bool:
        """Whether the method was run, or is exact."""
        return method in self.comparison.methods


def label(method: str) -> str:
    """A method as tables call it."""
    return method_label(method)


def joined(arms: Mapping[str, Compared]) -> Compared:
    """Arms on the same tasks as one comparison, a method of an arm called METHOD [NAME].

    Tasks on other ranges count as the tasks that they were made of. The first arm's random search is that of all.
    """
    first = next(iter(arms.values()))
    runs, methods = [], []
    for name, one in arms.items():
        called = {method: f"{method} [{name}]" for method in one.plan.methods}
        methods += list(called.values())
        runs += [replace(run, method=called[run.method], task=unmoved(run.task)) for run in one.runs]
        if one is first and RANDOM in called:
            methods.append(RANDOM)
            runs += [replace(run, task=unmoved(run.task)) for run in one.runs if run.method == RANDOM]
    plan = replace(first.plan, suite=unmoved(first.plan.suite), methods=tuple(methods))
    return Compared(first.arm, plan, tuple(runs), first.folder)


def _compared(runs: Sequence[Run], methods: Sequence[str], plan: Plan) -> Comparison:
    scored = {run.task for run in runs if any(trial.loss is not None for trial in run.trials)}
    tasks = [task for task in get_suite(plan.suite).tasks if task in scored]
    by_key = {(run.method, run.task, run.seed): run for run in runs}
    return compare_runs(by_key, methods, tasks, plan.seeds, plan.budget)


def estimated(values: Array, clusters: Sequence[str], statistic: Statistic, share: bool = False) -> Estimate:
    """A statistic of means over seeds, with its bootstrap interval over data sets and seeds.

    Args:
        values: Shape (methods, tasks, seeds).
        clusters: The data set of each task.
        statistic: From means of shape (..., methods, tasks), which may have NaN, to shape (...).
        share: Whether it is a percentage.
    """
    value = float(statistic(values.mean(axis=2)))
    with np.errstate(divide="ignore", invalid="ignore"):  # of ratios, where a resample has none
        spread = statistic(bootstrap_means(values, clusters))
    return estimate_of(value, spread, len(set(clusters)), share)


def difference(one: Array, other: Array, clusters: Sequence[str]) -> Estimate:
    """The mean over tasks of one minus the other, each of shape (tasks, seeds)."""
    return estimated(
        np.stack([one, other]), clusters, lambda m: np.nanmean(m[..., 0, :] - m[..., 1, :], axis=-1)
    )


def mean(values: Array, clusters: Sequence[str], share: bool = False) -> Estimate:
    """The mean over tasks of values of shape (tasks, seeds); `share`: they are percentages."""
    return estimated(values[None], clusters, lambda m: np.nanmean(m[..., 0, :], axis=-1), share)


def matched(one: Array, other: Array, clusters: Sequence[str]) -> Estimate:
    """The percentage of tasks on which one is better than the other or equal."""

    def share(means: Array) -> Array:
        found = outcomes(means[..., 0, :], means[..., 1, :])
        return np.asarray(100.0 * np.nanmean(np.where(np.isnan(found), np.nan, found >= 0), axis=-1))

    return estimated(np.stack([one, other]), clusters, share, share=True)


@dataclass(frozen=True, slots=True)
class Pair:
    """A method and what it is tested against, in an arm, after so many evaluations."""

    arm: str
    method: str
    other: str
    look: int


def holm_tests(arms: Mapping[str, Compared], pairs: Sequence[Pair]) -> dict[Pair, tuple[float, Worth]]:
    """Of each pair the p-value and whether its method is better.

    Wilcoxon's signed-rank test of the differences between the data sets' mean normalised regrets. The first pair's is
    the primary test, declared before anything was run, and stands alone; the others have Holm's correction.
    """
    raw = {pair: _tested(arms[pair.arm], pair) for pair in dict.fromkeys(pairs)}
    found = [p for p, _ in raw.values()]
    adjusted = [*found[:1], *holm(found[1:])]
    return {
        pair: (p, verdict_of(p, direction))
        for p, (pair, (_, direction)) in zip(adjusted, raw.items(), strict=True)
    }


def _tested(arm: Compared, pair: Pair) -> tuple[float, int]:
    own, other = (arm.regret(method, pair.look).mean(axis=1) for method in (pair.method, pair.other))
    return over_sets(own, other, arm.comparison.clusters)


def power_note(arms: Mapping[str, Compared], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """That tests cannot tell a difference, where the data sets are too few for so many of them; else nothing."""
    sets = max((len(set(arms[pair.arm].comparison.clusters)) for pair in pairs), default=0)
    least, others = 2.0 ** (1 - sets), len(set(pairs)) - 1
    if least * max(others, 1) <= LEVEL or not pairs:
        return ()
    which = (
        "no test against a control" if least > LEVEL else f"none of the {others} tests but the primary one"
    )
    return (
        f"Over {sets} data set{'s' if sets > 1 else ''} the smallest possible p-value is {least:.2g}: {which} can tell "
        "a difference, whatever it is.",
    )
