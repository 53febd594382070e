"""Tables of errors over grids: one parquet file per model, fidelity and protocol (scripts/build_hpobench_tables.py).

A row is one grid point on one data set. Columns: `dataset`; per hyperparameter its position in the grid (uint8); per
training seed `validation_errors_{seed}` and `test_errors_{seed}`, counts of wrong predictions (uint16), and
`fit_seconds_{seed}`, CPU seconds on one core. The schema's metadata has, under "airtune", one JSON document with the
grid, the numbers of rows that counts are out of, and where the numbers come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.tasks.hpobench.models import Protocol
from airtune.benchmarks.tasks.hpobench.spaces import FIDELITIES, Grid, grid_row, grid_size
from airtune.engine.types import TaskError

SHIPPED = Path(__file__).with_name("shipped")


def table_file(folder: Path, model: str, fidelity: int, protocol: str) -> Path:
    """Where the table of a model at a fidelity (0: it has none) lies, or would."""
    return folder / f"{model}-{fidelity or 'full'}-{protocol}.parquet"


@dataclass(frozen=True)
class Table:
    """A table, read.

    Attributes:
        metadata: See the module.
        grid: Hyperparameter -> values, as in the metadata.
        losses: Data set -> (validation error, test error), each of shape (grid points,), means over training seeds.
    """

    metadata: Mapping[str, Any]
    grid: Grid
    losses: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]

    def losses_at(self, dataset: str, config: Mapping[str, Any]) -> dict[str, float]:
        """What an objective returns for a configuration: {"loss": validation error, "test_loss": test error}.

        Raises:
            TaskError: If it is not on the grid.
        """
        row, (validation, test) = grid_row(self.grid, config), self.losses[dataset]
        return {"loss": float(validation[row]), "test_loss": float(test[row])}


@lru_cache(maxsize=32)
def read_table(path: Path) -> Table:
    """Read a table; once per process.

    Raises:
        TaskError: If the file is not such a table.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            metadata = json.loads((file.schema_arrow.metadata or {})[b"airtune"])
            rows = file.read()
    except (OSError, ArrowException, KeyError, ValueError) as error:
        raise TaskError(
            f"{path} is no table of HPOBench evaluations: {error}",
            value=str(path),
            hint="install Airtune again, or build the table",
        ) from error
    grid = {name: tuple(values) for name, values in metadata["grid"].items()}
    size = grid_size(grid)
    losses = {}
    for start, dataset in zip(range(0, rows.num_rows, size), metadata["datasets"], strict=True):
        facts = metadata["datasets"][dataset]
        means = [
            np.mean(
                [
                    rows.column(f"{part}_errors_{seed}").slice(start, size).to_numpy() / facts[f"{part}_rows"]
                    for seed in metadata["seeds"]
                ],
                axis=0,
            )
            for part in ("validation", "test")
        ]
        losses[dataset] = (means[0], means[1])
    return Table(metadata, grid, losses)


def shipped_tables() -> list[tuple[str, int, Protocol]]:
    """(model, fidelity, protocol) of every table in the package, cheap to list: no file is read."""
    found: list[tuple[str, int, Protocol]] = []
    for model in FIDELITIES:
        for path in sorted(SHIPPED.glob(f"{model}-*.parquet")):
            _, fidelity, protocol = path.stem.split("-")
            value = 0 if fidelity == "full" else int(fidelity)
            found.append((model, value, "published" if protocol == "published" else "clean"))
    return found
