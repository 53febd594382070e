"""The runs of a comparison as arrays: best so far by method, task, seed and evaluation, and what bounds it.

Three rules, stated here once and printed in every report:

- A trial that failed has used up its evaluation and has no loss. Until a study has a loss, its best is the
  worst loss that anyone saw on the task (on a table task, the worst in the table); wherever else a loss is missing
  from a mean, of random search's evaluations or of a table, it is the worst as well. Where what a study chose has
  no test error, or nothing was chosen, it is the worst that any method's choice had by then.
- A study that ended early, because its space was exhausted, keeps its best.
- On a table task, random search's figures are its exact expectations, not its runs' (`order_statistics`).
- Where losses had noise, what is best is told by the losses that the search saw, and its figures are the true loss of
  that; random search's are then its runs', on tables too.

Normalised regret is (best so far - best known) / (reference - best known), 0 the best known and 1 the median of one
random evaluation; what is worse than that counts as 1. A mean would be ruled by outliers: single losses of HPOLib's
tables are a billion times the median. On a table task both are exact: the table's minimum and its median. On a toy
function the best known is the optimum, elsewhere the lowest loss that anyone saw; the reference is there the median
of all of random search's evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.analysis.order_statistics import random_search
from airtune.benchmarks.analysis.statistics import change
from airtune.benchmarks.tasks.clusters import task_cluster
from airtune.benchmarks.tasks.moved import unmoved
from airtune.benchmarks.tasks.toy import minimum
from airtune.engine.evaluation.noise import TRUE_LOSS, true_loss
from airtune.engine.types import TaskError, Trial
from airtune.grammars import AirtuneError

Array = NDArray[np.float64]

RANDOM = "random"
BUDGETS = (2, 5, 10, 30, 60)


@dataclass(slots=True)
class Run:
    """One study of a comparison: a method on a task with a seed.

    Attributes:
        method: Proposer name, with its model if it names one.
        task: Task name.
        seed: 0, 1, 2, ...
        trials: Told and failed trials, in order; fewer than the budget where the space was exhausted.
        origins: Where each trial's configuration came from, for example "default" or "tpe+uniform".
        dialect: What its language model speaks, with the dialect's settings; empty where it asks none.
    """

    method: str
    task: str
    seed: int
    trials: list[Trial] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    dialect: str = ""


Runs = Mapping[tuple[str, str, int], Run]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The runs as arrays.

    Attributes:
        methods: Names of the first axis.
        tasks: Names of the second axis.
        best: Best loss so far (loss - optimum for toy tasks), shape (methods, tasks, seeds, budget); random
            search's exact expectation on table tasks.
        sampled: The same with random search's own runs everywhere; NaN where it was not run.
        capped: As `best`, of losses of which none is above `reference`: what normalised regret is made of.
        test: Test error of the configuration chosen so far, same shape; NaN where there is none.
        exact: Whether the task is a table task, shape (tasks,).
        known: Best known loss, on the scale of `best`, shape (tasks,).
        reference: What normalised regret is 1 at, shape (tasks,).
    """

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    best: Array
    sampled: Array
    capped: Array
    test: Array
    exact: NDArray[np.bool_]
    known: Array
    reference: Array

    @property
    def seeds(self) -> int:
        """Studies per method and task."""
        return int(self.best.shape[2])

    @property
    def budget(self) -> int:
        """Evaluations per study."""
        return int(self.best.shape[3])

    @property
    def budgets(self) -> tuple[int, ...]:
        """Evaluations at which it is looked at: those of BUDGETS that it reaches, and its last."""
        return tuple(sorted({b for b in BUDGETS if b <= self.budget} | {self.budget}))

    @property
    def regret(self) -> Array:
        """Normalised regret, shaped as `best`; 0 on a task where one random evaluation is the best known."""
        return self._normalised(self.capped)

    @property
    def sampled_regret(self) -> Array:
        """The same with random search's own runs everywhere; NaN where it was not run."""
        return self._normalised(np.minimum(self.sampled, self.reference[None, :, None, None]))

    def _normalised(self, losses: Array) -> Array:
        span = (self.reference - self.known)[None, :, None, None]
        above = np.maximum(losses - self.known[None, :, None, None], 0.0)
        flat = span <= 0.0
        return np.where(flat, 0.0, above / np.where(flat, 1.0, span))

    @property
    def clusters(self) -> tuple[str, ...]:
        """What the tasks are on: those on the same data set are one cluster."""
        return tuple(map(task_cluster, self.tasks))

    def ceilings(self) -> dict[int, tuple[float, float]]:
        """What there is to win on tables: what a method that knew every table's best point would show.

        Returns:
            By budget, the median and the mean over tasks of the change from random search in percent; nothing
            unless all tasks are tables.
        """
        if RANDOM not in self.methods or not self.exact.all():
            return {}
        found = {}
        for budget in self.budgets:
            random = self.best[self.methods.index(RANDOM), :, :, budget - 1].mean(axis=1)
            moved = change(self.known, random)
            moved = moved[~np.isnan(moved)]
            if len(moved):
                found[budget] = float(np.median(moved)), float(moved.mean())
        return found


