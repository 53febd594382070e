"""`airtune tune --command ... --sandbox`, and the same from Python: what a study says of it, and which is the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import (
    Evaluation,
    Limits,
    Sandbox,
    Study,
    StudyFile,
    Task,
    TaskError,
    command_objective,
)
from airtune.engine.cli.app import main
from airtune.engine.manifest import IDENTITY, same, shown_entry
from airtune.grammars import AirtuneError
from tests.engine.sandbox.here import needs_sandbox

SPACE = ConfigurationSpace({"x": (0.0, 1.0)})
PRINTS = "import json, os, sys; print(json.dumps({'loss': float(sys.argv[1]), 'home': os.environ['HOME']}))"


def task() -> Task:
    return Task("squared", SPACE, command_objective(f"{sys.executable} train.py {{x}}", SPACE))


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


@pytest.fixture
def options(place: Path) -> list[str]:
    (place / "run/train.py").write_text(PRINTS)
    (place / "run/space.json").write_text(json.dumps(SPACE.to_serialized_dict()))
    command = f"{sys.executable} train.py {{x}}"
    return ["tune", "--space", "space.json", "--command", command, "--proposer", "random", "--budget", "2"]


def test_a_study_in_the_sandbox(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run([*options, "--sandbox", "--sandbox-setting", "memory=1G"], capsys)
    assert code == 0
    assert {trial["info"]["home"] for trial in told["trials"]} == {"/scratch"}
    with StudyFile("airtune.sqlite", readonly=True) as file:
        (study,) = file.studies()
    assert study.manifest["sandbox"] == "bubblewrap"
    assert study.manifest["sandbox_limits"]["memory_bytes"] == 1 << 30


def test_another_sandbox_is_another_study(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*options, "--sandbox", "none"], capsys)[0] == 0
    with StudyFile("airtune.sqlite", readonly=True) as file:
        assert file.studies()[0].manifest["sandbox"] == "none"
    assert run(options, capsys)[0] == 0  # to say nothing is to go without
    code, told = run([*options, "--sandbox"], capsys)
    assert code == 2
    assert "another sandbox: none, now bubblewrap" in told["error"]["message"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (["--sandbox", "docker"], "sandbox 'docker' is not known"),
        (["--sandbox-setting", "memory=1G"], "without a sandbox"),
        (["--sandbox", "none", "--sandbox-setting", "memory=1G"], "without a sandbox"),
        (["--sandbox", "--sandbox-setting", "memory=x"], "no number"),
        (["--sandbox", "--sandbox-setting", "read=nowhere"], "does not exist"),
    ],
)
def test_options_that_do_not_fit(
    options: list[str], changed: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run([*options, *changed], capsys)
    assert code in (1, 2)
    said = told.get("error", {}).get("message") or str([trial["reason"] for trial in told["trials"]])
    assert why in said


def test_only_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(["tune", "toy/branin", "--sandbox"], capsys)
    assert code in (1, 2)
    assert "only commands and programs run in the sandbox" in told["error"]["message"]


@needs_sandbox
def test_a_callable_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with pytest.raises(TaskError, match="only commands and programs run in the sandbox"):
        Study(
            Task("f", SPACE, lambda config: 0.0),
            "random",
            path=path,
            evaluation=Evaluation(sandbox=Sandbox()),
        )
    with pytest.raises(AirtuneError, match="sandbox 'docker' is not known"):
        Evaluation(sandbox="docker")  # type: ignore[arg-type]


@pytest.mark.parametrize("jobs", [1, 2])
def test_in_workers(place: Path, jobs: int) -> None:
    """Workers unpickle the sandbox with the command."""
    (place / "run/train.py").write_text(PRINTS)
    evaluation = Evaluation(isolate=True, jobs=jobs, sandbox=Sandbox(Limits(time_s=120.0)))
    with Study(task(), "random", path="airtune.sqlite", evaluation=evaluation) as study:
        result = study.run(2)
    assert [trial.status for trial in result.trials] == ["told", "told"]


def test_a_results_reason_is_named(place: Path) -> None:
    (place / "run/train.py").write_text("print('{\"loss\": NaN}')")
    with Study(
        task(), "random", path=None, evaluation=Evaluation(sandbox=Sandbox(Limits(time_s=120.0)))
    ) as study:
        result = study.run(1)
    assert result.trials[0].reason == "invalid result: objective returned a mapping whose 'loss' is NaN (nan)"


def test_data_may_be_shown(place: Path) -> None:
    (place / "run/train.py").write_text(f"print(len(open({str(place / 'trials/0/labels.json')!r}).read()))")
    shown = Sandbox(Limits(time_s=120.0), readable=(str(place / "trials"),))
    with Study(task(), "random", path=None, evaluation=Evaluation(sandbox=shown)) as study:
        assert study.run(1).trials[0].loss == 6.0


def test_the_study_file_is_hidden_wherever_it_is(place: Path) -> None:
    (place / "run/train.py").write_text("print(len(open('studies/other.sqlite', 'rb').read()))")
    evaluation = Evaluation(sandbox=Sandbox(Limits(time_s=120.0)))
    with Study(task(), "random", path="studies/other.sqlite", evaluation=evaluation) as study:
        assert "PermissionError" in str(study.run(1).trials[0].reason)


def test_identity() -> None:
    assert "sandbox" in IDENTITY
    assert same("sandbox", {}, {"sandbox": "none"})
    assert not same("sandbox", {}, {"sandbox": "bubblewrap"})
    assert shown_entry("sandbox", {}) == "none"
