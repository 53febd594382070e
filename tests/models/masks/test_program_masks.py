"""Masks over the text of programs: every engine allows exactly what the automaton does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from airtune.grammars import Grammar, ProgramSpace, program_space
from airtune.models import ModelError, Request, load_model
from airtune.models.masks.base import make_engine
from airtune.models.masks.vocabulary import Vocabulary, byte_vocabulary
from tests.models.masks.test_masks import walk

SMALL = """
p: P = '''
    def f(x):
        {step * 0..2}
        return [{term * 1..2 sep ", "}]
    '''
step: S = add: "x = x + {n}" | loop: '''
    for i in x:
        {extra}
    '''
extra: S = subset one: "print('/\\\\', é)" | two: "x = {{i}}"
term: T depth 2 = "x" | "-x" | "({term} * {n})"
n: int = 8 .. 11
"""
TINY = """
p: P = '''
    f({n})
    {{/}}
    ''' | "fé({n}, {n})"
n: int = 8 .. 11
"""


def languages(space: ProgramSpace, tried: int = 3) -> list[Grammar]:
    """The space's programs, and what is left of them after some draws."""
    rng = np.random.default_rng(0)
    return [space.grammar(), space.grammar([space.sample(rng) for _ in range(tried)])]


@pytest.mark.parametrize("canonical", [True, False])
def test_answers_are_programs(engine_name: str, vocabulary: Vocabulary, canonical: bool) -> None:
    engine, rng = make_engine(engine_name, vocabulary), np.random.default_rng(1)
    for grammar in languages(small(engine_name)):
        for _ in range(4):
            source = walk(engine.compile(grammar), vocabulary, rng, canonical)
            assert grammar.accepts(source), source


def small(engine_name: str) -> ProgramSpace:
    # outlines_core makes an index of all states times all tokens
    return program_space(TINY if engine_name == "outlines_core" else SMALL)


def test_masks_are_what_the_programs_left_allow(engine_name: str) -> None:
    """Byte for byte along random programs, against all programs as a plain list."""
    space = program_space(TINY)
    vocabulary = byte_vocabulary()
    engine, rng = make_engine(engine_name, vocabulary), np.random.default_rng(2)
    for grammar in languages(space, 6):
        sources = [grammar.encode(grammar.nth(i)).encode() for i in range(grammar.count())]
        for _ in range(5):
            matcher, written = engine.compile(grammar), b""
            while not matcher.finished:
                wanted = sorted({s[len(written)] for s in sources if s.startswith(written) and s != written})
                assert matcher.allowed().tolist() == wanted
                token = int(rng.choice(matcher.allowed()))
                matcher.advance(token)
                written += bytes([token])
            assert written in sources


def test_the_model_that_knows_nothing_draws_programs_uniformly() -> None:
    grammar = languages(program_space(SMALL))[1]
    for answer in load_model("uniform").generate([Request("?", grammar, seed) for seed in range(20)]):
        assert grammar.accepts(answer.text)
        assert answer.logprobs is not None
        assert sum(answer.logprobs) == pytest.approx(-math.log(grammar.count()), abs=1e-9)


def test_the_direct_engine_leaves_programs_to_others() -> None:
    with pytest.raises(ModelError, match="is written besides values"):
        make_engine("direct", byte_vocabulary()).compile(program_space(SMALL).grammar())
