"""The language of a program space: exactly the texts that its rules derive, each once."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from airtune.grammars import AirtuneError, DecodeError, program_space, space_grammar, violation
from airtune.grammars.programs import ProgramSpace, read_rules
from tests.grammars.programs.oracle import TooMany, derivations
from tests.grammars.programs.strategies import space_texts
from tests.grammars.strategies import mutations

FIXED = settings(derandomize=True, max_examples=150, suppress_health_check=list(HealthCheck))


def made(text: str) -> tuple[ProgramSpace | None, list[str]]:
    """The space, None if it is refused as ambiguous; and its derivations."""
    rules = read_rules(text)
    try:
        listed = derivations(rules)
    except TooMany:
        listed = []
    assume(listed)
    try:
        return ProgramSpace(rules), listed
    except AirtuneError as error:
        refusal = error
    assume("leaves nothing open" not in refusal.message and "never used" not in refusal.message)
    assert "ambiguous" in refusal.message, refusal
    assert listed.count(str(refusal.value)) > 1
    return None, listed


@FIXED
@given(space_texts())
def test_the_programs_are_those_that_the_rules_derive(text: str) -> None:
    """And a space is refused exactly if one of them has two derivations."""
    space, listed = made(text)
    assert (space is None) == (len(set(listed)) < len(listed))
    if space is None:
        return
    assert space.count() == len(listed)
    grammar = space.grammar()
    assert {grammar.encode(grammar.nth(i)) for i in range(len(listed))} == set(listed)
    known, expression = set(listed), re.compile(grammar.regex())
    rng = np.random.default_rng(0)
    for source in listed[:: max(1, len(listed) // 20)]:
        config = space.decode(source)
        assert space.render(config) == source
        assert violation(space.space, config) is None
        assert len(source.encode()) <= grammar.max_length
        for near in [source, *mutations(source, rng, 10)]:
            assert space.accepts(near) == (near in known) == bool(expression.fullmatch(near)), near


@FIXED
@given(space_texts())
def test_the_search_space_has_the_same_configurations(text: str) -> None:
    """Counted and drawn by the machinery of all search spaces, which knows nothing of programs."""
    space, listed = made(text)
    assume(space is not None)
    assert space is not None
    conditional = space_grammar(space.space)
    assert conditional.count() == len(listed)
    rng = np.random.default_rng(1)
    for _ in range(10):
        config = conditional.sample(rng)
        assert space.decode(space.render(config)) == config
        assert conditional.accepts(conditional.encode(space.sample(rng)))
    assert space.accepts(space.render(space.default()))


@FIXED
@given(space_texts(), st.randoms(use_true_random=False))
def test_exclusion_is_exact(text: str, random) -> None:  # type: ignore[no-untyped-def]
    space, listed = made(text)
    assume(space is not None)
    assert space is not None
    tried = random.sample(listed, random.randint(0, min(len(listed), 12)))
    grammar = space.grammar([space.decode(source) for source in tried])
    left = set(listed) - set(tried)
    assert grammar.count() == len(left)
    assert {grammar.encode(grammar.nth(i)) for i in range(len(left))} == left
    expression = re.compile(grammar.regex()) if left else None
    for source in [*tried, *listed[:20]]:
        assert (
            grammar.accepts(source) == (source in left) == bool(expression and expression.fullmatch(source))
        )


def test_a_uniform_program_is_uniform() -> None:
    """Chi-square over 42 programs, 4200 draws; false alarm probability 1e-6 (seed fixed)."""
    from scipy.stats import chi2

    text = 'p: P = "f({a * 1..2 sep \', \'})"  a: A = "x{n}" | "y"  n: int = 1 .. 5'
    space = program_space(text)
    assert space.count() == 6 + 36
    rng, seen = np.random.default_rng(3), dict[str, int]()
    for _ in range(4200):
        source = space.render(space.sample(rng))
        seen[source] = seen.get(source, 0) + 1
    statistic = sum((n - 100) ** 2 / 100 for n in seen.values()) + 100 * (42 - len(seen))
    assert statistic < chi2.isf(1e-6, 41)


def test_a_number_may_be_followed_by_digits() -> None:
    """The longest number is not always the one: `12` and `0` is read as 1 and `20`, say."""
    space = program_space('p: P = "{n}0" | "x"  n: int = 1 .. 120')
    assert space.decode("120\n")["n"] == 12
    assert space.decode("1200\n")["n"] == 120
    assert not space.accepts("0\n")
    assert not space.accepts("12\n")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("f(1)\n", "expected 'x'"),
        ("f(x6)\n", "no value of '2.n'"),
        ("f(x5\n", "expected ', y)"),
        ("f(x5)\ng", "expected the end"),
        ("", "expected 'f("),
    ],
)
def test_what_is_wrong_with_a_text(source: str, said: str) -> None:
    space = program_space('p: P = "f(x{n})" | "f(x{n}, y)"  n: int = 1 .. 5')
    with pytest.raises(DecodeError, match=re.escape(said)):
        space.decode(source)


def test_hyperparameters_have_the_shortest_names_that_tell_them_apart() -> None:
    space = program_space(
        """
        p: P = "f({o}, {layer * 1..2 default 2}, {w})"
        o: O = adam: "adam({lr})" | sgd: "sgd({lr}, {m})"
        layer: L = "wide({w}, {w})"
        lr: float = 0.1 .. 1.0
        m: int = 1 .. 2
        w: int = [8, 16] default 16
        """
    )
    assert set(space.space) == {
        "o", "adam.lr", "sgd.lr", "m", "n_layer", "layer[1].w", "layer[1].w:2", "layer[2].w", "layer[2].w:2", "p.w"
    }  # fmt: skip
    assert space.default() == {
        "o": "adam", "adam.lr": 0.55, "n_layer": 2, "layer[1].w": 16, "layer[1].w:2": 16,
        "layer[2].w": 16, "layer[2].w:2": 16, "p.w": 16,
    }  # fmt: skip
    assert space.render(space.default()) == "f(adam(0.5500), wide(16, 16)wide(16, 16), 16)\n"


def test_lines_and_indentation() -> None:
    space = program_space(
        '''
        program: P = """
            def f(x):
                {step * 0..2}

                if {{x}}:
                    {body}
                return x
            """
        step: S = "x += {n}"
        body: S = subset
            | two: """
                for i in x:
                    {step}
                """
            | one: "pass"
        n: int = 1 .. 2
        '''
    )
    both = {"n_step": 1, "step[1].n": 2, "two": "on", "step.n": 1, "one": "on"}
    assert space.render(both) == (
        "def f(x):\n    x += 2\n\n    if {x}:\n        for i in x:\n            x += 1\n        pass\n    return x\n"
    )
    nothing = {"n_step": 0, "two": "off", "one": "off"}
    assert space.render(nothing) == "def f(x):\n\n    if {x}:\n    return x\n"
    assert space.count() == (1 + 2 + 4) * 3 * 2


def test_rules_within_themselves_end_where_their_depth_does() -> None:
    space = program_space('p: E = e  e: E depth 3 = leaf: "x" | sum: "({e} + {e})"')
    assert space.count() == 1 + (1 + 1) ** 2
    assert space.accepts("((x + x) + (x + x))\n")
    assert not space.accepts("(((x + x) + x) + x)\n")


def test_the_digest_is_that_of_the_language() -> None:
    one = program_space('p: P = "f({n})"  n: int = 1 .. 5').grammar()
    assert (
        one.hash
        == program_space('p: Q = "f({n: int})" # other words\n n: int = 1 .. 5 default 2').grammar().hash
    )
    assert one.hash != program_space('p: P = "g({n})"  n: int = 1 .. 5').grammar().hash
    assert one.hash != program_space('p: P = "f({n})"  n: int = 1 .. 6').grammar().hash


def test_as_many_decisions_as_there_may_be() -> None:
    """Bug: Python's stack did not reach for exclusions from programs of 380 decisions."""
    space = program_space("p: P = \"f({q * 400..400 sep ', '})\"  q: Q = 'a' | 'b'")
    rng = np.random.default_rng(0)
    tried = [space.sample(rng) for _ in range(3)]
    grammar = space.grammar(tried)
    assert grammar.count() == 2**400 - 3
    source = grammar.encode(grammar.sample(rng))
    assert grammar.accepts(source)
    assert not grammar.accepts(space.render(tried[0]))
    assert grammar.lark().count("\n") > grammar.gbnf().count("\n") > 400
