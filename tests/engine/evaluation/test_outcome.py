from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from airtune.engine.evaluation.outcome import REASON_LENGTH, TrialFailed, evaluate, one_line, read_result


@pytest.mark.parametrize(
    ("returned", "loss"),
    [
        (1, 1.0),
        (0.1 + 0.2, 0.1 + 0.2),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(0.25), 0.25),
        (Fraction(1, 4), 0.25),
        (5e-324, 5e-324),
    ],
)
def test_numbers_are_losses(returned: object, loss: float) -> None:
    for result in (returned, {"loss": returned}):
        found, info = read_result(result)
        assert found == loss
        assert type(found) is float
        assert info == {}


def test_negative_zero_is_zero() -> None:
    assert math.copysign(1.0, read_result(-0.0)[0]) == 1.0


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "objective returned None, expected a finite number or a mapping with key 'loss'"),
        ("0.3", "objective returned a str: '0.3', expected a finite number or a mapping with key 'loss'"),
        (True, "objective returned a bool: True"),
        (np.bool_(True), "objective returned a bool: True"),
        (float("nan"), "objective returned NaN"),
        (np.float64("nan"), "objective returned NaN"),
        (float("inf"), "objective returned inf"),
        (-np.inf, "objective returned -inf"),
        (10**400, "too large for a float"),
        (1j, "objective returned a complex: 1j"),
        ([0.1], "objective returned a list: [0.1]"),
        (np.array([0.1]), "objective returned a ndarray"),
        ({}, "without the key 'loss' (its keys: none)"),
        ({"accuracy": 0.9}, "without the key 'loss' (its keys: 'accuracy')"),
        ({"loss": None}, "a mapping whose 'loss' is None"),
        ({"loss": "low"}, "a mapping whose 'loss' is a str: 'low'"),
        ({"loss": 1.0, 2: 3}, "the key 2, expected strings"),
        ({"loss": 1.0, "model": object()}, "an object under 'model'"),
    ],
)
def test_what_is_no_result(returned: Any, reason: str) -> None:
    with pytest.raises(TrialFailed) as caught:
        read_result(returned)
    assert reason in str(caught.value)
    assert evaluate(lambda _: returned, {}).reason == one_line(str(caught.value))


def test_further_values_are_what_json_gives_back() -> None:
    given = {
        "loss": 1,
        "a": np.float32(0.5),
        "b": math.nan,
        "c": -math.inf,
        "d": "x",
        "e": None,
        "f": [1, 2.5],
    }
    _, info = read_result(given | {"g": True, "h": -0.0})
    assert info == {
        "a": 0.5, "b": "nan", "c": "-inf", "d": "x", "e": None, "f": [1, 2.5], "g": True, "h": 0.0
    }  # fmt: skip


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


def test_an_interrupt_is_nobody_s_failure() -> None:
    def objective(_: dict[str, Any]) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(objective, {})


def test_the_objective_gets_a_configuration_of_its_own() -> None:
    config = {"x": 1}
    assert evaluate(lambda given: given.pop("x"), config).loss == 1
    assert config == {"x": 1}
