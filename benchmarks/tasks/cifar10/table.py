"""The task `cifar10/cnn-table`: the network of `cifar10/cnn` on a grid, trained beforehand; needs no data, no PyTorch.

Every row of the grid was trained (scripts/build_cifar10_table.py), so every proposal is a row. What the grid leaves out
has the default of `cifar10/cnn`, but for `epochs`: 3 in place of 6. The losses of the two tasks do not compare.

The file is JSON: the grid; what is fixed; the SHA-256 of the data and of the code that trained; versions, machine and
command; then of each row, the last hyperparameter varying fastest, the wrong classes among the validation and the test
images and the processor seconds of training and scoring. A row whose training diverged has all wrong, as in the tables
of `hpobench`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, OrdinalHyperparameter
from numpy.typing import NDArray

from airtune.benchmarks.tasks.cifar10.cnn import cnn_space
from airtune.benchmarks.tasks.cifar10.data import FILE
from airtune.benchmarks.tasks.hpobench.spaces import grid_row, grid_size
from airtune.engine.types import TaskError
from airtune.grammars import read_file

TABLE_TASK = "cifar10/cnn-table"
SHIPPED = Path(__file__).with_name("table.json")
EPOCHS = 3
GRID: Mapping[str, tuple[Any, ...]] = {
    "stages": (2, 3, 4),
    "channels": (6, 12),
    "optimizer": ("adamw", "sgd"),
    "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "weight_decay": (1e-4, 1e-2, 1.0),
    "batch_size": (64, 256),
}


@dataclass(frozen=True)
class Table:
    """The table, read; of each array the shape is (rows of the grid,).

    Attributes:
        loss: Shares of wrong classes on the validation part.
        test_loss: The same on the test part.
        train_seconds: Processor seconds of training and scoring, one thread.
    """

    loss: NDArray[np.float64]
    test_loss: NDArray[np.float64]
    train_seconds: NDArray[np.float64]


def fixed() -> dict[str, Any]:
    """The hyperparameters of `cifar10/cnn` that the grid leaves out, with their values."""
    defaults = {one.name: one.default_value for one in cnn_space().values() if one.name not in GRID}
    return {**defaults, "epochs": EPOCHS}


def provenance() -> dict[str, Any]:
    """What a table must say of itself to be that of the task."""
    return {
        "grid": {name: list(values) for name, values in GRID.items()},
        "fixed": fixed(),
        "data": FILE.sha256,
    }


def grid_space() -> ConfigurationSpace:
    """The grid as a search space, with the defaults of `cifar10/cnn`: numbers are ordinals, words are choices."""
    live, space = cnn_space(), ConfigurationSpace(name="cifar10-cnn-table")
    for name, values in GRID.items():
        default = live[name].default_value
        space.add(
            CategoricalHyperparameter(name, values, default_value=default)
            if isinstance(default, str)
            else OrdinalHyperparameter(name, values, default_value=default)
        )
    return space


@lru_cache(maxsize=1)
def read_table(path: Path = SHIPPED) -> Table:
    """The table; read once per process.

    Raises:
        TaskError: If the file cannot be read, is another table, or is not whole.
    """
    try:
        content = json.loads(read_file(path))
        for name, expected in provenance().items():
            if content[name] != expected:
                raise ValueError(f"its {name} is another one")
        wrong = {part: np.array(content[f"{part}_errors"]) for part in ("validation", "test")}
        seconds = np.array(content["seconds"], dtype=np.float64)
        for part, errors in wrong.items():
            if errors.dtype.kind != "i" or errors.min() < 0 or errors.max() > content[f"{part}_rows"]:
                raise ValueError(f"its {part}_errors are no numbers of images")
        lengths = {len(seconds), *map(len, wrong.values())}
        if lengths != {grid_size(GRID)}:
            raise ValueError(f"it has {min(lengths)} of {grid_size(GRID)} rows")
        loss, test_loss = (wrong[part] / content[f"{part}_rows"] for part in ("validation", "test"))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TaskError(
            f"{str(path)!r} is not the table of cifar10/cnn-table: {error}",
            value=str(path),
            allowed=f"a file that scripts/build_cifar10_table.py wrote for this grid, with all {grid_size(GRID)} rows",
            hint="install Airtune again, or build the table",
        ) from error
    return Table(loss, test_loss, seconds)


class TableObjective:
    """Looks configurations up. Picklable: the table is read in the process that asks first."""

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """{"loss": validation error, "test_loss": test error, "train_seconds"}.

        Raises:
            TaskError: If the configuration is not on the grid.
        """
        row, table = grid_row(GRID, config), read_table()
        return {
            "loss": float(table.loss[row]),
            "test_loss": float(table.test_loss[row]),
            "train_seconds": float(table.train_seconds[row]),
        }
