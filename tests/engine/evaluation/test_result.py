from __future__ import annotations

import datetime
import enum
import json
import math
from array import array
from collections import deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, StudyFile, Task
from airtune.engine.evaluation.outcome import evaluate, outcome_of
from airtune.engine.evaluation.result import (
    DEEPEST_INFO,
    LARGEST_INFO,
    LONGEST_TEXT,
    TrialFailed,
    one_line,
    read_result,
)
from airtune.engine.storage.validation import MOST_DEPTH


class Tensor:
    """What is used of a tensor of another library: it only becomes an array."""

    def __init__(self, values: list[Any]) -> None:
        self._values = np.array(values)
        self.shape = self._values.shape

    def __array__(self) -> Any:
        return self._values


class Unnamed(Exception):
    """A key and an exception that have no text."""

    def __str__(self) -> str:
        raise self

    __repr__ = __str__


class Lost:
    """A tensor that cannot be read any more."""

    shape = (2,)

    def tolist(self) -> list[float]:
        raise RuntimeError("the device is gone")


class Color(enum.Enum):
    RED = "red"


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 0.5


@pytest.mark.parametrize(
    ("returned", "loss"),
    [
        (1, 1.0),
        (0.1 + 0.2, 0.1 + 0.2),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(0.25), 0.25),
        (Fraction(1, 4), 0.25),
        (Decimal("0.25"), 0.25),
        (np.array([[0.25]]), 0.25),
        (np.longdouble(0.25), 0.25),
        (np.array([Decimal("0.25")], dtype=object), 0.25),
        (np.ma.array([0.25], mask=[False]), 0.25),
        (array("d", [0.25]), 0.25),
        (Tensor([[0.25]]), 0.25),
        (5e-324, 5e-324),
    ],
)
def test_numbers_are_losses(returned: object, loss: float) -> None:
    for result in (returned, {"loss": returned}):
        found, info, log = read_result(result)
        assert found == loss
        assert type(found) is float
        assert (info, log) == ({}, "")


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
        (np.array([0.1, 0.2]), "objective returned a ndarray: array([0.1, 0.2])"),
        (np.array([]), "objective returned a ndarray: array([]"),
        (np.array([True]), "objective returned a bool: True"),
        (np.array(["0.3"]), "objective returned a str: '0.3'"),
        (np.ma.masked, "objective returned a MaskedConstant: masked"),
        (np.ma.array([0.1], mask=[True]), "objective returned a MaskedArray"),
        (np.float64, "objective returned a type"),
        (Decimal("sNaN"), "objective returned NaN"),
        (Decimal("1e999"), "objective returned inf"),
        (Tensor([0.1, 0.2]), "objective returned a Tensor"),
        ({}, "without the key 'loss' (its keys: none)"),
        ({"accuracy": 0.9}, "without the key 'loss' (its keys: 'accuracy')"),
        ({"loss": None}, "a mapping whose 'loss' is None"),
        ({"loss": "low"}, "a mapping whose 'loss' is a str: 'low'"),
        ({"loss": np.ma.masked}, "a mapping whose 'loss' is a MaskedConstant"),
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
    _, info, _ = read_result(given | {"g": True, "h": -0.0})
    assert info == {
        "a": 0.5, "b": "nan", "c": "-inf", "d": "x", "e": None, "f": [1, 2.5], "g": True, "h": 0.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ([np.float32(1), np.int64(2)], [1.0, 2]),
        ([1.0, [math.nan, -math.inf]], [1.0, ["nan", "-inf"]]),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.ma.array([1, 2], mask=[True, False]), [None, 2]),
        (Tensor([1.5, 2.5]), [1.5, 2.5]),
        (np.longdouble(0.5), 0.5),
        (Path("/a/b"), "/a/b"),
        (b"ab", "ab"),
        (Color.RED, "red"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 2), 0.5),
        ((1, {"b", "a"}, deque([3])), [1, ["a", "b"], [3]]),
        ({1: 2, None: 3, (4, 5): 6}, {"1": 2, "null": 3, "(4, 5)": 6}),
        ("\ud800x", "\\ud800x"),
        (nested(3), [[[0.5]]]),
    ],
)
def test_further_values_are_converted(value: object, kept: object) -> None:
    loss, info, log = read_result({"loss": 0.3, "v": value})
    assert (loss, info, log) == (0.3, {"v": kept}, "")
    assert json.loads(json.dumps(info, allow_nan=False)) == info


