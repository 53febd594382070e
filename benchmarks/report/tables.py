"""The figures of a comparison as tables: JSON, Markdown, or the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airtune.benchmarks.analysis.comparison import RANDOM, Comparison, Run, check_reference, compare_runs
from airtune.benchmarks.analysis.significance import LEVEL, Verdicts, holm, over_seeds, over_tasks
from airtune.benchmarks.analysis.statistics import (
    COVERAGE,
    NEAR_ZERO,
    RESAMPLES,
    Row,
    bootstrap_means,
    compare,
    pairwise,
)
from airtune.benchmarks.report.cells import p_value
from airtune.benchmarks.report.text_table import Table, percent, row_cells
from airtune.benchmarks.running.suites import get_suite
from airtune.grammars import AirtuneError
from airtune.models.spec import parse_spec

if TYPE_CHECKING:
    from airtune.benchmarks.running.plan import Plan


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison's figures.

    Attributes:
        plan: What was compared.
        comparison: Its runs as arrays.
        left_out: Tasks on which no method got any loss: there is nothing to compare.
        rows: By budget: every method against random search.
        pairwise: By budget: the focal method, which is the first with a language model, against every other; empty
            if there is none.
        verdicts: By budget: the tests over seeds of the same pairs, in their order.
        p_values: By budget: Holm's p-values over the tasks of the same pairs, in their order.
        proposal_s: By method: mean seconds per proposal.
        redrawn: By method: share of proposals that fell back on a uniform draw.
    """

    plan: Plan
    comparison: Comparison
    left_out: tuple[str, ...]
    rows: dict[int, list[Row]]
    pairwise: dict[int, list[Row]]
    verdicts: dict[int, list[Verdicts]]
    p_values: dict[int, list[float]]
    proposal_s: dict[str, float]
    redrawn: dict[str, float]

    @property
    def tasks(self) -> tuple[str, ...]:
        """What was compared on."""
        return self.comparison.tasks

    @property
    def budgets(self) -> tuple[int, ...]:
        """Evaluations at which it is looked at."""
        return self.comparison.budgets

    @property
    def means(self) -> dict[int, dict[str, dict[str, float]]]:
        """By budget: best loss (regret for toy tasks) averaged over seeds, by method and task."""
        return {b: self._by_task(self.comparison.best, b) for b in self.budgets}

    @property
    def test_errors(self) -> dict[int, dict[str, float]]:
        """By budget and method: test error of the configuration chosen on validation; NaN if there is none.

        Averaged over seeds and over the tasks that have one.
        """
        return {
            b: {
                m: _mean(np.array(list(v.values())))
                for m, v in self._by_task(self.comparison.test, b).items()
            }
            for b in self.budgets
        }

    def task_tests(self, budget: int) -> dict[str, dict[str, float]]:
        """The same by method and task."""
        return self._by_task(self.comparison.test, budget)

    def _by_task(self, values: Any, budget: int) -> dict[str, dict[str, float]]:
        return {
            m: {t: _mean(values[i, j, :, budget - 1]) for j, t in enumerate(self.tasks)}
            for i, m in enumerate(self.comparison.methods)
        }

    def json(self) -> dict[str, Any]:
        """As JSON."""
        exact = [t for t, e in zip(self.tasks, self.comparison.exact, strict=True) if e]
        return {
            "plan": asdict(self.plan),
            "tasks": list(self.tasks),
            "left_out": list(self.left_out),
            "exact_random": exact,
            "ceilings": {str(b): list(changes) for b, changes in self.comparison.ceilings().items()},
            "settings": {
                "resamples": RESAMPLES, "coverage": COVERAGE, "near_zero": NEAR_ZERO, "test_level": LEVEL
            },
            "rows": {str(b): [row.json() for row in rows] for b, rows in self.rows.items()},
            "pairwise": {str(b): [row.json() for row in rows] for b, rows in self.pairwise.items()},
            "verdicts": {str(b): [v.json() for v in verdicts] for b, verdicts in self.verdicts.items()},
            "p_values": {str(b): p_values for b, p_values in self.p_values.items()},
            "means": {str(b): means for b, means in self.means.items()},
            "test_errors": {
                str(b): {m: None if math.isnan(e) else e for m, e in errors.items()}
                for b, errors in self.test_errors.items()
            },
            "proposal_s": self.proposal_s,
            "redrawn": self.redrawn,
        }  # fmt: skip

    def tables(self) -> list[Table]:
        """Against random search by budget, then pair by pair, then every task's means, then proposal times."""
        name = self.label
        made = [
            Table(
                f"{self.plan.suite}: {budget} evaluations, {len(self.tasks)} tasks, {self.plan.seeds} seeds, "
                f"against {RANDOM}",
                ("method", "beats %", "median change %", "mean change %", "mean rank", "win/tie/loss", "test %"),
                tuple(
                    (name(row.method), *row_cells(row), percent(self.test_errors[budget][row.method]))
                    for row in self.rows[budget]
                ),
            )
            for budget in self.budgets
        ]  # fmt: skip
        made += [
            Table(
                f"{name(rows[0].method)} against the others, {budget} evaluations",
                ("against", "beats %", "median change %", "mean change %", "win/tie/loss", "p (Holm)"),
                tuple(
                    (name(row.reference), *row_cells(row, rank=False), p_value(p))
                    for row, p in zip(rows, self.p_values[budget], strict=True)
                ),
            )
            for budget, rows in self.pairwise.items()
        ]
        last, methods = self.budgets[-1], self.comparison.methods
        made.append(
            Table(
                f"best loss after {last} evaluations, mean over seeds (toy: loss - optimum)",
                ("task", *(name(method) for method in methods)),
                tuple(
                    (task, *(f"{self.means[last][method][task]:.4g}" for method in methods))
                    for task in self.tasks
                ),
            )
        )
        made.append(
            Table(
                "proposals",
                ("method", "mean seconds", "drawn uniformly instead %"),
                tuple(
                    (name(m), f"{s:.4f}", f"{100 * self.redrawn[m]:.2f}") for m, s in self.proposal_s.items()
                ),
            )
        )
        return made

    def markdown(self) -> str:
        """All tables, and what their figures are."""
        return "\n\n".join([*(table.markdown() for table in self.tables()), *self.notes()]) + "\n"

    def notes(self) -> list[str]:
        """What the figures are, a paragraph each."""
        notes = [
            f"Tasks: {self._words()}. A method's figure on a task is its best loss within the evaluations, "
            "averaged over seeds. beats: share of tasks on which it is below the reference's; change: "
            "(reference - method) / |reference|; rank: mean over the tasks of the place among all methods. Toy "
            "tasks' losses are loss - optimum. A failed trial uses up its evaluation; until a study has a loss, "
            "its best is the worst that anyone saw on the task. test %: test error of the configuration chosen "
            "on validation, over the tasks that have one.",
            f"Intervals: {COVERAGE:.0%} bootstrap over data sets and, for each task, seeds ({RESAMPLES} resamples, the "
            "same for all methods; a task that shares no data set counts as one). p: two-sided Wilcoxon signed-rank "
            "test over the tasks' mean normalised regrets, with Holm's correction over the methods compared at that "
            "number of evaluations.",
            "Seconds of a proposal: those of a batch are shared out evenly over its studies.",
        ]
        exact = int(self.comparison.exact.sum())
        if exact:
            notes[0] += (
                f" On {exact} of {len(self.tasks)} tasks, which are tables, the figures of {RANDOM} are exact: "
                "expectations by order statistics without replacement."
            )
        if ceilings := self.comparison.ceilings():
            notes.append(f"What there is to win. {ceiling_words(ceilings)}.")
        if self.left_out:
            notes.append(f"Left out, because no method got any loss: {', '.join(self.left_out)}.")
        return notes

    def _words(self) -> str:
        """What the tasks are: the suite's own words, or how many of its tasks were picked."""
        suite = get_suite(self.plan.suite)
        if self.tasks == suite.tasks:
            return suite.words
        return f"{len(self.tasks)} of the {len(suite.tasks)} of the suite {suite.name}"

    def label(self, method: str) -> str:
        """A method's name in tables: the language model's own instead of `lm`; random marked where exact."""
        proposer, _, model = method.partition(":")
        model = parse_spec(model or self.plan.model).label
        parts = proposer.split("+")
        name = "+".join(model if part == "lm" else part for part in parts)
        if ":" in method and "lm" not in parts:
            name += f":{model}"
        return f"{name} (exact)" if method == RANDOM and self.comparison.exact.all() else name


