"""The `uniform` backend: a model that knows nothing, to find out what another one's knowledge is worth.

Every configuration that the dialect's grammar leaves has the same chance, exactly: the automaton counts its paths. The
prompt is not read. Its language is the one that the model it stands in for has to answer in, pocket's coarser lattice
included, so that the two differ in nothing but what they know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from airtune.grammars import Grammar
from airtune.models.backends.checkpoint import versions
from airtune.models.backends.prompts import check_request
from airtune.models.masks.base import require_some
from airtune.models.types import Completion, Dialect, Request


class UniformModel:
    """Draws answers uniformly. Its tokens are values: a token's id is the value's index on its axis.

    Temperature does not change what is uniform; at 0, where all are the likeliest answer, it is the first of them.

    Args:
        dialect: The dialect it speaks: that of the model it is compared with.
    """

    name = backend = "uniform"

    def __init__(self, *, dialect: Dialect) -> None:
        self.dialect = dialect

    def manifest(self) -> dict[str, Any]:
        """See `LanguageModel.manifest`."""
        return {
            "model": self.name,
            "backend": self.backend,
            "dialect": self.dialect.name,
            "files": {},
            "weights": 0,
            "weights_bytes": 0,
            "versions": versions(),
            "settings": {},
        }

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`. Every request is answered on its own."""
        for request in requests:
            check_request(request)
            require_some(request.grammar)
        return [_answer(request) for request in requests]


def _answer(request: Request) -> Completion:
    grammar = request.grammar
    greedy = request.temperature == 0
    config = grammar.nth(0) if greedy else grammar.sample(np.random.default_rng(request.seed))
    path = grammar.lattice.path(config, snap=False)
    texts, chances = _tokens(grammar, path)
    kept = min(len(path), request.max_tokens or len(path))
    whole = kept == len(path)
    return Completion(
        text="".join(texts if whole else texts[:kept]),
        token_ids=path[:kept],
        logprobs=tuple(0.0 if greedy else chance for chance in chances[:kept]),
        finish_reason="stop" if whole else "length",
        prompt_tokens=len(request.prompt.encode()),
        decode_steps=sum(chance < 0 for chance in chances[:kept]),
    )


def _tokens(grammar: Grammar, path: Sequence[int]) -> tuple[list[str], list[float]]:
    """What each value of a path writes, then what ends the text; and each value's log-probability after the others."""
    lattice, node = grammar.lattice, grammar.root
    texts, chances = [], []
    for index in path:
        level, child = node.level, node.follow(index)
        assert child is not None  # the path is one of the grammar's
        texts.append(node.lead + ("" if lattice.is_silent(level) else lattice.axes[level].text(index)))
        chances.append(min(0.0, math.log(child.count) - math.log(node.count)))
        node = child
    return [*texts, node.lead], chances
