"""`full/{family}/{index}`: an algorithm trained to its end on a generated data set, by a table held out of training.

The tables of `models.pocket.training.corpus` that `pocket` never reads: every seventh one and whole families of
spaces, for choosing designs on, and whole algorithms, for reporting. Trainings are as long as people's (hundreds of
epochs with early stopping, hundreds of trees), where those of `dev/...` are short. Between the table's rows the loss
is interpolated; 0 is the table's best row, 1 its median. `...@lists`: each number is one of ten, as many people write
their spaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from airtune.benchmarks.tasks.development import interpolated
from airtune.engine.types import Task
from airtune.models.pocket.training.algorithms import Param
from airtune.models.pocket.training.long_tables import read_all
from airtune.models.pocket.training.table_spaces import space_of
from airtune.models.pocket.training.tables import Table, default_value, to_unit, to_value

CHOOSE, REPORT = ("table", "family"), ("algorithm",)  # why the tables are held out
LISTS = "@lists"
_VALUES = 10  # of a number that is a list
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


def listed_names() -> list[str]:
    """The names of the tasks for choosing whose numbers are lists: those without conditions."""
    free = (n for n in full_names() if all(p.only is None for p in _tables()[n][1].params))
    return [name + LISTS for name in free]


def _listed(p: Param) -> Param:
    """A number as a list of values that are even steps apart on its scale, its default the nearest of them."""
    if p.kind == "C":
        return p
    steps = {float(f"{to_value(p, u):.3g}") for u in np.linspace(0, 1, _VALUES)}
    values = sorted({min(max(round(v) if p.kind in "IJ" else v, p.lower), p.upper) for v in steps})
    there = to_unit(p, default_value(p))
    default = min(range(len(values)), key=lambda i: abs(to_unit(p, values[i]) - there))
    return replace(p, kind="O", choices=tuple(values), default=default)


def full_task(name: str) -> Task:
    """The task of that name.

    Raises:
        KeyError: If there is none.
    """
    table = _tables()[name.removesuffix(LISTS)][1]
    params = tuple(map(_listed, table.params)) if name.endswith(LISTS) else table.params
    return Task(name, space_of(params), FullObjective(name.removesuffix(LISTS)), "validation loss")
