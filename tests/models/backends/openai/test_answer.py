"""Reading configurations from free text: what is a configuration, what is not, and what the model is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ConfigSpace import (
    AndConjunction,
    Categorical,
    Configuration,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    InCondition,
    Integer,
    OrdinalHyperparameter,
)

from airtune.grammars import DecodeError, space_grammar
from airtune.models import ModelError
from airtune.models.backends.openai.answer import read_answer, strict_schema


def rich() -> ConfigurationSpace:
    space = ConfigurationSpace()
    kernel = Categorical("kernel", ["rbf", "linear", "poly"])
    gamma = Float("gamma", (1e-4, 1.0), log=True)
    degree = Integer("degree", (2, 5))
    flag = Categorical("flag", [True, False])
    size = OrdinalHyperparameter("size", [1, 2.5, "many", None])
    space.add(kernel, gamma, degree, flag, size, Constant("fixed", "x"))
    space.add(InCondition(gamma, kernel, ["rbf", "poly"]))
    space.add(AndConjunction(EqualsCondition(degree, kernel, "poly"), EqualsCondition(degree, flag, True)))
    space.add(
        ForbiddenAndConjunction(ForbiddenEqualsClause(kernel, "linear"), ForbiddenEqualsClause(flag, True))
    )
    return space


SPACE = rich()
GRAMMAR = space_grammar(SPACE)
RBF = {"kernel": "rbf", "gamma": 0.01, "flag": False, "size": "many", "fixed": "x"}


def read(config: object, grammar: object = GRAMMAR) -> dict[str, object]:
    text = config if isinstance(config, str) else json.dumps(config)
    return GRAMMAR.decode(read_answer(text, GRAMMAR))


def test_any_json_of_a_configuration_is_read() -> None:
    """Whatever the layout, the order of the keys and the spelling of the numbers; every one is ConfigSpace's."""
    rng = np.random.default_rng(0)
    for i in range(200):
        config = GRAMMAR.sample(rng)
        shuffled = {name: config[name] for name in rng.permutation(list(config)).tolist()}
        text = json.dumps(shuffled, indent=int(rng.integers(0, 4)))
        assert read(f"Answer {i}: {text} done") == config
        nulls = {name: None for name in SPACE if name not in config} | shuffled
        assert read(nulls) == config
        Configuration(SPACE, values=config)


def test_numbers_are_rounded_to_the_search_s_resolution_and_nothing_else_is_changed() -> None:
    assert read(RBF | {"gamma": 0.0123456}) == RBF | {"gamma": 0.0123}
    assert read({"kernel": "poly", "gamma": 1, "degree": 3.0, "flag": True, "size": 1.0, "fixed": "x"}) == {
        "kernel": "poly", "gamma": 1.0, "degree": 3, "flag": True, "size": 1, "fixed": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gamma": 1.0000001}, "'gamma' cannot be 1.0000001; it is a number from 0.0001 to 1.0"),
        ({"gamma": 0}, "'gamma' cannot be 0"),
        ({"gamma": "0.1"}, "'gamma' cannot be '0.1'"),
        ({"gamma": True}, "'gamma' cannot be True"),
        ({"gamma": [0.1]}, "'gamma' cannot be"),
        ({"gamma": None}, "'gamma' must be given: with the other values it is active"),
        ({"kernel": "sigmoid"}, "'kernel' cannot be 'sigmoid'; it is one of"),
        ({"kernel": None}, "'kernel' cannot be None"),
        ({"kernel": "linear"}, "'gamma' must be left out: with the other values it is not active"),
        ({"kernel": "poly", "flag": True}, "'degree' must be given"),
        ({"kernel": "poly", "flag": True, "degree": 2.5}, "a whole number from 2 to 5"),
        ({"kernel": "poly", "flag": True, "degree": 6}, "a whole number from 2 to 5"),
        ({"flag": 1}, "'flag' cannot be 1"),
        ({"size": True}, "'size' cannot be True"),
        ({"fixed": "y"}, "'fixed' cannot be 'y'"),
        ({"momentum": 0.9}, "there is no hyperparameter 'momentum'; there are "),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], said: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(RBF | change)
    assert said in caught.value.message


def test_forbidden_combinations() -> None:
    with pytest.raises(DecodeError, match="combination"):
        read({"kernel": "linear", "flag": True, "size": 1, "fixed": "x"})


def test_missing_ones_are_all_named() -> None:
    with pytest.raises(DecodeError, match="must be given") as caught:
        read({"kernel": "rbf", "gamma": 0.1})
    assert all(repr(name) in caught.value.message for name in ("flag", "size", "fixed"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I cannot help with that.", "no JSON object"),
        ("", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"kernel": "rbf", ', "broken"),
        ('{"kernel": rbf}', "broken"),
        ('{"gamma": NaN}', "NaN is not a number"),
        ('{"gamma": -Infinity}', "-Infinity is not a number"),
        ('{"gamma": 1, "gamma": 0.1}', "'gamma' is given twice"),
        ('{"gamma": 1e999}', "cannot be inf"),
        ('{"gamma": ' + "9" * 5000 + "}", "more than a configuration"),
        ('{"gamma": ' * 5000, ""),
        ("{" * 100_000, ""),
        ('{"\ud800": 1}', "there is no hyperparameter"),
    ],
)
def test_texts_that_hold_no_configuration(text: str, said: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(text)
    assert said in caught.value.message


def test_the_last_object_counts() -> None:
    first, last = json.dumps(RBF), json.dumps(RBF | {"gamma": 0.5})
    assert read(f"{first} was bad, so {last}") == RBF | {"gamma": 0.5}


def test_a_null_that_is_a_choice_is_a_value() -> None:
    assert read(RBF | {"size": None})["size"] is None
    space = ConfigurationSpace()
    a, b = Categorical("a", ["x", "y"]), Categorical("b", [None, "z"])
    space.add(a, b, EqualsCondition(b, a, "x"))
    grammar = space_grammar(space)
    assert grammar.decode(read_answer('{"a": "x", "b": null}', grammar)) == {"a": "x", "b": None}


def test_the_strict_schema_accepts_exactly_the_right_types() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = strict_schema(SPACE)
    validator = jsonschema.Draft202012Validator(schema)
    rng = np.random.default_rng(1)
    for _ in range(100):
        config = GRAMMAR.sample(rng)
        validator.validate({name: config.get(name) for name in SPACE})
    for bad in ({"kernel": "sigmoid"}, {"flag": "true"}, {"gamma": "0.1"}, {"extra": 1}):
        whole = {name: RBF.get(name) for name in SPACE} | bad
        assert not validator.is_valid(whole)
    assert "null where it is not active" in schema["properties"]["gamma"]["description"]
    assert schema["properties"]["size"]["enum"] == [1, 2.5, "many", None]


def test_choices_that_a_strict_schema_cannot_hold() -> None:
    space = ConfigurationSpace()
    space.add(Categorical("layers", [(64, 64), (128,)]))
    with pytest.raises(ModelError, match="'layers' has no place in a strict JSON schema"):
        strict_schema(space)
