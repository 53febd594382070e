"""The space parser: mutated JSON in both forms, then everything that is built on a space it takes."""

from __future__ import annotations

import json
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np

from airtune.benchmarks.measures.spaces import random_space
from airtune.grammars import AirtuneError, space_from_json, space_grammar
from airtune.models.dialects.pocket.dialect import PocketDialect
from tests.fuzz.mutate import mutated_json, mutated_text, to_text

SHORT: list[Any] = [
    {
        "lr": {"type": "float", "lower": 1e-5, "upper": 0.1, "log": True},
        "n": {"type": "int", "lower": 1, "upper": 64},
    },
    {
        "a": {
            "type": "categorical",
            "choices": ["x", "y", None, 1.5, True],
            "weights": [1, 2, 3, 4, 5],
            "default": "y",
        }
    },
    {"o": {"type": "ordinal", "sequence": [1, 10, 100]}, "c": {"type": "constant", "value": "k"}},
    {"z": {"type": "normal_float", "mu": 0.5, "sigma": 0.1, "lower": 0.0, "upper": 1.0, "default": 0.5}},
    {
        "b": {"type": "beta_int", "alpha": 2, "beta": 3, "lower": 1, "upper": 9},
        "hyperparameters": {"type": "int"},
    },
]


@lru_cache
def corpus() -> list[Any]:
    """Spaces in both forms, with conditions and forbidden clauses of every kind."""
    found = list(SHORT)
    for seed in range(40):
        found.append(
            json.loads(
                json.dumps(random_space(np.random.default_rng(seed)).to_serialized_dict(), default=str)
            )
        )
    return found


def spaces(random: Random) -> None:
    """Parse; where that works: grammar, count, sample, round trip, and the bundled model's words for it."""
    base = random.choice(corpus())
    if random.random() < 0.7:
        text = to_text(mutated_json(random, base))
    else:
        text = mutated_text(random, to_text(base))
    space = space_from_json(text)
    grammar = space_grammar(space)
    if not grammar.count():
        return
    config = grammar.sample(np.random.default_rng(random.randrange(1000)))
    assert grammar.decode(grammar.encode(config)) == config
    assert space_grammar(space, [config]).count() == grammar.count() - 1
    try:
        pocket = PocketDialect().grammar(space)
    except AirtuneError:
        return
    assert pocket.count() <= grammar.count() or grammar.approximate
