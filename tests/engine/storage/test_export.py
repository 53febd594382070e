from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition

from airtune.engine import StoreError, Study, StudyFile, Task, export_csv, export_jsonl, load_proposer
from airtune.models import load_model

TIMES = {"created", "asked", "finished", "proposal_s", "evaluation_s"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with two studies; one has inactive hyperparameters, failures and transcripts."""
    space = ConfigurationSpace({"kernel": ["rbf", "poly, 2"], "gamma": (0.1, 1.0), "C": (1, 9)})
    space.add(EqualsCondition(space["gamma"], space["kernel"], "rbf"))

    def objective(config: dict[str, Any]) -> dict[str, Any]:
        if config["kernel"] != "rbf":
            raise ValueError('the "é" kernel')
        return {
            "loss": config["gamma"] * 0.1,
            "test": 0.1 + 0.2,
            "note": "a\nb",
            "list": [1, {"b": 2, "a": 1}],
        }

    path = tmp_path / "s.sqlite"
    task = Task("svm", space, objective)
    with Study(
        task, load_proposer("lm", model=load_model("bytes", "scripted")), path=path, name="b"
    ) as study:
        statuses = {trial.status for trial in study.run(8).trials}
    assert statuses == {"told", "failed"}
    with Study(task, "default+random", path=path, name="a") as study:
        study.run(2)
    return path


def test_lines(path: Path) -> None:
    with StudyFile(path, readonly=True) as file:
        lines = list(export_jsonl(file, transcripts=True))
        trials = {name: file.trials(name) for name in ("a", "b")}
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    records = [json.loads(line) for line in lines]
    assert [line for line in lines] == [
        json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n" for record in records
    ]
    kinds = [record["kind"] for record in records]
    assert kinds == ["study", *["trial"] * 2, "study", *["trial"] * 8, *["transcript"] * 8]
    for found, trial in zip([r for r in records if "config" in r], trials["a"] + trials["b"], strict=True):
        for field in ("number", "config", "status", "loss", "reason", "info", "proposal_s", "evaluation_s"):
            assert found[field] == getattr(trial, field)
    assert "é" in "".join(lines)
    assert records[1]["origin"] == "default"


def test_without_times_there_are_none(path: Path) -> None:
    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    with StudyFile(path, readonly=True) as file:
        with_times, without = (
            list(export_jsonl(file)),
            list(export_jsonl(file, times=False, transcripts=True)),
        )
    assert keys([json.loads(line) for line in with_times]) >= TIMES
    assert not keys([json.loads(line) for line in without]) & TIMES
    assert str(path.parent) not in "".join(without)


def test_one_study_of_several(path: Path) -> None:
    with StudyFile(path, readonly=True) as file:
        assert len(list(export_jsonl(file, "a"))) == 3
        with pytest.raises(StoreError, match="'c'"):
            list(export_jsonl(file, "c"))


def test_csv(path: Path) -> None:
    with StudyFile(path, readonly=True) as file:
        text, trials = export_csv(file), file.trials("a") + file.trials("b")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        "study", "number", "status", "loss", "reason", "origin", "config.C", "config.gamma", "config.kernel",
        "info.list", "info.note", "info.test", "asked", "evaluation_s", "finished", "proposal_s",
    ]  # fmt: skip
    for row, trial in zip(rows, trials, strict=True):
        assert row["loss"] == ("" if trial.loss is None else repr(trial.loss))
        assert row["config.kernel"] == trial.config["kernel"]
        assert row["config.gamma"] == (repr(trial.config["gamma"]) if "gamma" in trial.config else "")
        assert row["info.list"] == ("" if trial.loss is None else '[1, {"a": 1, "b": 2}]')
    with StudyFile(path, readonly=True) as file:
        assert not TIMES & set(export_csv(file, "a", times=False).splitlines()[0].split(","))


def test_a_carriage_return_in_a_name_or_value_does_not_end_a_csv_row() -> None:
    """Progress bars are full of them, and Python's csv writes them unquoted where rows end in a line feed."""
    space = ConfigurationSpace({"a\rb": (0.0, 1.0), "c": ["x\ry", "x\r\ny", "\n"]})
    task = Task("t", space, lambda config: {"loss": 0.0, "bar": "1%\r2%", "note": "a\r\n"})
    with Study(task, "random", name="s") as study, study._file as file:
        trials = study.run(5).trials
        text = export_csv(file)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["config.a\rb"] for row in rows] == [repr(trial.config["a\rb"]) for trial in trials]
    assert [row["config.c"] for row in rows] == [trial.config["c"] for trial in trials]
    assert {(row["info.bar"], row["info.note"]) for row in rows} == {("1%\r2%", "a\r\n")}
    assert text.split("\n")[0].endswith("proposal_s")


def test_the_same_study_is_the_same_bytes_whatever_the_hash_seed(
    tmp_path: Path, export: Callable[..., str]
) -> None:
    code = (
        "import sys; from ConfigSpace import ConfigurationSpace, EqualsCondition, ForbiddenEqualsClause\n"
        "from airtune.engine import Study, Task, load_proposer\n"
        "from airtune.models import load_model\n"
        "space = ConfigurationSpace({'k': ['p', 'q', 'r'], 'g': (0.1, 1.0), 'c': (1, 9), 'd': ['u', 'v']})\n"
        "space.add(EqualsCondition(space['g'], space['k'], 'p'))\n"
        "space.add(EqualsCondition(space['d'], space['k'], 'q'))\n"
        "space.add(ForbiddenEqualsClause(space['c'], 3))\n"
        "task = Task('t', space, lambda c: {'loss': c['c'] + c.get('g', 0.0), **{n: 1 for n in set(c)}})\n"
        "model = load_model('bytes', 'scripted')\n"
        "for proposer in (load_proposer('lm', model=model), load_proposer('random')):\n"
        "    with Study(task, proposer, path=sys.argv[1], seed=3, new=True) as study: study.run(6)\n"
    )
    exports = []
    for seed in ("0", "1"):
        path = tmp_path / f"{seed}.sqlite"
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, path], env=environment, check=True)
        exports.append(export(path))
    assert exports[0] == exports[1]
    assert exports[0].count("\n") == 2 + 12 + 6
