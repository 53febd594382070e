"""What `AirtuneSampler` promises: the same search as ours, histories told as they are, no configuration twice."""

from __future__ import annotations

import doctest
import itertools
import math
import pickle
import threading
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from airtune.engine import Proposal, Trial, minimize
from airtune.engine.integrations import AirtuneSampler
from airtune.engine.integrations.optuna import sampler as optuna_sampler
from airtune.engine.integrations.optuna import trials as optuna_trials
from airtune.engine.integrations.optuna.sampler import DuplicateWarning
from airtune.engine.integrations.optuna.space import from_distributions, from_space
from airtune.grammars import AirtuneError, SpaceError
from airtune.models import LanguageModel, load_model

GRID = {"a": IntDistribution(1, 4), "b": CategoricalDistribution(["x", "y", "z"])}  # 12 configurations


@pytest.fixture(scope="module")
def pocket() -> LanguageModel:
    return load_model("pocket")


def configurations() -> ConfigurationSpace:
    """A space with a branch: `gamma` is there for one of the two kernels alone."""
    space = ConfigurationSpace()
    kernel, c = Categorical("kernel", ["rbf", "linear"]), Float("C", (1e-3, 1e3), log=True)
    gamma = Float("gamma", (1e-4, 1.0), log=True)
    space.add(kernel, c, gamma, Integer("degree", (2, 5)), EqualsCondition(gamma, kernel, "rbf"))
    return space


def loss(config: Mapping[str, Any]) -> float:
    return abs(math.log10(config["C"])) + config["degree"] / 10 + (config["kernel"] == "rbf")


def define_by_run(trial: optuna.Trial) -> float:
    config: dict[str, Any] = {"kernel": trial.suggest_categorical("kernel", ["rbf", "linear"])}
    config["C"] = trial.suggest_float("C", 1e-3, 1e3, log=True)
    if config["kernel"] == "rbf":
        config["gamma"] = trial.suggest_float("gamma", 1e-4, 1.0, log=True)
    config["degree"] = trial.suggest_int("degree", 2, 5)
    return loss(config)


@pytest.mark.parametrize("proposer", ["default+lm", "lm+gp", "random"])
def test_it_searches_as_minimize_does(pocket: LanguageModel, proposer: str) -> None:
    """The same seed and the same space: Optuna tries what `airtune tune` would, trial by trial."""
    expected = minimize(loss, configurations(), budget=7, seed=4, model=pocket, proposer=proposer)
    sampler = AirtuneSampler(proposer, model=pocket, seed=4, search_space=configurations())
    study = optuna.create_study(sampler=sampler)
    study.optimize(define_by_run, n_trials=7)
    assert [t.params for t in study.trials] == [dict(t.config) for t in expected.trials]
    assert any("gamma" in t.params for t in study.trials)


def test_maximising_is_minimising_the_negative(pocket: LanguageModel) -> None:
    down = optuna.create_study(sampler=AirtuneSampler("lm", model=pocket))
    up = optuna.create_study(sampler=AirtuneSampler("lm", model=pocket), direction="maximize")
    down.optimize(define_by_run, n_trials=6)
    up.optimize(lambda trial: -define_by_run(trial), n_trials=6)
    assert [t.params for t in down.trials] == [t.params for t in up.trials]
    assert up.best_value == -down.best_value


def test_another_process_goes_on_as_this_one_would(pocket: LanguageModel, tmp_path: Any) -> None:
    """A proposal depends on the seed and the storage alone: neither the sampler nor its process has a state."""
    whole = optuna.create_study(sampler=AirtuneSampler("lm", model=pocket, seed=5))
    whole.optimize(define_by_run, n_trials=8)
    url = f"sqlite:///{tmp_path}/study.db"
    for _ in range(4):
        sampler = AirtuneSampler("lm", model=pocket, seed=5)
        study = optuna.create_study(study_name="s", storage=url, sampler=sampler, load_if_exists=True)
        study.optimize(define_by_run, n_trials=2)
    assert [t.params for t in study.trials] == [t.params for t in whole.trials]
    other = optuna.create_study(sampler=AirtuneSampler("lm", model=pocket, seed=6))
    other.optimize(define_by_run, n_trials=8)
    assert [t.params for t in other.trials] != [t.params for t in whole.trials]


