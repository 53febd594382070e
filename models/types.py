"""The seam between Airtune and language models: requests, completions, dialects, the protocols.

Nothing here imports torch: the engine reads these types without paying for a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from ConfigSpace import ConfigurationSpace
from numpy.typing import NDArray

from airtune.grammars import AirtuneError, Grammar


class ModelError(AirtuneError):
    """A model that cannot be found, loaded or used, or an answer it must not give.

    Attributes:
        answered: Of a batch that failed, the requests that were answered all the same: a server was paid for them.
    """

    answered: Sequence[tuple[Request | TextRequest, Completion]] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """One trial as a model may see it.

    Attributes:
        config: Active hyperparameters only, plain Python values.
        loss: The loss (lower is better), or None while pending or after a failure.
        status: "told", "failed" or "asked" (pending).
        reason: Why it failed, one line, or None.
        answer: What a model wrote, where that is no configuration: `config` is empty then. Grammars leave no room for
            it; free text does. The chat dialect shows it in the configuration's place.
    """

    config: Mapping[str, Any]
    loss: float | None
    status: str = "told"
    reason: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """All that a dialect is told about a search: plain data, no objective.

    Attributes:
        name: The task's name.
        description: What is being tuned, in the user's words; may be empty.
        space: The search space.
        metric: Name of the loss being minimised.
        observations: Trials so far in the order they were asked, pending ones included.
        budget: Trials in all, or None if open-ended.
    """

    name: str
    description: str
    space: ConfigurationSpace
    metric: str
    observations: tuple[Observation, ...] = ()
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One completion asked of a model.

    Attributes:
        prompt: The whole prompt as text (a dialect has applied any chat template).
        grammar: The language that the answer must be in. Never empty (ask `grammar.count()` first).
        seed: Seed of this row's own generator, 0 <= seed < 2**63.
        temperature: 0 is greedy; otherwise logits are divided by it.
        max_tokens: Cap on generated tokens, or None for the grammar's own bound.
    """

    prompt: str
    grammar: Grammar
    seed: int
    temperature: float = 1.0
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TextRequest:
    """Free text asked of a model: what it thinks before it answers under a grammar.

    Attributes:
        prompt: The whole prompt, in the form that `Request.prompt` has.
        seed: As in `Request`.
        temperature: As in `Request`.
        max_tokens: The text is cut there (finish_reason "length"), which is no fault.
        stop: The text ends right before the first of these texts; the model's own end of a turn ends it too.
    """

    prompt: str
    seed: int
    temperature: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered.

    What a model behind a server does not tell is None, never guessed.

    Attributes:
        text: The answer, without the end-of-sequence token.
        token_ids: Generated token ids, forced ones and the end of sequence included.
        logprobs: Per generated token, its log-probability (nats) under the masked, tempered distribution;
            0.0 where the grammar forced it. Of a server, what it reports: its manifest names it.
        finish_reason: "stop" (the grammar was completed) or "length" (cut by max_tokens).
        prompt_tokens: Length of the prompt in tokens.
        decode_steps: Forward passes after the prefill that this row needed.
        details: What else is kept of how the answer came about, JSON-able: of a server its replies, tokens
            and cost (`airtune.models.backends.openai.backend`). Empty for most backends.
    """

    text: str
    token_ids: tuple[int, ...] | None
    logprobs: tuple[float, ...] | None
    finish_reason: str
    prompt_tokens: int | None
    decode_steps: int | None
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)


@runtime_checkable
class Dialect(Protocol):
    """How a problem becomes a prompt, and an answer a configuration. Pure: no state, no randomness."""

    @property
    def name(self) -> str:
        """The dialect's registry name."""

    @property
    def temperature(self) -> float:
        """The sampling temperature that proposals are best drawn at when the user names none."""

    def render(self, problem: Problem) -> str:
        """The prompt for the next proposal."""

    def grammar(self, space: ConfigurationSpace, exclude: Sequence[Mapping[str, Any]] = ()) -> Grammar:
        """The language of the answers that this dialect may give: the space, less `exclude`.

        Raises:
            SpaceError: If this dialect cannot speak about the space.
        """

    def parse(self, text: str, grammar: Grammar) -> dict[str, Any]:
        """The configuration an answer stands for, re-validated.

        Raises:
            DecodeError: If the text is not in the grammar's language.
        """


@runtime_checkable
class PredictingDialect(Dialect, Protocol):
    """A dialect in which a model can be asked how good a configuration will be: for models trained to tell."""

    def render_query(self, problem: Problem, config: Mapping[str, Any]) -> str:
        """The prompt that asks for the score of `config`. Scores are relative to trials: one must have been told."""

    def score_grammar(self) -> Grammar:
        """The language of the answers to it: scores."""

    def read_score(self, text: str) -> int:
        """The score that an answer stands for, re-validated; lower is better.

        Raises:
            DecodeError: If the text is not in the language of scores.
        """


@runtime_checkable
class LanguageModel(Protocol):
    """A model that completes prompts under grammars. Same requests in the same batch: same completions."""

    @property
    def name(self) -> str:
        """What the user called it: a registry name or a directory."""

    @property
    def dialect(self) -> Dialect:
        """The dialect this model speaks."""

    def manifest(self) -> dict[str, Any]:
        """What must be equal for a replay: hashes of weights, tokenizer, config; versions; settings."""

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete every request under its own grammar, seed and temperature.

        Returns:
            One completion per request, in order.

        Raises:
            ModelError: If a request's grammar is empty or the tokenizer cannot spell it.
        """


@dataclass(frozen=True, slots=True, eq=False)
class NextTokens:
    """What may follow a prefix of an answer: first what is forced, then one token of those allowed.

    Attributes:
        written: Token ids of the answer so far.
        forced: Token ids that come next with probability one.
        allowed: (k,) ids of the tokens that may come after those, ascending; none at the end of an answer.
        logprobs: (k,) their log-probabilities (nats) under the masked, tempered distribution.
    """

    written: tuple[int, ...]
    forced: tuple[int, ...]
    allowed: NDArray[np.intp]
    logprobs: NDArray[np.float64]


class AnswerDistribution(Protocol):
    """The exact distribution of the answers to a prompt under a grammar, at one temperature. Nothing is sampled."""

    @property
    def grammar(self) -> Grammar:
        """The language of the answers."""

    @property
    def tokens(self) -> tuple[bytes, ...]:
        """What each token id of the model's vocabulary writes; nothing where it ends an answer."""

    def next_tokens(self, prefixes: Sequence[Sequence[int]]) -> list[NextTokens]:
        """What may follow each of some prefixes (token ids of an unfinished answer), in one pass over all of them.

        Raises:
            ModelError: If the grammar does not allow a prefix.
        """


@runtime_checkable
class TransparentModel(LanguageModel, Protocol):
    """A model that shows the distribution it draws from; `inspection.distribution` refuses the others."""

    def answer_distribution(self, prompt: str, grammar: Grammar, temperature: float) -> AnswerDistribution:
        """The distribution of its answers.

        Raises:
            ModelError: As `generate`.
        """


@runtime_checkable
class TextWriter(Protocol):
    """A model that can also write free text: what dialects with reasoning need."""

    def write(self, requests: Sequence[TextRequest]) -> list[Completion]:
        """Write free text for every request under its own seed and temperature.

        Special tokens are never part of the text. Nothing written is a text too.

        Returns:
            One completion per request, in order; finish_reason "stop" or "length".
        """
