"""Conditions and forbidden clauses of space files: what is wrong, what is allowed, and what to do, in our words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition

from airtune.benchmarks.measures.spaces import random_space
from airtune.grammars import (
    SpaceError,
    check_space,
    clause_check,
    space_check,
    space_from_json,
    space_grammar,
)
from airtune.grammars.clause_check import check_clauses

ITEMS = [
    {"type": "uniform_int", "name": "a", "lower": 1, "upper": 5},
    {"type": "categorical", "name": "k", "choices": ["x", "y"]},
    {"type": "uniform_float", "name": "f", "lower": 0, "upper": 1},
    {"type": "ordinal", "name": "o", "sequence": ["s", "m", "l"]},
    {"type": "uniform_int", "name": "step", "lower": 0, "upper": 10, "step": 5},
]


def eq(child: str, parent: str, value: object, kind: str = "EQ") -> dict[str, Any]:
    return {"type": kind, "child": child, "parent": parent, "value": value}


def clause(name: str, value: object, kind: str = "EQUALS") -> dict[str, Any]:
    return {"type": kind, "name": name, "value": value}


A = eq("a", "k", "x")
IN = {"type": "IN", "child": "a", "parent": "k"}
# What is wrong -> (conditions, part of the message, of what is allowed)
CONDITIONS: dict[str, tuple[list[Any], str, str]] = {
    "parent": ([eq("a", "kk", "x")], "unknown hyperparameter 'kk'", "a, f, k, o, step"),
    "child": ([eq("b", "k", "x")], "unknown hyperparameter 'b'", "a, f, k, o, step"),
    "no text": ([eq("a", "k", "x") | {"parent": 3}], "unknown hyperparameter '3'", "a, f, k, o, step"),
    "no parent": (
        [{"type": "EQ", "child": "a", "value": 1}],
        "'parent' is missing",
        "the name of a hyperparameter",
    ),
    "value": ([eq("a", "k", "z")], "'z' is no value of 'k'", "'x', 'y'"),
    "one of the values": ([{**IN, "values": ["x", "z"]}], "'z' is no value of 'k'", "'x', 'y'"),
    "list": ([eq("a", "k", ["x"])], "['x'] is no value of 'k'", "'x', 'y'"),
    "no list": ([{**IN, "values": "x"}], "'values' is missing or no list", "a list of values of 'k'"),
    "no value": ([{"type": "EQ", "child": "a", "parent": "k"}], "'value' is missing", "a value of 'k'"),
    "outside": ([eq("k", "a", 6)], "6 is no value of 'a'", "whole numbers from 1 to 5"),
    "not whole": ([eq("k", "a", 1.5)], "1.5 is no value of 'a'", "whole numbers from 1 to 5"),
    "not finite": ([eq("k", "f", 10**400)], "is no value of 'f'", "numbers from 0 to 1"),
    "truth": ([eq("k", "a", True)], "True is no value of 'a'", "whole numbers from 1 to 5"),
    "off a step": ([eq("k", "step", 4)], "4 is no value of 'step'", "0, 5, 10"),
    "itself": ([eq("a", "a", 2)], "'a' depends on itself", "a parent that is not the child"),
    "circle": ([eq("a", "k", "x"), eq("k", "a", 2)], "in a circle: ", "do not depend on the child"),
    "long circle": (
        [eq("a", "k", "x"), eq("k", "f", 0.2), eq("f", "a", 2)],
        "in a circle: ",
        "do not depend",
    ),
    "two": ([A, eq("a", "f", 0.5)], "'a' has two conditions", "one condition for each hyperparameter"),
    "order": ([eq("a", "k", "x", "GT")], "the values of 'k' have no order", "a number or an ordinal"),
    "type": ([eq("a", "k", "x", "IS")], "unknown type 'IS'", "AND, EQ, GT, IN, LT, NEQ, OR"),
    "no type": ([{"child": "a"}], "has no type", "EQ, NEQ, LT, GT, IN, AND, OR"),
    "one": ([{"type": "AND", "conditions": [A]}], "joins too few", "a list of at least 2"),
    "no parts": ([{"type": "OR"}], "joins too few", "a list of at least 2"),
    "part": ([{"type": "OR", "conditions": [A, 3]}], "the condition 3 has no type", "EQ, NEQ, LT"),
    "children": (
        [{"type": "AND", "conditions": [A, eq("f", "k", "y")]}],
        "several hyperparameters: a, f",
        "one child",
    ),
}
FORBIDDEN: dict[str, tuple[list[Any], str, str]] = {
    "default": (
        [clause("k", "x")],
        "the default configuration is forbidden: Forbidden: k == 'x'",
        "defaults that",
    ),
    "all": (
        [{"type": "IN", "name": "k", "values": ["x", "y"]}],
        "the default configuration is forbidden",
        "defaults",
    ),
    "value": ([clause("k", "z")], "'z' is no value of 'k'", "'x', 'y'"),
    "outside": ([clause("a", 99)], "99 is no value of 'a'", "whole numbers from 1 to 5"),
    "name": ([clause("kk", "x")], "unknown hyperparameter 'kk'", "a, f, k, o, step"),
    "no value": ([{"type": "EQUALS", "name": "k"}], "'value' is missing", "a value of 'k'"),
    "type": ([clause("k", "x", "IS")], "unknown type 'IS'", "CLAUSE_GE"),
    "order": ([clause("k", "x", "CLAUSE_LT")], "the values of 'k' have no order", "a number or an ordinal"),
    "orders": (
        [{"type": "RELATION_LT", "left": "k", "right": "a"}],
        "the values of 'k' have no order",
        "a number",
    ),
    "right": (
        [{"type": "RELATION_LT", "left": "f", "right": "b"}],
        "unknown hyperparameter 'b'",
        "a, f, k, o, step",
    ),
    "no right": (
        [{"type": "RELATION_LT", "left": "f"}],
        "'right' is missing",
        "the name of a hyperparameter",
    ),
    "part": (
        [{"type": "AND", "clauses": [clause("a", 1), clause("k", 1)]}],
        "1 is no value of 'k'",
        "'x', 'y'",
    ),
    "parts": ([{"type": "AND", "clauses": "a"}], "joins too few", "a list of at least 1"),
}


@pytest.mark.parametrize(
    ("field", "written", "message", "allowed"),
    [
        pytest.param(field, *case, id=f"{field}: {name}")
        for field, cases in (("conditions", CONDITIONS), ("forbiddens", FORBIDDEN))
        for name, case in cases.items()
    ],
)
def test_refusals(field: str, written: list[Any], message: str, allowed: str) -> None:
    """They read "ConfigSpace refuses the space: ", after which it said nothing of a circle."""
    with pytest.raises(SpaceError) as refusal:
        space_from_json(json.dumps({"hyperparameters": ITEMS, field: written}))
    assert message in refusal.value.message
    assert allowed in str(refusal.value.allowed)
    assert refusal.value.hint
    assert "ConfigSpace" not in str(refusal.value)


def test_thousands_of_choices_are_told_where_one_is_wrong_and_then_not_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bug: all were written out for every clause, right or wrong: minutes for 9,000 clauses about 10,000 choices."""
    many = [{"type": "categorical", "name": "c", "choices": [f"v{i}" for i in range(5000)]}]
    with pytest.raises(SpaceError) as refusal:
        check_clauses(many, [], [clause("c", "w")])
    allowed = str(refusal.value.allowed)
    assert allowed.startswith("'v0', 'v1', ")
    assert allowed.endswith("'v39', ... (5,000 in all)")
    monkeypatch.setattr(clause_check, "shown", None)
    check_clauses(many, [], [clause("c", f"v{i}") for i in range(4999)])


