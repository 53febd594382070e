"""The figures of a comparison: every method against random search, and one of them against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from airtune.benchmarks.analysis.comparison import (
    RANDOM,
    Array,
    Comparison,
    Run,
    check_reference,
    compare_runs,
)
from airtune.benchmarks.analysis.significance import LEVEL, holm, over_seeds, over_tasks
from airtune.benchmarks.analysis.statistics import (
    COVERAGE,
    NEAR_ZERO,
    RESAMPLES,
    Row,
    bootstrap_means,
    compare,
    pairwise,
)
from airtune.benchmarks.report.controls import Added, Pair, focal_method, model_controls, what_models_add
from airtune.benchmarks.running.plan import Plan, method_label
from airtune.benchmarks.running.suites import get_suite
from airtune.grammars import AirtuneError


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison's figures.

    Attributes:
        plan: What was compared.
        comparison: Its runs as arrays.
        left_out: Tasks on which no method got any loss: there is nothing to compare.
        focal: The method that is compared with every other: the first whose language model knows something, or the
            first with a language model; None if there is none.
        rows: By budget: every method against random search.
        pairwise: By budget: the focal method against every other.
        model_adds: By budget: what tells how much the models add, of the focal method first.
        proposal_s: By method: mean seconds per proposal.
        redrawn: By method: share of proposals that fell back on a uniform draw.
    """

    plan: Plan
    comparison: Comparison
    left_out: tuple[str, ...]
    focal: str | None
    rows: dict[int, list[Row]]
    pairwise: dict[int, list[Pair]]
    model_adds: dict[int, list[Added]]
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
        return {b: self._by_task(self.comparison.best, b, _mean) for b in self.budgets}

    @property
    def test_errors(self) -> dict[int, dict[str, float]]:
        """By budget and method: test loss of the configuration chosen on validation; NaN if there is none.

        Averaged over seeds and over the tasks that have one.
        """
        return {
            b: {m: _mean(np.array(list(v.values()))) for m, v in self.task_tests(b).items()}
            for b in self.budgets
        }

    def task_tests(self, budget: int) -> dict[str, dict[str, float]]:
        """The same by method and task."""
        return self._by_task(self.comparison.test, budget, _mean)

    def test_spreads(self, budget: int) -> dict[str, dict[str, float]]:
        """The same of one data set: the standard error of each over seeds; NaN of several, and where it is exact."""
        if len(set(self.comparison.clusters)) > 1:
            return {m: dict.fromkeys(self.tasks, math.nan) for m in self.comparison.methods}
        spreads = self._by_task(self.comparison.test, budget, _standard_error)
        exact = [t for t, e in zip(self.tasks, self.comparison.exact, strict=True) if e]
        spreads.get(RANDOM, {}).update(dict.fromkeys(exact, math.nan))
        return spreads

    def _by_task(
        self, values: Array, budget: int, reduce: Callable[[Array], float]
    ) -> dict[str, dict[str, float]]:
        return {
            m: {t: reduce(values[i, j, :, budget - 1]) for j, t in enumerate(self.tasks)}
            for i, m in enumerate(self.comparison.methods)
        }

    @property
    def display_order(self) -> tuple[str, ...]:
        """The methods as tables show them: the focal method first, random search last."""
        return tuple(sorted(self.comparison.methods, key=lambda m: (m == RANDOM, m != self.focal)))

    def label(self, method: str) -> str:
        """A method's name in tables, see `method_label`; random marked where exact."""
        exact = method == RANDOM and self.comparison.exact.all()
        return f"{method_label(method)} (exact)" if exact else method_label(method)

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
            "model_adds": {
                str(b): [one.json() for one in added] for b, added in self.model_adds.items()
            },
            "rows": {str(b): [row.json() for row in rows] for b, rows in self.rows.items()},
            "pairwise": {str(b): [p.row.json() for p in pairs] for b, pairs in self.pairwise.items()},
            "verdicts": {str(b): [p.verdicts.json() for p in pairs] for b, pairs in self.pairwise.items()},
            "p_values": {str(b): [p.p for p in pairs] for b, pairs in self.pairwise.items()},
            "means": {str(b): means for b, means in self.means.items()},
            "test_errors": {
                str(b): {m: None if math.isnan(e) else e for m, e in errors.items()}
                for b, errors in self.test_errors.items()
            },
            "proposal_s": self.proposal_s,
            "redrawn": self.redrawn,
        }  # fmt: skip


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
    check_reference(plan.methods, chosen, plan.noise)
    kept = [task for task in chosen if task in scored]
    comparison = compare_runs(by_key, plan.methods, kept, plan.seeds, plan.budget)
    trials = {m: [(t, o) for key, run in by_key.items() if key[0] == m
                  for t, o in zip(run.trials, run.origins, strict=True)] for m in plan.methods}  # fmt: skip
    focal = focal_method(plan)
    return Report(
        plan=plan,
        comparison=comparison,
        left_out=tuple(task for task in chosen if task not in scored),
        focal=focal,
        proposal_s={m: float(np.mean([t.proposal_s for t, _ in trials[m]])) for m in plan.methods},
        redrawn={m: float(np.mean([o.endswith("+uniform") for _, o in trials[m]])) for m in plan.methods},
        **_compare_all(plan, comparison, focal, {run.method: run.dialect for run in by_key.values()}),
    )


def _compare_all(
    plan: Plan, comparison: Comparison, focal: str | None, dialects: Mapping[str, str]
) -> dict[str, Any]:
    """Rows, pairs and their tests at every number of evaluations; one bootstrap serves them all."""
    methods, clusters = comparison.methods, comparison.clusters
    at = [budget - 1 for budget in comparison.budgets]
    means = bootstrap_means(comparison.best[..., at], clusters)
    regret = comparison.regret.mean(axis=2)
    controls = [one for one in model_controls(plan, focal, dialects) if one.reference in methods]
    rows: dict[int, list[Row]] = {}
    pairs: dict[int, list[Pair]] = {}
    adds: dict[int, list[Added]] = {}
    for i, budget in enumerate(comparison.budgets):
        best = comparison.best[..., budget - 1]
        rows[budget] = compare(best, methods, RANDOM, budget, clusters, means[..., i])
        if focal is None:
            continue
        mine, others = methods.index(focal), [m for m, method in enumerate(methods) if method != focal]
        sampled, last = comparison.sampled[..., budget - 1], regret[..., budget - 1]
        made = zip(
            pairwise(best, methods, focal, budget, clusters, means[..., i]),
            over_seeds([(sampled[mine], sampled[other]) for other in others]),
            [over_tasks(last[mine], last[other]) for other in others],
            strict=True,
        )
        raw = [Pair(row, verdicts, *test) for row, verdicts, test in made]
        adjusted = holm([pair.p for pair in raw])  # of this table
        pairs[budget] = [replace(pair, p=p) for pair, p in zip(raw, adjusted, strict=True)]
        if controls:
            adds[budget] = what_models_add(comparison, controls, budget, means[..., i])
    return {"rows": rows, "pairwise": pairs, "model_adds": adds}


def _mean(values: Array) -> float:
    """The mean of what is there; NaN if nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _standard_error(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.std(ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else math.nan
