"""A suite of two tasks for parts that are run whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.benchmarks import get_task
from airtune.benchmarks.running import plan, runner, suites
from airtune.benchmarks.running.suites import SUITES, Suite
from airtune.engine.types import Task
from airtune.grammars import program_space

TINY = ("toy/branin", "toy/quadratic-well")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a suite of two functions, known to this process."""
    suite = Suite("tiny", lambda: TINY, "two functions")
    monkeypatch.setattr(suites, "SUITES", {**SUITES, "tiny": suite})
    return "tiny"


def _loss(config: dict[str, Any]) -> dict[str, float]:
    """A number from the values themselves: what is learnt here is nothing."""
    seen = sum(len(repr(value)) + (value if isinstance(value, float) else 0.0) for value in config.values())
    return {"loss": 1.0 + seen / 100, "test_loss": 1.0 + seen / 90}


@pytest.fixture
def without_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tasks whose data are not everywhere, with objectives that need none: programs are searched, not run."""
    taxi = ConfigurationSpace({"rate": (0.0, 1.0), "width": (1, 64)})
    spaces = {"nyc_taxi/mlp": taxi, "nyc_taxi/program": program_space("tiny").space}

    def task(name: str) -> Task:
        return Task(name, spaces[name], _loss, "mse") if name in spaces else get_task(name)

    runner._task.cache_clear()
    monkeypatch.setattr(plan, "get_task", task)
    monkeypatch.setattr(runner, "get_task", task)
    yield
    runner._task.cache_clear()
    runner._manifest.cache_clear()