@pytest.mark.parametrize(
    ("extras", "kept", "noted"),
    [
        ({"v": object()}, {}, "'v' was left out: an object is nothing that JSON can hold"),
        ({"v": 1j}, {}, "'v' was left out: a complex is"),
        ({"v": {"model": print, "a": 1}}, {"v": {"a": 1}}, "'v'['model'] was left out"),
        ({"v": [1, print]}, {"v": [1, None]}, "'v'[1] was left out"),
        ({"v": Lost()}, {}, "'v' was left out: RuntimeError: the device is gone"),
        ({"v": 10**5000}, {}, "'v' was left out: a whole number of"),
        ({"v": nested(DEEPEST_INFO)}, {}, f"'v' was left out: it is nested deeper than {DEEPEST_INFO}"),
        ({"v": np.zeros(LARGEST_INFO)}, {}, "'v' was left out: it is too large"),
        ({"v": [0.5] * LARGEST_INFO}, {}, "'v' was left out: it is too large"),
        ({"v": {0: 0.1, "0": 0.2}}, {"v": {"0": 0.2}}, "'v'[0] was left out: another key is '0', too"),
        ({Unnamed(): 1}, {}, "a key was left out: Unnamed"),
        ({5: 1, "5": 2}, {"5": 2}, "5 was left out: another key is '5', too"),
    ],
)
def test_what_cannot_be_kept_is_noted_and_costs_nothing_else(
    extras: dict[Any, Any], kept: object, noted: str
) -> None:
    loss, info, log = read_result({"loss": 0.3, **{"before": 1}, **extras, "behind": 2})  # type: ignore[arg-type]
    assert loss == 0.3
    assert info == {"before": 1, **kept, "behind": 2}  # type: ignore[dict-item]
    assert log.startswith(f"note: {noted}")
    assert log.count("\n") == 1


def test_long_texts_are_cut_and_endless_notes_end() -> None:
    _, info, log = read_result({"loss": 1, "text": "é" * 3_000_000, "many": [print] * 1000})
    assert info["text"] == "é" * LONGEST_TEXT + "..."
    assert f"note: 'text' was cut to {LONGEST_TEXT} of 3000000 characters\n" in log
    assert log.endswith("note: and 981 more\n")


def test_what_is_kept_can_be_stored_and_read_with_its_notes(tmp_path: Path) -> None:
    task = Task("t", ConfigurationSpace({"x": (0.0, 1.0)}), abs)
    result = {"loss": np.array([0.5]), "deep": nested(DEEPEST_INFO - 1), "\ud800": "\udfff", "no": object()}
    with Study(task, "random", path=tmp_path / "s.sqlite") as study:
        told = study.tell(study.ask(), result)
    with StudyFile(tmp_path / "s.sqlite") as file:
        (record,) = file.records(study.name)
    assert record.trial == told
    assert set(record.trial.info) == {"deep", "\\ud800"}
    assert "'no' was left out" in record.log
    assert DEEPEST_INFO < MOST_DEPTH


def test_told_and_evaluated_results_are_read_alike() -> None:
    for returned in ({"loss": 1, "p": Path("a"), "q": object()}, np.array([2.0]), Lost(), None):
        evaluated, told = evaluate(lambda _, result=returned: result, {}), outcome_of(returned)
        assert (evaluated.loss, evaluated.info, evaluated.reason) == (told.loss, told.info, told.reason)
