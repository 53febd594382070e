"""The exact distribution of a model's answers, token by token.

Decoding under a grammar is a walk through a finite tree. At every step the model's distribution is renormalised over
the tokens that the grammar allows there, and what is forced comes with probability one; so the probabilities of all
answers sum to one, and each can be worked out to the last bits of the model's own arithmetic. Nothing here samples.
`generate` draws from this distribution: the sum of `Completion.logprobs` is the log-probability of what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.grammars import Grammar
from airtune.models.decoding.sampling import token_logprobs
from airtune.models.masks.base import MaskEngine
from airtune.models.types import AnswerDistribution, LanguageModel, ModelError, NextTokens, TransparentModel

Tokens = tuple[int, ...]
Ids = NDArray[np.intp]
# Given prefixes of an answer and the ids asked for after each: their logits, one array per prefix.
Logits = Callable[[Sequence[Tokens], Sequence[Ids]], "list[NDArray[Any]]"]


def answer_distribution(
    model: LanguageModel, prompt: str, grammar: Grammar, temperature: float = 1.0
) -> AnswerDistribution:
    """The distribution of a model's answers to a prompt under a grammar.

    Raises:
        ModelError: If the model's backend does not show its distribution, or the prompt does not fit.
    """
    if not isinstance(model, TransparentModel):
        backend = getattr(model, "backend", type(model).__name__)
        raise ModelError(
            f"backend {backend!r} (model {model.name!r}) does not show the distribution that it draws from",
            value=backend,
            allowed="transformers, llama_cpp, scripted",
            hint="load the same weights with backend='transformers'",
        )
    return model.answer_distribution(prompt, grammar, temperature)


class TokenDistribution:
    """An `AnswerDistribution` for backends whose mask loop is ours.

    Args:
        grammar: The language of the answers.
        temperature: As in `Request`.
        engine: Makes the masks.
        fast_forward: As `generate` was told: whether tokens forced as bytes are taken in the tokenizer's own spelling.
        logits: The model, the prompt read already.

    Raises:
        ModelError: If the grammar is empty, or the tokenizer cannot spell it.
    """

    def __init__(
        self, grammar: Grammar, temperature: float, engine: MaskEngine, fast_forward: bool, logits: Logits
    ) -> None:
        self.grammar = grammar
        self.tokens = engine.vocabulary.tokens
        self._temperature, self._engine = temperature, engine
        self._fast_forward, self._logits = fast_forward, logits
        self._step(())

    def next_tokens(self, prefixes: Sequence[Sequence[int]]) -> list[NextTokens]:
        """See `AnswerDistribution.next_tokens`."""
        keys = [tuple(int(token) for token in prefix) for prefix in prefixes]
        steps = {key: self._step(key) for key in dict.fromkeys(keys)}
        open_ = [key for key, (_, allowed) in steps.items() if len(allowed)]
        logits = self._logits([(*key, *steps[key][0]) for key in open_], [steps[key][1] for key in open_])
        logprobs = {
            key: token_logprobs(line, self._temperature) for key, line in zip(open_, logits, strict=True)
        }
        return [NextTokens(key, *steps[key], logprobs.get(key, np.empty(0, np.float64))) for key in keys]

    def _step(self, prefix: Tokens) -> tuple[Tokens, Ids]:
        """What is forced after a prefix, and what may come then: nothing at the end of an answer."""
        matcher = self._engine.compile(self.grammar)
        for token in prefix:
            matcher.advance(token)
        forced: list[int] = []
        while run := matcher.forced(canonical=self._fast_forward):
            for token in run:
                matcher.advance(token)
            forced += run
        return tuple(forced), np.empty(0, np.intp) if matcher.finished else matcher.allowed()
