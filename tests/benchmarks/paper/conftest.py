"""A suite of two tasks for parts that are run whole."""

from __future__ import annotations

import pytest

from airtune.benchmarks.running import suites
from airtune.benchmarks.running.suites import SUITES, Suite

TINY = ("toy/branin", "toy/quadratic-well")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a suite of two functions, known to this process."""
    suite = Suite("tiny", lambda: TINY, "two functions")
    monkeypatch.setattr(suites, "SUITES", {**SUITES, "tiny": suite})
    return "tiny"