def make_report(
    plan: Plan, runs: Sequence[Run], prefix: str = "", tasks: Sequence[str] | None = None
) -> Report:
    """The figures of a comparison whose every run is there.

    Args:
        plan: What was compared.
        runs: All its runs. On table tasks those of random search may be missing: its figures are exact.
        prefix: Only the tasks whose names begin with it, for example "toy/".
        tasks: Only these; None for all of the suite.

    Raises:
        AirtuneError: If runs are missing, or random search is not among the methods.
    """
    chosen = get_suite(plan.suite).tasks if tasks is None else tasks
    chosen = tuple(task for task in chosen if task.startswith(prefix))
    if not chosen:
        raise AirtuneError(f"no task of the suite {plan.suite!r} begins with {prefix!r}", value=prefix)
    by_key = {(run.method, run.task, run.seed): run for run in runs if run.task in chosen}
    keys = [(m, t, s) for m in plan.methods for t in chosen for s in range(plan.seeds)]
    missing = [key for key in keys if key not in by_key]
    if missing:
        raise AirtuneError(
            f"{len(missing)} of {len(keys)} runs are missing, the first of them {missing[0]}",
            value=missing[0],
            hint="run the same comparison again: it does what is missing",
        )
    scored = {run.task for run in by_key.values() if any(trial.loss is not None for trial in run.trials)}
    if not scored:
        raise AirtuneError(
            "a comparison without any loss has nothing to be compared with",
            value=plan.methods,
            hint="see why the trials failed",
        )
    check_reference(plan.methods, chosen)
    comparison = compare_runs(
        by_key, plan.methods, [task for task in chosen if task in scored], plan.seeds, plan.budget
    )
    trials = {m: [(t, o) for key, run in by_key.items() if key[0] == m
                  for t, o in zip(run.trials, run.origins, strict=True)] for m in plan.methods}  # fmt: skip
    return Report(
        plan=plan,
        comparison=comparison,
        left_out=tuple(task for task in chosen if task not in scored),
        **_compare_all(comparison),
        proposal_s={m: float(np.mean([t.proposal_s for t, _ in trials[m]])) for m in plan.methods},
        redrawn={m: float(np.mean([o.endswith("+uniform") for _, o in trials[m]])) for m in plan.methods},
    )


