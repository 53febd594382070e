"""`sklearn/program/*`: programs on the data sets of scikit-learn, run in the sandbox."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from airtune.benchmarks import get_task
from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.runner import run_suite
from airtune.benchmarks.running.suites import SUITES, Suite, get_suite
from airtune.benchmarks.tasks.programs import DATA, program_data, program_names
from airtune.benchmarks.tasks.sklearn import load_split
from airtune.engine import Sandbox, StudyFile, Task
from airtune.engine.sandbox import layers
from airtune.engine.sandbox.limits import SandboxError
from airtune.engine.types import TaskError
from airtune.grammars import program_space
from tests.engine.sandbox.here import needs_sandbox


@pytest.mark.parametrize("name", program_names())
def test_a_task_is_its_program_space(name: str) -> None:
    task, learnt = get_task(name), DATA[name.split("/")[-1]]
    programs = program_space(learnt.space)
    assert task.name == name
    assert task.space == programs.space
    assert learnt.words in task.description
    assert task.metric == f"validation {learnt.score}"
    assert task.objective.sandbox == Sandbox()
    assert pickle.loads(pickle.dumps(task.objective)).programs.default() == programs.default()


@pytest.mark.parametrize("data", DATA)
def test_parts_are_disjoint_and_whole(data: str) -> None:
    found = program_data(data)
    assert found.test is not None
    parts = [found.train, found.validation, found.test]
    rows = np.concatenate([x.reshape(len(x), -1) for x, _ in parts])
    assert len(rows) == {"diabetes": 442, "breast_cancer": 569, "wine": 178}.get(data, 1797)
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert [len(x) == len(y) for x, y in parts] == [True] * 3
    assert len(found.test[1]) == int(np.ceil(0.1 * len(rows)))
    if data == "diabetes":
        assert found.train[1].mean() == pytest.approx(0, abs=1e-9)
        assert found.train[1].std() == pytest.approx(1)
    else:
        assert found.train[1].dtype.kind == "i"
    if data in ("breast_cancer", "wine", "digits"):  # the same rows as in the tasks of models
        np.testing.assert_array_equal(found.validation[1], load_split(data).validation[1])
    if data == "digits-images":
        assert found.train[0].shape[1:] == (1, 8, 8)
        assert (found.train[0].min(), found.train[0].max()) == (0, 1)


def cheap(task: Task) -> dict[str, object]:
    """A configuration whose program takes little time."""
    assert task.space == program_space("pipeline_classification").space
    config = {"scaling": "standard", "estimator": "neighbors", "n_neighbors": 3, "weights": "uniform", "p": 2}
    return program_space("pipeline_classification").snap(config)


@needs_sandbox
def test_a_program_learns_in_the_sandbox() -> None:
    """With a loss that a program outside of it has, too."""
    task = get_task("sklearn/program/wine")
    config = cheap(task)
    found = task.objective(config)
    assert found == task.objective(config)
    names: dict[str, object] = {}
    exec(program_space("pipeline_classification").render(config), names)
    data = program_data("wine")
    assert data.test is not None
    for part, name in ((data.validation, "loss"), (data.test, "test_loss")):
        predicted = names["fit_predict"](*data.train, part[0], 1)  # type: ignore[operator]
        assert found[name] == np.mean(predicted != part[1])
    assert found["loss"] < 0.15


@needs_sandbox
def test_a_comparison_of_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs run in the sandbox, and every study of the comparison says so."""
    monkeypatch.setitem(SUITES, "one", Suite("one", lambda: ["sklearn/program/wine"], "one"))
    plan = Plan(suite="one", methods=("default+random", "random"), seeds=1, budget=2)
    runs = run_suite(plan, tmp_path, jobs=1)
    assert [[trial.status for trial in run.trials] for run in runs] == [["told"] * 2] * 2
    assert all("test_loss" in trial.info for run in runs for trial in run.trials)
    with StudyFile(tmp_path / "bench.airtune", readonly=True) as file:
        assert {study.manifest["sandbox"] for study in file.studies()} == {"bubblewrap"}


def test_a_comparison_without_bubblewrap_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any trial, and by name."""
    layers.require.cache_clear()
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    plan = Plan(suite="programs", methods=("random",), seeds=1, budget=1)
    try:
        with pytest.raises(SandboxError, match="bubblewrap is not installed"):
            run_suite(plan, tmp_path / "out", jobs=1)
    finally:
        layers.require.cache_clear()
    with StudyFile(tmp_path / "out/bench.airtune", readonly=True) as file:
        assert file.studies() == []


def test_the_suite_and_names_that_are_none() -> None:
    assert get_suite("programs").tasks == tuple(program_names())
    with pytest.raises(TaskError, match="did you mean 'sklearn/program/diabetes'"):
        get_task("sklearn/program/diabets")
