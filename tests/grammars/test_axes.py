"""Axes: index, text and value are one-to-one, ascending; patterns match exactly the chosen indices."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, OrdinalHyperparameter
from hypothesis import given, settings
from hypothesis import strategies as st

from airtune.grammars import (
    Axis,
    ChoiceAxis,
    DecodeError,
    EnumeratedAxis,
    IntegerAxis,
    LinearFloatAxis,
    LogFloatAxis,
    SpaceError,
    canonical_lattice,
)
from airtune.grammars.pattern import literals, to_regex

FIXED = settings(derandomize=True, max_examples=120)
BOUND = st.floats(-1e6, 1e6).map(lambda x: round(x, 4))
POSITIVE = st.floats(-12, 6).map(lambda e: float(f"{10**e:.5g}"))


def _check(axis: Axis, low: int, high: int) -> None:
    """One-to-one on a sample of indices, and the pattern of low..high matches exactly those."""
    low, high = sorted((low % axis.size, high % axis.size))
    expression = re.compile(to_regex(axis.pattern(((low, high),))))
    near = {0, axis.size - 1, low, high, low - 1, high + 1, (low + high) // 2, low + 1, high - 1}
    for index in sorted(i for i in near if 0 <= i < axis.size):
        text = axis.text(index)
        assert axis.index(axis.value(index)) == index
        assert axis.nearest(axis.value(index)) == index
        assert axis.parse(text + ",x", 0) == (index, len(text))
        assert len(text.encode()) <= axis.max_bytes
        assert bool(expression.fullmatch(text)) == (low <= index <= high)


@FIXED
@given(st.integers(-(10**12), 10**12), st.integers(0, 10**12), st.integers(0), st.integers(0))
def test_integers(lower: int, span: int, low: int, high: int) -> None:
    _check(IntegerAxis(lower, lower + span), low, high)


@FIXED
@given(st.integers(-300, 300), st.integers(0, 300), st.integers(0), st.integers(0))
def test_integer_patterns_match_nothing_else(lower: int, span: int, low: int, high: int) -> None:
    axis = IntegerAxis(lower, lower + span)
    low, high = sorted((low % axis.size, high % axis.size))
    expression = re.compile(to_regex(axis.pattern(((low, high),))))
    matched = [n for n in range(-700, 700) if expression.fullmatch(str(n))]
    assert matched == list(range(lower + low, lower + high + 1))


@FIXED
@given(BOUND, BOUND, st.integers(1, 4), st.integers(0), st.integers(0))
def test_linear_floats(a: float, b: float, digits: int, low: int, high: int) -> None:
    if a == b:
        return
    axis = LinearFloatAxis(min(a, b), max(a, b), digits)
    _check(axis, low, high)
    assert axis.value(0) == min(a, b)
    assert axis.value(axis.size - 1) == max(a, b)


@FIXED
@given(POSITIVE, POSITIVE, st.integers(1, 4), st.integers(0), st.integers(0))
def test_log_floats(a: float, b: float, digits: int, low: int, high: int) -> None:
    if a == b:
        return
    axis = LogFloatAxis(min(a, b), max(a, b), digits)
    _check(axis, low, high)
    assert axis.value(0) == min(a, b)
    assert axis.value(axis.size - 1) == max(a, b)


@pytest.mark.parametrize(
    "axis",
    [
        LinearFloatAxis(-0.37, 1.0),
        LinearFloatAxis(0, 1e-3),
        LinearFloatAxis(0, 1e6),
        LinearFloatAxis(-5e7, 1 / 3, extras=[0.123456]),
        LogFloatAxis(1 / 1024, 1024.0),
        LogFloatAxis(1e-12, 1e3, digits=2, extras=[0.0123456]),
        LogFloatAxis(1.2345e-3, 1.2349e-3),
    ],
    ids=lambda axis: axis.describe(),
)
def test_floats_ascend_and_texts_differ(axis: Axis) -> None:
    values = [axis.value(i) for i in range(axis.size)]
    texts = [axis.text(i) for i in range(axis.size)]
    assert values == sorted(set(values))
    assert [float(text) for text in texts] == values
    whole = re.compile(to_regex(axis.pattern(((0, axis.size - 1),))))
    assert all(whole.fullmatch(text) for text in texts)
    for near in (
        "00.1",
        ".5",
        "1.",
        "1e+3",
        "1E3",
        "-0",
        "-0.000",
        "1.0e0",
        "1.230e-1",
        "1e-03",
        "nan",
        "inf",
        "",
    ):
        assert bool(whole.fullmatch(near)) == (near in texts)
        parsed = axis.parse(near + ",", 0)
        assert (parsed is not None and parsed[1] == len(near)) == (near in texts)


def test_nearest_is_on_the_axis_own_scale() -> None:
    log = LogFloatAxis(1e-4, 1.0, digits=1)
    assert log.value(log.nearest(1.41e-3)) == 1e-3
    assert log.value(log.nearest(1.45e-3)) == 2e-3  # nearer to 1e-3 in a straight line
    linear = LinearFloatAxis(0.0, 1.0, digits=1)
    assert linear.value(linear.nearest(0.26)) == 0.3
    assert linear.value(linear.nearest(7.0)) == 1.0
    assert IntegerAxis(0, 9).nearest(2.5) == 2


def test_choices_are_unambiguous_and_come_back_as_they_were() -> None:
    choices = ["1", 1, "true", None, "null", 2.5, 'a"b\\c\n', "ü☃", (1, "x")]
    axis = ChoiceAxis(choices)
    for i, choice in enumerate(choices):
        assert axis.value(i) is choice
        assert axis.index(choice) == i
        assert axis.parse(axis.text(i) + ",", 0) == (i, len(axis.text(i)))
    with pytest.raises(DecodeError, match="not on the lattice"):
        axis.index(True)


@pytest.mark.parametrize("choice", [float("nan"), float("inf"), object(), "\ud800", {1, 2}])
def test_choices_without_a_text_are_refused(choice: object) -> None:
    with pytest.raises(SpaceError, match="no JSON text"):
        ChoiceAxis([choice])


def test_enumerated_axis_of_a_thousand_tokens() -> None:
    axis = EnumeratedAxis([(f"a{i:03d}", i / 999) for i in range(1000)], ordered=True)
    assert axis.prefix_free
    assert to_regex(axis.pattern(((0, 999),))) == "a[0-9][0-9][0-9]"
    assert axis.nearest(0.372) == 372
    _check(axis, 17, 583)


@FIXED
@given(
    st.lists(st.text(alphabet="ab\\.]^-é", max_size=5), min_size=1, unique=True),
    st.text("ab\\.]^-é", max_size=6),
)
def test_literals_match_exactly(texts: list[str], other: str) -> None:
    expression = re.compile(to_regex(literals(texts)))
    assert all(expression.fullmatch(text) for text in texts)
    assert bool(expression.fullmatch(other)) == (other in texts)


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30, unique=True).map(sorted),
    st.floats(-10, 2e6, allow_nan=False),
    st.booleans(),
)
def test_the_nearest_value_of_a_list_is_the_one_a_full_scan_finds(
    values: list[float], asked: float, log: bool
) -> None:
    axis = EnumeratedAxis([(f"t{i}", v) for i, v in enumerate(values)], ordered=True, log=log)
    scale = (lambda v: math.log(v) if v > 0 else -math.inf) if log else float
    distance = [abs(scale(v) - scale(asked)) for v in values]
    # By distance: where rounding makes two values equally near, either will do.
    assert distance[axis.nearest(asked)] == min(distance)


@pytest.mark.parametrize(
    ("choices", "shown"),
    [
        (
            [(1, [2, 3]), (1, (2, 3)), 3],
            r"\(1, \[2, 3\]\) and \(1, \(2, 3\)\) are both written \[1,\[2,3\]\]",
        ),
        ([(1,), [1]], r"\(1,\) and \[1\] are both written \[1\]"),
        ([{"a": (1,)}, {"a": [1]}], "are both written"),
        (["fine", object()], "has no JSON text"),
    ],
)
@pytest.mark.parametrize("kind", [CategoricalHyperparameter, OrdinalHyperparameter])
def test_unusable_choices_are_refused_with_their_hyperparameter(kind: Any, choices: Any, shown: str) -> None:
    """Bug: "an axis needs at least one text, all different", of whichever hyperparameter of a large space."""
    space = ConfigurationSpace({"depth": (1, 9)})
    space.add(kind("layers", choices))
    with pytest.raises(SpaceError, match=f"^'layers': .*{shown}"):
        canonical_lattice(space)
