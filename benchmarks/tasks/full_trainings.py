"""`full/{family}/{index}`: an algorithm trained to its end on a generated data set, by a table held out of training.

The tables of `models.pocket.training.corpus` that `pocket` never reads: every seventh one and whole families of
spaces, for choosing designs on, and whole algorithms, for reporting. Trainings are as long as people's (hundreds of
epochs with early stopping, hundreds of trees), where those of `dev/...` are short. Between the table's rows the loss
is interpolated; 0 is the table's best row, 1 its median.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from airtune.benchmarks.tasks.development import interpolated
from airtune.engine.types import Task
from airtune.models.pocket.training.long_tables import read_all
from airtune.models.pocket.training.table_spaces import space_of
from airtune.models.pocket.training.tables import Table

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
    """The loss that a table's rows tell of a configuration, see `development.interpolated`."""

    name: str

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The loss; see the module's docstring."""
        return interpolated(_tables()[self.name][1], config)


def full_names(reasons: tuple[str, ...] = CHOOSE) -> list[str]:
    """The names of the tasks whose tables are held out for one of the reasons."""
    by_family: dict[str, list[str]] = {}
    for name, (reason, _) in _tables().items():  # in the order of their making, as their numbers are
        if reason in reasons:
            by_family.setdefault(name.split("/")[1], []).append(name)
    return [name for family in sorted(by_family) for name in by_family[family][:_TABLES]]


def full_task(name: str) -> Task:
    """The task of that name.

    Raises:
        KeyError: If there is none.
    """
    return Task(name, space_of(_tables()[name][1].params), FullObjective(name), "validation loss")
