"""`tpe` and `gp`: Optuna's samplers, made stateless.

Every call builds an in-memory study from the history and asks it once per proposal, so nothing lives between
calls. Both samplers start after 4 told trials instead of Optuna's 10: at 10 evaluations Optuna's default *is*
random search, and a baseline should not be weaker than it can be.

A failed trial is told with the worst loss of the history; while there is none, it is left out. A pending
trial is a running one, which both samplers heed (TPE by a constant liar, the GP by integrating over it).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    NumericalHyperparameter,
    OrdinalHyperparameter,
)
from ConfigSpace.types import NotSet

from airtune.engine.proposers.base import (
    LARGEST,
    REDRAWS,
    STARTUP_TRIALS,
    OneByOne,
    active_part,
    first_new,
    is_active,
    losses,
    observed,
    one_thread,
)
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Proposal, Trial
from airtune.grammars.space_check import is_wide

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import FloatDistribution, IntDistribution

# The GP sees integers of this many values as real numbers, rounded afterwards: its line search over every
# single one takes most of its time, and at this many the neighbours of a value are as good as the value.
SMOOTH_FROM = 16
# TPE does so with those of which one value weighs nothing beside its range: its density there would be 0 - 0.
TPE_SMOOTH_FROM = 2**40


class TPEProposer(OneByOne):
    """Tree-structured Parzen estimator: multivariate, grouped (conditional spaces keep their structure)."""

    name = "tpe"

    def propose_for(self, job: Job) -> Proposal | None:
        """See `OneByOne.propose_for`."""
        space = job.task.space
        with _quiet_optuna() as optuna:
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=STARTUP_TRIALS,
                multivariate=True,
                group=True,
                seed=_seed(self.name, job.seed),
            )
            distributions = _distributions(space, TPE_SMOOTH_FROM)
            study = _study(sampler, space, distributions, job.history, job.pending, impute=False)

            def draw() -> dict[str, Any]:
                trial, config = study.ask(), dict.fromkeys(space, NotSet)
                for name, hp in space.items():
                    if is_active(space, name, config):
                        config[name] = _suggest(trial, name, hp)
                return {name: value for name, value in config.items() if value is not NotSet}

            return first_new(self.name, job, draw, REDRAWS)


class GPProposer(OneByOne):
    """Gaussian process with Optuna's GPSampler (Matern 5/2, log expected improvement).

    A conditional space is modelled on all its hyperparameters, inactive ones at their defaults: Optuna's own
    way with such spaces is to sample the conditional ones at random.
    """

    name = "gp"
    # A suggestion takes tens of milliseconds; a process that has repeated itself this often has converged.
    redraws = 8

    def propose_for(self, job: Job) -> Proposal | None:
        """See `OneByOne.propose_for`."""
        space = job.task.space
        with _quiet_optuna() as optuna, one_thread():
            sampler = optuna.samplers.GPSampler(
                n_startup_trials=STARTUP_TRIALS,
                seed=_seed(self.name, job.seed),
                warn_independent_sampling=False,
            )
            distributions = _distributions(space, smooth_from=SMOOTH_FROM)
            study = _study(sampler, space, distributions, job.history, job.pending, impute=True)

            def draw() -> dict[str, Any]:
                params = study.ask(distributions).params
                return active_part(
                    space, {name: _from_optuna(hp, params.get(name)) for name, hp in space.items()}
                )

            return first_new(self.name, job, draw, self.redraws)


def _seed(name: str, seed: int) -> int:
    return derive_seed(name, seed) % 2**32  # numpy's RandomState takes 32 bits


@contextmanager
def _quiet_optuna() -> Iterator[Any]:
    """Optuna, without its log lines and its warnings about experimental arguments and numbers."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(verbosity)


