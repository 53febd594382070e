"""The direct mask engine: where it can be used, its masks are those of the language, and of llguidance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, Constant

from airtune.benchmarks.measures.spaces import random_space
from airtune.grammars import (
    EnumeratedAxis,
    Grammar,
    Lattice,
    Notation,
    SpaceError,
    lattice_grammar,
    space_grammar,
)
from airtune.models import ModelError
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.dialects.pocket.codec import EOS, vocabulary
from airtune.models.dialects.pocket.dialect import PocketDialect
from airtune.models.masks.base import engine_for, make_engine
from airtune.models.masks.vocabulary import Vocabulary, byte_vocabulary


def whole_tokens(tokens: Sequence[str]) -> Vocabulary:
    """A vocabulary of whole texts and, last, the end; it never splits a text in any other way."""
    known = {token: i for i, token in enumerate(tokens)}

    def encode(text: str) -> list[int]:
        ids = []
        while token := next((t for t in known if text.startswith(t)), None):
            ids.append(known[token])
            text = text[len(token) :]
        return ids

    return Vocabulary((*(t.encode() for t in tokens), b""), (len(tokens),), len(tokens) + 1, encode)


def pocket_vocabulary() -> Vocabulary:
    tokens = vocabulary()
    return Vocabulary(
        tuple(b"" if t.startswith("<") else t.encode() for t in tokens),
        (tokens.index(EOS),),
        len(tokens),
        lambda _: [],
    )


def few() -> tuple[Lattice, Vocabulary]:
    """Three values, two, three, one constant that is never written: few enough to exclude whole branches."""
    space = ConfigurationSpace({"a": ["x", "y", "z"], "b": ["x", "y"], "c": ["x", "y", "z"]})
    space.add(Constant("fixed", 7))
    axes = {name: EnumeratedAxis([(f"{name}{c}", c) for c in space[name].choices]) for name in "abc"}
    axes["fixed"] = EnumeratedAxis([("7", 7)])
    lattice = Lattice(space, axes, Notation.bare(silent=frozenset({"fixed"})))
    # ids in no order of the values
    return lattice, whole_tokens(["cz", "cy", "cx", "bx", "by", "ax", "az", "ay"])


def compare(grammar: Grammar, vocabulary: Vocabulary, rng: np.random.Generator, answers: int) -> None:
    """Walk at random, both engines side by side."""
    direct, general = (make_engine(name, vocabulary) for name in ("direct", "llguidance"))
    for _ in range(answers):
        one, other = direct.compile(grammar), general.compile(grammar)
        taken = []
        while not other.finished:
            assert not one.finished
            assert one.accepting == other.accepting
            np.testing.assert_array_equal(one.allowed(), other.allowed())
            assert one.forced() == one.forced(canonical=False) == other.forced(canonical=False)
            assert one.forced() == other.forced()[:1]  # which may see farther, and comes to the same
            taken.append(int(rng.choice(one.allowed())))
            one.advance(taken[-1])
            other.advance(taken[-1])
        assert one.finished
        assert one.accepting
        assert one.forced() == []
        np.testing.assert_array_equal(one.allowed(), other.allowed())
        assert grammar.accepts(vocabulary.text(taken))


@pytest.mark.parametrize("tried", [0, 1, 5, 10, 14, 17])
def test_masks_are_what_is_left_whatever_was_tried(tried: int) -> None:
    """With most of 18 configurations tried whole branches are gone, and the last tokens are forced."""
    lattice, vocabulary = few()
    rng = np.random.default_rng(tried)
    whole = lattice_grammar(lattice)
    order = rng.permutation(whole.count())[:tried]
    grammar = lattice_grammar(lattice, [whole.nth(int(i)) for i in order])
    assert grammar.count() == 18 - tried == grammar.root.count
    left = [grammar.encode(grammar.nth(i)) for i in range(grammar.count())]
    for _ in range(20):
        matcher, text = make_engine("direct", vocabulary).compile(grammar), ""
        while not matcher.finished:
            allowed = [vocabulary.tokens[token].decode() for token in matcher.allowed()]
            assert sorted(allowed) == sorted({one[len(text) :][:2] for one in left if one.startswith(text)})
            token = int(rng.choice(matcher.allowed()))
            assert matcher.forced() == ([token] if len(allowed) == 1 else [])
            matcher.advance(token)
            text += vocabulary.tokens[token].decode()
        assert matcher.accepting
        assert matcher.forced() == []
        assert matcher.allowed().tolist() == list(vocabulary.eos_ids)
        assert text in left


@pytest.mark.parametrize("seed", range(8))
def test_masks_are_llguidances_on_pockets_vocabulary(seed: int) -> None:
    """Spaces with conditions and forbidden clauses."""
    rng = np.random.default_rng([21, seed])
    try:
        whole = PocketDialect().grammar(random_space(rng, max_size=5, min_count=30))
    except SpaceError:
        pytest.skip("pocket cannot speak of this space")
    grammar = PocketDialect().grammar(whole.space, [whole.sample(rng) for _ in range(20)])
    compare(grammar, pocket_vocabulary(), rng, 5)


def test_equal_lattices_of_two_spaces_share_what_is_known_of_tokens() -> None:
    """And nothing else: each has an automaton of its own."""
    vocabulary, engine = pocket_vocabulary(), make_engine("direct", pocket_vocabulary())
    for _ in range(2):
        grammar = PocketDialect().grammar(ConfigurationSpace({"a": (0.0, 1.0), "b": ["u", "v"]}))
        matcher = engine.compile(grammar)
        taken = []
        while not matcher.finished:
            taken.append(int(matcher.allowed()[-1]))
            matcher.advance(taken[-1])
        assert vocabulary.text(taken) == "a999bB"


def test_a_token_outside_the_mask_and_the_end_too_early() -> None:
    lattice, vocabulary = few()
    matcher = make_engine("direct", vocabulary).compile(lattice_grammar(lattice))
    for token in (0, len(vocabulary.tokens) - 1):
        with pytest.raises(ModelError, match="not allowed after ''"):
            matcher.advance(token)


def test_empty_grammar() -> None:
    lattice, vocabulary = few()
    whole = lattice_grammar(lattice)
    with pytest.raises(ModelError, match="empty"):
        make_engine("direct", vocabulary).compile(lattice_grammar(lattice, [whole.nth(i) for i in range(18)]))


@pytest.mark.parametrize(
    ("more", "said"), [(["a"], "'ax'"), (["axb"], "'ax'"), (["ax"], "'ax'")], ids=["part", "longer", "twice"]
)
def test_a_vocabulary_that_can_write_a_value_otherwise(more: list[str], said: str) -> None:
    """The masks would leave something out: refused, not narrowed in silence."""
    lattice, vocabulary = few()
    tokens = [token.decode() for token in vocabulary.tokens[:-1]]
    with pytest.raises(ModelError, match=said) as caught:
        make_engine("direct", whole_tokens(tokens + more)).compile(lattice_grammar(lattice))
    assert "llguidance" in str(caught.value.hint)


def test_a_grammar_with_more_than_values() -> None:
    with pytest.raises(ModelError, match="is written besides values"):
        make_engine("direct", byte_vocabulary()).compile(space_grammar(ConfigurationSpace({"n": (1, 9)})))


def test_which_engine_suits() -> None:
    """A tokenizer that has all of pocket's tokens and single letters too is left to llguidance."""
    whole = pocket_vocabulary()
    assert engine_for(PocketDialect(), whole) == "direct"
    assert engine_for(ChatDialect(), whole) == "llguidance"
    assert engine_for(PocketDialect(), byte_vocabulary()) == "llguidance"
    more = Vocabulary((*whole.tokens, b"a1"), whole.eos_ids, whole.width + 1, whole.encode)
    assert engine_for(PocketDialect(), more) == "llguidance"
