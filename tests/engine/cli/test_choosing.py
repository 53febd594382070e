"""`airtune tune` beside other studies of its task: the commands to choose from are those that go on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from airtune.engine import StudyFile
from airtune.engine.cli.app import app
from airtune.engine.cli.choosing import read_configs
from airtune.grammars import AirtuneError


def tune(*arguments: str) -> dict[str, Any]:
    """The document of a run, whose study may be new; what it raises is raised."""
    done = CliRunner().invoke(app, ["tune", *arguments, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def choice(*arguments: str) -> list[str]:
    """The commands that an error proposes, the new study's last."""
    with pytest.raises(AirtuneError, match="begin from zero") as raised:
        tune(*arguments)
    return [line.partition(": ")[2] for line in str(raised.value.hint).split("\n")]


BEGUN = {
    "plain": ["--proposer", "random"],
    "batches": ["--proposer", "random", "--jobs", "2"],
    "asynchronous": ["--proposer", "random", "--async", "--jobs", "2"],
    "named": ["--proposer", "random", "--study-name", "my own"],
    "model": ["--proposer", "lm"],
    "warm": ["--proposer", "default+lm", "--temperature", "1.5", "--jobs", "2"],
}


OTHER = ["--proposer", "local", "--jobs", "3"]


@pytest.mark.parametrize(
    ("begun", "now"), [*((begun, OTHER) for begun in BEGUN), ("plain", ["--proposer", "lm"])]
)
def test_the_proposed_command_goes_on_with_the_study(begun: str, now: list[str], tmp_path: Path) -> None:
    """Every option that differs is put back; a command that is not exact would begin from zero, or ask again."""
    study = ["toy/branin", "--study", str(tmp_path / "a study.sqlite")]
    name = tune(*study, *BEGUN[begun], "--budget", "2")["study"]
    goes_on, new = choice(*study, *now, "--budget", "3")
    assert shlex.split(new)[:3] == ["airtune", "tune", "toy/branin"]
    assert "--new" in shlex.split(new)
    program, command, *arguments = shlex.split(goes_on)
    assert (program, command) == ("airtune", "tune")
    found = tune(*arguments)
    assert found["study"] == name
    assert len(found["trials"]) == 3
    other = tune(*shlex.split(new)[2:])
    assert other["study"] != name
    assert len(other["trials"]) == 3


def test_a_refusal_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    for seed in ("0", "1"):
        tune("toy/branin", "--study", str(path), "--proposer", "random", "--budget", "2", "--seed", seed)
    # that seed, and a new one
    assert len(choice("toy/branin", "--study", str(path), "--proposer", "local")) == 2
    with StudyFile(path, readonly=True) as file:
        assert [study.told for study in file.studies()] == [2, 2]


def test_many_are_not_all_told(tmp_path: Path) -> None:
    study = ["toy/branin", "--study", str(tmp_path / "s"), "--proposer", "random", "--budget", "1"]
    for number in range(7):
        tune(*study, "--study-name", str(number))
    commands = choice(*study)
    assert len(commands) == 5 + 1 + 1


@pytest.mark.parametrize(
    "text",
    [
        '[{"x": 1}, {"x": 2}]',
        '{"x": 1}\n{"x": 2}\n',
        '\ufeff{"x": 1}\r\n\r\n{"x": 2}',
        ' [\n{"x": 1},{"x": 2}]\n',
    ],
)
def test_files_of_configurations(text: str, tmp_path: Path) -> None:
    path = tmp_path / "first.json"
    path.write_text(text, encoding="utf-8")
    assert read_configs(path) == [{"x": 1}, {"x": 2}]
    path.write_text('{"x":\n 1}')
    assert read_configs(path) == [{"x": 1}]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"x: 1", b"\xff\xfe", b"[" * 100_000, None])
def test_files_that_hold_none(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "first.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AirtuneError, match=r"cannot read the configurations in .*first\.json"):
        read_configs(path)


def test_tried_before_anything_is_proposed(tmp_path: Path) -> None:
    first = tmp_path / "first.jsonl"
    first.write_text('{"x": 1.0, "y": 2.0}\n{"x": 2.0, "y": 2.0}\n')
    study = ["toy/branin", "--study", str(tmp_path / "s"), "--proposer", "random", "--try", str(first)]
    found = tune(*study, "--budget", "3")
    assert [trial["config"] for trial in found["trials"]][:2] == [{"x": 1, "y": 2}, {"x": 2, "y": 2}]
    assert len(tune(*study[:-2], "--budget", "4")["trials"]) == 4  # it goes on without the file
    first.write_text('{"x": 1.0, "y": 99}')
    with pytest.raises(AirtuneError, match=r"configuration 1 of 1 .* 'y' cannot be 99"):
        tune(*study, "--budget", "5")
