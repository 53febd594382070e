"""`AirtuneSampler` takes the distributions that Optuna's own samplers take."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from airtune.engine.integrations import AirtuneSampler
from airtune.engine.proposers.limits import LimitWarning
from airtune.grammars import SpaceError
from airtune.models import LanguageModel, load_model

KINDS: dict[str, Callable[[optuna.Trial], Any]] = {
    "small log float": lambda t: t.suggest_float("p", 1e-15, 1e-6, log=True),
    "log float from 1e-14": lambda t: t.suggest_float("p", 1e-14, 1.0, log=True),
    "tiny log float": lambda t: t.suggest_float("p", 1e-20, 1e-15, log=True),
    "the widest log float": lambda t: t.suggest_float("p", 1e-300, 1e300, log=True),
    "floats to 1e300": lambda t: t.suggest_float("p", -1e300, 1e300),
    "log floats to 1e300": lambda t: t.suggest_float("p", 1e250, 1e300, log=True),
    "tiny float": lambda t: t.suggest_float("p", -1e-14, 1e-14),
    "close float": lambda t: t.suggest_float("p", 0.1, 0.1 + 1e-12),
    "thirds": lambda t: t.suggest_float("p", 1 / 3, 2 / 3),
    "int to 2**63-1": lambda t: t.suggest_int("p", 0, 2**63 - 1),
    "int to 2**70": lambda t: t.suggest_int("p", 0, 2**70),
    "int to 10**30": lambda t: t.suggest_int("p", -(10**30), 10**30),
    "log int to 2**64": lambda t: t.suggest_int("p", 1, 2**64, log=True),
    "int to 2**53": lambda t: t.suggest_int("p", -(2**53), 2**53),
    "int in steps": lambda t: t.suggest_int("p", 0, 3 * 2**70, step=3),
    "float in steps": lambda t: t.suggest_float("p", 0, 1e20, step=0.5),
    "list choices": lambda t: tuple(t.suggest_categorical("p", [[i] for i in range(5)])),
    "nested choices": lambda t: str(t.suggest_categorical("p", [[1, 2], (1, 2), [[1], 2], {"a": [1]}, None])),
    "choices twice": lambda t: t.suggest_categorical("p", ["a", "a", "b", "c", "d", "e"]),
    "numbers twice": lambda t: t.suggest_categorical("p", [1, 2, 1.0, 3, 4, 5]),
}
BEYOND_POCKET: dict[str, Callable[[optuna.Trial], Any]] = {
    "33 choices": lambda t: t.suggest_categorical("c", list(range(33))),
    "30 floats": lambda t: tuple(t.suggest_float(f"x{i}", 0, 1) for i in range(30)),
    "40 lists": lambda t: str(t.suggest_categorical("c", [[i] for i in range(40)])),
    "25 whole numbers": lambda t: tuple(t.suggest_int(f"n{i}", 0, 9) for i in range(25)),
    "300 texts": lambda t: t.suggest_categorical("c", [f"text {i}" for i in range(300)]),
}


@pytest.fixture(scope="module")
def pocket() -> LanguageModel:
    return load_model("pocket")


def _search(sampler: AirtuneSampler, suggest: Callable[[optuna.Trial], Any]) -> list[Any]:
    seen: list[Any] = []
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: float(seen.append(suggest(trial)) or len(seen)), n_trials=5)
    for trial in study.trials:
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            assert distribution._contains(distribution.to_internal_repr(value))
    return seen


@pytest.mark.filterwarnings("ignore:Choices for a categorical", "ignore:The distribution is specified")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("proposer", ["default+lm+gp", "random"])
def test_distributions_of_all_sizes(pocket: LanguageModel, kind: str, proposer: str) -> None:
    """Catches each of: a range that collapses or leaves its bounds by rounding, lists in a hash, equal labels."""
    assert len({repr(one) for one in _search(AirtuneSampler(proposer, model=pocket), KINDS[kind])}) == 5


@pytest.mark.filterwarnings("ignore:Choices for a categorical")
@pytest.mark.parametrize("kind", BEYOND_POCKET)
def test_beyond_the_models_limits_another_proposer_proposes(pocket: LanguageModel, kind: str) -> None:
    """Catches a study that ends at trial 1, and a warning at every trial."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _search(AirtuneSampler(model=pocket), BEYOND_POCKET[kind])
    assert len(set(found)) == 5
    told = [str(one.message) for one in caught if one.category is LimitWarning]
    assert len(told) == 1
    assert "pocket cannot speak of" in told[0]
    assert "tpe" in told[0]


def test_a_space_of_lists_goes_to_another_process() -> None:
    """Catches a key that only this process can make."""
    known = {"c": optuna.distributions.CategoricalDistribution([[1], [2]])}  # type: ignore[list-item]
    sampler = pickle.loads(pickle.dumps(AirtuneSampler("random", search_space=known)))
    study = optuna.create_study(sampler=sampler)
    assert study.ask(known).params["c"] in ([1], [2])


@pytest.mark.parametrize(
    "choices",
    [[0, 1], [False, True], [0.0, 1.0], [(1, 2), (3,)], [np.float64(1.0), np.int64(2)]],
    ids=["whole", "truth", "floats", "tuples", "NumPy"],
)
def test_equal_choices_of_another_study_do_not_come_up(choices: list[Any]) -> None:
    """Bugs: after a study of [0, 1] one of [False, True] got 0 and 1, since Optuna holds their distributions for
    equal; and choices of NumPy ended a study after one of tuples."""
    found: set[str] = set()
    for own in ([1, 0], [(0,), (1, 2)], choices):
        study = optuna.create_study(sampler=AirtuneSampler("random"))
        found.clear()

        def objective(trial: optuna.Trial, own: list[Any] = own) -> float:
            found.add(repr(trial.suggest_categorical("equal", own)))
            return 0.0

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of repeated trials, and of choices that storages do not keep
            study.optimize(objective, n_trials=3)
    assert found == {repr(choice) for choice in choices}


@pytest.mark.filterwarnings("ignore:trial .* repeats")
def test_a_search_space_of_single_values() -> None:
    """Bug: refused as empty."""
    known = {"x": FloatDistribution(1, 1), "c": CategoricalDistribution(["a"])}
    study = optuna.create_study(sampler=AirtuneSampler("random", search_space=known))
    study.optimize(lambda t: t.suggest_float("x", 1, 1) + len(t.suggest_categorical("c", ["a"])), n_trials=2)
    assert [trial.params for trial in study.trials] == 2 * [{"x": 1.0, "c": "a"}]


@pytest.mark.parametrize(
    "known", [5, "abc", [FloatDistribution(0, 1)], {"x": (0, 1)}, {1: FloatDistribution(0, 1)}]
)
def test_what_is_no_search_space_is_refused(known: Any) -> None:
    """Bug: an AttributeError."""
    with pytest.raises(SpaceError, match="search_space is"):
        AirtuneSampler("random", search_space=known)
