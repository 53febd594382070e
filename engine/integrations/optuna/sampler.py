"""`AirtuneSampler`: a local language model proposes in an Optuna study, whatever its storage, pruner and workers."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ConfigSpace import ConfigurationSpace
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import intersection_search_space
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from airtune.engine.integrations.optuna.queued import GUESSES, completed, draw
from airtune.engine.integrations.optuna.space import OptunaSpace, from_distributions, from_space
from airtune.engine.integrations.optuna.trials import all_trials, claim, earlier_duplicate, evaluated, split
from airtune.engine.proposers import load_proposer, needs_model
from airtune.engine.proposers.base import propose_one
from airtune.engine.proposers.default import DefaultFirst
from airtune.engine.proposers.limits import warn_of_limits, within_limits
from airtune.engine.proposers.random import RandomProposer
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Proposal, Proposer, Task, Trial
from airtune.grammars import AirtuneError, SpaceError
from airtune.models import LanguageModel, load_model

# A claim is lost when another worker proposed the same at the same moment; each loss takes that one out of the way.
CLAIMS = 32
DUPLICATE = "airtune:duplicate_of"

_PROPOSING = threading.Lock()  # one model per process, and n_jobs threads that share it


class MultiObjectiveError(AirtuneError, ValueError):
    """A study with several objectives, of which Airtune's proposers minimise one."""


class DuplicateWarning(UserWarning):
    """A trial has the parameters of an earlier one."""


