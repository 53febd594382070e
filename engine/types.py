"""The engine's nouns: Task, Trial, Proposal, Proposer, and the errors of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from ConfigSpace import ConfigurationSpace

from airtune.grammars import AirtuneError, SpaceError
from airtune.grammars.axes import copied
from airtune.grammars.errors import shown

Status = Literal["asked", "told", "failed"]


class TaskError(AirtuneError):
    """A task that is unknown or cannot be built."""


class StoreError(AirtuneError):
    """A study file that cannot be opened, read, written or trusted."""


class OtherStudiesError(StoreError):
    """A new study would begin from zero beside others of the same task, which may be what was meant.

    Attributes:
        others: Those, as `StudyFile.studies` tells of them.
        now: The manifest of the study that would begin.
    """

    others: tuple[Any, ...] = ()
    now: Mapping[str, Any] = {}


class StudyFileMoved(StoreError):
    """A study file that was moved, replaced or removed while it was written to.

    Attributes:
        saved: A new study file with all that was told; None if none could be made.
    """

    saved: Path | None = None


class SpaceExhausted(AirtuneError):
    """Every configuration of the space has been tried: the end of a study, not a failure."""


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

    def copied(self) -> Trial:
        """An equal trial: whoever gets it may change its configuration and further values."""
        return replace(self, config=copied(self.config), info=copied(self.info))

    def without_result(self) -> Trial:
        """The trial as it was when it was asked."""
        return replace(self, status="asked", loss=None, reason=None, info={}, evaluation_s=None)


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """The trial with the least loss, the first of equals; None if none has one."""
    told = [trial for trial in trials if trial.loss is not None]
    return min(told, key=lambda trial: (trial.loss, trial.number), default=None)


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


@dataclass(frozen=True, slots=True)
class Proposing:
    """The proposer is being asked for trial `number`."""

    number: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial is stored and its evaluation begins; `resumed` if an earlier process had asked it already."""

    trial: Trial
    resumed: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial was told or has failed, and is stored; its `proposal_s` and `evaluation_s` are seconds."""

    trial: Trial


Event = Proposing | Asked | Finished
Stopped = Literal["budget", "space exhausted", "failing", "interrupted"]


@dataclass(frozen=True, slots=True)
class Result:
    """A study after a run.

    Attributes:
        best: The trial with the least loss, the first of equals; None if none has one.
        trials: All trials of the study, those of earlier runs included, in the order of their numbers.
        stopped: Why the run ended; "failing": every trial has failed, the first three of them for the same reason.
        path: The study file, or None if it was in memory.
    """

    best: Trial | None
    trials: tuple[Trial, ...]
    stopped: Stopped
    path: Path | None


def check_budget(budget: int) -> None:
    """Raise an AirtuneError if it is no number of trials."""
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise AirtuneError(
            f"budget {budget!r} is not a whole number from 1 up",
            value=budget,
            allowed="1 or more",
            hint="budget=10 is ten trials of the study in all, those that it has included",
        )


def check_task(task: Task, seed: int) -> None:
    """Raise an AirtuneError if the task has no space or no objective to call, or the seed is none."""
    if not isinstance(task.space, ConfigurationSpace):
        raise SpaceError(
            f"the space of task {task.name!r} is {shown(task.space)}",
            value=task.space,
            allowed="a ConfigurationSpace of the package ConfigSpace, or of `minimize` a ProgramSpace",
            hint='write ConfigurationSpace({"lr": (1e-4, 1.0), "depth": (1, 12), "kind": ["a", "b"]})',
        )
    if not callable(task.objective):
        raise TaskError(
            f"the objective of task {task.name!r} cannot be called: {task.objective!r}",
            value=task.objective,
            allowed="a function of one configuration (a dict) that returns the loss",
            hint="pass the function itself, not what it returns",
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise AirtuneError(
            f"seed {seed!r} is not a whole number",
            value=seed,
            allowed="any whole number",
            hint="for example seed=0",
        )
