"""The exact law of a model's answers: how likely each text is, and each next token along it.

Decoding under a grammar is a walk through a finite tree. At every step the model's distribution is renormalised over
the tokens that the grammar allows there, and what is forced comes with probability one; so the probabilities of all
texts of the grammar sum to one, and each can be worked out to the last bits of the model's own arithmetic. Nothing here
samples. `generate` draws from this law: the sum of `Completion.logprobs` is the log-probability of the spelling drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from airtune.grammars import DecodeError, Grammar
from airtune.models.decoding.sampling import token_logprobs
from airtune.models.masks.base import MaskEngine, Matcher
from airtune.models.masks.vocabulary import Vocabulary
from airtune.models.types import AnswerDistribution, LanguageModel, ModelError, NextTokens, TransparentModel

Tokens = tuple[int, ...]
Ids = NDArray[np.intp]
# Given prefixes of an answer and the ids asked for after each: their logits, one array per prefix.
Logits = Callable[[Sequence[Tokens], Sequence[Ids]], "list[NDArray[Any]]"]

# A text of a vocabulary with many ways to write a number may have thousands of spellings; each costs a few tokens.
MAX_SPELLINGS = 4096


def answer_distribution(
    model: LanguageModel, prompt: str, grammar: Grammar, temperature: float = 1.0
) -> AnswerDistribution:
    """The law of a model's answers to a prompt under a grammar.

    Raises:
        ModelError: If the model's backend does not show its distribution, or the prompt does not fit.
    """
    if not isinstance(model, TransparentModel):
        backend = getattr(model, "backend", type(model).__name__)
        raise ModelError(
            f"backend {backend!r} (model {model.name!r}) does not show the distribution that it draws from",
            value=backend,
            allowed="transformers, scripted",
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
    """

    def __init__(
        self, grammar: Grammar, temperature: float, engine: MaskEngine, fast_forward: bool, logits: Logits
    ) -> None:
        self.grammar: Grammar = grammar
        self.tokens: tuple[bytes, ...] = engine.vocabulary.tokens
        self.temperature = temperature
        self._engine, self._fast_forward, self._logits = engine, fast_forward, logits
        self._vocabulary: Vocabulary = engine.vocabulary
        self._known: dict[Tokens, tuple[Tokens, Ids]] = {
            (): self._step(())
        }  # of what was scored; also refuses a grammar that cannot be spoken

    def next_tokens(self, prefixes: Sequence[Sequence[int]]) -> list[NextTokens]:
        """See `AnswerDistribution.next_tokens`."""
        keys = [tuple(int(t) for t in prefix) for prefix in prefixes]
        steps = {key: self._step(key) for key in dict.fromkeys(keys)}
        return self._laws(steps, keys)

    def log_probabilities(
        self, texts: Sequence[str], spellings: Literal["all", "canonical"] = "all"
    ) -> NDArray[np.float64]:
        """See `AnswerDistribution.log_probabilities`."""
        if spellings not in ("all", "canonical"):
            raise ModelError(f"unknown spellings {spellings!r}", value=spellings, allowed="all, canonical")
        steps: dict[Tokens, tuple[Tokens, Ids]] = {}
        ways = [self._spellings(text, spellings == "canonical", steps) for text in texts]
        branching = list(steps)
        at = {key: i for i, key in enumerate(branching)}
        laws = self._laws(steps, branching)
        result = np.full(len(texts), -np.inf)
        for i, found in enumerate(ways):
            paths = [sum(laws[at[key]].logprob(token) for key, token in way) for way in found]
            if paths:
                result[i] = np.logaddexp.reduce(np.array(paths, dtype=np.float64))
        return result

    def along(self, token_ids: Sequence[int]) -> list[NextTokens]:
        """See `AnswerDistribution.along`."""
        wanted = tuple(int(t) for t in token_ids)
        steps: dict[Tokens, tuple[Tokens, Ids]] = {}
        key: Tokens = ()
        while True:
            forced, allowed = steps[key] = self._step(key)
            here = (*key, *forced)
            n = min(len(here), len(wanted))
            if here[:n] != wanted[:n]:
                raise self._stray(wanted, next(i for i in range(n) if here[i] != wanted[i]))
            if len(here) >= len(wanted):
                return self._laws(steps, list(steps))
            if wanted[len(here)] not in allowed:
                raise self._stray(wanted, len(here))
            key = wanted[: len(here) + 1]

    def _stray(self, wanted: Sequence[int], at: int) -> ModelError:
        return ModelError(
            f"token {wanted[at]} cannot come after {self._vocabulary.text(wanted[:at])!r} under this grammar",
            value=wanted[at],
            hint="the answer was given to another prompt or grammar",
        )

    def _matcher(self, prefix: Tokens) -> Matcher:
        matcher = self._engine.compile(self.grammar)
        for token in prefix:
            matcher.advance(token)
        return matcher

    def _step(self, prefix: Tokens) -> tuple[Tokens, Ids]:
        """What is forced after a prefix, and what may come then (nothing at the end of the answer)."""
        return self._advance(self._matcher(prefix))

    def _advance(self, matcher: Matcher) -> tuple[Tokens, Ids]:
        forced: list[int] = []
        while run := matcher.forced(canonical=self._fast_forward):
            for token in run:
                matcher.advance(token)
            forced += run
        return tuple(forced), np.empty(0, np.intp) if matcher.finished else matcher.allowed()

    def _laws(self, steps: dict[Tokens, tuple[Tokens, Ids]], keys: Sequence[Tokens]) -> list[NextTokens]:
        """The laws of some steps, all of the model's work in one call."""
        asked = [key for key in steps if len(steps[key][1])]
        whole = [(*key, *steps[key][0]) for key in asked]
        lines = self._logits(whole, [steps[key][1] for key in asked]) if asked else []
        logprobs = {}
        for key, line in zip(asked, lines, strict=True):
            try:
                logprobs[key] = token_logprobs(line, self.temperature)
            except FloatingPointError as error:
                raise ModelError(
                    f"the model's logits are not numbers: {error}",
                    hint="the weights are damaged (airtune models verify), or try dtype='float32'",
                ) from error
        nothing = np.empty(0, np.float64)
        return [NextTokens(key, *steps[key], logprobs.get(key, nothing)) for key in keys]

    def _spellings(
        self, text: str, canonical: bool, steps: dict[Tokens, tuple[Tokens, Ids]]
    ) -> list[list[tuple[Tokens, int]]]:
        """Every way to write a text under the grammar: its branching points and the token taken at each."""
        if not self.grammar.accepts(text):
            raise DecodeError(
                f"not in the grammar's language: {text!r}",
                value=text,
                allowed=f"the texts of {self.grammar!r}",
                hint="its probability is zero: ask for texts of the grammar only",
            )
        data = text.encode()
        own = self._vocabulary.encode(text) if canonical else None
        tokens, eos = self._vocabulary.tokens, set(self._vocabulary.eos_ids)
        found: list[list[tuple[Tokens, int]]] = []
        open_: list[tuple[Tokens, list[tuple[Tokens, int]], Matcher | None]] = [((), [], None)]
        while open_:
            prefix, taken, matcher = open_.pop()
            if prefix in self._known:
                matcher = None
            else:
                matcher = matcher or self._matcher(prefix)
                self._known[prefix] = self._advance(matcher)
            forced, allowed = self._known[prefix]
            here = (*prefix, *forced)
            written = b"".join(tokens[t] for t in here)
            if not data.startswith(written):
                continue
            if not len(allowed):
                found += [taken] if written == data else []
                continue
            rest = data[len(written) :]
            if not rest:
                fits = list(eos)
            elif own is None:
                fits = self._vocabulary.starts(rest)
            else:
                fits = own[len(here) : len(here) + 1] if list(here) == own[: len(here)] else []
            fits = [token for token in fits if _contains(allowed, token)]
            if fits:
                steps[prefix] = (forced, allowed)
            for token in fits:
                way = [*taken, (prefix, token)]
                if token in eos:
                    found.append(way)
                elif matcher is not None and len(fits) == 1:
                    matcher.advance(token)
                    open_.append(((*here, token), way, matcher))
                else:
                    open_.append(((*here, token), way, None))
            if len(found) + len(open_) > MAX_SPELLINGS:
                raise ModelError(
                    f"this tokenizer can write {text!r} in more than {MAX_SPELLINGS} ways",
                    value=text,
                    allowed=f"texts of at most {MAX_SPELLINGS} spellings",
                    hint="ask for spellings='canonical': the probability of the tokenizer's own spelling",
                )
        return found


def _contains(allowed: Ids, token: int) -> bool:
    at = int(np.searchsorted(allowed, token))
    return at < len(allowed) and bool(allowed[at] == token)
