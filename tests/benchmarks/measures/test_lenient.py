"""The lenient reader, and what it makes of an answer: the texts that models write, and any text."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenLessThanRelation,
    Integer,
    OrdinalHyperparameter,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from airtune.benchmarks.measures.lenient import choice_in, number_in, read_answer
from airtune.benchmarks.measures.spaces import random_space
from airtune.benchmarks.measures.verdicts import KINDS, judge
from airtune.grammars import space_grammar


@lru_cache(maxsize=1)
def net() -> ConfigurationSpace:
    """A condition, a clause, a relation, a constant, an ordinal, a flag, a choice that is None."""
    space = ConfigurationSpace()
    solver = Categorical("solver", ["adam", "sgd"])
    momentum = Float("momentum", (0.0, 0.99))
    depth, width = Integer("max_depth", (1, 8)), OrdinalHyperparameter("width", [16, 32, 64])
    space.add(Float("learning_rate", (1e-5, 1.0), log=True), solver, momentum, depth, width)
    space.add(
        Constant("seed", 3), Categorical("warm", [True, False]), Categorical("weight", [None, "balanced"])
    )
    space.add(EqualsCondition(momentum, solver, "sgd"))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(width, 64), ForbiddenEqualsClause(depth, 8)))
    return space


@lru_cache(maxsize=1)
def two() -> ConfigurationSpace:
    return ConfigurationSpace({"C": Float("C", (1e-3, 1e3), log=True), "n_layers": (1, 2000)})


PAIR = {"C": 0.5, "n_layers": 3}
READ_AS_PAIR = (
    '{"C":0.5,"n_layers":3}',
    'Sure! Here it is:\n```json\n{\n  "C": 0.5,\n  "n_layers": 3\n}\n```\nGood luck.',
    '{"config": {"C": 0.5, "n_layers": 3}, "why": "it is better"}',
    '{"why": {"not": 1}} {"C": 0.5, "n_layers": 3} {"C": 7, "n_layers": 7}',
    "{'C': 0.5, 'n_layers': 3,}",
    '{"C": 0.5, "n_layers": 3',
    "{C: 0.5, n_layers: 3}",
    '{"c": "0.5", "N-Layers": "3"}',
    '{"C": [0.5], "n_layers": {"value": 3}}',
    "C = 0.5\nn_layers = 3",
    "C=.5,n_layers=3",
    "- **C**: 0.5\n- **n layers**: 3 (as before)",
    "`C` (log scale): 5e-1; `nlayers` := 3.",
    "I would set C to 5 x 10^-1, since it helped, and N_LAYERS is now set to 3 layers.",
    "C -> 1/2\nn_layers -> 3",
    "0.5,3",
    "0.5, 3 -> 0.0123",
    "[0.5, 3]",
    "The next configuration:\n| 0.5,3 |",
)


@pytest.mark.parametrize("text", READ_AS_PAIR)
def test_what_people_would_understand_is_read(text: str) -> None:
    grammar = space_grammar(two())
    found = judge(text, two(), ())
    assert (found.kind, found.reason) == ("new", "")
    assert found.text == grammar.encode(grammar.snap(PAIR))


@pytest.mark.parametrize(
    "text",
    ["", "{", "No.", "learning", "abC: 3", "{}", '{"D": 1}', "1,2,3", "high,low", "\x00", "C is\n", "[1]"],
)
def test_what_nobody_would_understand_is_not(text: str) -> None:
    assert judge(text, two(), ()).kind == "unreadable"


GOOD = {
    "learning_rate": 0.01,
    "solver": "sgd",
    "momentum": 0.9,
    "max_depth": 3,
    "width": 32,
    "seed": 3,
    "warm": True,
    "weight": None,
}


def changed(**changes: Any) -> str:
    return json.dumps({key: value for key, value in {**GOOD, **changes}.items() if value != "left out"})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("new", changed()),
        ("new", changed(seed="left out")),  # there is nothing to choose
        ("new", changed(solver=" SGD", warm="yes", weight="none", width="64", extra="passed over")),
        ("new", changed(solver="adam", momentum=None)),  # not active, and said to be nothing
        ("new", changed(solver="adam", momentum="left out")),
        ("new", "0.01,3,sgd,0.9,true,none,32 -> 0.5"),
        ("new", "0.01,3,adam,-,true,none,32"),
        ("snapped", changed(learning_rate=0.0123456)),
        ("snapped", changed(max_depth=3.4)),
        ("missing", changed(max_depth="left out")),
        ("missing", changed(max_depth=None)),
        (
            "missing",
            changed(max_depth="left out", learning_rate=7, solver="rmsprop"),
        ),  # the first that applies
        ("type", changed(solver="rmsprop", learning_rate=7)),
        ("type", changed(max_depth="deep")),
        ("type", changed(max_depth=True)),
        ("type", changed(learning_rate=float("nan"))),
        ("type", changed(width=48)),
        ("type", changed(seed=4)),
        ("type", changed(momentum=[0.1, 0.9])),
        ("range", changed(learning_rate=7)),
        ("range", changed(learning_rate=0)),
        ("range", changed(learning_rate=1e400)),
        ("range", changed(max_depth=10**400)),
        ("range", changed(max_depth=8.4)),
        ("rules", changed(solver="adam")),  # with a momentum
        ("rules", changed(width=64, max_depth=8)),
    ],
)
def test_every_kind_of_answer(kind: str, text: str) -> None:
    found = judge(text, net(), ())
    assert found.kind == kind
    assert (found.text is not None) == (kind in ("new", "snapped"))
    assert bool(found.reason) == (kind not in ("new", "snapped"))


def test_a_fault_is_told_in_words() -> None:
    wanted = {
        changed(learning_rate=7): '"learning_rate" must be from 1e-5 to 1e0, not 7',
        changed(solver="rmsprop"): '"solver" cannot be "rmsprop"',
        changed(max_depth="left out"): '"max_depth" is missing',
        changed(solver="adam"): '"momentum" is not active here',
        changed(width=64, max_depth=8): "this combination is forbidden",
    }
    assert {text: judge(text, net(), ()).reason for text in wanted} == wanted


def test_what_was_tried_is_a_repeat_however_it_is_written() -> None:
    tried = judge('{"C":0.5,"n_layers":3}', two(), ()).text
    assert tried is not None
    for text in ("C=5e-1, n_layers=3.0", '{"C":0.50001,"n_layers":3}'):  # the second differs off the lattice
        found = judge(text, two(), {tried})
        assert (found.kind, found.text) == ("repeated", tried)
    assert judge('{"C":0.501,"n_layers":3}', two(), {tried}).kind == "new"


def test_a_relation_is_checked_before_a_number_is_moved() -> None:
    """The lattice's nearest configuration that is allowed would be another one than was asked for."""
    space = ConfigurationSpace({"a": (1, 9), "b": (1, 9)})
    space.add(ForbiddenLessThanRelation(space["a"], space["b"]))
    assert judge("a=3,b=4", space, ()).kind == "rules"
    assert judge("a=4,b=3", space, ()).kind == "new"


