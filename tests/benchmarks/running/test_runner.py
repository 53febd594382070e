"""Comparisons: reproducible whatever the processes, resumable, extensible, and reported as they are."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.benchmarks import get_task
from airtune.benchmarks.analysis.comparison import Run
from airtune.benchmarks.report import make_report, report_markdown, report_tables
from airtune.benchmarks.running.lockstep import QUICK_S, LockStepRunner
from airtune.benchmarks.running.plan import Plan, study_seed, with_models
from airtune.benchmarks.running.processes import _no_interrupts
from airtune.benchmarks.running.runner import Progress, load_plan, load_runs, run_suite
from airtune.benchmarks.running.suites import get_suite
from airtune.engine import Study, StudyFile, StudyState, Task, Trial, export_jsonl, load_proposer
from airtune.engine.storage.study_file import COMPARISON_FILE
from airtune.grammars import AirtuneError
from airtune.models import load_model
from tests.sealing import seal

PLAN = Plan("toy", methods=("lm", "random", "default+tpe"), seeds=2, budget=6, model="scripted")


def essence(runs: list[Run]) -> list[tuple[object, ...]]:
    """All of the runs but their times."""
    return [
        (r.method, r.task, r.seed, r.origins, [(dict(t.config), t.loss, t.status) for t in r.trials])
        for r in runs
    ]


def exported(out: Path) -> str:
    """All that is in the study file but times."""
    with StudyFile(out / COMPARISON_FILE, readonly=True) as file:
        return "".join(export_jsonl(file, times=False, transcripts=True))


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
    assert sum(seen[0].done.values()) == 0
    assert seen[-1].done == seen[-1].total == dict.fromkeys(PLAN.methods, 6 * 2 * 6)
    assert exported(tmp_path) == exported(done[0])


def test_a_study_of_a_comparison_is_the_engines_own(done: tuple[Path, list[Run]]) -> None:
    """The runner advances studies in lock step; `Study` with the same seed makes the same trials."""
    for method in PLAN.methods:
        run = next(r for r in done[1] if (r.method, r.task, r.seed) == (method, "toy/branin", 1))
        seed = study_seed("toy/branin", method, 1)
        model = load_model("scripted") if method == "lm" else "pocket"
        with Study(get_task("toy/branin"), method, model=model, seed=seed) as study:
            study.run(3)
            assert [dict(t.config) for t in study.trials] == [dict(t.config) for t in run.trials[:3]]


def test_methods_seeds_and_trials_may_be_added(done: tuple[Path, list[Run]], tmp_path: Path) -> None:
    run_suite(replace(PLAN, methods=("random",), seeds=1), tmp_path, jobs=1)
    run_suite(replace(PLAN, methods=("random", "lm"), budget=3), tmp_path, jobs=1)
    seen: list[Progress] = []
    runs = run_suite(PLAN, tmp_path, jobs=1, on_progress=seen.append)
    assert seen[0].done == {"lm": 6 * 2 * 3, "random": 6 * 6 + 6 * 3, "default+tpe": 0}
    assert essence(runs) == essence(done[1])
    assert exported(tmp_path) == exported(done[0])
    assert set(load_plan(tmp_path).methods) == set(PLAN.methods)
    assert replace(load_plan(tmp_path), methods=PLAN.methods) == PLAN
    again = run_suite(PLAN, tmp_path, jobs=2, on_progress=seen.append)
    assert seen[-1].done == seen[-1].total
    assert again == runs


def test_less_may_be_asked_for_of_what_is_there(done: tuple[Path, list[Run]], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "copy")
    runs = run_suite(replace(PLAN, methods=("random",), seeds=1, budget=2), tmp_path / "copy", jobs=1)
    assert {(run.method, run.seed) for run in runs} == {("random", 0)}
    # bug: figures had the best and the worst of all six in them
    assert {len(run.trials) for run in runs} == {2}
    assert exported(tmp_path / "copy") == exported(done[0])
    assert load_plan(tmp_path / "copy") == PLAN


@pytest.mark.parametrize("folder", ["file", "file/toy"])
def test_a_file_in_place_of_the_folder_is_told(folder: str, tmp_path: Path) -> None:
    """Bug: it was an unexpected NotADirectoryError, a defect of Airtune."""
    (tmp_path / "file").write_text("")
    with pytest.raises(AirtuneError, match="cannot be made") as error:
        run_suite(replace(PLAN, methods=("random",)), tmp_path / folder, jobs=1)
    assert error.value.value == str(tmp_path / folder)


def test_an_unfinished_trial_is_evaluated_under_its_number(tmp_path: Path) -> None:
    """What SIGKILL leaves behind between the two transactions of a step, made by hand."""
    plan = replace(PLAN, methods=("random",), seeds=1)
    run_suite(plan, tmp_path / "whole", jobs=1)
    run_suite(replace(plan, budget=3), tmp_path / "cut", jobs=1)
    with closing(sqlite3.connect(tmp_path / "cut" / COMPARISON_FILE)) as db, db:
        db.execute(
            "UPDATE trials SET status='asked', loss=NULL, info='{}', finished=NULL, checksum=NULL"
            " WHERE number=2 AND study<4"
        )
        seal(db)
    assert sorted(len(run.trials) for run in load_runs(tmp_path / "cut")) == [2, 2, 2, 3, 3, 3]
    run_suite(plan, tmp_path / "cut", jobs=1)
    assert exported(tmp_path / "cut") == exported(tmp_path / "whole")


def test_several_models_are_several_methods(tmp_path: Path) -> None:
    assert with_models(("lm", "random", "default+lm:a"), ("a", "b")) == (
        "lm:a",
        "lm:b",
        "random",
        "default+lm:a",
    )
    assert with_models(("lm", "random"), ("a",)) == ("lm", "random")
    plan = Plan("toy", methods=("lm", "lm:scripted"), seeds=1, budget=2, model="scripted")
    runs = run_suite(plan, tmp_path, jobs=1)
    assert {run.method for run in runs} == {"lm", "lm:scripted"}
    assert load_plan(tmp_path) == plan


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"suite": "core"}, "of the suite 'toy'"),
        ({"budget": 0}, "budget is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"suite": "toys"}, "did you mean 'toy'"),
        ({"methods": ("random", "tpee")}, "did you mean 'tpe'"),
        ({"methods": ("random:pocket",)}, "does not ask"),
        ({"methods": ("lm:",)}, "names no model"),
        ({"methods": ()}, "one or more"),
        ({"methods": ("random", "random")}, "all different"),
        ({"temperature": 0.5, "budget": 7}, "another temperature: 1.0, now 0.5"),
    ],
)
def test_bad_plans_are_explained(
    done: tuple[Path, list[Run]], change: dict[str, object], says: str, tmp_path: Path
) -> None:
    before = exported(done[0])
    shutil.copytree(done[0], tmp_path / "copy")
    with pytest.raises(AirtuneError) as raised:
        run_suite(replace(PLAN, **change), tmp_path / "copy", jobs=1)  # type: ignore[arg-type]
    assert says in str(raised.value)
    assert exported(tmp_path / "copy") == before


def test_another_model_or_another_seed_stream_is_not_mixed_in(
    done: tuple[Path, list[Run]], tmp_path: Path
) -> None:
    for field, says in (("model_hash", "another language model"), ("seed", "another seed")):
        value = 5 if field == "seed" else "'5'"
        shutil.copytree(done[0], tmp_path / field)
        with closing(sqlite3.connect(tmp_path / field / COMPARISON_FILE)) as db, db:
            db.execute(
                f"UPDATE studies SET manifest = json_set(manifest, '$.{field}', {value}), checksum = NULL"
            )
            seal(db)
        for jobs in (1, 2):
            with pytest.raises(AirtuneError, match=says) as raised:
                run_suite(replace(PLAN, budget=7), tmp_path / field, jobs=jobs)
            assert "--out" in str(raised.value)


@pytest.mark.parametrize("change", [{}, {"seeds": 3}, {"methods": ("lm", "default+random")}])
def test_what_is_finished_was_measured_with_the_same_model(
    done: tuple[Path, list[Run]], change: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(done[0], tmp_path / "copy")
    for jobs in (1, 2):
        with pytest.raises(AirtuneError, match=r"another language model: 'scripted'.*'pocket'") as raised:
            run_suite(replace(PLAN, model="pocket", temperature=1.0, **change), tmp_path / "copy", jobs=jobs)
        assert "--proposers lm:NAME" in str(raised.value)
    mine = [run for run in load_runs(tmp_path / "copy") if run.method == "lm"]
    assert essence(mine) == essence([run for run in done[1] if run.method == "lm"])


def test_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(AirtuneError, match="no study file"):
        load_plan(tmp_path / "nothing")
    with Study(get_task("toy/branin"), "random", path=tmp_path / "one") as study:
        study.run(1)
    with pytest.raises(AirtuneError, match="holds no comparison"):
        load_plan(tmp_path / "one")
    assert load_runs(tmp_path / "one") == []


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
    assert [p.row.reference for p in report.pairwise[6]] == ["random", "default+tpe"]
    assert {p.row.method for p in report.pairwise[6]} == {"lm"}
    text = report_markdown(report)
    assert "| lm |" in text
    assert "bootstrap" in text
    json.dumps(report.json(), allow_nan=False)
    for table in report_tables(report):
        assert table.rich().row_count == len(table.rows)
    part = make_report(PLAN, done[1], prefix="toy/quadratic")
    assert part.tasks == ("toy/quadratic-well", "toy/quadratic-ill")
    assert part.rows[6][0].tasks == 2


def test_a_report_of_half_a_comparison_is_refused(done: tuple[Path, list[Run]]) -> None:
    with pytest.raises(AirtuneError, match="1 of 36 runs are missing"):
        make_report(PLAN, done[1][1:])
    with pytest.raises(AirtuneError, match="without 'random' has nothing to be compared with"):
        make_report(replace(PLAN, methods=("lm",)), done[1])
    failed = [
        replace(run, trials=[Trial(t.number, t.config, "failed", reason="no") for t in run.trials])
        for run in done[1]
    ]
    with pytest.raises(AirtuneError, match="without any loss"):
        make_report(PLAN, failed)


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


def diverges(config: dict[str, float]) -> dict[str, float]:
    if config["x"] < 0:
        raise ValueError("it diverged")
    return {"loss": float("nan") if config["x"] == 0 else 1.0, "test_loss": 2.0}


def test_a_known_result_is_that_of_the_task_itself() -> None:
    """`mlp` does not take the result that `mlp@epochs=5` has for the configuration, nor the other way round."""

    def slow(value: float) -> Any:
        def objective(config: dict[str, float]) -> float:
            until = time.perf_counter() + 2 * QUICK_S
            while time.perf_counter() < until:
                pass
            return value

        return objective

    space = ConfigurationSpace({"x": [1, 2]})
    losses = {"test/mlp@epochs=5": 5.0, "test/mlp": 9.0}
    tasks = {name: Task(name, space, slow(value)) for name, value in losses.items()}
    groups = [[name] for name in tasks] + [list(tasks)]  # one after the other, and side by side
    with StudyFile(None) as file:
        for seed, group in enumerate(groups):
            studies = [StudyState(f"{name}/random/{seed}", tasks[name], seed) for name in group]
            file.acquire(*(study.name for study in studies))
            runner = LockStepRunner(file, load_proposer("random"), studies, {one.name: {} for one in studies})
            while runner.step(2):
                pass
            for study in studies:
                assert {trial.loss for trial in file.trials(study.name)} == {losses[study.task.name]}


def test_a_slow_evaluation_is_made_once_for_all_studies_of_a_task() -> None:
    calls: list[float] = []

    def objective(config: dict[str, float]) -> dict[str, float]:
        calls.append(config["x"])
        until = time.perf_counter() + 2 * QUICK_S
        while time.perf_counter() < until:
            pass
        return diverges(config)

    task = Task("test/diverges", ConfigurationSpace({"x": [-0.5, 0.0, 0.5]}), objective)
    studies = [StudyState(f"test/diverges/{i}", task, i) for i in range(4)]
    with StudyFile(None) as file:
        file.acquire(*(study.name for study in studies))
        runner = LockStepRunner(file, load_proposer("random"), studies, {one.name: {} for one in studies})
        while runner.step(5):
            pass
        assert sorted(calls) == [-0.5, 0.0, 0.5]
        assert runner.settled(5) == 20  # the space has three configurations: it is exhausted
        for study in studies:
            trials = sorted(file.trials(study.name), key=lambda trial: trial.config["x"])
            assert [trial.status for trial in trials] == ["failed", "failed", "told"]
            assert trials[0].reason == "ValueError: it diverged"
            assert trials[2].info == {"test_loss": 2.0}
            assert all(trial.evaluation_s is not None for trial in trials)


def test_what_an_evaluation_prints_is_kept_with_the_trial(capfd: pytest.CaptureFixture[str]) -> None:
    def objective(config: dict[str, float]) -> float:
        print("begun")
        print("ill-conditioned", file=sys.stderr)
        return diverges({"x": config["x"] - 2})["loss"]

    task = Task("test/talks", ConfigurationSpace({"x": [1, 3]}), objective)
    study = StudyState("test/talks/random/0", task, 0)
    with StudyFile(None) as file:
        file.acquire(study.name)
        runner = LockStepRunner(file, load_proposer("random"), [study], {study.name: {}})
        while runner.step(2):
            pass
        logs = sorted(record.log for record in file.records(study.name))
    assert logs[0] == "begun\nill-conditioned\n"
    assert logs[1].startswith("begun\nill-conditioned\nTraceback")
    assert capfd.readouterr() == ("", "")


def test_processes_that_are_only_starting_do_not_hear_ctrl_c() -> None:
    """A Ctrl-C within their first second ended them in a traceback each, in the middle of a library's import."""
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    heard = []
    with _no_interrupts():
        heard.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True))
    heard.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True))
    assert [one.stdout for one in heard] == ["True\n", "False\n"]
