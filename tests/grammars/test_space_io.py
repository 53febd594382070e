"""Spaces from JSON: both forms, and every kind of bad input named with value, allowed and fix."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import ConfigSpace as CS
import pytest

from airtune.grammars import SpaceError, check_space, read_space, space_from_json, space_grammar
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
    ('{"x": {"type": "categorical", "choices": ["a", "a"]}}', "ConfigSpace refuses"),
    ('{"x": {"type": "categorical", "choices": ["a"], "default": "b"}}', "ConfigSpace refuses"),
    ('{"x": {"type": "categorical", "choices": ["a"], "default": "b\u2028c"}}', "c' which is not in"),
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