def test_names_that_differ_by_case_alone_are_taken_as_written() -> None:
    space = ConfigurationSpace({"c": (0, 9), "C": (0, 9)})
    assert read_answer("C: 1, c: 2", space) == {"C": "1", "c": "2"}
    assert read_answer('{"C": 1}', space) == {"C": 1}


def test_a_name_within_another_is_not_meant() -> None:
    space = ConfigurationSpace({"depth": (0, 9), "max_depth": (0, 9), "x1": (0, 9), "x10": (0, 99)})
    assert read_answer("max_depth=1, depth=2, x10=30, x1=4", space) == {
        "depth": "2", "max_depth": "1", "x1": "4", "x10": "30",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3), ("-3.", -3), (".5", 0.5), ("1e-3", 1e-3), ("1E+3", 1e3), ("+2", 2), ("− 2", -2), ("10^-3", 1e-3),
        ("10**-3", 1e-3), ("2x10^3", 2e3), ("2 · 10^{-3}", 2e-3), ("1.5 × 10⁻³", 1.5e-3), ("1/8", 0.125),
        ("50%", 0.5), ("1,024", 1024), ("12_000.5", 12000.5), ("~3", 3), ("64 units", 64), ("2^6", 64),
        ("1e999", np.inf), ("9^999999", np.inf), ("-1e999", -np.inf), ("1/0", None), ("0^-1", None), ("0x1f", None),
        ("3rd", None), ("1.2.3", None), ("high", None),
        ("", None), ("nan", None), ("1.5e", None), ("x", None), ("9" * 5000, 10**400),
    ],
)  # fmt: skip
def test_numbers_in_any_notation(text: str, number: float | None) -> None:
    found = number_in(text)
    if number == 10**400:  # as many digits as are looked at
        assert found is not None
        assert found > 10**300
    else:
        assert found == (None if number is None else pytest.approx(number))


