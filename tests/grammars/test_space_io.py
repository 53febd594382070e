"""Spaces from JSON: both forms, and every kind of bad input named with value, allowed and fix."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import ConfigSpace as CS
import pytest

from airtune.grammars import DecodeError, SpaceError, check_space, read_space, space_from_json, space_grammar
from tests.grammars.strategies import seeded_space

FLOAT = {"type": "float", "lower": 0.0, "upper": 1.0}


def _full(**changes: Any) -> str:
    item = {
        "type": "uniform_float",
        "name": "x",
        "lower": 0.0,
        "upper": 1.0,
        "default_value": 0.5,
        "log": False,
    }
    return json.dumps({"hyperparameters": [{**item, **changes}], "conditions": [], "forbiddens": []})


BAD = [
    ("{", "not valid JSON"),
    ("", "not valid JSON"),
    ("[]", "not a JSON object"),
    ("3", "not a JSON object"),
    ("{}", "empty"),
    ('{"hyperparameters": []}', "empty"),
    ('{"x": {"type": "float", "lower": 2, "upper": 1}}', "lower bound 2 is not below the upper bound 1"),
    ('{"x": {"type": "float", "lower": 1, "upper": 1}}', "not below"),
    ('{"x": {"type": "float", "lower": NaN, "upper": 1}}', "NaN"),
    ('{"x": {"type": "float", "lower": 0, "upper": Infinity}}', "Infinity"),
    ('{"x": {"type": "float", "lower": 0, "upper": 1e999}}', "upper bound is inf"),
    ('{"x": {"type": "float", "lower": "0", "upper": 1}}', "lower bound is '0'"),
    ('{"x": {"type": "float", "lower": true, "upper": 2}}', "lower bound is True"),
    ('{"x": {"type": "float", "lower": 0, "upper": 1, "log": true}}', "log scale cannot start at 0"),
    ('{"x": {"type": "int", "lower": -1, "upper": 9, "log": true}}', "log scale cannot start at -1"),
    ('{"x": {"type": "float", "lower": 0, "upper": 1, "log": "yes"}}', "log is 'yes'"),
    ('{"x": {"type": "flaot", "lower": 0, "upper": 1}}', "unknown type 'flaot'"),
    ('{"x": {"lower": 0, "upper": 1}}', "has no type"),
    ('{"x": 3}', "has no type"),
    ('{"x": {"type": "float", "lower": 0, "uper": 1}}', "unknown field 'uper'"),
    ('{"x": {"type": "float", "lower": 0}}', "'upper' is missing"),
    ('{"x": {"type": "float", "lower": 0, "upper": 1, "default": 2}}', "default 2 is outside"),
    ('{"x": {"type": "int", "lower": 0.5, "upper": 3}}', "lower is 0.5"),
    ('{"x": {"type": "categorical", "choices": []}}', "choices is []"),
    ('{"x": {"type": "categorical", "choices": "ab"}}', "choices is 'ab'"),
    ('{"x": {"type": "categorical", "choices": ["a", "a"]}}', "the choice 'a' is given twice"),
    (
        '{"x": {"type": "categorical", "choices": ["a"], "default": "b"}}',
        "default 'b' is none of the choices",
    ),
    ('{"x": {"type": "categorical", "choices": ["a"], "default": "b\u2028c"}}', "is none of the choices"),
    (
        '{"x": {"type": "int", "lower": 0, "upper": 1}, "x": {"type": "int", "lower": 0, "upper": 1}}',
        "'x' is given twice",
    ),
    ('{"hyperparameters": [{"type": "constant", "value": 1}]}', "no name"),
    (
        '{"hyperparameters": [{"name": "a", "type": "constant", "value": 1},'
        ' {"name": "a", "type": "constant", "value": 2}]}',
        "'a' is given twice",
    ),
    (
        '{"hyperparameters": [{"name": "a", "type": "constant", "value": 1}], "condition": []}',
        "unknown field 'condition'",
    ),
    ('{"hyperparameters": [{"name": "a", "type": "constant", "value": 1}], "conditions": 3}', "not a list"),
    (
        '{"hyperparameters": [{"name": "alpha", "type": "constant", "value": 1}],'
        ' "conditions": [{"type": "EQ", "child": "alpha", "parent": "alhpa", "value": 1}]}',
        "alhpa",
    ),
    ('{"x": {"type": "float", "lower": 1e-15, "upper": 1e-6, "log": true}}', "1e-15 is finer than the 13"),
    ('{"x": {"type": "float", "lower": 1e-300, "upper": 1e12, "log": true}}', "1e-300 is finer than"),
    ('{"x": {"type": "float", "lower": 0, "upper": 1e-14}}', "1e-14 is finer than"),
    ('{"x": {"type": "float", "lower": -1e308, "upper": 1e308}}', "-1e+308 to 1e+308 is too wide"),
    ('{"x": {"type": "float", "lower": 1, "upper": 1e300, "log": true}}', "is too wide"),
    ('{"x": {"type": "int", "lower": 0, "upper": 9223372036854775807}}', "is too wide for an integer"),
    ('{"x": {"type": "int", "lower": 0, "upper": 1e25}}', "is too wide for an integer"),
    ('{"x": {"type": "int", "lower": -4611686018427387904, "upper": 4611686018427387904}}', "too wide"),
    ('{"x": {"type": "int", "lower": 1, "upper": 9000000000000000000, "log": true}}', "too wide"),
    ('{"x": {"type": "int", "lower": 4611686018427387904, "upper": 4611686018427387909}}', "same number"),
    ('{"x": {"type": "float", "lower": 0, "upper": 1' + "0" * 400 + "}}", "upper bound is 100000"),
    ('{"x": {"type": "int", "lower": 0, "upper": 10, "step": 0}}', "the step is 0"),
    ('{"x": {"type": "int", "lower": 0, "upper": 10, "step": 11}}', "the step is 11"),
    ('{"x": {"type": "int", "lower": 0, "upper": 10, "step": 0.5}}', "the step is 0.5"),
    ('{"x": {"type": "int", "lower": 0, "upper": 10, "step": true}}', "the step is True"),
    ('{"x": {"type": "float", "lower": 0, "upper": 1, "q": "0.1"}}', "the step is '0.1'"),
    ('{"x": {"type": "int", "lower": 0, "upper": 10, "step": 2, "q": 2}}', "cannot be along with another"),
    ('{"x": {"type": "float", "lower": 1, "upper": 10, "step": 1, "log": true}}', "cannot be along with log"),
    ('{"x": {"type": "normal_int", "mu": 3, "sigma": 1, "lower": 0, "upper": 9, "q": 3}}', "with normal_int"),
    ('{"x": {"type": "float", "lower": 0, "upper": 1, "step": 1e-9}}', "makes 1,000,000,001 levels"),
    (
        '{"x": {"type": "int", "lower": 0, "upper": 10, "step": 5, "default": 4}}',
        "default 4 is not on a step",
    ),
    (json.dumps({"x": {"type": "categorical", "choices": list(range(10_001))}}), "has 10,001 choices"),
    ('{"x": {"type": "categorical", "choices": ["a", null, null]}}', "choice None is given twice"),
    ('{"x": {"type": "ordinal", "sequence": [1, 2, 1.0]}}', "choice 1.0 is given twice"),
    ('{"x": {"type": "ordinal", "sequence": [1, 2], "default": 3}}', "default 3 is none of the sequence"),
    ('{"x": {"type": "categorical", "choices": ["a", "b"], "weights": [1]}}', "weights is [1]"),
    ('{"x": {"type": "categorical", "choices": ["a", "b"], "weights": [0, 0]}}', "weights is [0, 0]"),
    ('{"x": {"type": "normal_float", "mu": 0, "sigma": 0, "lower": 0, "upper": 1}}', "sigma is 0"),
    ('{"x": {"type": "beta_float", "alpha": 0.5, "beta": 2, "lower": 0, "upper": 1}}', "alpha is 0.5"),
    (_full(lower=float("inf")), "Infinity"),
    (_full(lower=3.0), "not below"),
    (_full(type="uniform"), "unknown type 'uniform'"),
    (_full(lowest=1), "unknown field 'lowest'"),
    (_full(log=True), "log scale cannot start"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_space(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space_from_json(text)
    assert message in caught.value.message
    assert caught.value.allowed, "says what is allowed"
    assert caught.value.hint, "says how to fix it"
    assert "ConfigSpace" not in caught.value.message
    assert len(str(caught.value)) < 1000


def test_unknown_type_suggests_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'float'"):
        space_from_json('{"x": {"type": "flaot", "lower": 0, "upper": 1}}')


def test_short_form() -> None:
    space = space_from_json(
        '{"lr": {"type":"float","lower":1e-5,"upper":1e-1,"log":true,"default":1e-3},'
        ' "depth": {"type":"int","lower":1,"upper":8},'
        ' "act": {"type":"categorical","choices":["relu","tanh"]},'
        ' "size": {"type":"ordinal","sequence":["s","m"]}, "seed": {"type":"constant","value":7}}'
    )
    assert dict(space.get_default_configuration())["lr"] == 1e-3
    assert space_grammar(space).accepts('{"act":"tanh","depth":8,"lr":1e-5,"seed":7,"size":"m"}')


@pytest.mark.parametrize("seed", range(25))
def test_configspace_form_round_trips(seed: int, tmp_path: Path) -> None:
    space = seeded_space(seed, max_size=6)
    path = tmp_path / "space.json"
    space.to_json(path)
    again = read_space(path)
    assert space_grammar(again).hash == space_grammar(space).hash
    buffer = io.StringIO()
    again.to_json(buffer)
    assert buffer.getvalue() == path.read_text()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="cannot read the space file"):
        read_space(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'{"gr\xf6\xdfe": 1}')
    with pytest.raises(SpaceError, match="cannot read the space file"):
        read_space(tmp_path / "latin.json")


def test_programmatic_spaces_are_checked() -> None:
    with pytest.raises(SpaceError, match="empty"):
        check_space(CS.ConfigurationSpace())
    with pytest.raises(SpaceError, match="empty"):
        space_grammar(CS.ConfigurationSpace())
    with pytest.raises(SpaceError, match="not a search space"):
        check_space({"x": (0, 1)})  # type: ignore[arg-type]
    with pytest.raises(SpaceError, match="not valid Unicode"):
        check_space(CS.ConfigurationSpace({"\ud800": [1, 2]}))


@pytest.mark.parametrize(
    ("fields", "levels"),
    [
        ('"int", "lower": 0, "upper": 10, "step": 2', [0, 2, 4, 6, 8, 10]),
        ('"int", "lower": 1, "upper": 10, "q": 4', [1, 5, 9]),
        ('"int", "lower": -6.0, "upper": 6.0, "step": 3.0', [-6, -3, 0, 3, 6]),
        ('"float", "lower": 0.1, "upper": 0.5, "step": 0.1', [0.1, 0.2, 0.3, 0.4, 0.5]),
        ('"float", "lower": 0, "upper": 1, "q": 0.25, "log": false', [0.0, 0.25, 0.5, 0.75, 1.0]),
        ('"float", "lower": 1e-15, "upper": 3e-15, "step": 1e-15', [1e-15, 2e-15, 3e-15]),
        ('"int", "lower": 4611686018427387905, "upper": 4611686018427387909, "step": 2',
         [2**62 + 1, 2**62 + 3, 2**62 + 5]),
    ],
)  # fmt: skip
def test_a_step_is_the_ordinal_that_it_means(fields: str, levels: list[Any]) -> None:
    """`step` was an unknown field. In floats, 0.1 + 2 * 0.1 is not 0.3."""
    space = space_from_json(f'{{"x": {{"type": {fields}}}}}')
    grammar = space_grammar(space)
    values = [grammar.nth(rank)["x"] for rank in range(grammar.count())]
    assert values == levels
    assert [type(value) for value in values] == [type(level) for level in levels]
    assert space["x"].default_value == levels[(len(levels) - 1) // 2]


def test_a_step_that_is_none() -> None:
    """Older ConfigSpace writes `"q": null`."""
    space = space_from_json(
        '{"a": {"type": "int", "lower": 0, "upper": 9, "step": 1}, "b": {"type": "float", "lower": 0, "upper": 1,'
        ' "q": null}, "c": {"type": "int", "lower": 0, "upper": 10, "step": 5, "default": 10}}'
    )
    assert [type(hp).__name__ for hp in space.values()] == [
        "UniformIntegerHyperparameter", "UniformFloatHyperparameter", "OrdinalHyperparameter",
    ]  # fmt: skip
    assert space["c"].default_value == 10


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-math.pi, math.pi), (0.1 + 0.2, 1.0), (0.0, 972500000.0), (1.0, 5.666e17), (1 / 3, 2 / 3)],
)
def test_bounds_of_floats_are_those_of_the_file(lower: float, upper: float) -> None:
    """ConfigSpace rounds them, to the outside too: a grammar of pi said 3.1415926535898, which is more."""
    space = space_from_json(
        json.dumps({"x": {"type": "float", "lower": lower, "upper": upper, "default": upper}})
    )
    for log in (False, True)[: 2 if lower > 0 else 1]:
        grammar = space_grammar(
            space_from_json(json.dumps({"x": {"type": "float", "lower": lower, "upper": upper, "log": log}}))
        )
        first, last = grammar.nth(0)["x"], grammar.nth(grammar.count() - 1)["x"]
        assert lower <= first < last <= upper
        assert (first, last) == pytest.approx((lower, upper), rel=1e-12)
    assert space["x"].default_value <= upper


@pytest.mark.parametrize(
    ("lower", "upper"), [(2**53 + 1, 2**53 + 5), (0, 2**62 - 1), (-(2**62), 5), (7, 2**63 - 513)]
)
@pytest.mark.parametrize("log", [False, True])
def test_integers_are_exact(lower: int, upper: int, log: bool) -> None:
    """Their bounds went through a float: 2**53 + 1 became 2**53, below what was declared."""
    if log and not (0 < lower < upper / 2 < 2**61):
        return
    text = json.dumps(
        {"x": {"type": "int", "lower": lower, "upper": upper, "log": log, "default": upper - 1}}
    )
    space = space_from_json(text)
    grammar = space_grammar(space)
    assert grammar.count() == upper - lower + 1
    assert [grammar.nth(rank)["x"] for rank in (0, 1, grammar.count() - 1)] == [lower, lower + 1, upper]
    assert grammar.encode({"x": upper - 1}) == f'{{"x":{upper - 1}}}'
    assert dict(space.get_default_configuration()) == {"x": upper - 1}
    assert space_grammar(space_from_json(json.dumps(space.to_serialized_dict()))).hash == grammar.hash


def test_a_byte_order_mark_is_no_part_of_the_space(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"x": FLOAT}).encode())
    assert list(read_space(path)) == ["x"]
    path.write_bytes(json.dumps({"x": FLOAT}).encode("utf-16"))
    with pytest.raises(SpaceError, match="cannot read") as caught:
        read_space(path)
    assert "UTF-8" in str(caught.value.allowed)


def test_files_of_configspace_before_1_0_are_read() -> None:
    """Files of ConfigSpace 0.4 to 0.7 were refused: an unknown type, an unknown field, or ConfigSpace's raw words."""
    number = {"type": "uniform_int", "log": False, "lower": 1, "upper": 9}
    file = {
        "hyperparameters": [
            {"name": "k", "type": "unparametrized", "value": "fixed"},
            {"name": "c", "type": "categorical", "choices": ["a", "b"], "default": "a", "probabilities": None},
            {"name": "d", "type": "categorical", "choices": ["a", "b"], "default": "b", "probabilities": [0.25, 0.75]},
            {"name": "e", "type": "ordinal", "sequence": ["s", "m", "l"], "default": None},
            {**number, "name": "m", "default": 3, "q": None},
            {**number, "name": "n", "default": 3, "q": None},
        ],
        "conditions": [],
        "forbiddens": [
            {"left": "m", "right": "n", "type": "RELATION", "lambda": "LESS"},
            {
                "name": "c",
                "type": "AND",
                "clauses": [
                    {"name": "c", "type": "EQUALS", "value": "b"},
                    {"left": "m", "right": "n", "type": "RELATION", "lambda": "GREATER"},
                ],
            },
        ],
        "python_module_version": "0.6.1",
        "json_format_version": 0.4,
    }  # fmt: skip
    space = space_from_json(json.dumps(file))
    assert space["k"].value == "fixed"
    assert (space["c"].weights, space["d"].weights) == (None, (0.25, 0.75))
    assert space["e"].default_value == "s"
    kept = {**space.get_default_configuration()}
    for m, n, c, allowed in ((3, 4, "a", False), (4, 3, "a", True), (4, 3, "b", False), (3, 3, "b", True)):
        config = {**kept, "m": m, "n": n, "c": c}
        assert (space_grammar(space).encode(config) is not None) if allowed else _forbidden(space, config)


