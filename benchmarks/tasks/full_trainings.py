"""`full/{family}/{index}`: an algorithm trained to its end on a generated data set, by a table held out of training.

The tables of `models.pocket.training.corpus` that `pocket` never reads: every seventh one and whole families of
spaces, for choosing designs on, and whole algorithms, for reporting. Trainings are as long as people's (hundreds of
epochs with early stopping, hundreds of trees), where those of `dev/...` are short. Between the table's rows the loss
is interpolated; 0 is the table's best row, 1 its median.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from airtune.engine.types import Task
from airtune.models.pocket.training.long_tables import read_all
from airtune.models.pocket.training.table_spaces import space_of, values_of
from airtune.models.pocket.training.tables import Table, squared_distances

CHOOSE, REPORT = ("table", "family"), ("algorithm",)  # why the tables are held out
_TABLES = 3  # of a family of spaces: cheap ones have many


@lru_cache(maxsize=1)
def _tables() -> dict[str, tuple[str, Table]]:
    """Reason and table by the task's name."""
    return {
        f"full/{family}/{index}": (reason, table)
        for reason, family, index, table in read_all()
        if reason is not None
    }


@dataclass(frozen=True, slots=True)
class FullObjective:
    """The mean loss of the table's rows around a configuration, weighted by inverse squared distance.

    Infinite, a failed training, where the nearest row failed.
    """

    name: str

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The loss; see the module's docstring."""
        _, table = _tables()[self.name]
        distance = squared_distances(table, values_of(table, config))
        rows = np.argsort(distance, kind="stable")[: len(table.params) + 1]
        if not math.isfinite(table.loss[rows[0]]):
            return math.inf
        rows = rows[np.isfinite(table.loss[rows])]
        return float(np.average(table.loss[rows], weights=1 / (distance[rows] + 1e-12)))


def full_names(reasons: tuple[str, ...] = CHOOSE) -> list[str]:
    """The names of the tasks whose tables are held out for one of the reasons."""
    names = [name for name, (reason, _) in _tables().items() if reason in reasons]
    groups = itertools.groupby(
        sorted(names, key=_family_and_index), key=lambda name: _family_and_index(name)[0]
    )
    return [name for _, group in groups for name in itertools.islice(group, _TABLES)]


def _family_and_index(name: str) -> tuple[str, int]:
    _, family, index = name.split("/")
    return family, int(index)


def full_task(name: str) -> Task:
    """The task of that name.

    Raises:
        KeyError: If there is none.
    """
    return Task(name, space_of(_tables()[name][1].params), FullObjective(name), "validation loss")