def test_choices_are_told_apart_as_they_are() -> None:
    assert [choice_in(value, [1, True, "1"]) for value in (1, True, "1", 1.0)] == [0, 1, 2, 0]
    assert choice_in("l1_ratio, since", ["l1", "l1_ratio"]) == 1
    assert choice_in("l1, since", ["l1", "l1_ratio"]) == 0
    assert choice_in([1, 2], [(1, 2), (3,)]) == 0
    assert choice_in("Adam.", ["sgd", "adam"]) == 1
    assert choice_in("adamw", ["sgd", "adam"]) is None


PIECES = (
    "C", "n_layers", "momentum", "solver", "adam", "learning rate", '"', "'", "{", "}", "[", "]", "(", ":", "=", ",",
    "->", "1e", "10^", "```", "\\u00", "-", "null", "NaN", "Infinity", "%", "x",
)  # fmt: skip
fragments = st.sampled_from([*READ_AS_PAIR, *PIECES, "|", "\n", "9" * 400, "\ud800"])


@settings(max_examples=150)
@given(st.one_of(st.text(), st.lists(st.one_of(fragments, st.text(max_size=3)), max_size=30).map("".join)))
def test_any_text_has_a_verdict(text: str) -> None:
    for space in (two(), net()):
        found = judge(text, space, ())
        assert found.kind in KINDS
        if found.text is not None:
            assert space_grammar(space).accepts(found.text)


@pytest.mark.parametrize(
    "text",
    ['{"C":' * 20_000, "{" * 20_000, "[" * 20_000, "C" * 20_000, "C: " * 5_000, "1," * 20_000, "-" * 20_000],
)
def test_texts_that_go_on_and_on(text: str) -> None:
    assert judge(text, two(), ()).kind in ("unreadable", "missing", "type")


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_grammar_accepts_is_valid_and_read_as_the_same(seed: int) -> None:
    """The judge of free text has nothing against any answer that was made under a grammar, in any space."""
    rng = np.random.default_rng(seed)
    space = random_space(rng, max_size=5)
    grammar = space_grammar(space)
    for _ in range(5):
        text = grammar.encode(grammar.sample(rng))
        found = judge(text, space, ())
        assert (found.kind, found.text) == ("new", text) or (found.kind == "rules" and grammar.approximate)


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_so_it_is_without_quotes_and_braces(seed: int) -> None:
    """Python's notation, of names and choices that are plain words."""
    rng = np.random.default_rng(seed)
    grammar = space_grammar(net())
    config = grammar.sample(rng)
    text = "\n".join(f"* {name.upper()} = {value}" for name, value in config.items())
    assert judge(text, net(), ()).text == grammar.encode(config)
