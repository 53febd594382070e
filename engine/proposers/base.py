"""What all proposers share: which configurations are left, and how a raw suggestion becomes one of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace
from ConfigSpace.exceptions import (
    ActiveHyperparameterNotSetError,
    ForbiddenValueError,
    IllegalValueError,
    InactiveHyperparameterSetError,
)
from ConfigSpace.types import NotSet

from airtune.engine.seeds import derive_seed
from airtune.engine.types import Proposal, Task, Trial
from airtune.grammars import DecodeError, Grammar, lattice_grammar, space_grammar

# A proposer whose own suggestions are all taken or forbidden gives up after this many and draws uniformly.
REDRAWS = 32

_INVALID = (
    ActiveHyperparameterNotSetError,
    ForbiddenValueError,
    IllegalValueError,
    InactiveHyperparameterSetError,
)


def active_part(space: ConfigurationSpace, values: Mapping[str, Any]) -> dict[str, Any]:
    """The active part of `values`, which has a value for every hyperparameter: a configuration.

    A child is active when its parent is and its conditions hold; ConfigSpace lists parents before children.
    """
    active: dict[str, Any] = dict.fromkeys(space, NotSet)
    for name in space:
        if is_active(space, name, active):
            active[name] = values[name]
    return {name: value for name, value in active.items() if value is not NotSet}


def is_active(space: ConfigurationSpace, name: str, values: dict[str, Any]) -> bool:
    """Whether the hyperparameter is active, given `values` of all others (NotSet where inactive)."""
    return all(condition.satisfied_by_value(values) for condition in space.parent_conditions_of[name])


def is_valid(space: ConfigurationSpace, config: Mapping[str, Any]) -> bool:
    """Whether ConfigSpace's own check accepts the configuration."""
    try:
        Configuration(space, values=dict(config))
    except _INVALID:
        return False
    return True


def observed(history: Iterable[Trial], pending: Iterable[Trial]) -> list[Trial]:
    """All trials in the order in which they were asked."""
    return sorted((*history, *pending), key=lambda trial: trial.number)


def losses(trials: Sequence[Trial]) -> list[float]:
    """The trials' losses; a failure counts as the worst loss seen, which is what is known of it.

    Raises:
        ValueError: If no trial has a loss.
    """
    worst = max(trial.loss for trial in trials if trial.loss is not None)
    return [worst if trial.loss is None else trial.loss for trial in trials]


@dataclass(slots=True)
class Job:
    """One proposal to be made, and what became of it.

    Attributes:
        task: What is tuned.
        history: Told and failed trials in the order of their numbers.
        pending: Asked trials without a result.
        seed: The proposal's seed; a language model's attempt k is sampled with derive_seed(seed, k).
        proposal: The answer, or None: not yet, or the space is exhausted.
        rejected: A language model's attempts that were turned down, as they will be in the transcript.
    """

    task: Task
    history: Sequence[Trial]
    pending: Sequence[Trial]
    seed: int
    proposal: Proposal | None = None
    rejected: list[dict[str, Any]] = field(default_factory=list)


class JobProposer(ABC):
    """A proposer that takes many jobs at once, for many studies to share one batch of a model.

    Attributes:
        name: The name it is called by.
    """

    name: str

    @abstractmethod
    def propose_jobs(self, jobs: Sequence[Job]) -> None:
        """Fill in every job's proposal; None stays where a space is exhausted."""

    def propose(
        self, task: Task, history: Sequence[Trial], pending: Sequence[Trial], seed: int, n: int = 1
    ) -> list[Proposal]:
        """See `airtune.engine.types.Proposer.propose`: one after another, each one pending for the next.

        Raises:
            ModelError: See the class's `propose_jobs`.
        """
        proposals: list[Proposal] = []
        number = 1 + max((trial.number for trial in (*history, *pending)), default=-1)
        for i in range(n):
            job = Job(task, history, pending, seed if i == 0 else derive_seed(self.name, seed, i))
            self.propose_jobs([job])
            if job.proposal is None:
                break
            proposals.append(job.proposal)
            pending = (*pending, Trial(number + i, job.proposal.config))
        return proposals


class Same:
    """A space as a key by identity: what an equal one would cost is only a second build."""

    def __init__(self, space: ConfigurationSpace) -> None:
        self.space = space

    def __hash__(self) -> int:
        return id(self.space)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.space is other.space


def canonical_grammar(space: ConfigurationSpace) -> Grammar:
    """`space_grammar(space)`, built once for each space object, which must not be changed afterwards."""
    return _canonical_grammar(Same(space))


@lru_cache(maxsize=64)
def _canonical_grammar(same: Same) -> Grammar:
    return space_grammar(same.space)


class Untried:
    """The configurations of a space's canonical lattice that are neither in the history nor pending.

    Attributes:
        space: The search space.
        grammar: Its canonical grammar, nothing excluded.
    """

    def __init__(self, task: Task, history: Iterable[Trial], pending: Iterable[Trial]) -> None:
        self.space = task.space
        self.grammar = canonical_grammar(task.space)
        self._taken: dict[tuple[int, ...], Mapping[str, Any]] = {}
        for trial in observed(history, pending):
            self.take(trial.config)

    @property
    def count(self) -> int:
        """How many are left (an upper bound where the grammar over-approximates its space)."""
        return self.grammar.count() - len(self._taken)

    def take(self, config: Mapping[str, Any]) -> None:
        """Mark the configuration as tried."""
        path = self._path(config)
        if path is not None:  # else nothing on the lattice is near it, so nothing on the lattice was tried
            self._taken.setdefault(path, config)

    def admit(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """The lattice configuration nearest to `config` if it is valid and untried, else None."""
        path = self._path(config)
        if path is None or path in self._taken:
            return None
        snapped = self.grammar.config(path)
        return snapped if is_valid(self.space, snapped) else None

    def _path(self, config: Mapping[str, Any]) -> tuple[int, ...] | None:
        """Where the lattice configuration nearest to `config` is on the lattice, which remembers it; or None."""
        try:
            return self.grammar.lattice.nearest_path(config)
        except DecodeError:
            return None

    def uniform(self, seed: int) -> dict[str, Any] | None:
        """One drawn uniformly from what is left, or None if nothing is (or, over-approximated, was found)."""
        left = lattice_grammar(self.grammar.lattice, exclude=list(self._taken.values()))
        if left.count() == 0:
            return None
        rng = np.random.default_rng(seed)
        for _ in range(REDRAWS**2 if left.approximate else 1):
            config = left.sample(rng)
            if is_valid(self.space, config):
                return config
        return None
