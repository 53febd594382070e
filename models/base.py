"""The seam between Airtune and language models: requests, completions, dialects, the protocols.

Nothing here imports torch: the engine reads these types without paying for a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ConfigSpace import ConfigurationSpace

from airtune.grammars import AirtuneError, Grammar


class ModelError(AirtuneError):
    """A model that cannot be found, loaded or used, or an answer it must not give."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One trial as a model may see it.

    Attributes:
        config: Active hyperparameters only, plain Python values.
        loss: The loss (lower is better), or None while pending or after a failure.
        status: "told", "failed" or "asked" (pending).
        reason: Why it failed, one line, or None.
    """

    config: Mapping[str, Any]
    loss: float | None
    status: str = "told"
    reason: str | None = None


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
            and cost (`airtune.models.openai_backend`). Empty for most backends.
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