class AirtuneSampler(BaseSampler):
    """Proposes with one of Airtune's proposers; an Optuna sampler like any other.

    >>> import optuna
    >>> from airtune.engine.integrations import AirtuneSampler
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(sampler=AirtuneSampler(proposer="default+lm"))
    >>> study.optimize(lambda trial: (trial.suggest_float("lr", 1e-5, 1.0, log=True) - 0.01) ** 2, n_trials=6)
    >>> len({trial.params["lr"] for trial in study.trials})
    6

    Which parameters there are is known once a trial has ended: from then on those that all trials have in common
    (Optuna's intersection search space) are proposed together by `proposer`. All others are drawn at random, uniform
    on their own scale: those of the first trials (under "default+X" trial 0 is the default), of branches, and of
    ranges that change. Where `search_space` tells the parameters, the first trial is proposed too; a
    `ConfigurationSpace` also tells the conditions, and then branches are proposed like the rest.

    Trials running elsewhere are left out of what may be proposed, and so is all that was tried. What is proposed for
    a trial is claimed in the storage before it is used, so that no two workers get the same, on any storage that
    several processes can share. What is drawn at random cannot be claimed, as the trial's other parameters are not
    known; a trial that ends with the parameters of an earlier one is warned of, and says so in its system attribute
    "airtune:duplicate_of". When a space is exhausted, trials repeat, with the same warning.

    A proposal depends on the seed, the trial's number and what the storage holds, and on nothing else. Complete
    trials are told with their value (negated where it is maximised), pruned ones with the last value they reported;
    failed ones, and pruned ones that reported none, are failures, which the model sees and never proposes again.

    Where the parameters are beyond the model's limits (the bundled one's: 24 of them, 32 choices), "tpe" proposes, and
    one warning says so. Whole numbers beyond 2**53 are floats, as in Optuna's own storages.

    Args:
        proposer: A proposer's name, as for `airtune tune --proposer`.
        model: The language model or its name; loaded once per process.
        seed: Of the whole study; workers of one study share it.
        search_space: The parameters, where they are known from the start: Optuna's distributions by name, or a
            ConfigSpace space.
        temperature: The language model's sampling temperature; None for its dialect's own.
        name: What is tuned, for the model to read.
        metric: What its value is called, for the model to read.
        description: What is tuned, in words, for the model to read.

    Raises:
        AirtuneError: If the proposer, the model, the seed or the space is not usable.
    """

    def __init__(
        self,
        proposer: str = "default+lm+gp",
        *,
        model: str | LanguageModel = "pocket",
        seed: int = 0,
        search_space: Mapping[str, BaseDistribution] | ConfigurationSpace | None = None,
        temperature: float | None = None,
        name: str = "objective",
        metric: str = "loss",
        description: str = "",
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise AirtuneError(
                f"seed {seed!r} is not a whole number",
                value=seed,
                allowed="any int: the same seed gives the same search",
                hint="workers of one study share a seed; leave it out for 0",
            )
        self._settings: dict[str, Any] = {"name": proposer, "model": model, "temperature": temperature}
        self._seed = seed
        self._known = None if search_space is None else _known_space(search_space)
        self._told: dict[str, str] = {"name": name, "metric": metric, "description": description}
        self._loaded: Proposer | None = None
        self._warned = False
        self._proposer()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}  # the other process loads the model itself

    def __str__(self) -> str:
        return f"AirtuneSampler({self._settings['name']!r})"

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """See `optuna.samplers.BaseSampler`: the space that was given, or what all ended trials have in common.

        Raises:
            MultiObjectiveError: If the study has several objectives.
        """
        _check_single(study)
        if self._known is not None:
            return dict(self._known.distributions)
        common = intersection_search_space(all_trials(study), include_pruned=True)
        return {name: distribution for name, distribution in common.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `optuna.samplers.BaseSampler`: one proposal, claimed for this trial.

        Raises:
            MultiObjectiveError: If the study has several objectives.
            AirtuneError: If the space cannot be searched, or the proposer fails.
        """
        _check_single(study)
        if not search_space:
            return {}
        known = self._known
        whole = known is not None and search_space == known.distributions
        space = known if known is not None and whole else from_distributions(search_space)
        task = self._task(space, study)
        fixed = {**trial.system_attrs.get("fixed_params", {}), **trial.params}  # of a queued trial
        given = {name: value for name, value in fixed.items() if name in space.distributions}
        tried: list[Trial] = []
        for attempt in range(CLAIMS):
            seed = derive_seed(self._seed, trial.number, *([attempt] if attempt else []))
            trials = all_trials(study)
            ended = {other.number for other in trials if other.state.is_finished()}
            history, pending = split(trials, space, study.direction, trial.number)
            guessing = not given or len(tried) < GUESSES
            proposal = self._propose(task, history, [*pending, *tried], seed) if guessing else None
            if not given:
                if proposal is None:
                    break
                if claim(study, trial, proposal.config, proposal.origin, ended):
                    return space.params(proposal.config)
                continue
            taken = [evaluated(other, space) for other in trials if other.number != trial.number]
            free = space.distributions.keys() - given.keys()
            if proposal is not None:
                params = completed(space, space.params(proposal.config), given)
                if free and params in taken:
                    tried.append(Trial(trial.number, proposal.config))
                    continue
            elif (drawn := draw(space, given, taken, seed) if free else given) is not None:
                params = drawn
            else:
                break
            config = space.config(params)
            origin = "random" if proposal is None else proposal.origin
            if config is None or claim(study, trial, config, origin, ended):
                return params
        repeated = propose_one(RandomProposer(), task, seed=derive_seed(self._seed, trial.number))
        assert repeated is not None  # nothing is excluded
        return space.params(repeated.config)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See `optuna.samplers.BaseSampler`: at random, but not what would make this trial equal to another one.

        Raises:
            MultiObjectiveError: If the study has several objectives.
            AirtuneError: If the parameter cannot be searched.
        """
        _check_single(study)
        space = from_distributions({param_name: param_distribution})
        given = {**trial.system_attrs.get("fixed_params", {}), **trial.params}  # of a queued trial
        task, seed = self._task(space, study), derive_seed(self._seed, trial.number, param_name)
        taken = []
        for other in all_trials(study):
            known = next((g for g in (given, trial.params) if other.params.keys() == {*g, param_name}), None)
            if other.number != trial.number and known is not None:
                config = space.config(other.params)
                if config is not None and known.items() <= other.params.items():
                    taken.append(Trial(other.number, config))
        drawer: Proposer = RandomProposer()
        if trial.number == 0 and isinstance(self._proposer(), DefaultFirst):
            drawer = DefaultFirst(drawer)
        drawn = propose_one(drawer, task, (), taken, seed)
        drawn = drawn or propose_one(RandomProposer(), task, seed=seed)  # nothing is left: it has to repeat
        assert drawn is not None
        return space.params(drawn.config)[param_name]

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """See `optuna.samplers.BaseSampler`: says so where the trial has repeated an earlier one."""
        earlier = earlier_duplicate(all_trials(study), trial) if trial.params else None
        if earlier is not None:
            study._storage.set_trial_system_attr(trial._trial_id, DUPLICATE, earlier)
            warnings.warn(
                f"trial {trial.number} repeats trial {earlier}: {trial.params!r}. Its space is exhausted, or both were "
                f"drawn before the parameters were known (AirtuneSampler(search_space=...) tells them)",
                DuplicateWarning,
                stacklevel=2,
            )

    def _proposer(self) -> Proposer:
        if self._loaded is None:
            self._loaded = _make(**self._settings)
        return self._loaded

    def _proposer_in(self, task: Task) -> Proposer:
        """Who proposes: another one, with one warning, where the model's limits are passed."""
        proposer, why = within_limits(self._proposer(), task.space)
        if why is not None and not self._warned:
            self._warned = True
            warn_of_limits(why)
        return proposer

    def _task(self, space: OptunaSpace, study: Study) -> Task:
        metric = self._told["metric"]
        if study.direction == StudyDirection.MAXIMIZE:
            metric = f"negative {metric}"
        return Task(self._told["name"], space.space, _unused, metric, self._told["description"])

    def _propose(
        self, task: Task, history: Sequence[Trial], pending: Sequence[Trial], seed: int
    ) -> Proposal | None:
        """One proposal; from what the proposer cannot say, if there is nothing else left; or None."""
        with _PROPOSING:
            made = propose_one(self._proposer_in(task), task, history, pending, seed)
        return made or propose_one(RandomProposer(), task, history, pending, seed)


def _make(name: str, model: str | LanguageModel, temperature: float | None) -> Proposer:
    loaded = _load(model) if isinstance(model, str) and needs_model(name) else model
    return load_proposer(name, loaded, temperature)


@lru_cache(maxsize=4)
def _load(model: str) -> LanguageModel:
    return load_model(model)


def _known_space(space: Any) -> OptunaSpace | None:
    """The space that was given, or None where all in it have one value only and nothing is to be searched."""
    if isinstance(space, ConfigurationSpace):
        return from_space(space)
    named = isinstance(space, Mapping) and all(isinstance(name, str) for name in space)
    if not named or not all(isinstance(one, BaseDistribution) for one in space.values()):
        raise SpaceError(
            f"search_space is {space!r}"[:200],
            value=space,
            allowed='Optuna distributions by name, {"lr": FloatDistribution(1e-5, 1)}, or a ConfigurationSpace',
            hint="write it so, or leave it out: the parameters are then known once a trial has ended",
        )
    searched = {name: d for name, d in space.items() if not d.single()}
    return None if space and not searched else from_distributions(searched)


def _check_single(study: Study) -> None:
    directions = study.directions
    if len(directions) != 1:
        raise MultiObjectiveError(
            f"the study has {len(directions)} objectives",
            value=[direction.name.lower() for direction in directions],
            allowed="one objective",
            hint="combine them into one value, or use optuna.samplers.NSGAIISampler",
        )


def _unused(config: dict[str, Any]) -> float:
    raise AssertionError("Optuna evaluates")
