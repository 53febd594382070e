"""The mask engines: sound, alike, never empty, failing closed."""

from __future__ import annotations

import re
from bisect import bisect_left

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition, ForbiddenLessThanRelation, Integer

from airtune.benchmarks.measures.spaces import random_space
from airtune.grammars import (
    EnumeratedAxis,
    Grammar,
    GrammarError,
    Lattice,
    Notation,
    lattice_grammar,
    space_grammar,
)
from airtune.models import ModelError
from airtune.models.masks.base import Matcher, make_engine
from airtune.models.masks.vocabulary import Vocabulary, byte_vocabulary, vocabulary_of
from airtune.models.tiny import bpe_tokenizer

SPACES = [random_space(np.random.default_rng([11, i]), max_size=5, min_count=4) for i in range(12)]


def grammars(space: ConfigurationSpace) -> list[Grammar]:
    """The space's grammar, and what is left of it after three draws."""
    whole = space_grammar(space)
    rng = np.random.default_rng(3)
    return [whole, space_grammar(space, [whole.sample(rng) for _ in range(3)])]


def walk(matcher: Matcher, vocabulary: Vocabulary, rng: np.random.Generator, canonical: bool) -> str:
    taken: list[int] = []
    while not matcher.finished:
        tokens = matcher.forced(canonical=canonical)
        if not tokens:
            assert len(matcher.allowed()) > 1
            tokens = [int(rng.choice(matcher.allowed()))]
        for token in tokens:
            assert token in matcher.allowed()
            matcher.advance(token)
        taken += tokens
    assert matcher.accepting
    assert matcher.forced() == []
    return vocabulary.text(taken)


@pytest.mark.parametrize("canonical", [True, False])
def test_random_answers_are_in_the_language(
    engine_name: str, vocabulary: Vocabulary, canonical: bool
) -> None:
    engine = make_engine(engine_name, vocabulary)
    # outlines_core indexes a BPE vocabulary slowly: a quarter of the spaces there.
    spaces = SPACES[::4] if engine_name == "outlines_core" else SPACES
    for number, space in enumerate(spaces):
        for grammar in grammars(space):
            rng = np.random.default_rng(number)
            for _ in range(5):
                text = walk(engine.compile(grammar), vocabulary, rng, canonical)
                assert grammar.accepts(text), text


def small_language() -> Grammar:
    """Conditional, with numbers that begin others, a letter of two bytes, and a configuration left out."""
    space = ConfigurationSpace({"k": ["a", "b é"], "g": (8, 103)})
    space.add(EqualsCondition(space["g"], space["k"], "a"))
    return space_grammar(space, [{"k": "a", "g": 10}])


def test_masks_are_what_the_language_allows(engine_name: str, vocabulary: Vocabulary) -> None:
    """The oracle is the language written down: a token may come if some text goes on with it.

    A mask that is narrowed to one spelling, or that lets one token of an excluded configuration pass, differs.
    """
    grammar = small_language()
    texts = sorted(grammar.encode(grammar.nth(i)).encode() for i in range(grammar.count()))
    assert all(re.fullmatch(grammar.regex(), text.decode()) for text in texts)

    def goes_on(start: bytes) -> bool:
        at = bisect_left(texts, start)
        return at < len(texts) and texts[at].startswith(start)

    engine, rng = make_engine(engine_name, vocabulary), np.random.default_rng(5)
    for _ in range(4):
        matcher, written = engine.compile(grammar), b""
        while not matcher.finished:
            expected = [i for i, token in enumerate(vocabulary.tokens) if token and goes_on(written + token)]
            assert matcher.allowed().tolist() == expected
            assert not matcher.accepting
            token = int(rng.choice(expected))
            matcher.advance(token)
            written += vocabulary.tokens[token]
        assert written in texts


