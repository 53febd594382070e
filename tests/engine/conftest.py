from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import StudyFile, Task, export_jsonl


@pytest.fixture
def space() -> ConfigurationSpace:
    return ConfigurationSpace({"x": (-1.0, 1.0), "n": (1, 9), "c": ["a", "b"]})


@pytest.fixture
def task(space: ConfigurationSpace) -> Task:
    def objective(config: dict[str, Any]) -> dict[str, Any]:
        return {"loss": config["x"] ** 2 + config["n"] / 3, "size": config["n"]}

    return Task("bowl", space, objective, metric="depth", description="A bowl.")


@pytest.fixture
def export() -> Callable[..., str]:
    """The file as text, without times."""

    def export(path: Path, name: str | None = None) -> str:
        with StudyFile(path, readonly=True) as file:
            return "".join(export_jsonl(file, name, times=False, transcripts=True))

    return export
