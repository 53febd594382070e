from __future__ import annotations

from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

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


def test_what_airtune_finds_needs_no_traceback() -> None:
    """Bug: after a command that failed, a line of Airtune's own traceback was shown as its last output."""

    def failing(_: dict[str, Any]) -> float:
        raise TrialFailed("here")

    space = ConfigurationSpace({"x": (0, 1)})
    command = command_objective("sh -c 'exit 3' {x}", space)
    assert evaluate(command, {"x": 1}).log == ""
    assert evaluate(lambda _: "none", {}).log == ""
    assert "in failing" in evaluate(failing, {}).log


def test_an_interrupt_is_nobody_s_failure() -> None:
    def objective(_: dict[str, Any]) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(objective, {})


def test_the_objective_gets_a_configuration_of_its_own() -> None:
    config = {"x": 1}
    assert evaluate(lambda given: given.pop("x"), config).loss == 1
    assert config == {"x": 1}
