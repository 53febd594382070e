"""What a comparison compares unless it is told otherwise, and what it accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from airtune.benchmarks.running.plan import BASELINES, DEFAULT_METHODS, Plan, check_plan, with_models
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


def test_the_control_of_several_models_speaks_their_dialects() -> None:
    """One for each dialect, whatever its settings: the languages are the same."""
    models = ["pocket", "scripted@chat+history=turns", "scripted", "uniform"]
    methods = with_models(["default+lm", "random"], models)
    assert methods == (
        "default+lm:pocket",
        "default+lm:scripted@chat+history=turns",
        "default+lm:scripted",
        "default+lm:uniform@pocket",
        "default+lm:uniform@chat",
        "random",
    )
    check_plan(Plan("toy", methods=methods))
    assert with_models(["lm"], ["uniform"]) == ("lm",)
