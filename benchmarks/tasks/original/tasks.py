"""The tasks `original/{mlp,hpolib,nasbench201}/{data set}`: look-ups in published tables, all training seeds averaged.

Numbers are ordinals, words are choices, so every proposal is a row of the table. An objective returns
{"loss", "train_seconds"}; the tables have no test loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, OrdinalHyperparameter
from numpy.typing import NDArray

from airtune.benchmarks.tasks.hpobench.spaces import grid_row
from airtune.benchmarks.tasks.original.families import FAMILIES, Family
from airtune.benchmarks.tasks.original.reader import read_table, tables_folder
from airtune.engine.types import Task, TaskError


def original_names() -> list[str]:
    """The names of all tasks, whether or not their tables are installed."""
    return [f"original/{family}/{dataset}" for family in FAMILIES for dataset in FAMILIES[family].datasets]


@dataclass(frozen=True, slots=True)
class TableObjective:
    """Looks configurations up. Picklable: the table is read in the process that asks first.

    Attributes:
        family: A key of `FAMILIES`.
        dataset: One of its data sets.
    """

    family: str
    dataset: str

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """{"loss": the published loss, "train_seconds": what its training took}, means over training seeds."""
        table, row = read_table(self.family, self.dataset), grid_row(FAMILIES[self.family].grid, config)
        return {"loss": float(table.loss[row]), "train_seconds": float(table.train_seconds[row])}


def original_task(name: str) -> Task:
    """The task of that name.

    Raises:
        TaskError: If there is none, or the tables are not installed.
    """
    kind, dataset = _parse_name(name)
    tables_folder()  # refuses it now, not when the first configuration is looked up
    family = FAMILIES[kind]
    description = family.description.format(data=family.datasets[dataset])
    return Task(name, _space(kind, family), TableObjective(kind, dataset), family.metric, description)


def table_losses(name: str) -> NDArray[np.float64]:
    """The losses of all configurations of a task, the last hyperparameter varying fastest.

    Raises:
        TaskError: If there is no such task, or its table is not installed.
    """
    return read_table(*_parse_name(name)).loss


def _parse_name(name: str) -> tuple[str, str]:
    if name not in original_names():
        raise TaskError.unknown("task", name, original_names())
    _, kind, dataset = name.split("/")
    return kind, dataset


def _space(name: str, family: Family) -> ConfigurationSpace:
    space = ConfigurationSpace(name=f"original-{name}")
    for parameter, values in family.grid.items():
        chosen = family.default[parameter]
        space.add(
            CategoricalHyperparameter(parameter, values, default_value=chosen)
            if isinstance(chosen, str)
            else OrdinalHyperparameter(parameter, values, default_value=chosen)
        )
    return space
