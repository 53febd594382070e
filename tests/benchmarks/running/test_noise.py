"""Comparisons whose methods see noisy losses: every study its own noise, figures of true losses."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from airtune.benchmarks.analysis.comparison import compare_runs
from airtune.benchmarks.report import make_report
from airtune.benchmarks.running.lockstep import QUICK_S, LockStepRunner
from airtune.benchmarks.running.plan import Plan, check_plan
from airtune.benchmarks.running.runner import load_plan, run_suite
from airtune.engine import StudyFile, StudyState, Task, load_proposer
from airtune.engine.evaluation.noise import TRUE_LOSS, read_noise, true_loss
from airtune.grammars import AirtuneError

NOISE = "U(0.5,1.5)"
PLAN = Plan("toy", ("random", "default+local"), seeds=2, budget=8, noise=NOISE)


def test_a_comparison_with_noise(tmp_path: Path) -> None:
    runs = run_suite(PLAN, tmp_path, jobs=1)
    assert load_plan(tmp_path).noise == NOISE
    for run in runs:
        for trial in run.trials:
            factor = (trial.loss or 0.0) / trial.info[TRUE_LOSS]
            assert 0.5 <= factor <= 1.5
    assert len({t.loss for r in runs for t in r.trials if r.task == "toy/ackley" and r.method == "default+local"
                and t.number == 0}) == 2  # the default's true loss is one, its noise each study's own  # fmt: skip
    with pytest.raises(AirtuneError, match="another comparison: of the noise") as error:
        run_suite(replace(PLAN, noise=None), tmp_path, jobs=1)
    assert error.value.value == "none"
    report = make_report(PLAN, runs)
    by_key = {(run.method, run.task, run.seed): run for run in runs}
    comparison = compare_runs(by_key, PLAN.methods, report.tasks, 2, 8)
    m, t = comparison.methods.index("random"), comparison.tasks.index("toy/himmelblau")
    trials = by_key["random", "toy/himmelblau", 1].trials
    seen = [min(trials[: n + 1], key=lambda trial: trial.loss or 0.0) for n in range(8)]
    np.testing.assert_allclose(comparison.best[m, t, 1], [true_loss(trial) or 0.0 for trial in seen])


def test_on_a_table_random_search_is_run_and_not_exact() -> None:
    names = ("hpobench/svm/vehicle",)
    plan = Plan("hpobench", ("random",), seeds=1, budget=3, noise=NOISE)
    space_runs = {}
    from airtune.benchmarks import get_task
    from airtune.benchmarks.analysis.comparison import Run
    from airtune.engine import Evaluation, Study

    with Study(get_task(names[0]), "random", evaluation=Evaluation(noise=NOISE)) as study:
        study.run(3)
        space_runs["random", names[0], 0] = Run("random", names[0], 0, list(study.trials))
    comparison = compare_runs(space_runs, plan.methods, names, 1, 3)
    assert not comparison.exact.any()
    assert set(comparison.best[0, 0, 0]) <= {true_loss(trial) for trial in study.trials}


def test_studies_that_share_an_evaluation_have_noise_of_their_own() -> None:
    calls = []

    def objective(config: dict[str, float]) -> float:
        calls.append(config["x"])
        until = time.perf_counter() + 2 * QUICK_S
        while time.perf_counter() < until:
            pass
        return 10.0 + config["x"]

    task = Task("test/slow", ConfigurationSpace({"x": [1, 2]}), objective)
    noise = read_noise(NOISE)
    with StudyFile(None) as file:
        for seeds in ((1,), (2, 3)):  # after the others, and beside them
            studies = [StudyState(f"test/slow/{seed}", task, seed) for seed in seeds]
            file.acquire(*(study.name for study in studies))
            runner = LockStepRunner(
                file, load_proposer("random"), studies, {one.name: {} for one in studies}, NOISE
            )
            while runner.step(2):
                pass
            for study in runner.studies:
                for trial in study.trials.values():
                    true = 10.0 + trial.config["x"]
                    assert trial.info == {TRUE_LOSS: true}
                    assert trial.loss == noise.on(true, study.seed, trial.number)
        assert sorted(calls) == [1, 2]


def test_what_is_no_noise_is_refused_before_anything_runs() -> None:
    with pytest.raises(AirtuneError, match="noise '5%' is not known"):
        check_plan(replace(PLAN, noise="5%"))
