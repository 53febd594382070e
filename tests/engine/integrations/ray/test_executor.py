"""Objectives and searches on a real Ray cluster on this machine's loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed (pip install 'airtune[ray]')")

# In a program of its own: the tests' process may open no socket, and Ray's switches are read when it is imported.
SCRIPT = """
import json, math, os, sys, time
from ConfigSpace import ConfigurationSpace
from airtune.engine import minimize
from airtune.engine.integrations import RayExecutor

folder, found = sys.argv[1], {}
space = ConfigurationSpace({"x": (-1.0, 1.0), "n": (1, 9)})


def objective(config):
    if config["n"] == 7:
        raise ValueError("seven")
    if config["n"] == 8:
        os._exit(3)
    if config["n"] == 9:
        time.sleep(1000)
    return {"loss": config["x"] ** 2 + config["n"], "process": os.getpid()}


with RayExecutor(objective, resources={"num_cpus": 0.5}) as executor:
    import ray
    from ray._common.usage import usage_lib

    found["reports"] = usage_lib.usage_stats_enabled()
    found["address"] = ray.nodes()[0]["NodeManagerAddress"]
    outcomes = executor.map([{"x": 0.5, "n": n} for n in (1, 2, 7, 8)])
    found["outcomes"] = [[one.loss, one.reason] for one in outcomes]
    found["here"] = os.getpid() in {one.info.get("process") for one in outcomes}
    with RayExecutor(objective, timeout_s=1.0) as limited:
        late = limited.evaluate({"x": 0.5, "n": 9})
    found["late"] = [late.loss, late.reason]
    found["still up"] = ray.is_initialized()

    def smooth(config):
        return config["x"] ** 2 + config["n"]

    settings = {"budget": 6, "seed": 2, "proposer": "default+lm"}
    on_ray, local = (minimize(smooth, space, executor=where, **settings) for where in ("ray", "local"))
    found["the same"] = [[dict(t.config), t.loss] for t in on_ray.trials] == [
        [dict(t.config), t.loss] for t in local.trials
    ]
    found["trials"] = len(on_ray.trials)

    from ray import tune
    from airtune.engine.integrations import AirtuneSearch

    def train(config):
        if config["model"]["depth"] == 5:
            raise ValueError("five")
        tune.report({"score": -abs(math.log10(config["lr"]) + 2) - config["model"]["depth"] - config["offset"]})

    params = {"lr": tune.loguniform(1e-4, 1.0), "model": {"depth": tune.randint(1, 4)}, "offset": 1}
    search = AirtuneSearch(proposer="default+lm", seed=1)
    limit = tune.search.ConcurrencyLimiter(search, max_concurrent=2)
    config = tune.TuneConfig(search_alg=limit, num_samples=8, metric="score", mode="max")
    quiet = tune.RunConfig(storage_path=folder, verbose=0)
    resources = tune.with_resources(train, {"cpu": 0.5})
    results = tune.Tuner(resources, tune_config=config, param_space=params, run_config=quiet).fit()
    found["tuned"] = [result.config for result in results]
    found["scores"] = [result.metrics["score"] for result in results]
    found["losses"] = [trial.loss for trial in search._trials.values()]
found["down"] = not ray.is_initialized()
print("FOUND " + json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one program found that started a cluster, used it in all ways and ended it: a start takes seconds."""
    folder = tmp_path_factory.mktemp("ray")
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(folder / "results")]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},  # where Ray keeps its clusters' tokens
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    values: dict[str, Any] = json.loads(line.removeprefix("FOUND "))
    return values


pytestmark = [pytest.mark.slow, pytest.mark.timeout(1000)]


def test_the_cluster_is_this_machine_s_and_reports_to_nobody(found: dict[str, Any]) -> None:
    assert found["address"] == "127.0.0.1"
    assert found["reports"] is False
    assert found["down"] is True


def test_evaluations_run_elsewhere_and_fail_alone(found: dict[str, Any]) -> None:
    assert found["here"] is False
    assert found["outcomes"][:3] == [[1.25, None], [2.25, None], [None, "ValueError: seven"]]
    loss, reason = found["outcomes"][3]
    assert loss is None
    assert reason.startswith("the evaluation was lost: WorkerCrashedError")


def test_an_evaluation_ends_at_its_time_limit(found: dict[str, Any]) -> None:
    assert found["late"] == [None, "timed out after 1 s"]
    assert found["still up"] is True  # an executor ends no cluster that it has not started


def test_a_search_on_ray_is_the_local_search(found: dict[str, Any]) -> None:
    assert found["the same"] is True
    assert found["trials"] == 6


def test_ray_tune_searches_with_it(found: dict[str, Any]) -> None:
    """Ray's own space, nested, with a fixed value; maximised; two at a time; no configuration twice."""
    tuned = found["tuned"]
    assert len(tuned) == 8
    assert {config["offset"] for config in tuned} == {1}
    assert len({(config["lr"], config["model"]["depth"]) for config in tuned}) == 8
    assert all(1e-4 <= c["lr"] <= 1.0 and 1 <= c["model"]["depth"] <= 3 for c in tuned)
    assert sorted(found["losses"]) == sorted(-score for score in found["scores"])
