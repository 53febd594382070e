"""Comparisons: reproducible whatever the processes, resumable, extensible, and reported as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.benchmarks.evaluations import Evaluations, evaluate
from airtune.benchmarks.report import make_report
from airtune.benchmarks.runner import Plan, Progress, Run, load_plan, load_runs, run_suite
from airtune.benchmarks.suites import get_suite
from airtune.engine import Study, Task, Trial
from airtune.grammars import AirtuneError
from airtune.models import load_model

PLAN = Plan("toy", methods=("lm", "random", "default+tpe"), seeds=2, budget=6, model="scripted")


def essence(runs: list[Run]) -> list[tuple[object, ...]]:
    """All of the runs but their times."""
    return [
        (r.method, r.task, r.seed, r.origins, [(dict(t.config), t.loss, t.status) for t in r.trials])
        for r in runs
    ]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Run]]:
    out = tmp_path_factory.mktemp("comparison")
    return out, run_suite(PLAN, out, jobs=1)


def test_every_study_is_there_and_whole(done: tuple[Path, list[Run]]) -> None:
    _, runs = done
    keys = {(run.method, run.task, run.seed) for run in runs}
    assert keys == {(m, t, s) for m in PLAN.methods for t in get_suite("toy").tasks for s in range(2)}
    for run in runs:
        assert [trial.number for trial in run.trials] == list(range(6))
        assert len(run.origins) == 6
        assert (run.origins[0] == "default") == run.method.startswith("default+")
    firsts = [tuple(run.trials[0].config.items()) for run in runs if run.method == "random"]
    assert len(set(firsts)) == len(firsts)  # every study has random numbers of its own


def test_processes_change_nothing(done: tuple[Path, list[Run]], tmp_path: Path) -> None:
    seen: list[Progress] = []
    runs = run_suite(PLAN, tmp_path, jobs=2, on_progress=seen.append)
    assert essence(runs) == essence(done[1])
    assert [progress.done for progress in seen] == [1, 2, 3]


def test_a_study_of_a_comparison_is_the_engines_own(done: tuple[Path, list[Run]]) -> None:
    """The runner advances studies in lock step; `Study` with the same seed makes the same trials."""
    from airtune.benchmarks import get_task
    from airtune.benchmarks.runner import study_seed

    for method in PLAN.methods:
        run = next(r for r in done[1] if (r.method, r.task, r.seed) == (method, "toy/branin", 1))
        seed = study_seed("toy/branin", method, 1)
        model = load_model("scripted") if method == "lm" else "pocket"
        with Study(get_task("toy/branin"), method, model=model, seed=seed) as study:
            study.run(3)
            assert [dict(t.config) for t in study.trials] == [dict(t.config) for t in run.trials[:3]]


def test_resuming_does_what_is_missing(done: tuple[Path, list[Run]], tmp_path: Path) -> None:
    first = replace(
        PLAN, methods=("random",), model="pocket", temperature=0.5
    )  # which random search never asks
    run_suite(first, tmp_path, jobs=1)
    kept = (tmp_path / "runs" / "random-0.jsonl").stat().st_mtime_ns
    seen: list[Progress] = []
    runs = run_suite(PLAN, tmp_path, jobs=1, on_progress=seen.append)
    assert {progress.method for progress in seen} == {"lm", "default+tpe"}
    assert (tmp_path / "runs" / "random-0.jsonl").stat().st_mtime_ns == kept
    assert essence(runs) == essence(done[1])
    assert set(load_plan(tmp_path).methods) == set(PLAN.methods)
    assert essence(load_runs(tmp_path, PLAN)) == essence(runs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"budget": 7}, "another comparison"),
        ({"seeds": 3}, "another comparison"),
        ({"model": "pocket"}, "another comparison"),
        ({"temperature": 0.5}, "another comparison"),
        ({"suite": "core"}, "another comparison"),
        ({"budget": 0}, "budget is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"suite": "toys"}, "did you mean 'toy'"),
        ({"methods": ("random", "tpee")}, "did you mean 'tpe'"),
        ({"methods": ()}, "one or more"),
        ({"methods": ("random", "random")}, "all different"),
    ],
)
def test_bad_plans_are_explained(done: tuple[Path, list[Run]], change: dict[str, object], says: str) -> None:
    with pytest.raises(AirtuneError) as raised:
        run_suite(replace(PLAN, **change), done[0], jobs=1)  # type: ignore[arg-type]
    assert says in str(raised.value)


def test_another_model_is_not_mixed_in(done: tuple[Path, list[Run]], tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}\n")
    with pytest.raises(AirtuneError, match="language model is not the one"):
        run_suite(PLAN, tmp_path, jobs=1)


def test_the_report(done: tuple[Path, list[Run]]) -> None:
    report = make_report(PLAN, done[1])
    assert report.budgets == (2, 5, 6)
    row = next(row for row in report.rows[6] if row.method == "default+tpe")
    wins = 0
    for task in report.tasks:
        means = {
            m: sum(min(t.loss for t in r.trials) for r in done[1] if (r.method, r.task) == (m, task)) / 2  # type: ignore[type-var]
            for m in PLAN.methods
        }
        wins += means["default+tpe"] < means["random"]
    assert row.wins == wins
    assert row.beats.value == pytest.approx(100 * wins / 6)
    assert [r.reference for r in report.duels[6]] == ["random", "default+tpe"]
    assert {r.method for r in report.duels[6]} == {"lm"}
    text = report.markdown()
    assert "| scripted |" in text  # the model's name instead of `lm`
    assert "bootstrap" in text
    json.dumps(report.json(), allow_nan=False)
    for table in report.tables():
        assert table.rich().row_count == len(table.rows)
    part = make_report(PLAN, done[1], prefix="toy/quadratic")
    assert part.tasks == ("toy/quadratic-well", "toy/quadratic-ill")
    assert part.rows[6][0].tasks == 2


def test_a_report_of_half_a_comparison_is_refused(done: tuple[Path, list[Run]]) -> None:
    with pytest.raises(AirtuneError, match="1 of 36 runs are missing"):
        make_report(PLAN, done[1][1:])
    with pytest.raises(AirtuneError, match="nothing to be compared with"):
        make_report(replace(PLAN, methods=("lm",)), done[1])


def test_failures_are_the_worst_that_anyone_saw(done: tuple[Path, list[Run]]) -> None:
    runs = [
        replace(run, trials=[Trial(t.number, t.config, "failed", reason="no") for t in run.trials])
        if (run.method, run.task) == ("lm", "toy/branin")
        else run
        for run in done[1]
    ]
    worst = max(t.loss for run in runs if run.task == "toy/branin" for t in run.trials if t.loss is not None)
    report = make_report(PLAN, runs)
    assert report.means[6]["lm"]["toy/branin"] == pytest.approx(worst - 0.39788735772973816)


def diverges(config: dict[str, float]) -> float:
    if config["x"] < 0:
        raise ValueError("it diverged")
    return float("nan") if config["x"] == 0 else 1.0


def test_evaluations_are_made_once_and_failures_too(tmp_path: Path) -> None:
    calls: list[float] = []

    def objective(config: dict[str, float]) -> float:
        calls.append(config["x"])
        return diverges(config)

    task = Task("test/diverges", ConfigurationSpace({"x": (-1.0, 1.0)}), objective)
    for _ in range(2):
        evaluations = Evaluations(tmp_path / "cache.sqlite")
        for x in (-0.5, 0.0, 0.5):
            trial = evaluations.tell(task, f"x={x}", Trial(3, {"x": x}, proposal_s=0.25))
            assert (trial.number, trial.proposal_s) == (3, 0.25)
            assert trial.status == ("told" if x == 0.5 else "failed")
            assert trial.evaluation_s is not None
        evaluations.close()
    assert calls == [-0.5, 0.0, 0.5]
    assert evaluate(task, {"x": -1.0}) == {"status": "failed", "reason": "ValueError: it diverged"}
    assert evaluate(task, {"x": 0.0})["reason"] == "loss is nan"
