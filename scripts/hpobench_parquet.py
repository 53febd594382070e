"""Puts finished pieces together to a table that `airtune.benchmarks.tasks.hpobench.shipped_tables` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hpobench_grids import Setting
from hpobench_pieces import Piece, versions
from pyarrow import parquet

from airtune.benchmarks.tasks.hpobench.data import load_split, read_data
from airtune.benchmarks.tasks.hpobench.models import Protocol
from airtune.benchmarks.tasks.hpobench.shipped_tables import table_file
from airtune.benchmarks.tasks.hpobench.spaces import FIDELITIES, grid_size

FORMAT = 1
SPLITS = "10 % test, then 33 % of the rest validation, both stratified, seed 1"


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
