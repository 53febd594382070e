"""The engine's nouns: Task, Trial, Proposal, Proposer, and the errors of this room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

from ConfigSpace import ConfigurationSpace

from airtune.grammars import AirtuneError

Status = Literal["asked", "told", "failed"]


class TaskError(AirtuneError):
    """A task that is unknown or cannot be built."""


class StoreError(AirtuneError):
    """A study file that cannot be opened, read, written or trusted."""


# The best of them on development tasks and on HPOBench, which had been looked at before this was named
# (docs/log/looks.md).
DEFAULT_PROPOSER = "default+lm+gp"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to tune.

    Attributes:
        name: A name that is stable across runs, for example "sklearn/svm/digits".
        space: The search space.
        objective: `config -> loss` (a float, minimised) or a mapping that has the key "loss" and any further
            numbers to keep, for example {"loss": 0.03, "test_loss": 0.04}. Called in a worker process.
        metric: What the loss is, for example "validation error".
        description: What is tuned, in words, for the model to read; may be empty.
    """

    name: str
    space: ConfigurationSpace
    objective: Callable[[dict[str, Any]], Any]
    metric: str = "loss"
    description: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration and what became of it.

    Attributes:
        number: 0, 1, 2, ... within the study.
        config: Active hyperparameters only, plain Python values.
        status: "asked" (no result yet), "told" or "failed".
        loss: Finite when told, else None.
        reason: Why it failed, or None.
        info: Further numbers that the objective returned, for example {"test_loss": 0.04}.
        proposal_s: Seconds spent proposing.
        evaluation_s: Seconds spent evaluating, or None.
    """

    number: int
    config: Mapping[str, Any]
    status: Status = "asked"
    loss: float | None = None
    reason: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    proposal_s: float = 0.0
    evaluation_s: float | None = None

    def without_result(self) -> Trial:
        """The trial as it was when it was asked."""
        return replace(self, status="asked", loss=None, reason=None, info={}, evaluation_s=None)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration to try next, and how it came about.

    Attributes:
        config: Active hyperparameters only, valid, not in the history and not pending.
        origin: The proposer that made it, for example "lm" or "default".
        transcript: For language models: prompt, text, grammar hash, token ids, log-probabilities, seed,
            attempt, model, and the rejected attempts before it (JSON-able). None for the others.
    """

    config: Mapping[str, Any]
    origin: str
    transcript: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Job:
    """One proposal to be made, and what became of it.

    Attributes:
        task: What is tuned; its objective is never called by a proposer.
        history: Told and failed trials in the order of their numbers.
        pending: Asked trials without a result.
        seed: The only source of randomness; a language model's attempt k is sampled with derive_seed(seed, k).
        proposal: The answer, or None: not yet, or the space is exhausted.
        rejected: A language model's attempts that were turned down, as they will be in the transcript.
    """

    task: Task
    history: Sequence[Trial]
    pending: Sequence[Trial]
    seed: int
    proposal: Proposal | None = None
    rejected: list[dict[str, Any]] = field(default_factory=list)


@runtime_checkable
class Proposer(Protocol):
    """Proposes configurations. Stateless: the same jobs get the same answers."""

    @property
    def name(self) -> str:
        """The name it is called by, for example "default+tpe"."""

    def propose(self, jobs: Sequence[Job]) -> None:
        """Fill in every job's proposal, one that is neither in its history nor pending.

        Jobs are independent of each other, but a language model answers all of them in one batch. None stays where a
        space is exhausted.
        """
