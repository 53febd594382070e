"""HPOBench's own tabular files, where the environment variable AIRTUNE_HPOBENCH_DATA points at them.

They are `{model}/{task}/{model}_{task}_data.parquet.gzip` (also accepted: without one or both of the folders), where
`model` is svm, lr, rf, nn or xgb and `task` an OpenML task id: one row per configuration, fidelity and seed, columns
named after hyperparameters and fidelities, `seed`, and `result`, a structure whose `info.val_scores.acc` and
`info.test_scores.acc` are accuracies. They were made under the `published` protocol, so only such tasks read them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from airtune.benchmarks.tasks.hpobench.data import DATASETS
from airtune.benchmarks.tasks.hpobench.shipped_tables import Table
from airtune.benchmarks.tasks.hpobench.spaces import SPACES, Value, grid_size
from airtune.benchmarks.tasks.hpobench.task_names import TaskName
from airtune.engine.types import TaskError

DATA_VARIABLE = "AIRTUNE_HPOBENCH_DATA"
MODELS: Mapping[str, str] = {"svm": "svm", "lr": "lr", "rf": "rf", "mlp": "nn", "xgb": "xgb"}
FIDELITY_COLUMNS: Mapping[str, str] = {
    "lr": "iter", "rf": "n_estimators", "mlp": "iter", "xgb": "n_estimators",
}  # fmt: skip
SCORES = ("val_scores", "test_scores")


def published_file(name: TaskName) -> Path | None:
    """HPOBench's file for a task, or None: the variable is not set, or the task's protocol is another.

    Raises:
        TaskError: If the variable is set, and the file is not there.
    """
    text = os.environ.get(DATA_VARIABLE, "")
    if not text or name.protocol != "published":
        return None
    model, task = MODELS[name.model], str(DATASETS[name.dataset].openml_task)
    file = f"{model}_{task}_data.parquet.gzip"
    places = [Path(text, *folders, file) for folders in ((model, task), (task,), (model,), ())]
    for place in places:
        if place.is_file():
            return place
    raise TaskError(
        f"task {str(name)!r}: HPOBench's table of it is not in {text}",
        value=text,
        allowed=f"a folder with {model}/{task}/{file}",
        hint=f"unpack HPOBench's tabular data there, or unset {DATA_VARIABLE}",
    )


@lru_cache(maxsize=8)
def read_published(path: Path, name: TaskName) -> Table:
    """Read the rows of a task's fidelity on all data; the grid is what values they have.

    Raises:
        TaskError: If columns are missing, or there is no such fidelity, or a grid point is not there.
    """
    from pyarrow import parquet
    from pyarrow.dataset import dataset, field

    space = SPACES[name.model]()
    fidelity = FIDELITY_COLUMNS.get(name.model)
    present = set(parquet.read_schema(path).names)
    needed = {*space, "seed", "result", *([fidelity] if fidelity else [])}
    if not needed <= present:
        raise TaskError(
            f"{path} is not one of HPOBench's tables: columns are missing",
            value=", ".join(sorted(present)),
            allowed=", ".join(sorted(needed)),
            hint="take the file from HPOBench's tabular data",
        )
    subsample = ["subsample"] if "subsample" in present else []
    columns = {column: field(column) for column in (*space, "seed", *subsample)}
    columns |= {score: field("result", "info", score, "acc") for score in SCORES}
    wanted = field(fidelity) == name.fidelity if fidelity else None
    rows = dataset(path, format="parquet").to_table(columns=columns, filter=wanted)
    data = {column: rows.column(column).to_numpy() for column in columns}
    if subsample:  # 1 is all the data
        whole = np.isclose(data["subsample"].astype(float), 1.0)
        data = {column: values[whole] for column, values in data.items()}
    if len(data["seed"]) == 0:
        values = (
            parquet.read_table(path, columns=[fidelity]).column(0).unique().to_pylist() if fidelity else []
        )
        raise TaskError(
            f"task {str(name)!r}: HPOBench's table does not have this fidelity",
            value=name.fidelity,
            allowed=", ".join(map(str, sorted(values))),
            hint="use one of them",
        )
    grid: dict[str, tuple[Value, ...]] = {}
    index = np.zeros(len(data["seed"]), dtype=np.int64)
    for parameter in space:
        # HPOBench stores 32-bit floats: 6 digits are what they hold.
        exact = np.array([float(f"{float(value):.6g}") for value in data[parameter]])
        levels, positions = np.unique(exact, return_inverse=True)
        whole_numbers = bool(np.all(levels == np.rint(levels))) and hasattr(space[parameter], "lower")
        integer = whole_numbers and isinstance(space[parameter].default_value, int)
        grid[parameter] = tuple(int(v) if integer else float(v) for v in levels)
        index = index * len(levels) + positions
    size = grid_size(grid)
    counts = np.bincount(index, minlength=size)
    if counts.min() == 0:
        raise TaskError(
            f"{path}: {int(np.sum(counts == 0))} of {size} grid points are not there",
            value=str(path),
            hint="the file is not whole; take it again from HPOBench's tabular data",
        )
    losses = tuple(np.bincount(index, weights=1.0 - data[score], minlength=size) / counts for score in SCORES)
    seeds = sorted(int(seed) for seed in np.unique(data["seed"]))
    metadata = {"model": name.model, "seeds": seeds, "source": "HPOBench's tabular data", "file": path.name}
    return Table(metadata, grid, {name.dataset: (losses[0], losses[1])})
