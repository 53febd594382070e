"""The table of `cifar10/cnn-table`: the task, and what the loader of its table reads and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import Configuration

from airtune.benchmarks import get_task, needs_data, task_names
from airtune.benchmarks.analysis.comparison import needs_random
from airtune.benchmarks.running.suites import get_suite
from airtune.benchmarks.tasks.cifar10.table import GRID, SHIPPED, TABLE_TASK, fixed, provenance, read_table
from airtune.benchmarks.tasks.hpobench.spaces import grid_configs
from airtune.engine.types import TaskError

MADE_UP: dict[str, Any] = {
    **provenance(), "validation_rows": 950, "test_rows": 870, "validation_errors": [475] * 504,
    "test_errors": [0] * 503 + [870], "seconds": [1.5] * 504,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"grid": {**GRID, "stages": [2, 3]}}, "its grid is another one"),
        ({"fixed": {**fixed(), "epochs": 9}}, "its fixed is another one"),
        ({"data": "0" * 64}, "its data is another one"),
        ({"seconds": []}, "it has 0 of 504 rows"),
        ({"validation_errors": [951] * 504}, "its validation_errors are no numbers of images"),
        ({"test_errors": [-1] * 504}, "its test_errors are no numbers of images"),
        ({"test_errors": [0.5] * 504}, "its test_errors are no numbers of images"),
        ({"test_errors": None}, "its test_errors are no numbers of images"),
        ({"test_errors": []}, "its test_errors are no numbers of images"),
        ({"validation_rows": "many"}, ""),
        (None, ""),
    ],
)
def test_another_table_is_refused(change: dict[str, Any] | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text("[" if change is None else json.dumps({**MADE_UP, **change}), encoding="utf-8")
    with pytest.raises(TaskError, match="is not the table of cifar10/cnn-table") as raised:
        read_table(path)
    assert says in raised.value.message
    assert "build the table" in str(raised.value.hint)


def test_a_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(MADE_UP), encoding="utf-8")
    table = read_table(path)
    assert set(table.loss) == {0.5}
    assert (table.test_loss[502], table.test_loss[503]) == (0, 1)
    assert table.train_seconds.shape == (504,)


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="is not the table of cifar10/cnn-table"):
        read_table(tmp_path / "table.json")


def test_every_row_is_a_configuration_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without data, and as it is on other ranges."""
    monkeypatch.delenv("AIRTUNE_DATA", raising=False)
    task, table = get_task(TABLE_TASK), read_table()
    rows = list(grid_configs(GRID))
    found = [task.objective(config) for config in rows]
    assert [one["loss"] for one in found] == table.loss.tolist()
    assert [one["test_loss"] for one in found] == table.test_loss.tolist()
    assert [one["train_seconds"] for one in found] == table.train_seconds.tolist()
    assert len({Configuration(task.space, values=config) for config in rows}) == len(rows)
    default = dict(task.space.get_default_configuration())
    assert default == {name: task.space[name].default_value for name in GRID}
    moved = get_task(f"moved/{TABLE_TASK}")
    assert moved.objective(dict(moved.space.get_default_configuration())) == task.objective(default)


def test_the_table_that_ships() -> None:
    """Small; of networks that learn, most of them more than nothing: guessing has 0.9 wrong."""
    assert SHIPPED.stat().st_size < 100_000
    table = read_table()
    assert table.loss.min() < 0.7
    assert np.median(table.loss) < 0.9
    assert abs(table.loss - table.test_loss).max() < 0.1
    assert table.train_seconds.min() > 0


def test_what_needs_data_and_what_does_not() -> None:
    """Random search on the table is exact; the suite has the network once."""
    assert [name for name in task_names() if needs_data(name) and name.startswith("cifar10/")] == [
        "cifar10/cnn", "cifar10/program",
    ] == list(get_suite("cifar10").tasks)  # fmt: skip
    assert needs_data("moved/cifar10/cnn")
    assert not needs_data(f"moved/{TABLE_TASK}")
    assert not needs_random(["lm"], [TABLE_TASK])
    assert needs_random(["lm"], [TABLE_TASK], noise="U(0.9,1.1)")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (TABLE_TASK, "needs no data folder"),
        (f"moved/{TABLE_TASK}", "needs no data folder"),
        ("moved/cifar10/cnn", "takes its data folder from the environment"),
    ],
)
def test_a_folder_for_what_takes_none_is_refused(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=says) as raised:
        get_task(name, tmp_path)
    if "no data" in says:
        assert "cifar10/cnn, cifar10/program" in str(raised.value.allowed)
        assert TABLE_TASK not in str(raised.value.allowed)