@pytest.mark.parametrize(
    "known", [None, GRID, configurations()], ids=["inferred", "distributions", "ConfigSpace"]
)
def test_a_pickled_sampler_is_the_same_sampler(known: Any) -> None:
    sampler = AirtuneSampler("lm", seed=7, search_space=known)
    copy = pickle.loads(pickle.dumps(sampler))
    studies = [optuna.create_study(sampler=one) for one in (sampler, copy)]
    for study in studies:
        study.optimize(define_by_run, n_trials=3)
    assert [t.params for t in studies[0].trials] == [t.params for t in studies[1].trials]


def told(trials: list[FrozenTrial], direction: str = "minimize") -> tuple[list[Trial], list[Trial]]:
    study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    return optuna_trials.split(
        optuna_trials.all_trials(study), from_distributions(GRID), study.direction, number=99
    )


def trial(a: int, b: str, state: TrialState = TrialState.COMPLETE, **fields: Any) -> FrozenTrial:
    return create_trial(params={"a": a, "b": b}, distributions=dict(GRID), state=state, **fields)


def test_how_trials_are_told() -> None:
    history, pending = told(
        [
            trial(1, "x", value=0.5),
            trial(2, "x", value=math.inf),
            trial(3, "x", TrialState.PRUNED, value=0.7, intermediate_values={1: 0.9, 2: 0.7}),
            trial(4, "x", TrialState.PRUNED),
            trial(1, "y", TrialState.FAIL),
            trial(2, "y", TrialState.RUNNING),
            trial(3, "y", TrialState.WAITING),
            create_trial(params={"a": 9}, distributions={"a": IntDistribution(1, 9)}, value=0.0),
        ]
    )
    assert [(t.number, t.status, t.loss, t.reason) for t in history] == [
        (0, "told", 0.5, None),
        (1, "failed", None, "the value is inf"),
        (2, "told", 0.7, None),
        (3, "failed", None, "pruned before it reported a value"),
        (4, "failed", None, "failed"),
    ]
    assert [dict(t.config) for t in pending] == [{"a": 2, "b": "y"}, {"a": 3, "b": "y"}]
    assert told([trial(1, "x", value=0.5)], "maximize")[0][0].loss == -0.5


def test_a_pruner_works_with_it(pocket: LanguageModel) -> None:
    sampler = AirtuneSampler("lm", model=pocket, search_space=GRID)
    for pruner in (optuna.pruners.MedianPruner(n_startup_trials=2), optuna.pruners.HyperbandPruner()):
        study = optuna.create_study(sampler=sampler, pruner=pruner)

        def objective(trial: optuna.Trial) -> float:
            a, b = trial.suggest_int("a", 1, 4), trial.suggest_categorical("b", ["x", "y", "z"])
            for step in range(1, 5):
                trial.report(a + "xyz".index(b) + 1 / step, step)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return float(a)

        study.optimize(objective, n_trials=12)
        assert len({(t.params["a"], t.params["b"]) for t in study.trials}) == 12
        assert {t.state for t in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_an_exhausted_space_repeats_and_says_so() -> None:
    study = optuna.create_study(sampler=AirtuneSampler("random", search_space=GRID))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DuplicateWarning)
        for _ in range(12):
            asked = study.ask(dict(GRID))
            study.tell(asked, 1.0)
    assert len({tuple(t.params.values()) for t in study.trials}) == 12
    asked = study.ask(dict(GRID))
    with pytest.warns(DuplicateWarning, match="trial 12 repeats trial"):
        study.tell(asked, 1.0)
    earlier = study.trials[12].system_attrs["airtune:duplicate_of"]
    assert study.trials[earlier].params == study.trials[12].params


