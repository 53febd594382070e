"""The chat dialect's settings from the command line to the study file and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airtune.engine import StudyFile
from airtune.engine.cli.app import main

DIALECT = "chat+history=turns+reasoning=on+reasoning_tokens=30"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


@pytest.fixture
def study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    file = tmp_path / "s.sqlite"
    asked = (
        "--model",
        "scripted",
        "--dialect",
        DIALECT,
        "--budget",
        "2",
        "--study",
        str(file),
        "--no-progress",
    )
    assert run("tune", "toy/branin", *asked) == 0
    capsys.readouterr()
    return file


def test_settings_are_in_the_manifest_and_thoughts_in_the_transcript(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StudyFile(study, readonly=True) as file:
        (found,) = file.studies()
        transcript = file.transcripts(found.name)[1]
    assert found.manifest["model"]["dialect"] == transcript["dialect"] == DIALECT
    thought = transcript["details"]["thought"]
    assert 0 < len(thought["token_ids"]) <= 30
    assert run("show", str(study), "--trial", "1") == 0
    shown = capsys.readouterr().out
    assert f"thought\n  {thought['text']}\nanswer\n  {transcript['text']}" in shown


def test_another_dialect_is_another_study(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = (
        "tune",
        "toy/branin",
        "--model",
        "scripted",
        "--budget",
        "3",
        "--study",
        str(study),
        "--no-progress",
    )
    assert run(*asked, "--dialect", "chat") == 2
    assert "begun with another language model" in capsys.readouterr().err
    assert run(*asked, "--dialect", DIALECT, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dialect", "chat+histry=turns"), "did you mean 'history'?"),
        (("--dialect", "chat", "--model", "scripted@pocket"), "two dialects are given"),
        (("--dialect", "chat", "--proposer", "random"), "has no effect"),
        (("--backend", "vllm", "--model", "scripted:x+a=1+a=2"), "given twice"),
    ],
)
def test_bad_settings(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tune", "toy/branin", *arguments, "--study", str(tmp_path / "s.sqlite")) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s.sqlite").exists()
