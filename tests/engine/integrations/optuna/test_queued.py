"""Queued trials (`study.enqueue_trial`) that fix some parameters get different others while any is left."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from airtune.engine.integrations import AirtuneSampler
from airtune.models import LanguageModel, load_model

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1, log=True),
    "n": IntDistribution(1, 5),
    "c": CategoricalDistribution(["a", "b"]),
}
PROPOSERS = ["default+lm+gp", "lm", "lm+gp", "tpe", "default+random"]


@pytest.fixture(scope="module")
def pocket() -> LanguageModel:
    return load_model("pocket")


def _objective(trial: optuna.Trial) -> float:
    lr, n = trial.suggest_float("lr", 1e-5, 1, log=True), trial.suggest_int("n", 1, 5)
    return lr + n + len(trial.suggest_categorical("c", ["a", "b"]))


def _distinct(study: optuna.Study) -> int:
    return len({str(trial.params) for trial in study.trials})


@pytest.mark.filterwarnings("ignore:trial .* repeats", "ignore:Fixed parameter")
@pytest.mark.parametrize("known", [None, SPACE])
@pytest.mark.parametrize(
    ("fixed", "left"),
    [({"lr": 0.5}, 10), ({"lr": 3.0}, 10), ({"lr": 0.123456789, "c": "b"}, 5), ({"n": 2}, 8), ({"n": 9}, 8)],
)
@pytest.mark.parametrize("proposer", PROPOSERS)
def test_what_is_left_is_all_used(
    pocket: LanguageModel, proposer: str, fixed: dict[str, Any], left: int, known: Any
) -> None:
    """Catches novelty that is checked before the fixed values are put in; 3.0 and 9 are beyond their ranges."""
    if known is None and "c" in fixed:
        left -= 1  # trial 0 is drawn one parameter at a time
    study = optuna.create_study(sampler=AirtuneSampler(proposer, model=pocket, search_space=known))
    for _ in range(left):
        study.enqueue_trial(fixed)
    study.optimize(_objective, n_trials=left)
    assert _distinct(study) == left
    assert all(fixed.items() <= trial.params.items() for trial in study.trials)


def test_trials_that_run_at_the_same_time(pocket: LanguageModel) -> None:
    """Catches novelty among finished trials alone."""
    study = optuna.create_study(sampler=AirtuneSampler("lm", model=pocket, search_space=SPACE))
    for _ in range(10):
        study.enqueue_trial({"lr": 0.5})
    asked = [study.ask(SPACE) for _ in range(10)]
    assert len({str(trial.params) for trial in asked}) == 10


def test_conditions_hold_beside_what_is_fixed() -> None:
    """Catches draws that leave the branch which a fixed value opens."""
    space = ConfigurationSpace()
    kernel, degree = Categorical("kernel", ["rbf", "linear"]), Integer("degree", (1, 4))
    space.add(kernel, degree, Float("C", (0.1, 1.0)), EqualsCondition(degree, kernel, "linear"))
    study = optuna.create_study(sampler=AirtuneSampler("default+random", search_space=space))

    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("kernel", ["rbf", "linear"]) == "linear":
            trial.suggest_int("degree", 1, 4)
        return trial.suggest_float("C", 0.1, 1.0)

    for _ in range(4):
        study.enqueue_trial({"C": 0.25, "kernel": "linear"})
    study.optimize(objective, n_trials=4)
    assert {trial.params["degree"] for trial in study.trials} == {1, 2, 3, 4}


def test_when_nothing_is_left_trials_repeat_and_say_so() -> None:
    """Catches a search for what is not there without an end, and a repeat that is not told."""
    study = optuna.create_study(sampler=AirtuneSampler("random", search_space=SPACE))
    for _ in range(3):
        study.enqueue_trial({"lr": 0.5, "n": 1})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        study.optimize(_objective, n_trials=3)
    assert _distinct(study) == 2
    assert ["repeats" in str(one.message) for one in caught] == [True]