CHAIN = [{"type": "categorical", "name": f"h{i}", "choices": ["a", "b"]} for i in range(40)]


def test_conditions_on_conditions_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: ConfigSpace takes four times as long for each one more, and 20 of them hung the command."""

    def built(spec: object) -> None:
        raise AssertionError("refused before")

    written = {"hyperparameters": CHAIN, "conditions": [eq(f"h{i}", f"h{i - 1}", "a") for i in range(1, 40)]}
    monkeypatch.setattr(ConfigurationSpace, "from_serialized_dict", built)
    with pytest.raises(SpaceError, match="'h12' is the 13th in a row") as refusal:
        space_from_json(json.dumps(written))
    assert (refusal.value.value, refusal.value.allowed) == ("h12", "up to 12 within each other")
    assert refusal.value.hint


def test_a_space_of_python_is_no_deeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a study file holds is read as JSON: a search must not begin that nobody could go on with."""
    monkeypatch.setattr(space_check, "DEEPEST", 3)
    space = space_from_json(
        json.dumps({"hyperparameters": CHAIN[:4], "conditions": [eq("h1", "h0", "a"), eq("h2", "h1", "a")]})
    )
    check_space(space)
    space.add(EqualsCondition(space["h3"], space["h2"], "a"))
    for call in (check_space, space_grammar):
        with pytest.raises(SpaceError, match="'h3' is the 4th in a row"):
            call(space)


def test_what_is_right_stays() -> None:
    conditions = [
        {
            "type": "AND",
            "conditions": [
                eq("f", "o", "s", "GT"),
                {"type": "IN", "child": "f", "parent": "a", "values": [1, 2]},
            ],
        },
        eq("k", "step", 5, "NEQ"),
    ]
    forbiddens = [
        {"type": "AND", "clauses": [clause("o", "m", "CLAUSE_GE"), clause("a", 1)]},
        {"type": "RELATION_EQ", "left": "a", "right": "step"},
    ]
    written = {"hyperparameters": ITEMS, "conditions": conditions, "forbiddens": forbiddens}
    space = space_from_json(json.dumps(written))
    assert (len(space.conditions), len(space.forbidden_clauses)) == (3, 2) or len(
        space.forbidden_clauses
    ) == 2


def test_whatever_configspace_writes_is_read() -> None:
    """Studies keep their spaces so: none that was searched may become unreadable."""
    for seed in range(60):
        space = random_space(np.random.default_rng(seed), max_size=6)
        read = space_from_json(json.dumps(space.to_serialized_dict()))
        assert len(read.conditions) == len(space.conditions)
        assert len(read.forbidden_clauses) == len(space.forbidden_clauses)
