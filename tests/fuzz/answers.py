"""The answer parser: a model's text, mutated, in the canonical language and in the dialects'."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np

from airtune.benchmarks.measures.spaces import random_space
from airtune.grammars import Grammar
from airtune.grammars.space_check import violation
from airtune.models.registry import make_dialect
from airtune.models.types import Dialect
from tests.fuzz.mutate import mutated_text

SPACES = 24


@lru_cache
def grammars(seed: int) -> list[tuple[Dialect, Grammar, list[str]]]:
    """The languages of a random space, one per dialect, with some of their texts and one that is excluded."""
    rng = np.random.default_rng(seed)
    space = random_space(rng)
    found = []
    for name in ("chat", "pocket"):
        dialect = make_dialect(name)
        whole = dialect.grammar(space)
        configs = [whole.sample(rng) for _ in range(12)]
        left = dialect.grammar(space, configs[:2])
        found.append((dialect, left, [whole.encode(config) for config in configs]))
    return found


def answers(random: Random) -> None:
    """Parse a mutated text. What is taken must be a valid configuration, not excluded, with that very text."""
    dialect, grammar, texts = random.choice(grammars(random.randrange(SPACES)))
    text = mutated_text(random, random.choice(texts)) if random.random() < 0.95 else random.choice(texts)
    taken = grammar.accepts(text)
    config = dialect.parse(text, grammar)
    assert taken
    assert grammar.encode(config) == text
    assert grammar.approximate or violation(grammar.space, config) is None
