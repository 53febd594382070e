"""`toy`: where searches go on functions of two numbers, as data for figures over the landscape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airtune.benchmarks.paper.against_random import answer, compared_lines, control_pairs, rank_table
from airtune.benchmarks.paper.compared import Compared, label, power_note
from airtune.benchmarks.paper.protocol import Protocol
from airtune.benchmarks.paper.results import Result

SEED = 0  # of the trajectories that are drawn: the first, not the best


def evaluate(protocol: Protocol, arms: Mapping[str, Compared]) -> Result:
    """The first seed's trajectory of every method on every function; shares of functions better than random."""
    lines = compared_lines(protocol, arms)
    return Result(
        verdict="no figure",
        answer=answer([line for line in lines if line.lead], arms),
        lines=tuple(lines),
        tables=tuple(rank_table(one) for one in arms.values()),
        notes=(
            f"Drawn is seed {SEED} of every method: the first, not the best.",
            *power_note(arms, control_pairs(protocol, arms)),
        ),
        data={"trajectories": [path for one in arms.values() for path in trajectories(one)]},
    )


def trajectories(one: Compared) -> list[dict[str, Any]]:
    """By task and method: the points of a search in order, [x, y, loss], loss null of a failed trial."""
    found = {(run.task, run.method): run for run in one.runs if run.seed == SEED}
    return [
        {
            "task": task,
            "method": label(method),
            "points": [
                [float(trial.config["x"]), float(trial.config["y"]), trial.loss]
                for trial in found[task, method].trials
            ],
        }
        for task in one.comparison.tasks
        for method in one.plan.methods
        if task.startswith("toy/") and (task, method) in found
    ]
