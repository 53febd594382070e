"""Tables of errors over grids: one parquet file per model, fidelity and protocol; written by a build, read by tasks.

A row is one grid point on one data set. Columns: `dataset`; per hyperparameter its position in the grid (uint8); per
training seed `validation_errors_{seed}` and `test_errors_{seed}`, counts of wrong predictions (uint16), and
`fit_seconds_{seed}`, CPU seconds on one core. The schema's metadata has, under "airtune", one JSON document with the
grid, the numbers of rows that counts are out of, and where the numbers come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.tasks.hpobench.data import load_split, read_data
from airtune.benchmarks.tasks.hpobench.models import Protocol
from airtune.benchmarks.tasks.hpobench.spaces import FIDELITIES, Grid, grid_size
from airtune.engine.types import TaskError

if TYPE_CHECKING:
    from airtune.benchmarks.tasks.hpobench.build import Piece, Setting

SHIPPED = Path(__file__).with_name("shipped")
FORMAT = 1
SPLITS = "10 % test, then 33 % of the rest validation, both stratified, seed 1"


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

    def index(self, config: Mapping[str, Any]) -> int:
        """The row of a configuration, in the order of `spaces.grid_configs`.

        Raises:
            TaskError: If it is not on the grid.
        """
        index = 0
        for name, values in self.grid.items():
            if config.get(name) not in values:
                raise TaskError(
                    f"{name}={config.get(name)!r} is not on the table's grid",
                    value=config.get(name),
                    allowed=", ".join(map(str, values)),
                    hint="propose from the task's own space",
                )
            index = index * len(values) + values.index(config[name])
        return index


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
            f"{path} is no table of `airtune bench build-tables`: {error}",
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


def write_table(
    out: Path,
    folder: Path,
    setting: Setting,
    protocol: Protocol,
    seeds: Sequence[int],
    work: Sequence[tuple[Piece, Path]],
    datasets: Sequence[str],
    command: str,
) -> Path:
    """Put pieces together to a table.

    Args:
        out: The folder to write to.
        folder: The data folder.
        setting: What it was built from.
        protocol: Under which protocol.
        seeds: The training seeds that it shall hold.
        work: All pieces of these seeds, with their files.
        datasets: Keys of `DATASETS`, in the order that the table shall have.
        command: The build's command line.

    Returns:
        The file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    from airtune.benchmarks.tasks.hpobench.build import versions

    size = grid_size(setting.grid)
    shape = (len(datasets), size)
    order = {dataset: i for i, dataset in enumerate(datasets)}
    counts = {
        f"{part}_errors_{seed}": np.zeros(shape, dtype=np.uint16)
        for seed in seeds
        for part in ("validation", "test")
    }
    seconds = {f"fit_seconds_{seed}": np.zeros(shape, dtype=np.float32) for seed in seeds}
    diverged, cpu_seconds = 0, 0.0
    for piece, path in work:
        content = json.loads(path.read_text(encoding="utf-8"))
        where = order[piece.dataset], slice(piece.start, piece.stop)
        for part in ("validation", "test"):
            counts[f"{part}_errors_{piece.seed}"][where] = content[f"{part}_errors"]
        # Three digits: finer ones are noise, which does not compress.
        seconds[f"fit_seconds_{piece.seed}"][where] = [float(f"{s:.2e}") for s in content["seconds"]]
        diverged += sum(content["diverged"])
        cpu_seconds += content["cpu_seconds"]

    positions = np.array(list(product(*(range(len(v)) for v in setting.grid.values()))), dtype=np.uint8)
    names = np.repeat(np.arange(len(datasets), dtype=np.int8), size)
    columns: dict[str, Any] = {
        "dataset": pa.DictionaryArray.from_arrays(pa.array(names), pa.array(list(datasets)))
    }
    for name, column in zip(setting.grid, positions.T, strict=True):
        columns[name] = np.tile(column, len(datasets))
    columns |= {name: errors.ravel() for name, errors in counts.items()}
    columns |= {name: times.ravel() for name, times in seconds.items()}
    fidelity = FIDELITIES[setting.model]
    metadata = {
        "format": FORMAT,
        "model": setting.model,
        "fidelity": {"name": fidelity.name, "value": setting.fidelity, "full": fidelity.full}
        if fidelity
        else None,
        "protocol": protocol,
        "grid": dict(setting.grid),
        "seeds": list(seeds),
        "deterministic": setting.model == "svm" and protocol == "clean",
        "splits": SPLITS,
        "datasets": {name: _facts(folder, name) for name in datasets},
        "versions": versions(),
        "diverged": diverged,
        "cpu_seconds": round(cpu_seconds, 1),
        "command": command,
    }
    schema_metadata = {"airtune": json.dumps(metadata)}
    path = table_file(out, setting.model, setting.fidelity, protocol)
    temporary = path.with_suffix(".tmp")
    parquet.write_table(
        pa.table(columns).replace_schema_metadata(schema_metadata),
        temporary,
        compression="zstd",
        compression_level=19,
        write_statistics=False,
        store_schema=True,
    )
    temporary.replace(path)
    return path


def _facts(folder: Path, name: str) -> dict[str, Any]:
    split, raw = load_split(folder, name), read_data(folder, name)
    return {
        "sha256": raw.sha256,
        "test_rows_from": "seed 1" if raw.fold is None else "splits folder",
        "train_rows": len(split.train[1]),
        "validation_rows": len(split.validation[1]),
        "test_rows": len(split.test[1]),
        "columns": split.train[0].shape[1],
        "classes": len(np.unique(split.train[1])),
    }


def mean_losses(table: Table, dataset: str, row: int) -> dict[str, float]:
    """What an objective returns for one row: {"loss": validation error, "test_loss": test error}."""
    validation, test = table.losses[dataset]
    return {"loss": float(validation[row]), "test_loss": float(test[row])}
