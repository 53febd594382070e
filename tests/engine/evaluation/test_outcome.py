from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import minimize
from airtune.engine.evaluation.commands import command_objective
from airtune.engine.evaluation.outcome import evaluate
from airtune.engine.evaluation.result import REASON_LENGTH, TrialFailed


def test_an_exception_is_a_reason_of_one_line_and_a_traceback() -> None:
    def objective(config: dict[str, Any]) -> float:
        raise ValueError(f"bad\n  value {object()!r}" + "!" * 1000)

    outcome = evaluate(objective, {"x": 1})
    assert outcome.loss is None
    assert outcome.reason is not None
    assert outcome.reason.startswith("ValueError: bad value <object object>!!!")
    assert len(outcome.reason) == REASON_LENGTH
    assert "raise ValueError" in outcome.log
    assert "in evaluate" not in outcome.log
    assert outcome.seconds >= 0


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrialFailed("as it is"), "as it is"),
        (KeyError(), "KeyError"),
        (SystemExit("bye"), "SystemExit: bye"),
        (Unprintable(), "Unprintable: (its message cannot be shown)"),
        (ValueError("\ud800 lone"), "ValueError: ? lone"),
    ],
)
def test_reasons(error: BaseException, reason: str) -> None:
    def objective(_: dict[str, Any]) -> float:
        raise error

    assert evaluate(objective, {}).reason == reason


class Panic(BaseException):
    """As PyO3 raises where Rust code panics, and func_timeout where a call takes too long."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Panic("index out of bounds"), "Panic: index out of bounds"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (BaseExceptionGroup("tasks", [SystemExit(1)]), "BaseExceptionGroup: tasks (1 sub-exception)"),
    ],
)
def test_an_error_that_is_no_exception_fails_its_trial_alone(error: BaseException, reason: str) -> None:
    """Bug: in the search's own process it ended the search, and without a study file the trials so far were lost."""

    def objective(config: dict[str, Any]) -> float:
        if config["x"] == 1:
            raise error
        return float(config["x"])

    space = ConfigurationSpace({"x": (0, 2)})
    result = minimize(objective, space, budget=3, proposer="random")
    assert {trial.config["x"]: trial.reason for trial in result.trials} == {0: None, 1: reason, 2: None}


def test_what_airtune_finds_needs_no_traceback() -> None:
    """Bug: after a command that failed, a line of Airtune's own traceback was shown as its last output."""

    def failing(_: dict[str, Any]) -> float:
        raise TrialFailed("here")

    space = ConfigurationSpace({"x": (0, 1)})
    command = command_objective("sh -c 'exit 3' {x}", space)
    assert evaluate(command, {"x": 1}).log == ""
    assert evaluate(lambda _: "none", {}).log == ""
    assert "in failing" in evaluate(failing, {}).log


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), BaseExceptionGroup("tasks", [ValueError(), KeyboardInterrupt()])]
)
def test_an_interrupt_is_nobody_s_failure(error: BaseException) -> None:
    def objective(_: dict[str, Any]) -> float:
        raise error

    with pytest.raises(type(error)):
        evaluate(objective, {})


def test_the_objective_gets_a_configuration_of_its_own() -> None:
    config = {"x": 1}
    assert evaluate(lambda given: given.pop("x"), config).loss == 1
    assert config == {"x": 1}


@pytest.mark.parametrize(("ends", "code"), [("returns", 0), ("raises", 1), ("leaves", 3)])
@pytest.mark.parametrize("isolate", [False, True], ids=["here", "worker"])
def test_a_process_that_the_objective_forks_never_goes_on_with_the_search(
    tmp_path: Path, ends: str, code: int, isolate: bool
) -> None:
    """Bugs: a forked child that came out of the objective told the trial in the study file, in the parent's name; in a
    worker its answer was taken for the parent's, and the search hung."""

    def objective(config: dict[str, Any]) -> dict[str, float]:
        child = os.fork()
        if child == 0 and ends == "raises":
            raise ValueError("in the child")
        if child == 0 and ends == "leaves":
            sys.exit(3)
        if child == 0:
            return {"loss": 1.0, "child": 1}
        return {"loss": config["x"], "code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}

    space = ConfigurationSpace({"x": (2.0, 3.0)})
    result = minimize(
        objective, space, budget=2, proposer="random", path=tmp_path / "s.sqlite", isolate=isolate
    )
    assert [trial.status for trial in result.trials] == ["told", "told"]
    assert [trial.loss for trial in result.trials] == [trial.config["x"] for trial in result.trials]
    assert [dict(trial.info) for trial in result.trials] == [{"code": code}] * 2
