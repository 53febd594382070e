"""Normalised regret over seconds, where trials say what their training took: the time to propose counts as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.analysis.comparison import Array, Comparison, Run
from airtune.benchmarks.analysis.statistics import curve_bands
from airtune.engine.types import Trial

TRAINING = (
    "train_seconds"  # of a trial's further numbers: of a table, what the training that it stands for took
)
POINTS = 60


@dataclass(frozen=True, slots=True)
class RegretOverSeconds:
    """Curves of methods over the tasks that tell seconds.

    Attributes:
        methods: Those that were run; random search where it is only exact has no seconds.
        tasks: The tasks.
        seconds: Training and proposing from the study's beginning, shape (POINTS,), geometric.
        bands: Mean normalised regret, and the ends of its 95 % interval, each of shape (methods, POINTS).
    """

    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seconds: Array
    bands: tuple[Array, Array, Array]


def regret_over_seconds(comparison: Comparison, runs: Sequence[Run]) -> RegretOverSeconds | None:
    """The curves; None where no task's trials say what they took.

    Before a study's first trial has ended its regret is 1; after its last one it stays. All figures are of runs, random
    search's too.
    """
    by_key = {(run.method, run.task, run.seed): run.trials for run in runs}
    told = {run.task for run in runs if any(TRAINING in trial.info for trial in run.trials)}
    tasks = [t for t, task in enumerate(comparison.tasks) if task in told]
    seeds = range(comparison.seeds)
    methods = [
        m
        for m, method in enumerate(comparison.methods)
        if all((method, comparison.tasks[t], s) in by_key for t in tasks for s in seeds)
    ]
    if not tasks or not methods:
        return None
    regret = comparison.sampled_regret
    curves: dict[tuple[int, int, int], tuple[Array, Array]] = {}
    for m, t, s in np.ndindex(len(methods), len(tasks), len(seeds)):
        trials = by_key[comparison.methods[methods[m]], comparison.tasks[tasks[t]], s]
        ends = _ends(trials[: comparison.budget])
        curves[m, t, s] = ends, regret[methods[m], tasks[t], s, : len(ends)]
    grid = np.geomspace(min(e[0] for e, _ in curves.values()), max(e[-1] for e, _ in curves.values()), POINTS)
    values = np.empty((len(methods), len(tasks), len(seeds), POINTS))
    for at, (ends, heights) in curves.items():
        done: NDArray[np.intp] = np.searchsorted(ends, grid * (1 + 1e-12), side="right")
        values[at] = np.concatenate(([1.0], heights))[done]
    return RegretOverSeconds(
        tuple(comparison.methods[m] for m in methods),
        tuple(comparison.tasks[t] for t in tasks),
        grid,
        curve_bands(values, [comparison.clusters[t] for t in tasks]),
    )


def _ends(trials: Sequence[Trial]) -> Array:
    """When each trial had ended, in seconds from the study's beginning, one trial after the other."""
    took = [float(trial.info.get(TRAINING, trial.evaluation_s or 0.0)) + trial.proposal_s for trial in trials]
    return np.cumsum(took)