def ceiling_words(ceilings: Mapping[int, tuple[float, float]]) -> str:
    """What a method that always found a table's best point would show against random search."""
    each = (
        f"{median:.1f} and {mean:.1f} at {budget} evaluations" for budget, (median, mean) in ceilings.items()
    )
    return (
        "A method that knew the best point of every table would show a median and a mean change (in percent) of "
        + ", ".join(each)
    )


def focal_of(methods: Sequence[str]) -> str | None:
    """The focal method, which is compared with every other: the first with a language model."""
    return next(
        (method for method in methods if {"lm", "hybrid"} & set(method.partition(":")[0].split("+"))), None
    )


def display_order(methods: Sequence[str]) -> tuple[str, ...]:
    """The methods as tables show them: the focal method first, random search last."""
    focal = focal_of(methods)
    return tuple(sorted(methods, key=lambda method: (method == RANDOM, method != focal)))


def _compare_all(comparison: Comparison) -> dict[str, Any]:
    """Rows, pairs and their tests at every number of evaluations; one bootstrap serves them all."""
    methods, clusters, focal = comparison.methods, comparison.clusters, focal_of(comparison.methods)
    at = [budget - 1 for budget in comparison.budgets]
    means = bootstrap_means(comparison.best[..., at], clusters)
    regret = comparison.regret.mean(axis=2)
    rows, pairs, verdicts, p_values = {}, {}, {}, {}
    for i, budget in enumerate(comparison.budgets):
        best = comparison.best[..., budget - 1]
        rows[budget] = compare(best, methods, RANDOM, budget, clusters, means[..., i])
        if focal is None:
            continue
        mine, others = methods.index(focal), [m for m, method in enumerate(methods) if method != focal]
        sampled, last = comparison.sampled[..., budget - 1], regret[..., budget - 1]
        pairs[budget] = pairwise(best, methods, focal, budget, clusters, means[..., i])
        verdicts[budget] = over_seeds([(sampled[mine], sampled[other]) for other in others])
        p_values[budget] = holm([over_tasks(last[mine], last[other]) for other in others])
    return {"rows": rows, "pairwise": pairs, "verdicts": verdicts, "p_values": p_values}


def _mean(values: Any) -> float:
    """The mean of what is there; NaN if nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
