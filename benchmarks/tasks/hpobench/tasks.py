"""The tasks `hpobench/{model}/{data set}[@option,...]`: look-ups in tables, and live evaluations.

Options: a fidelity (`iter=`, `trees=`, `epochs=`, `rounds=`; absent: the full one), `published` (absent: the clean
protocol, see `models`), `live`. A name whose table ships with the package is a look-up: its space is the grid, of
ordinals, so that every proposal is a row of the table. `live` evaluates on HPOBench's continuous space. A name with
neither: HPOBench's own table where AIRTUNE_HPOBENCH_DATA has it (see `published_tables`), else live where
AIRTUNE_HPOBENCH_CSV is set.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.tasks.hpobench.data import CSV_VARIABLE, DATASETS, data_folder, load_split
from airtune.benchmarks.tasks.hpobench.models import ALGORITHMS, SEEDS, Protocol, evaluate
from airtune.benchmarks.tasks.hpobench.published_tables import DATA_VARIABLE, published_file, read_published
from airtune.benchmarks.tasks.hpobench.shipped_tables import (
    SHIPPED,
    Table,
    read_table,
    shipped_tables,
    table_file,
)
from airtune.benchmarks.tasks.hpobench.spaces import FIDELITIES, SPACES, grid_space
from airtune.benchmarks.tasks.hpobench.task_names import TaskName, full_fidelity, parse_name
from airtune.engine.types import Task, TaskError


def hpobench_names(models: Collection[str] = tuple(SPACES), only: Protocol | None = None) -> list[str]:
    """The names of all tasks whose tables ship with the package: of these models, of both protocols or one."""
    return [
        str(TaskName(model, dataset, fidelity, protocol))
        for model, fidelity, protocol in shipped_tables()
        if model in models and only in (None, protocol)
        for dataset in DATASETS
    ]


@dataclass(frozen=True, slots=True)
class TableObjective:
    """Looks configurations up. Picklable: the table is read in the process that asks first.

    Attributes:
        path: The table's file: the package's, or HPOBench's own.
        name: Which task.
    """

    path: Path
    name: TaskName

    def table(self) -> Table:
        """The table; read once per process."""
        if self.path.suffix == ".gzip":
            return read_published(self.path, self.name)
        return read_table(self.path)

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """{"loss": validation error, "test_loss": test error}, means over the table's training seeds."""
        return self.table().losses_at(self.name.dataset, config)


@dataclass(frozen=True, slots=True)
class LiveObjective:
    """Fits one configuration with the first training seed and scores it. Deterministic; picklable.

    Attributes:
        folder: The data folder.
        name: Which task.
    """

    folder: Path
    name: TaskName

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """{"loss": validation error, "test_loss": test error}.

        Raises:
            ValueError: Where training diverges (a failed trial, not a loss).
        """
        split = load_split(self.folder, self.name.dataset)
        made = evaluate(
            self.name.model, config, split, fidelity=self.name.fidelity, protocol=self.name.protocol
        )
        if made.diverged:
            raise ValueError("training diverged: its numbers are no longer finite")
        return {
            "loss": made.validation_errors / len(split.validation[1]),
            "test_loss": made.test_errors / len(split.test[1]),
        }


def hpobench_task(name: str) -> Task:
    """The task of that name.

    Raises:
        TaskError: If there is no such task, or it needs files that are not there.
    """
    parsed = parse_name(name)
    objective = _objective(parsed)
    if isinstance(objective, TableObjective):
        table = objective.table()
        space = grid_space(parsed.model, table.grid)
        seeds = _seed_words(table)
    else:
        space = SPACES[parsed.model]()
        seeds = f", with training seed {SEEDS[0]}"
    return Task(
        name=str(parsed),
        space=space,
        objective=objective,
        metric="validation error",
        description=_description(parsed, seeds),
    )


def table_losses(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(validation errors, test errors) of all grid points of a table task; None where the task is no table.

    The order is that of `spaces.grid_configs`. Names of other kinds of tasks are no tables either.

    Raises:
        TaskError: If it begins with "hpobench/" and there is no such task.
    """
    if not name.startswith("hpobench/"):
        return None
    parsed = parse_name(name)
    objective = _objective(parsed)
    return objective.table().losses[parsed.dataset] if isinstance(objective, TableObjective) else None


def _objective(name: TaskName) -> TableObjective | LiveObjective:
    if name.live:
        return LiveObjective(data_folder(), name)
    shipped = table_file(SHIPPED, name.model, name.fidelity, name.protocol)
    if shipped.is_file():
        return TableObjective(shipped, name)
    published = published_file(name)
    if published is not None:
        return TableObjective(published, name)
    if os.environ.get(CSV_VARIABLE):
        return LiveObjective(data_folder(), name)
    tabulated = dict.fromkeys(
        str(TaskName(model, name.dataset, fidelity, protocol))
        for model, fidelity, protocol in shipped_tables()
        if model == name.model
    )
    raise TaskError(
        f"task {str(name)!r}: no table of it ships with Airtune",
        value=str(name),
        allowed=", ".join(tabulated) or f"no table of {name.model} ships",
        hint=f"set {CSV_VARIABLE} to a folder of the data sets to evaluate live"
        + (f", or {DATA_VARIABLE} to HPOBench's tabular data" if name.protocol == "published" else ""),
    )


def _description(name: TaskName, seeds: str) -> str:
    """The task in words, for the model to read."""
    fidelity = FIDELITIES[name.model]
    reduced = ""
    if fidelity is not None and name.fidelity != full_fidelity(name.model):
        words = {"iter": "iterations", "trees": "trees", "epochs": "epochs", "rounds": "boosting rounds"}
        reduced = f" ({name.fidelity} {words[fidelity.name]} instead of {fidelity.full})"
    scored = (
        "a held-out validation set"
        if name.protocol == "clean"
        else "a validation set that is in part fitted on (HPOBench's published protocol)"
    )
    return (
        f"Tune {ALGORITHMS[name.model].title}{reduced} for {DATASETS[name.dataset].words}. "
        f"The loss is the error rate on {scored}, between 0 and 1{seeds}."
    )


def _seed_words(table: Table) -> str:
    """How a table's losses depend on training seeds."""
    count = len(table.metadata["seeds"])
    if table.metadata.get("deterministic"):
        return ""
    return ", with one training seed" if count == 1 else f", the mean over {count} training seeds"