def _study(
    sampler: optuna.samplers.BaseSampler,
    space: ConfigurationSpace,
    distributions: Mapping[str, Any],
    history: Sequence[Trial],
    pending: Sequence[Trial],
    impute: bool,
) -> optuna.Study:
    """The trials as an Optuna study; with `impute`, inactive hyperparameters have their default values."""
    import optuna

    study = optuna.create_study(sampler=sampler)
    told = list(history) if any(trial.loss is not None for trial in history) else []
    known = [min(max(loss, -LARGEST), LARGEST) for loss in losses(told)] if told else []
    loss_of = dict(zip((trial.number for trial in told), known, strict=True))
    for trial in observed(told, pending):
        values = {name: hp.default_value for name, hp in space.items()} if impute else {}
        values.update(trial.config)
        params = {
            name: _to_optuna(space[name], value) for name, value in values.items() if name in distributions
        }
        loss = loss_of.get(trial.number)
        state = optuna.trial.TrialState.RUNNING if loss is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.create_trial(
                state=state,
                value=loss,
                params=params,
                distributions={name: distributions[name] for name in params},
            )
        )
    return study


def _distributions(space: ConfigurationSpace, smooth_from: float) -> dict[str, Any]:
    """Optuna's distribution of every hyperparameter but constants; choices and ordinals by their index.

    Integers of `smooth_from` values or more are given as floats.
    """
    from optuna import distributions as d

    made: dict[str, Any] = {}
    for name, hp in space.items():
        if isinstance(hp, FloatHyperparameter | IntegerHyperparameter):
            made[name] = distribution_of_number(hp, smooth_from)
        elif isinstance(hp, CategoricalHyperparameter):
            made[name] = d.CategoricalDistribution(range(len(hp.choices)))
        elif isinstance(hp, OrdinalHyperparameter):
            made[name] = d.IntDistribution(0, len(hp.sequence) - 1)
    return made


def distribution_of_number(
    hp: FloatHyperparameter | IntegerHyperparameter, smooth_from: float = math.inf
) -> FloatDistribution | IntDistribution:
    """Optuna's distribution of a number; integers of `smooth_from` values, or beyond floats, are given as floats."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(hp, FloatHyperparameter):
        return FloatDistribution(float(hp.lower), float(hp.upper), log=bool(hp.log))
    # Optuna keeps whole numbers as floats, and refuses those that are rounded out of their range.
    wide = hp.size >= smooth_from or is_wide(hp.lower, hp.upper)
    kind = FloatDistribution if wide else IntDistribution
    return kind(int(hp.lower), int(hp.upper), log=bool(hp.log))


def _suggest(trial: optuna.Trial, name: str, hp: Hyperparameter[Any, Any]) -> Any:
    """One hyperparameter's value from a define-by-run trial."""
    if isinstance(hp, FloatHyperparameter):
        return trial.suggest_float(name, hp.lower, hp.upper, log=hp.log)
    if isinstance(hp, IntegerHyperparameter):
        if hp.size >= TPE_SMOOTH_FROM or is_wide(hp.lower, hp.upper):
            return round(trial.suggest_float(name, hp.lower, hp.upper, log=hp.log))
        return trial.suggest_int(name, int(hp.lower), int(hp.upper), log=hp.log)
    if isinstance(hp, CategoricalHyperparameter):
        return hp.choices[trial.suggest_categorical(name, range(len(hp.choices)))]
    if isinstance(hp, OrdinalHyperparameter):
        return hp.sequence[trial.suggest_int(name, 0, len(hp.sequence) - 1)]
    return hp.default_value


def _to_optuna(hp: Hyperparameter[Any, Any], value: Any) -> Any:
    """A value in Optuna's form: an index for choices and ordinals, clipped to the range for numbers."""
    if isinstance(hp, CategoricalHyperparameter):
        return hp.choices.index(value)
    if isinstance(hp, OrdinalHyperparameter):
        return hp.sequence.index(value)
    if isinstance(hp, NumericalHyperparameter):
        return min(max(value, hp.lower), hp.upper)
    return value


def _from_optuna(hp: Hyperparameter[Any, Any], value: Any) -> Any:
    """The inverse of `_to_optuna`; constants, which Optuna is not told of, have their only value."""
    if isinstance(hp, CategoricalHyperparameter):
        return hp.choices[value]
    if isinstance(hp, OrdinalHyperparameter):
        return hp.sequence[value]
    if isinstance(hp, IntegerHyperparameter):
        return round(value)
    return hp.default_value if value is None else value