def _forbidden(space: CS.ConfigurationSpace, config: dict[str, Any]) -> bool:
    with pytest.raises(DecodeError):
        space_grammar(space).encode(config)
    return True


@pytest.mark.parametrize("given", [{}, {"lambda": "CALLABLE"}, {"lambda": "<"}, {"lambda": ["LT"]}])
def test_a_relation_of_no_known_comparison(given: dict[str, Any]) -> None:
    """It was ConfigSpace's "Unknown lambda", or KeyError's 'lambda', without what is allowed."""
    items = {name: {"type": "int", "lower": 1, "upper": 9, "name": name} for name in "ab"}
    clause = {"type": "RELATION", "left": "a", "right": "b", **given}
    file = {"hyperparameters": list(items.values()), "forbiddens": [clause]}
    with pytest.raises(SpaceError, match=r"(?s)'lambda' is .*LT, EQ, GT"):
        space_from_json(json.dumps(file))


@pytest.mark.parametrize(
    "fields",
    [
        {**FLOAT, "default": None},
        {"type": "int", "lower": 1, "upper": 3, "default_value": None},
        {"type": "categorical", "choices": ["a", "b"], "default": None},
        {"type": "categorical", "choices": ["a", "b"], "weights": None, "default_value": None},
        {"type": "ordinal", "sequence": [1, 2], "default": None},
        {"type": "normal_float", "mu": 0.5, "sigma": 1, "lower": 0, "upper": 1, "default": None},
    ],
)
def test_a_default_of_null_is_none(fields: dict[str, Any]) -> None:
    """An ordinal's was refused in ConfigSpace's words; those of other kinds were left out."""
    without = {key: value for key, value in fields.items() if not key.startswith("default")}
    space, plain = (space_from_json(json.dumps({"x": one})) for one in (fields, without))
    assert space["x"].default_value == plain["x"].default_value


def test_a_default_of_null_among_choices_is_that_choice() -> None:
    space = space_from_json(json.dumps({"x": {"type": "ordinal", "sequence": ["a", None], "default": None}}))
    assert space["x"].default_value is None
