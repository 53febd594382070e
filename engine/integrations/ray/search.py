"""`AirtuneSearch`: a local language model proposes in Ray Tune, on a cluster of any size."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch
from ray.tune.utils.util import flatten_dict, unflatten_dict

from airtune.engine.evaluation.result import TrialFailed, one_line, read_loss
from airtune.engine.integrations.optuna.space import OptunaSpace, from_distributions, from_space
from airtune.engine.proposers import load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.engine.proposers.limits import warn_of_limits, within_limits
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Proposer, Task, Trial
from airtune.grammars import AirtuneError, SpaceError, write_file
from airtune.models.offline import RAY_SWITCHES


class AirtuneSearch(Searcher):  # type: ignore[misc]
    """Proposes with one of Airtune's proposers; a Ray Tune searcher like any other.

    The model runs in the driver; trials that have not ended are left out of what may be proposed, so that no two are
    the same. An exhausted space ends the search. Where a scheduler stops a trial early, the last value it reported
    is its result; a trial that ended in an error or without a finite value is a failure.

        tuner = tune.Tuner(
            train,
            tune_config=tune.TuneConfig(search_alg=AirtuneSearch(), num_samples=50, metric="loss", mode="min"),
            param_space={"lr": tune.loguniform(1e-5, 1.0), "depth": tune.randint(1, 10), "seed": 0},
        )

    Args:
        space: A ConfigSpace space; None takes Ray Tune's `param_space`, nested ones too.
        proposer: A proposer's name, as for `airtune tune --proposer`.
        model: The language model's name: Ray keeps the searcher as a pickle, which a loaded model cannot be part of.
        metric: The value that is looked at; None takes that of the Tuner.
        mode: "min" or "max"; None takes that of the Tuner.
        seed: Of the whole search. Ray decides when trials end: with several at a time, repeating a search exactly needs
            them to end in the same order.
        temperature: The language model's sampling temperature; None for its dialect's own.
        name: What is tuned, for the model to read.
        description: What is tuned, in words, for the model to read.

    Raises:
        AirtuneError: If the proposer, the model or the space is not usable.
    """

    def __init__(
        self,
        space: ConfigurationSpace | None = None,
        *,
        proposer: str = "default+lm+gp",
        model: str = "pocket",
        metric: str | None = None,
        mode: str | None = None,
        seed: int = 0,
        temperature: float | None = None,
        name: str = "objective",
        description: str = "",
    ) -> None:
        os.environ.update(RAY_SWITCHES)  # Ray's usage reports, before a cluster is started
        if mode not in (None, "min", "max"):
            raise AirtuneError(
                f"mode {mode!r} is not known", value=mode, allowed="'min' or 'max'", hint="one objective only"
            )
        super().__init__(metric=metric, mode=mode)
        self._metric: str | None = metric
        self._mode: str | None = mode
        self._seed = seed
        self._told = (name, description)
        self._settings: tuple[str, str, float | None] = (proposer, model, temperature)
        self._loaded: Any = load_proposer(*self._settings)
        self._space: OptunaSpace | None = None if space is None else from_space(space)
        self._warned = False
        self._fixed: dict[str, Any] = {}  # of Ray's space, what is not searched
        self._trials: dict[str, Trial] = {}  # by Ray's names, in the order of their numbers

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}  # Ray keeps searchers as pickles; a model is loaded again

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """See `ray.tune.search.Searcher`: takes the Tuner's metric, mode and space, those that it has none of.

        Raises:
            SpaceError: If a domain of the space cannot be searched.
        """
        self._metric, self._mode = self._metric or metric, self._mode or mode
        if not config:
            return self._space is not None
        if self._space is not None:
            return False  # Ray tells the user that two spaces were given
        try:
            distributions = OptunaSearch.convert_search_space(dict(config))
        except ValueError as error:
            raise SpaceError(
                f"the param_space cannot be searched: {error}",
                value=list(config),
                allowed="tune.uniform, quniform, loguniform, randint, qrandint, lograndint, choice",
                hint="leave grid_search and sample_from out, or pass a ConfigurationSpace",
            ) from error
        flat = flatten_dict(dict(config), prevent_delimiter=True)
        self._fixed = {key: value for key, value in flat.items() if key not in distributions}
        self._space = from_distributions(distributions)
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """See `ray.tune.search.Searcher`: a configuration, or `FINISHED` when all have been tried.

        Raises:
            AirtuneError: If there is no space, metric or mode, or the proposer fails.
        """
        if self._space is None or not self._metric or not self._mode:
            raise AirtuneError(
                f"there is no {'space' if self._space is None else 'metric or mode'} to search",
                value=(self._metric, self._mode),
                allowed="a space, a metric, and 'min' or 'max'",
                hint="pass param_space to the Tuner, metric and mode to its TuneConfig",
            )
        if trial_id not in self._trials:
            trials, number = list(self._trials.values()), len(self._trials)
            metric = self._metric if self._mode == "min" else f"negative {self._metric}"
            name, description = self._told
            made = propose_one(
                self._proposer_in(self._space.space),
                Task(name, self._space.space, _unused, metric, description),
                [trial for trial in trials if trial.status != "asked"],
                [trial for trial in trials if trial.status == "asked"],
                derive_seed(self._seed, number),
            )
            if made is None:
                return str(self.FINISHED)
            self._trials[trial_id] = Trial(number, made.config)
        params = self._space.params(self._trials[trial_id].config)
        nested: dict[str, Any] = unflatten_dict({**self._fixed, **params})
        return nested

    def _proposer_in(self, space: ConfigurationSpace) -> Proposer:
        """Who proposes: another one, with one warning, where the model's limits are passed."""
        if self._loaded is None:
            self._loaded = load_proposer(*self._settings)
        proposer, why = within_limits(self._loaded, space)
        if why is not None and not self._warned:
            self._warned = True
            warn_of_limits(why)
        return proposer

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """See `ray.tune.search.Searcher`: the trial's last result is its loss."""
        value = (result or {}).get(str(self._metric))
        trial, reason = self._trials[trial_id], "failed" if error else one_line(f"{self._metric} is {value}")
        try:
            if error:
                raise TrialFailed(reason)
            number = read_loss(value, "")
        except TrialFailed:
            self._trials[trial_id] = replace(trial, status="failed", reason=reason)
        else:
            self._trials[trial_id] = replace(
                trial, status="told", loss=number if self._mode == "min" else -number
            )

    def save(self, checkpoint_path: str) -> None:
        """See `ray.tune.search.Searcher`: the trials as JSON; settings and model are the constructor's."""
        trials = {name: asdict(trial) for name, trial in self._trials.items()}
        # Whole or not at all: the checkpoint before it is what is left after a kill.
        write_file(Path(checkpoint_path), json.dumps({"seed": self._seed, "trials": trials}).encode())

    def restore(self, checkpoint_path: str) -> None:
        """See `ray.tune.search.Searcher`: the inverse of `save`.

        Raises:
            AirtuneError: If it is the checkpoint of a search with another seed.
        """
        kept = json.loads(Path(checkpoint_path).read_text(encoding="utf-8"))
        if kept["seed"] != self._seed:
            raise AirtuneError(
                f"the checkpoint is of a search with the seed {kept['seed']}, this one has {self._seed}",
                value=self._seed,
                allowed=str(kept["seed"]),
                hint="restore it with the same settings",
            )
        self._trials = {name: Trial(**fields) for name, fields in kept["trials"].items()}


def _unused(config: dict[str, Any]) -> float:
    raise AssertionError("Ray evaluates")
