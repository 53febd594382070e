"""A full disk under standard output, or a reader that has gone, is no defect of ours, and loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Folder

PROGRAM = [sys.executable, "-m", "airtune.engine.cli.app"]
TUNE = ["tune", "toy/branin", "--proposer", "random", "--study", "s.sqlite", "--no-progress"]


@pytest.fixture(scope="module")
def folder(new_folder: Callable[[], Folder]) -> Folder:
    made = new_folder()
    made.call(*TUNE, "--budget", "3")
    return made


def printed_to(path: str, folder: Folder, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command whose output goes to a device."""
    with open(path, "w") as device:
        done = subprocess.run(
            [*PROGRAM, *arguments], stdout=device, stderr=subprocess.PIPE, text=True, cwd=folder.path
        )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "s.sqlite"],
        ["show", "s.sqlite", "--json"],
        ["show", "nowhere.sqlite", "--json"],
        ["export", "s.sqlite"],
        ["grammar", "space.json", "--sample", "2000"],
        ["grammar", "space.json", "--emit", "regex"],
        ["grammar", "space.json", "--json"],
        ["tasks"],
        ["tasks", "--json"],
        ["replay", "s.sqlite"],
        ["models", "list"],
        ["--version"],
        ["tune", "--help"],
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told(folder: Folder, arguments: list[str]) -> None:
    """It was "a defect of Airtune", or a traceback."""
    code, said = printed_to("/dev/full", folder, *arguments)
    assert code == 1
    assert said.startswith("error: standard output cannot be written: No space left on device\n  fix: ")
    assert len(said.splitlines()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_what_was_evaluated_is_kept(folder: Folder) -> None:
    code, said = printed_to("/dev/full", folder, *TUNE, "--budget", "6")
    assert (code, said.count("\n")) == (1, 2)
    (study,) = folder.call("show", "s.sqlite", "--json").json["studies"]
    assert study["told"] == 6


def test_a_reader_that_has_gone_is_left_alone(folder: Folder) -> None:
    """`airtune grammar ... | head -1` ends without a word."""
    reading = subprocess.Popen(
        [*PROGRAM, "grammar", "space.json", "--sample", "20000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=folder.path,
    )  # fmt: skip
    assert reading.stdout is not None
    assert reading.stderr is not None
    assert json.loads(reading.stdout.readline())
    reading.stdout.close()
    assert reading.stderr.read() == ""
    assert reading.wait() == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(folder: Folder, closed: str) -> None:
    """Bug: without a standard output each command was "a defect of Airtune"; without standard error, a bad one, too."""

    def code(*arguments: str) -> int:
        line = f'exec "$0" "$@" {closed}'
        done = subprocess.run(["sh", "-c", line, *PROGRAM, *arguments], cwd=folder.path, capture_output=True)
        return done.returncode

    assert code("show", "s.sqlite") == 0
    assert code("show", "nowhere.sqlite") == 2
    study = f"closed{len(closed)}.sqlite"
    command = f"{sys.executable} -c 'print(0.5)' {{x}}"
    (folder.path / "one.json").write_text('{"x": {"type": "int", "lower": 1, "upper": 9}}')
    given = ("--space", "one.json", "--command", command, "--proposer", "random", "--study", study)
    assert code("tune", *given, "--budget", "1") == 0
    assert '"loss": 0.5' in folder.airtune("export", study).out
