"""How the command line ends when it is interrupted, or has no memory left: with a line that says so, and code 1."""

from __future__ import annotations

import builtins
import errno
import json
from collections.abc import Callable
from typing import Any

import pytest

from airtune.engine.cli import app as cli
from tests.e2e.conftest import Folder


def raising(error: BaseException) -> Callable[..., Any]:
    def app(**_: Any) -> None:
        raise error

    return app


def test_an_interrupt_that_no_command_has_caught(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two signals, while the first was dealt with, ended in a traceback."""
    monkeypatch.setattr(cli, "app", raising(KeyboardInterrupt()))
    ended = folder.call("doctor", code=1)
    assert (ended.out, ended.err) == ("", "interrupted\n")


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory", "models")], ids=repr
)
def test_no_memory_is_not_called_a_defect(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It said "a defect of Airtune: ... report it"."""
    monkeypatch.setattr(cli, "app", raising(error))
    ended = folder.call("doctor", code=1)
    assert ended.err.startswith("error: out of memory\n")
    assert "run the same command again" in ended.err
    assert json.loads(folder.call("doctor", "--json", code=1).out)["error"]["message"] == "out of memory"


def test_no_memory_for_the_error_itself(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import of what reports errors found no memory either, and a traceback was all there was."""
    monkeypatch.setattr(cli, "app", raising(ValueError("anything")))
    real = builtins.__import__

    def starved(name: str, *more: Any, **named: Any) -> Any:
        if name == "airtune.models.backends.openai.http":
            raise MemoryError
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", starved)
    assert folder.call("doctor", code=1).err.startswith("error: out of memory\n")


@pytest.mark.parametrize(
    "command", ["show", "export", "report", "replay", "recover", "diff", "models import"]
)
def test_a_path_that_the_system_refuses_is_not_called_a_defect(folder: Folder, command: str) -> None:
    """It said "unexpected OSError ... a defect of Airtune", of a folder of another user's, too."""
    name = "x" * 300
    names = [name, name] if command == "diff" else [name]
    ended = folder.call(*command.split(), *names, code=2)
    assert name in ended.err
    assert "File name too long" in ended.err
    assert "fix: " in ended.err
    assert "defect" not in ended.err


def test_a_file_that_is_closed_to_us(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It said "unexpected PermissionError ... a defect of Airtune"."""
    error = PermissionError(errno.EACCES, "Permission denied", "their/study.sqlite")
    monkeypatch.setattr(cli, "app", raising(error))
    ended = folder.call("doctor", code=2)
    assert ended.err.startswith("error: 'their/study.sqlite' cannot be used: Permission denied\n  allowed: ")


@pytest.mark.parametrize("command", ["show", "export", "report", "replay"])
def test_advice_names_no_option_that_the_command_lacks(folder: Folder, command: str) -> None:
    """It was "choose another file (--study)", which only `tune` has."""
    folder.write("no.sqlite", "nothing of SQLite's")
    ended = folder.call(command, "no.sqlite", code=2)
    assert "choose another file; if it was one, `airtune recover no.sqlite`" in ended.err


@pytest.mark.parametrize(
    "command", ["grammar space.json", "bench grammar", "models train pocket", "models finetune m"]
)
def test_a_seed_below_zero_is_not_called_a_defect(folder: Folder, command: str) -> None:
    """It was "unexpected ValueError: expected non-negative integer ... a defect of Airtune", of NumPy's generator."""
    out = ["--out", "out"] if command.startswith("models") else []
    ended = folder.call(*command.split(), *out, "--seed", "-1", code=2)
    assert "'--seed'" in ended.err
    assert "-1" in ended.err
