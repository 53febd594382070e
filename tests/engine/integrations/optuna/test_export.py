"""`airtune export --optuna`: what Optuna then reads is what the study file holds."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    Integer,
    OrdinalHyperparameter,
)
from optuna.trial import TrialState

from airtune.engine import Study, StudyFile, Task, derive_seed
from airtune.engine.integrations import export_to_optuna
from airtune.engine.types import StoreError


def space() -> ConfigurationSpace:
    made = ConfigurationSpace()
    kernel, gamma = Categorical("kernel", ["linear", "rbf"]), Float("gamma", (1e-4, 1.0), log=True)
    made.add(kernel, gamma, Integer("degree", (2, 50)), EqualsCondition(gamma, kernel, "rbf"))
    made.add(OrdinalHyperparameter("size", [8, 16, 32]), Constant("solver", "fixed"))
    return made


def objective(config: dict[str, Any]) -> dict[str, Any]:
    if config["degree"] % 5 == 0:
        raise ValueError("a multiple of five")
    return {"loss": config["degree"] / 7, "test_loss": config["size"] / 3}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two studies, one of them with a trial that has no result."""
    task = Task("t", space(), objective, "error")
    with Study(task, "default+random", path=tmp_path / "s.airtune", seed=4, name="one") as study:
        study.run(12)
    with Study(task, "random", path=tmp_path / "s.airtune", name="two") as study:
        study.run(2)
        study.ask()
    return tmp_path / "s.airtune"


def test_a_round_trip(path: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    with StudyFile(path, readonly=True) as file:
        exported = export_to_optuna(file, url)
        records = file.records("one")
        manifest = file.get("one").manifest
    assert [(e.study, e.added, e.present, e.waiting) for e in exported] == [
        ("one", 12, 0, 0),
        ("two", 2, 0, 1),
    ]
    study = optuna.load_study(study_name="one", storage=url)
    assert study.user_attrs["airtune:manifest"] == manifest
    assert study.metric_names == ["error"]
    assert {t.state for t in study.trials} == {TrialState.COMPLETE, TrialState.FAIL}
    assert {"gamma" in t.params for t in study.trials} == {True, False}
    for record, trial in zip(records, study.trials, strict=True):
        assert trial.number == record.trial.number == trial.user_attrs["airtune:number"]
        assert trial.params == dict(record.trial.config)
        assert trial.value == record.trial.loss
        assert trial.datetime_start == datetime.fromtimestamp(record.asked)
        assert record.finished is not None
        assert trial.datetime_complete == datetime.fromtimestamp(record.finished)
        assert trial.user_attrs["airtune:origin"] == record.origin
        assert trial.user_attrs["airtune:seed"] == derive_seed(4, trial.number)
        assert trial.user_attrs.get("test_loss") == record.trial.info.get("test_loss")
        assert trial.user_attrs.get("airtune:reason") == record.trial.reason
    assert study.trials[0].distributions["degree"] == optuna.distributions.IntDistribution(2, 50)
    best = min(r.trial.loss for r in records if r.trial.loss is not None)
    assert study.best_value == best


def test_again_adds_what_is_missing(path: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    with StudyFile(path, readonly=True) as file:
        export_to_optuna(file, url, "two")
    with Study(Task("t", space(), objective, "error"), "random", path=path, name="two") as study:
        study.run(5)
    for added, present in ((3, 2), (0, 5)):
        with StudyFile(path, readonly=True) as file:
            (again,) = export_to_optuna(file, url, "two")
        assert (again.added, again.present, again.waiting) == (added, present, 0)
    trials = optuna.load_study(study_name="two", storage=url).trials
    assert [t.user_attrs["airtune:number"] for t in trials] == list(range(5))


def test_an_optuna_study_goes_on_from_it(path: Path, tmp_path: Path) -> None:
    """The distributions are such that Optuna's own samplers, and ours, take the exported trials as history."""
    from airtune.engine.integrations import AirtuneSampler

    url = f"sqlite:///{tmp_path}/optuna.db"
    with StudyFile(path, readonly=True) as file:
        export_to_optuna(file, url, "one")
    sampler = AirtuneSampler("random", search_space=space())
    study = optuna.load_study(study_name="one", storage=url, sampler=sampler)
    asked = study.ask({"degree": optuna.distributions.IntDistribution(2, 50)})
    assert asked.relative_params is not None
    assert asked.relative_params.keys() >= {"degree", "kernel", "size"}


def test_a_study_of_that_name_that_is_another_one_is_left_alone(path: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    optuna.create_study(study_name="one", storage=url)
    with (
        StudyFile(path, readonly=True) as file,
        pytest.raises(StoreError, match="another study called 'one'"),
    ):
        export_to_optuna(file, url, "one")
    assert optuna.load_study(study_name="one", storage=url).trials == []


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////no/such/folder/o.db", "oracle+none://me:hunter2@host/db"]
)
def test_a_storage_that_cannot_be_used(path: Path, url: str) -> None:
    with StudyFile(path, readonly=True) as file, pytest.raises(StoreError, match="cannot be used") as caught:
        export_to_optuna(file, url)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.value)


@pytest.mark.parametrize("other", [False, True])
def test_a_study_file_is_no_storage(path: Path, tmp_path: Path, other: bool) -> None:
    """Bug: Optuna put its tables into the study file, which was then refused as nothing that Airtune has written."""
    target = tmp_path / "other.airtune" if other else path
    if other:
        with StudyFile(target):
            pass
    before = target.read_bytes()
    with StudyFile(path, readonly=True) as file, pytest.raises(StoreError, match="is a study file") as caught:
        export_to_optuna(file, f"sqlite:///{target}")
    assert caught.value.hint is not None
    assert target.read_bytes() == before
    with StudyFile(target, readonly=True) as file:
        assert len(file.studies()) == (0 if other else 2)


def test_a_storage_that_fails_on_the_way(path: Path, tmp_path: Path) -> None:
    """Bug: a disk that was full, or a server that had gone, was "a defect of Airtune"."""
    url = f"sqlite:///{tmp_path}/optuna.db"
    optuna.storages.RDBStorage(url)
    with sqlite3.connect(tmp_path / "optuna.db") as db:
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON trials BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    with StudyFile(path, readonly=True) as file, pytest.raises(StoreError, match="disk is full") as caught:
        export_to_optuna(file, url)
    assert "optuna.db" in caught.value.message


def test_from_the_command_line(path: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    command = [sys.executable, "-m", "airtune.engine.cli.app", "export", str(path), "--optuna", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "one: 12 trials written, 0 were there" in done.stdout
    assert "two: 2 trials written, 0 were there; 1 without a result left out" in done.stdout
    assert sorted(optuna.get_all_study_names(url)) == ["one", "two"]
    done = subprocess.run([*command, "--csv"], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 2
    assert "--optuna writes no text" in done.stderr
