"""What all proposers share: which configurations are left, and how a raw suggestion becomes one of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace
from ConfigSpace.exceptions import (
    ActiveHyperparameterNotSetError,
    ForbiddenValueError,
    IllegalValueError,
    InactiveHyperparameterSetError,
)
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Hyperparameter,
    OrdinalHyperparameter,
    UniformIntegerHyperparameter,
)
from ConfigSpace.types import NotSet

from airtune.engine.manifest import language_model
from airtune.engine.seeds import derive_seed
from airtune.engine.state import StudyState
from airtune.engine.types import Job, Proposal, Proposer, Task, Trial
from airtune.grammars import AirtuneError, DecodeError, canonical_grammar, lattice_grammar
from airtune.grammars.intervals import random_below
from airtune.grammars.space_check import is_wide

# A proposer whose own suggestions are all taken or forbidden gives up after this many and draws uniformly.
REDRAWS = 32
# Surrogate models start after so many told trials.
STARTUP_TRIALS = 4
LARGEST = 1e100  # a loss beyond it is told as this: its square would overflow where losses are standardised

_INVALID = (
    ActiveHyperparameterNotSetError,
    ForbiddenValueError,
    IllegalValueError,
    InactiveHyperparameterSetError,
)


def check_limits(proposer: Proposer, space: ConfigurationSpace) -> None:
    """Refuse a space that the proposer, or its language model, cannot search.

    Raises:
        SpaceError: If its model cannot speak about it: there are more hyperparameters or choices than it knows.
        AirtuneError: If it is one of free programs, which no other proposer can take its place in.
    """
    model = language_model(proposer)
    if hasattr(space, "free_program") and (
        proposer.name != "lm" or model is None or model.dialect.name.partition("+")[0] != "code"
    ):
        dialect = "" if model is None else f" in the dialect {model.dialect.name!r}"
        raise AirtuneError(
            f"proposer {proposer.name!r}{dialect} cannot search free programs, which have no parts to choose",
            value=proposer.name,
            allowed="the proposer 'lm' with the dialect 'code'",
            hint="--proposer lm --dialect code, or write a program space (*.space), which every proposer searches",
        )
    if model is not None:
        model.dialect.grammar(space)


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


class OneByOne(ABC):
    """A proposer that has nothing to gain from many jobs at once.

    Attributes:
        name: The name it is called by.
    """

    name: str

    def propose(self, jobs: Sequence[Job]) -> None:
        """See `airtune.engine.types.Proposer.propose`."""
        for job in jobs:
            job.proposal = self.propose_for(job)

    @abstractmethod
    def propose_for(self, job: Job) -> Proposal | None:
        """The proposal, or None if the space is exhausted."""


def propose_one(
    proposer: Proposer,
    task: Task,
    history: Sequence[Trial] = (),
    pending: Sequence[Trial] = (),
    seed: int = 0,
) -> Proposal | None:
    """One proposal, or None if the space is exhausted; see `airtune.engine.types.Job` for the arguments."""
    job = Job(task, history, pending, seed)
    proposer.propose([job])
    return job.proposal


def propose_trial(proposer: Proposer, states: Sequence[StudyState], number: int) -> list[Job]:
    """Trial `number` of several studies, proposed in one batch.

    Raises:
        AirtuneError: If the proposer fails, or the trial begins a batch and the one before it has not ended.
    """
    jobs = [state.job(number) for state in states]
    proposer.propose(jobs)
    again = [state.job_again(number, job) for state, job in zip(states, jobs, strict=True)]
    if any(again):
        proposer.propose([job for job in again if job is not None])
    return [later or job for later, job in zip(again, jobs, strict=True)]


class Remaining:
    """The configurations of a space's canonical lattice that are neither in the history nor pending.

    Attributes:
        space: The search space.
        grammar: Its canonical grammar, nothing excluded.
    """

    def __init__(self, job: Job) -> None:
        self.space = job.task.space
        self.grammar = canonical_grammar(self.space)
        self._known: dict[tuple[int, ...], Mapping[str, Any]] = {}
        self._unread = iter(observed(job.history, job.pending))

    @property
    def count(self) -> int:
        """How many are left (an upper bound where the grammar over-approximates its space)."""
        return self.grammar.count() - len(self._taken())

    def _taken(self, wanted: tuple[int, ...] | None = None) -> Mapping[tuple[int, ...], Mapping[str, Any]]:
        """What was tried, by path: at least as far as the wanted one, which in a long history may be the first."""
        while wanted not in self._known and (trial := next(self._unread, None)) is not None:
            path = self._path(trial.config)
            if (
                path is not None
            ):  # else nothing on the lattice is near it, so nothing on the lattice was tried
                self._known.setdefault(path, trial.config)
        return self._known

    def admit(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """The lattice configuration nearest to `config` if it is valid and untried, else None."""
        path = self._path(config)
        if path is None or path in self._taken(path):
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
        left = lattice_grammar(self.grammar.lattice, exclude=list(self._taken().values()))
        if left.count() == 0:
            return None
        rng = np.random.default_rng(seed)
        for _ in range(REDRAWS**2 if left.approximate else 1):
            config = left.sample(rng)
            if is_valid(self.space, config):
                return config
        return None


def uniform_config(space: ConfigurationSpace, rng: np.random.RandomState) -> dict[str, Any]:
    """Every hyperparameter drawn from its own distribution; conditions then apply."""
    return active_part(space, {name: sample_value(hp, rng) for name, hp in space.items()})


def sample_value(hp: Hyperparameter[Any, Any], rng: np.random.RandomState) -> Any:
    """A value drawn from the hyperparameter's own distribution; of integers beyond floats, any one."""
    if isinstance(hp, UniformIntegerHyperparameter) and not hp.log and is_wide(hp.lower, hp.upper):
        return hp.lower + random_below(rng, hp.upper - hp.lower + 1)
    if isinstance(hp, CategoricalHyperparameter | OrdinalHyperparameter):
        choices = hp.choices if isinstance(hp, CategoricalHyperparameter) else hp.sequence
        # Not `sample_value`: it takes choices from an array, in which True beside 2 is 1.
        return choices[int(hp.sample_vector(seed=rng))]
    return hp.sample_value(seed=rng)


def first_new(
    name: str, job: Job, draw: Callable[[], dict[str, Any] | None], redraws: int
) -> Proposal | None:
    """A proposal from `draw`, which is called until it gives a configuration that has not been tried.

    It gives None where it has nothing to suggest. After `redraws` vain calls the proposal is drawn uniformly from
    what is left, and its origin says so: "tpe+uniform". None comes back only when nothing is left.
    """
    remaining = Remaining(job)
    if remaining.count <= 0:
        return None
    for _ in range(redraws):
        raw = draw()
        config = None if raw is None else remaining.admit(raw)
        if config is not None:
            return Proposal(config, name)
    config = remaining.uniform(derive_seed("uniform", job.seed, 0))
    return None if config is None else Proposal(config, f"{name}+uniform")


def one_thread() -> Any:
    """A context in which BLAS and OpenMP use one thread.

    Their number changes the last bits of sums, so results would depend on the machine; and on small matrices
    the thread pools of numpy and torch stand in each other's way (the GP is several times faster with one).
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    return threadpool_limits(limits=1)