def test_forced_tokens_are_the_tokenizers_own(vocabulary: Vocabulary) -> None:
    """With every forced token taken, the answer is split as the tokenizer splits its text.

    Unless a token was drawn that the tokenizer would not have used: then nothing more is forced as bytes.
    """
    engine = make_engine("llguidance", vocabulary)
    grammar = space_grammar(ConfigurationSpace({"learning_rate": (1, 999), "optimizer": ["adam", "sgd"]}))
    seen = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        matcher, taken, forced = engine.compile(grammar), list[int](), 0
        while not matcher.finished:
            tokens = matcher.forced()
            forced += len(tokens)
            if not tokens:
                # Draw what the tokenizer would write: the longest tokens of digits, whole words.
                longest = max(len(vocabulary.tokens[t]) for t in matcher.allowed())
                tokens = [
                    int(rng.choice([t for t in matcher.allowed() if len(vocabulary.tokens[t]) == longest]))
                ]
            for token in tokens:
                matcher.advance(token)
            taken += tokens
        seen.add(taken == vocabulary.encode(vocabulary.text(taken)))
        assert forced > 5
    assert True in seen


def test_end_of_sequence_where_the_answer_may_go_on(engine_name: str) -> None:
    """Without a closing mark `1` and `12` are both answers: at `1` the end is a choice."""
    space = ConfigurationSpace({"n": [1, 12, 13]})
    axis = EnumeratedAxis([("1", 1), ("12", 12), ("13", 13)])
    grammar = lattice_grammar(Lattice(space, {"n": axis}, Notation("", ";", "", keys=False)))
    vocabulary = byte_vocabulary()
    matcher = make_engine(engine_name, vocabulary).compile(grammar)
    assert matcher.forced() == [ord("1")]
    assert not matcher.accepting
    matcher.advance(ord("1"))
    assert matcher.accepting
    assert not matcher.finished
    assert matcher.allowed().tolist() == [ord("2"), ord("3"), 256]
    other = make_engine(engine_name, vocabulary).compile(grammar)
    other.advance(ord("1"))
    other.advance(256)
    assert other.finished
    assert other.accepting
    matcher.advance(ord("2"))
    assert matcher.finished


def test_nothing_but_text_is_allowed(engine_name: str, vocabulary: Vocabulary) -> None:
    """Padding beyond the tokenizer and special tokens are in no mask, all the way to the end of an answer."""
    matcher = make_engine(engine_name, vocabulary).compile(space_grammar(ConfigurationSpace({"n": (1, 9)})))
    while not matcher.finished:
        allowed = matcher.allowed()
        assert all(vocabulary.tokens[token] for token in allowed)  # raises for padding
        matcher.advance(int(allowed[-1]))


def test_a_token_outside_the_mask(engine_name: str) -> None:
    matcher = make_engine(engine_name, byte_vocabulary()).compile(
        space_grammar(ConfigurationSpace({"n": (1, 9)}))
    )
    with pytest.raises(ModelError, match="not allowed"):
        matcher.advance(ord("x"))


def test_the_end_too_early(engine_name: str) -> None:
    matcher = make_engine(engine_name, byte_vocabulary()).compile(
        space_grammar(ConfigurationSpace({"n": (1, 9)}))
    )
    with pytest.raises(ModelError, match="not allowed"):
        matcher.advance(256)


def test_matchers_do_not_share_state(engine_name: str) -> None:
    engine = make_engine(engine_name, byte_vocabulary())
    grammar = space_grammar(ConfigurationSpace({"n": (1, 9)}))
    first, second = engine.compile(grammar), engine.compile(grammar)
    first.advance(ord("{"))
    assert second.allowed().tolist() == [ord("{")]


def test_characters_the_tokenizer_lacks(engine_name: str) -> None:
    ascii_only = Vocabulary(
        (*(bytes([b]) for b in range(128)), b""), (128,), 129, lambda t: list(t.encode("ascii"))
    )
    space = ConfigurationSpace({"größe": (1, 9)})
    with pytest.raises(ModelError, match="no token for 'ß', 'ö'") as caught:
        make_engine(engine_name, ascii_only).compile(space_grammar(space))
    assert caught.value.hint is not None


