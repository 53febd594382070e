"""The table of `cifar10/cnn-table`: what its loader reads and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airtune.benchmarks.tasks.cifar10.table import GRID, fixed, provenance, read_table
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
