"""Building the table of `cifar10/cnn-table`, stopping and going on. On made-up images and a small grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import build_cifar10_table as building
import numpy as np
import pytest
from build_cifar10_table import build

from airtune.benchmarks.tasks.cifar10 import cnn, data, table
from airtune.engine.evaluation.programs import ProgramData
from airtune.engine.types import TaskError

GRID = {"optimizer": ("sgd", "adamw"), "learning_rate": (0.01, 1e30), "channels": (4,)}


def _pictures() -> ProgramData:
    rng = np.random.default_rng(3)

    def part(count: int) -> Any:
        y = np.arange(count) % 10
        noise = rng.normal(size=(count, 3, 32, 32)).astype(np.float32)
        return noise + y[:, None, None, None].astype(np.float32) / 3, y

    return ProgramData(part(60), part(20), part(30), "error")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file in the place of the data, which is taken for made-up images."""
    pictures = _pictures()
    monkeypatch.setattr(data, "image_data", lambda path: pictures)
    monkeypatch.setattr(table, "GRID", GRID)
    monkeypatch.setattr(table, "EPOCHS", 3)
    (tmp_path / data.FILE.name).write_bytes(b"")
    return tmp_path


def no_clock(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert all(seconds > 0 for seconds in found.pop("seconds"))
    return found


def test_a_stopped_build_goes_on_to_the_same_bytes(folder: Path) -> None:
    def stopping(content: dict[str, Any]) -> None:
        if len(content["seconds"]) == 2:
            raise KeyboardInterrupt

    whole, parts = folder / "whole.json", folder / "parts.json"
    build(folder, whole)
    with pytest.raises(KeyboardInterrupt):
        build(folder, parts, stopping)
    begun = no_clock(parts)
    assert len(begun["test_errors"]) == 2
    seen: list[int] = []
    build(folder, parts, lambda content: seen.append(len(content["seconds"])))
    assert seen == [3, 4]
    assert no_clock(parts) == no_clock(whole)
    build(folder, parts, lambda content: seen.append(0))  # nothing is left
    assert seen == [3, 4]


def test_rows_are_the_losses_of_the_network(folder: Path) -> None:
    """In the order of the grid; what diverges has all wrong."""
    build(folder, folder / "table.json")
    made = table.read_table(folder / "table.json")
    pictures = data.image_data(folder)
    config = {**table.fixed(), "optimizer": "adamw", "learning_rate": 0.01, "channels": 4}
    losses = cnn.train_and_score(pictures, config)
    assert (made.loss[2], made.test_loss[2]) == (losses["loss"], losses["test_loss"])
    assert (made.loss[1], made.test_loss[1]) == (1.0, 1.0)
    assert losses["loss"] < 1
    with pytest.raises(ValueError, match="diverged"):
        cnn.train_and_score(pictures, {**config, "optimizer": "sgd", "learning_rate": 1e30})


@pytest.mark.parametrize("name", ["code", "data", "versions", "seconds"])
def test_what_was_begun_otherwise_is_refused(name: str, folder: Path) -> None:
    path = folder / "table.json"
    build(folder, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content[name] = content[name][:-1] if name == "seconds" else "other"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TaskError, match="was not begun as it would be gone on with"):
        build(folder, path)
    assert json.loads(path.read_text(encoding="utf-8")) == content


def test_another_commit_goes_on(folder: Path) -> None:
    """Commits are rebased; the code's own hash says whether it is the same."""
    path = folder / "table.json"
    build(folder, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    building.write({**content, "commit": "another"}, path)
    build(folder, path)
    assert json.loads(path.read_text(encoding="utf-8"))["commit"] == "another"