def test_running_trials_are_not_proposed_again() -> None:
    """Twelve asked before one of them is told: all of the space, each once."""
    study = optuna.create_study(sampler=AirtuneSampler("random", search_space=GRID))
    asked = [study.ask(dict(GRID)) for _ in range(12)]
    assert len({tuple(t.params.values()) for t in asked}) == 12


def test_a_space_that_is_not_known_is_drawn_without_repeats() -> None:
    """One trial after another, parameter by parameter: the last of them avoids what would be a repeat."""
    study = optuna.create_study(sampler=AirtuneSampler("random"))
    for _ in range(3):
        asked = study.ask()
        asked.suggest_categorical("only", ["p", "q", "r"])
        study.tell(asked, state=TrialState.FAIL)  # so that nothing is ever proposed together
    assert {t.params["only"] for t in study.trials} == {"p", "q", "r"}


class Fixed:
    """Proposes the first configuration, in a fixed order, that it does not know of: workers are sure to collide."""

    name = "fixed"

    def propose(self, jobs: Any) -> None:
        (job,) = jobs
        known = [dict(t.config) for t in (*job.history, *job.pending)]
        every = ({"a": a, "b": b} for a, b in itertools.product(range(1, 5), "xyz"))
        job.proposal = next((Proposal(c, self.name) for c in every if c not in known), None)


def test_workers_that_propose_the_same_at_the_same_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """All four read the storage before any has claimed: one keeps the configuration, the others give way."""
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(study_name="s", storage=url)
    barrier = threading.Barrier(4, timeout=60)
    real, calls = optuna_sampler.claim, itertools.count()

    def together(*arguments: Any) -> bool:
        if next(calls) < 4:  # each worker's first proposal
            barrier.wait()
        return real(*arguments)

    monkeypatch.setattr(optuna_sampler, "claim", together)
    monkeypatch.setattr(optuna_sampler, "load_proposer", lambda *_: Fixed())
    asked: list[optuna.Trial] = []

    def work() -> None:
        sampler = AirtuneSampler("random", search_space=GRID)
        study = optuna.load_study(study_name="s", storage=url, sampler=sampler)
        for _ in range(3):
            asked.append(study.ask(dict(GRID)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tuple(t.params.values()) for t in asked}) == 12 == len(asked)


