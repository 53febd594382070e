"""`AirtuneSearch` by itself: what Ray Tune asks of it, without a cluster."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Evaluation, minimize
from airtune.engine.study import Study
from airtune.engine.types import Task
from airtune.grammars import AirtuneError, SpaceError

pytest.importorskip("ray.tune", reason="Ray is not installed (pip install 'airtune[ray]')")

from ray import tune

from airtune.engine.integrations import AirtuneSearch

SPACE = ConfigurationSpace({"a": (1, 3), "b": ["x", "y"]})  # six configurations


def test_it_searches_as_minimize_does() -> None:
    def loss(config: dict[str, object]) -> float:
        return float(str(config["a"]))

    expected = minimize(loss, SPACE, budget=6, seed=3, proposer="default+random")
    search = AirtuneSearch(SPACE, proposer="default+random", seed=3, metric="m", mode="max")
    suggested = []
    for k in range(6):
        config = search.suggest(f"t{k}")
        assert isinstance(config, dict)
        assert search.suggest(f"t{k}") == config  # asked again, for the same trial
        search.on_trial_complete(f"t{k}", {"m": -loss(config)})
        suggested.append(config)
    assert suggested == [dict(trial.config) for trial in expected.trials]
    assert search.suggest("t6") == AirtuneSearch.FINISHED


def test_pending_failed_and_restored_trials_are_left_out(tmp_path: Path) -> None:
    settings = {"proposer": "random", "metric": "m", "mode": "min"}
    search = AirtuneSearch(SPACE, **settings)  # type: ignore[arg-type]
    suggested = [search.suggest(f"t{k}") for k in range(3)]
    search.on_trial_complete("t0", error=True)
    search.on_trial_complete("t1", {"m": math.nan})
    search.save(str(tmp_path / "state"))
    other = pickle.loads(pickle.dumps(AirtuneSearch(SPACE, **settings)))  # type: ignore[arg-type]
    other.restore(str(tmp_path / "state"))
    reasons = [trial.reason for trial in other._trials.values()]
    assert reasons == ["failed", "m is nan", None]
    rest = [[one.suggest(f"t{k}") for k in range(3, 7)] for one in (search, other)]
    assert rest[0] == rest[1]
    assert rest[0][3] == AirtuneSearch.FINISHED
    assert len({str(config) for config in [*suggested, *rest[0][:3]]}) == 6
    with pytest.raises(AirtuneError, match="the seed 0, this one has 1"):
        AirtuneSearch(SPACE, seed=1, **settings).restore(str(tmp_path / "state"))  # type: ignore[arg-type]


def test_ray_s_own_space_nested_and_with_fixed_values() -> None:
    search = AirtuneSearch(proposer="random")
    domains = {
        "lr": tune.loguniform(1e-4, 1e-1),
        "net": {"depth": tune.randint(1, 5), "rate": tune.quniform(0.0, 1.0, 0.25), "width": 64},
        "kind": tune.choice(["a", 1, None]),
    }
    assert search.set_search_properties("m", "min", domains)
    for k in range(20):
        config = search.suggest(f"t{k}")
        assert isinstance(config, dict)
        assert 1e-4 <= config["lr"] <= 1e-1
        assert config["net"]["depth"] in {1, 2, 3, 4}
        assert config["net"]["rate"] in {0.0, 0.25, 0.5, 0.75, 1.0}
        assert config["net"]["width"] == 64
        assert config["kind"] in ("a", 1, None)


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(SpaceError, match="param_space cannot be searched"):
        AirtuneSearch(proposer="random").set_search_properties("m", "min", {"x": tune.grid_search([1])})
    with pytest.raises(AirtuneError, match="there is no space to search"):
        AirtuneSearch(proposer="random", metric="m", mode="min").suggest("t")
    with pytest.raises(AirtuneError, match="there is no metric or mode"):
        AirtuneSearch(SPACE, proposer="random").suggest("t")
    with pytest.raises(AirtuneError, match="mode 'least' is not known"):
        AirtuneSearch(SPACE, proposer="random", metric="m", mode="least")


def test_an_executor_that_is_not_known() -> None:
    with pytest.raises(AirtuneError, match="executor 'dask' is not known"):
        Study(Task("t", SPACE, len), "random", evaluation=Evaluation(executor="dask"))  # type: ignore[arg-type]


def test_a_result_is_a_loss_by_the_same_rule_as_everywhere() -> None:
    """Would fail if the metric went through `float` alone: True is 1.0 then, and an array of one element no number."""
    search = AirtuneSearch(SPACE, proposer="random", metric="m", mode="max")
    values = [np.array([[0.5]]), np.float32(0.25), Decimal("2"), True, np.ma.masked, "0.5"]
    for k, value in enumerate(values):
        search.suggest(f"t{k}")
        search.on_trial_complete(f"t{k}", {"m": value})
    assert [trial.loss for trial in search._trials.values()] == [-0.5, -0.25, -2.0, None, None, None]