def test_words_the_tokenizer_lacks(engine_name: str) -> None:
    """Every character has a token, but none that fits after `{"`: an error, never an unmasked step."""
    vocabulary = Vocabulary((b"", b'{"', b'n":1', b'}n":123456789{'), (0,), 4, lambda _: [])
    engine = make_engine(engine_name, vocabulary)
    grammar = space_grammar(ConfigurationSpace({"n": (1, 9)}))

    def spell() -> None:
        matcher = engine.compile(grammar)
        for token in (1, 2, 3):
            matcher.allowed()
            matcher.advance(token)

    with pytest.raises(ModelError):
        spell()


def test_empty_grammar(engine_name: str) -> None:
    space = ConfigurationSpace({"n": (1, 2)})
    with pytest.raises(ModelError, match="empty"):
        make_engine(engine_name, byte_vocabulary()).compile(space_grammar(space, [{"n": 1}, {"n": 2}]))


def test_unknown_engine() -> None:
    with pytest.raises(ModelError, match="unknown mask engine 'guidance'") as caught:
        make_engine("guidance", byte_vocabulary())
    assert "llguidance" in str(caught.value)


def test_conditional_space(engine_name: str, vocabulary: Vocabulary) -> None:
    space = ConfigurationSpace({"k": ["a", "b"], "g": (1, 3)})
    space.add(EqualsCondition(space["g"], space["k"], "a"))
    grammar = space_grammar(space)
    engine = make_engine(engine_name, vocabulary)
    rng = np.random.default_rng(0)
    assert {walk(engine.compile(grammar), vocabulary, rng, True) for _ in range(60)} == {
        '{"k":"a","g":1}',
        '{"k":"a","g":2}',
        '{"k":"a","g":3}',
        '{"k":"b"}',
    }


def test_hundreds_of_exclusions() -> None:
    """llguidance's default fuel ran out in the midst of an answer: this space less a thousand trials, BPE.

    It failed closed, but a long study would have ended there.
    """
    tokenizer = bpe_tokenizer()
    vocabulary = vocabulary_of(tokenizer, len(tokenizer))
    space = random_space(np.random.default_rng([1, 85]), min_count=1)
    whole = space_grammar(space)
    rng = np.random.default_rng(0)
    grammar = space_grammar(space, [whole.sample(rng) for _ in range(1000)])
    engine = make_engine("llguidance", vocabulary)
    for _ in range(5):
        assert grammar.accepts(walk(engine.compile(grammar), vocabulary, rng, canonical=True))


def test_a_grammar_whose_expression_is_too_large_is_still_masked() -> None:
    """The audit stopped here once: only the characters were wanted, and the whole expression was written for them."""
    space = ConfigurationSpace(
        space=[Integer("a", (1, 1000)), Integer("b", (1, 10**9)), Integer("c", (1, 10**9))]
    )
    space.add(ForbiddenLessThanRelation(space["c"], space["a"]))
    grammar = space_grammar(space)
    with pytest.raises(GrammarError, match="too large"):
        grammar.regex()
    text = walk(
        make_engine("llguidance", byte_vocabulary()).compile(grammar),
        byte_vocabulary(),
        np.random.default_rng(0),
        True,
    )
    assert grammar.accepts(text)


@pytest.mark.parametrize(("seed", "number"), [(0, 267), (0, 291), (1, 211)])
def test_a_large_grammar_less_many_trials(seed: int, number: int) -> None:
    """Spaces of the audit whose grammars llguidance once refused (65,000 symbols) or took seconds over."""
    rng = np.random.default_rng([seed, number])
    space = random_space(rng, min_count=1000)
    whole = space_grammar(space)
    grammar = space_grammar(space, [whole.sample(rng) for _ in range(400)])
    vocabulary = byte_vocabulary()
    engine = make_engine("llguidance", vocabulary)
    for _ in range(5):
        assert grammar.accepts(walk(engine.compile(grammar), vocabulary, rng, canonical=True))