def test_a_worker_that_has_ended_before_another_one_claims_keeps_what_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With n_jobs=3 and a fast objective, trials were repeated: claims were compared with those of running trials only.

    The second worker has read the storage; the first one claims, evaluates and ends; then the second one claims.
    """
    monkeypatch.setattr(optuna_sampler, "load_proposer", lambda *_: Fixed())
    study = optuna.create_study(sampler=AirtuneSampler("random", search_space=GRID))
    real, first = optuna_sampler.claim, itertools.count()

    def late(*arguments: Any) -> bool:
        if next(first) == 0:
            study.tell(study.ask(dict(GRID)), 1.0)
        return real(*arguments)

    monkeypatch.setattr(optuna_sampler, "claim", late)
    asked = study.ask(dict(GRID))
    assert study.trials[1].params == {"a": 1, "b": "x"}
    assert asked.params == {"a": 1, "b": "y"}


def test_a_claim_of_a_dead_worker_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """It died between two writes: whether it has kept its claim will never be known, so it has it."""
    monkeypatch.setattr(optuna_trials, "PAUSE_S", 0.0)
    study = optuna.create_study()
    lower, dead = study.ask(), study.ask()
    config = {"a": 1, "b": "x"}
    storage = study._storage
    storage.set_trial_system_attr(
        dead._trial_id, optuna_trials.CLAIM, {"config": config, "origin": "lm", "kept": False}
    )
    assert not optuna_trials.claim(study, study.trials[lower.number], config, "lm")
    assert optuna_trials.claim(study, study.trials[lower.number], {"a": 2, "b": "x"}, "lm")


def test_queued_trials_keep_what_was_given_and_are_left_out(pocket: LanguageModel) -> None:
    study = optuna.create_study(sampler=AirtuneSampler("lm", model=pocket, search_space=GRID))
    study.enqueue_trial({"a": 2})
    study.enqueue_trial({"a": 3, "b": "z"})
    asked = [study.ask(dict(GRID)) for _ in range(12)]
    assert asked[0].params["a"] == 2
    assert asked[1].params == {"a": 3, "b": "z"}
    assert len({tuple(t.params.values()) for t in asked}) == 12


def test_the_default_comes_first() -> None:
    study = optuna.create_study(sampler=AirtuneSampler("default+random"))
    study.optimize(
        lambda t: t.suggest_float("lr", 1e-4, 1e-2, log=True) + t.suggest_int("n", 0, 10), n_trials=2
    )
    assert study.trials[0].params == {"lr": pytest.approx(1e-3), "n": 5}


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=AirtuneSampler("random"))
    with pytest.raises(AirtuneError, match="the study has 2 objectives"):
        study.ask(dict(GRID))


def test_bad_settings_are_refused_at_once() -> None:
    with pytest.raises(AirtuneError, match="unknown proposer 'lmm'"):
        AirtuneSampler("lmm")
    with pytest.raises(AirtuneError, match="seed None is not a whole number"):
        AirtuneSampler("random", seed=None)  # type: ignore[arg-type]
    with pytest.raises(AirtuneError, match="nosuch"):
        AirtuneSampler("lm", model="nosuch")


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (FloatDistribution(-10.2, 10.2, step=0.1), [-10.2, 0.0, 10.2]),
        (FloatDistribution(0.0, 1.0, step=0.25), [0.0, 0.25, 1.0]),
        (FloatDistribution(1e-7, 1.0, log=True), [1e-7, 1e-3, 1.0]),
        (FloatDistribution(0.0, 1e6, step=0.5), [0.0, 12345.5, 1e6]),
        (IntDistribution(0, 10, step=2), [0, 4, 10]),
        (IntDistribution(-(10**9), 10**9, step=10), [-(10**9), 50, 10**9]),
        (IntDistribution(1, 100, log=True), [1, 10, 100]),
        (CategoricalDistribution(["a", "", "ä b"]), ["a", "", "ä b"]),
        (CategoricalDistribution([None, 2, 2.5, "2", False]), [None, 2, 2.5, "2", False]),
        (CategoricalDistribution([1, True, "1"]), [1, "1"]),
    ],
)
def test_values_go_to_our_space_and_back(distribution: Any, values: list[Any]) -> None:
    space = from_distributions({"p": distribution})
    for value in values:
        config = space.config({"p": value})
        assert config is not None
        back = space.params(config)["p"]
        assert back == value or (isinstance(value, float) and back == pytest.approx(value, abs=1e-12))
        assert type(back) is type(value)
    seeds = [space.params(space.space.sample_configuration()) for _ in range(20)]
    assert all(distribution._contains(distribution.to_internal_repr(p["p"])) for p in seeds)
    assert space.config({"p": "no such value"}) is None
    assert space.config({}) is None
    assert from_distributions({"p": distribution}) is space


def test_conditions_decide_which_parameters_count() -> None:
    space = from_space(configurations())
    branch = {"kernel": "linear", "C": 1.0, "degree": 3}
    assert space.config({**branch, "gamma": 0.1, "other": 1}) == branch
    assert space.config({**branch, "kernel": "rbf"}) is None  # gamma is missing
    assert space.config({**branch, "C": 1e9}) is None


def test_a_range_that_cannot_be_searched_is_refused() -> None:
    with pytest.raises(SpaceError, match="'p'"):
        from_distributions({"p": FloatDistribution(-1.7e308, 1.7e308)})


def test_the_example_in_the_docstring_runs() -> None:
    failed, attempted = doctest.testmod(optuna_sampler)
    assert attempted > 0
    assert failed == 0
