"""What a comparison compares unless it is told otherwise, and what it accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from airtune.benchmarks.running.plan import (
    BASELINES,
    DEFAULT_METHODS,
    Plan,
    check_plan,
    with_controls,
    with_models,
)
from airtune.engine.cli.app import main as airtune
from airtune.engine.storage.study_file import StudyFile


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


def test_controls_of_every_method_that_asks_a_model() -> None:
    """Each around the know-nothing model of its dialect and with names hidden; none of controls or of the others."""
    methods = ("default+lm:scripted@chat+history=turns", "lm+gp:pocket", "lm+gp:uniform@pocket", "random")
    assert with_controls(methods, "pocket") == (
        "default+lm:scripted@chat+history=turns",  # itself knows nothing
        "lm+gp:pocket",
        "lm+gp:uniform@pocket",
        "random",
        "lm+gp:pocket@pocket+names=hidden",
        "default+local",
    )
    made = with_controls(["lm", "default+lm"], "pocket@chat+history=turns")
    assert made[2:4] == ("lm:uniform@chat", "lm:pocket@chat+history=turns+names=hidden")
    assert with_controls(made, "pocket@chat+history=turns") == made
    check_plan(Plan("toy", methods=(*made, "random"), model="pocket@chat+history=turns"))


def test_one_command_compares_variants_adds_random_search_and_resumes(tmp_path: Path) -> None:
    """Bugs: a comparison without random search was refused; a second run asked the models again."""
    models = "scripted,scripted@chat+history=turns+detail=space,uniform"
    command = [
        "bench",
        "toy",
        "--proposers",
        "default+lm",
        "--models",
        models,
        "--budget",
        "2",
        "--seeds",
        "1",
    ]
    for _ in range(2):
        with pytest.raises(SystemExit, match="0"):
            airtune([*command, "--jobs", "1", "--out", str(tmp_path)])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for label in (
        "default+lm:scripted |",
        "default+lm:scripted (history=turns, detail=space)",
        "default+lm:uniform (chat)",
        "random",
    ):
        assert label in text
    with StudyFile(tmp_path / "bench.airtune", readonly=True) as file:
        assert len(file.studies()) == 4 * 6
