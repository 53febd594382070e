"""`smac`: SMAC 2's hyperparameter optimisation facade (random forest, log expected improvement), made stateless.

Every call tells a new facade the history and asks it once per proposal. All of the facade is at its defaults (10 trees,
10,000 challengers and local search, every fifth proposal drawn at random) but for two things. It starts after as many
told trials as the Optuna proposers do, not after a Sobol design of up to a quarter of a budget that a stateless
proposer does not know; up to then it draws uniformly. And objectives are taken to be deterministic: SMAC does not ask
for a configuration twice. A failed trial is told with the worst loss; while there is no loss, all are left out.
"""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace

from airtune.engine.proposers.base import (
    LARGEST,
    REDRAWS,
    STARTUP_TRIALS,
    OneByOne,
    first_new,
    losses,
    one_thread,
    uniform_config,
)
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Proposal, Trial
from airtune.grammars import AirtuneError, once_per_space

if TYPE_CHECKING:
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.acquisition.maximizer import LocalAndSortedRandomSearch
    from smac.model.random_forest.random_forest import RandomForest

# A facade that has named this many tried configurations in a row has converged.
ASKS = 8
PLENTY = 10**9  # trials that SMAC may run: it is never the one to stop


class SMACProposer(OneByOne):
    """Random-forest surrogate and expected improvement, from the `smac` package.

    Raises:
        AirtuneError: If the package is not installed.
    """

    name = "smac"

    def __init__(self) -> None:
        from importlib.util import find_spec

        if find_spec("smac") is None:
            raise AirtuneError(
                "proposer 'smac' needs the package smac, which is not installed",
                value="smac",
                allowed="airtune with the extra 'smac'",
                hint="pip install 'airtune[smac]', or use another proposer, such as 'tpe'",
            )

    def propose_for(self, job: Job) -> Proposal | None:
        """See `OneByOne.propose_for`."""
        space = job.task.space
        told = list(job.history) if any(trial.loss is not None for trial in job.history) else []
        own = derive_seed(self.name, job.seed) % 2**32
        if len(told) < STARTUP_TRIALS:
            return first_new(
                self.name, job, partial(uniform_config, space, np.random.RandomState(own)), REDRAWS
            )
        with _quiet_smac(), one_thread(), tempfile.TemporaryDirectory(prefix="airtune-smac-") as folder:
            facade = _facade(space, told, job.pending, own % 2**31, Path(folder))

            def ask() -> dict[str, Any] | None:
                try:
                    return dict(facade.ask().config)
                except (StopIteration, RuntimeError):  # it finds nothing more: few configurations are left
                    return None

            return first_new(self.name, job, ask, ASKS)


def _facade(
    space: ConfigurationSpace, told: Sequence[Trial], pending: Sequence[Trial], seed: int, folder: Path
) -> HyperparameterOptimizationFacade:
    """A facade that has been told the trials, with `pending` running."""
    from smac import HyperparameterOptimizationFacade as Facade
    from smac import Scenario
    from smac.runhistory import TrialInfo, TrialValue

    own = _own(space)
    scenario = Scenario(
        own,
        output_directory=folder,
        deterministic=True,
        n_trials=PLENTY,
        seed=seed,
    )
    facade = Facade(
        scenario,
        model=_forest(scenario, len(told)),
        acquisition_maximizer=_maximizer(Facade.get_acquisition_maximizer(scenario)),
        initial_design=Facade.get_initial_design(scenario, n_configs=0),
        logging_level=False,
        overwrite=True,
    )
    for trial, loss in zip(told, losses(told), strict=True):
        config = Configuration(own, values=dict(trial.config))
        facade.tell(TrialInfo(config, seed=0), TrialValue(min(max(loss, -LARGEST), LARGEST)), save=False)
    for trial in pending:
        facade.runhistory.add_running_trial(TrialInfo(Configuration(own, values=dict(trial.config)), seed=0))
    return facade


def _forest(scenario: Scenario, trials: int) -> RandomForest:
    """The facade's forest, the same to the last bit, but some hundred times faster.

    A tree has no more leaves than trials; told of SMAC's limit, 2**20, scikit-learn makes room for that many. And a
    pool of threads for every prediction takes longer than the prediction.
    """
    from smac.model.random_forest.random_forest import RandomForest

    return RandomForest(
        scenario.configspace,
        log_y=True,
        n_trees=10,
        bootstrapping=True,
        ratio_features=1.0,
        min_samples_split=2,
        min_samples_leaf=1,
        max_depth=2**20,
        max_leaf_nodes=max(2, trials),
        n_jobs=1,
        seed=scenario.seed,
    )


def _maximizer(maximizer: LocalAndSortedRandomSearch) -> LocalAndSortedRandomSearch:
    """With its starting points in an order of their values: SMAC's is that of a set of hashed strings."""
    search = maximizer._local_search
    unordered = search._get_init_points_from_previous_configs

    def ordered(*arguments: Any) -> list[Configuration]:
        return sorted(
            unordered(*arguments), key=lambda config: np.nan_to_num(config.get_array(), nan=-1.0).tolist()
        )

    search._get_init_points_from_previous_configs = ordered  # type: ignore[assignment, method-assign]
    return maximizer


@once_per_space
def _own(space: ConfigurationSpace) -> ConfigurationSpace:
    """A copy of the space: SMAC seeds the one it is given."""
    return copy.deepcopy(space)


@contextmanager
def _quiet_smac() -> Iterator[None]:
    """Without SMAC's log lines and its warnings about numbers."""
    logger = logging.getLogger("smac")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        logger.setLevel(level)
