"""What a comparison compares unless it is told otherwise, and what it accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from airtune.benchmarks.running.plan import BASELINES, DEFAULT_METHODS, Plan, check_plan
from airtune.engine.cli.app import main as airtune


def test_baselines_are_part_of_every_comparison_by_default() -> None:
    """Bug: a baseline that is no proposer, or one left out."""
    assert set(BASELINES) < set(DEFAULT_METHODS)
    assert {"random", "default+random", "default+tpe", "default+gp", "default+local"} == set(BASELINES)
    check_plan(Plan("toy"))


def test_steps_from_the_incumbent_can_be_compared(tmp_path: Path) -> None:
    """`--proposers default+local`: the default first, then one or two hyperparameters away from the incumbent."""
    command = [
        "bench",
        "toy",
        "--proposers",
        "random,default+local",
        "--budget",
        "3",
        "--seeds",
        "1",
        "--jobs",
        "1",
    ]
    with pytest.raises(SystemExit, match="0"):
        airtune([*command, "--out", str(tmp_path)])
    assert "default+local" in (tmp_path / "report.md").read_text(encoding="utf-8")