def needs_random(methods: Sequence[str], tasks: Sequence[str], noise: str | None = None) -> bool:
    """Whether random search is not among the methods, and has to be run: a task without a table, or noise."""
    return RANDOM not in methods and (noise is not None or any(_table(task) is None for task in tasks))


def check_reference(methods: Sequence[str], tasks: Sequence[str], noise: str | None = None) -> None:
    """Refuse to compare without random search's runs, but on table tasks, where its figures are known without.

    Raises:
        AirtuneError: If it is not among the methods, and a task is none of a table, or losses have noise.
    """
    if needs_random(methods, tasks, noise):
        raise AirtuneError(
            f"a comparison without {RANDOM!r} has nothing to be compared with",
            value=methods,
            allowed=f"methods with {RANDOM!r} among them; on tables without noise, any",
            hint=f"add {RANDOM!r} to the proposers: what has been run of the others is not run again",
        )


def compare_runs(
    runs: Runs, methods: Sequence[str], tasks: Sequence[str], seeds: int, budget: int
) -> Comparison:
    """The arrays of the runs.

    Args:
        runs: All runs by method, task and seed; random search's may be missing on table tasks.
        methods: What to compare.
        tasks: On what.
        seeds: Runs per method and task.
        budget: Trials per run.
    """
    tables = [_table(task) for task in tasks]
    noisy = any(TRUE_LOSS in trial.info for run in runs.values() for trial in run.trials)
    exact = np.array([table is not None and not noisy for table in tables])
    methods = tuple(methods) if RANDOM in methods or not exact.all() else (*methods, RANDOM)
    shape = (len(methods), len(tasks), seeds, budget)
    best, test = np.full(shape, np.nan), np.full(shape, np.nan)
    known, reference = np.empty(len(tasks)), np.empty(len(tasks))
    for t, (task, table) in enumerate(zip(tasks, tables, strict=True)):
        toy = unmoved(task).startswith("toy/")
        floor = minimum(unmoved(task)) if toy else 0.0
        trials = {m: [runs[m, task, s].trials for s in range(seeds) if (m, task, s) in runs] for m in methods}
        seen = np.array([true_loss(t) for studies in trials.values() for study in studies for t in study
                         if t.loss is not None], dtype=np.float64)  # fmt: skip
        losses = seen if table is None else table[0]
        losses = losses[np.isfinite(losses)]
        worst = float(losses.max()) if len(losses) else math.nan
        for m, method in enumerate(methods):
            for s in range(seeds):
                if (method, task, s) in runs:
                    best[m, t, s], test[m, t, s] = _so_far(runs[method, task, s].trials, budget, worst)
        best[:, t] = np.maximum(best[:, t] - floor, 0.0) if toy else best[:, t]
        if table is not None:
            known[t] = losses.min()
            reference[t] = np.median(np.where(np.isfinite(table[0]), table[0], worst))
        else:
            known[t] = 0.0 if toy else (seen.min() if len(seen) else math.nan)
            random = [
                worst if (loss := true_loss(trial)) is None else loss
                for run in trials.get(RANDOM, ())
                for trial in run
            ]
            reference[t] = np.median(random) - floor if random else math.nan
    worst_test = np.fmax.reduce(test, axis=(0, 2))[None, :, None]
    test = np.where(np.isnan(test) & ~np.isnan(best), worst_test, test)
    sampled, capped = best.copy(), np.minimum(best, reference[None, :, None, None])
    if RANDOM in methods:
        at = methods.index(RANDOM)
        for t, table in enumerate(tables):
            if table is not None and exact[t]:
                best[at, t], test[at, t] = random_search(*table, budget)
                capped[at, t], _ = random_search(np.fmin(table[0], reference[t]), table[1], budget)
    return Comparison(methods, tuple(tasks), best, sampled, capped, test, exact, known, reference)


def _table(task: str) -> tuple[Array, Array] | None:
    """All losses and test errors (NaN where a table has none) of a table task, or None."""
    from airtune.benchmarks.tasks.cifar10.table import TABLE_TASK, read_table
    from airtune.benchmarks.tasks.hpobench.tasks import table_losses
    from airtune.benchmarks.tasks.original.tasks import table_losses as original_losses

    task = unmoved(task)
    try:
        if task == TABLE_TASK:
            table = read_table()
            return table.loss, table.test_loss
        if not task.startswith("original/"):
            return table_losses(task)
        loss = original_losses(task)
        return loss, np.full_like(loss, math.nan)
    except TaskError:
        # Neither a shipped table nor, on this machine, the data: it was run elsewhere. Its runs are all there is.
        return None


def _so_far(trials: Sequence[Trial], budget: int, worst: float) -> tuple[Array, Array]:
    """Best loss so far and its test error, after 1, 2, ... evaluations; the earliest of equals is chosen."""
    best, test = np.full(budget, worst), np.full(budget, np.nan)
    chosen: Trial | None = None
    for i in range(budget):
        trial = trials[i] if i < len(trials) else None
        if trial is not None and trial.loss is not None:
            if chosen is None or chosen.loss is None or trial.loss < chosen.loss:
                chosen = trial
        if chosen is not None and chosen.loss is not None:
            best[i] = true_loss(chosen)
            test[i] = float(chosen.info.get("test_loss", math.nan))
    return best, test
