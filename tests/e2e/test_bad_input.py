"""Every bad input ends with exit code 2 and an error that names the value, what is allowed, and the fix."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Folder

TOY = ("tune", "toy/branin", "--proposer", "random")


def check(shown: str, value: str, allowed: str, fix: str) -> None:
    """The error is complete, and no traceback is part of it."""
    assert "Traceback" not in shown
    message, _, rest = shown.partition("  allowed: ")
    assert message.startswith("error: ")
    assert value in message
    accepted, _, advice = rest.partition("  fix: ")
    assert allowed in accepted
    assert fix in advice


@pytest.mark.parametrize(
    ("arguments", "value", "allowed", "fix"),
    [
        (("tune", "toy/brannin"), "'toy/brannin'", "toy/branin", "toy/branin"),
        (("tune", "sklearn/svm/digit"), "'sklearn/svm/digit'", "sklearn/svm/digits", "sklearn/svm/digits"),
        (("tune", "nonsense"), "'nonsense'", "toy/branin", "task"),
        (("tune", "toy/branin", "--proposer", "tpee"), "'tpee'", "tpe", "'tpe'"),
        (("tune", "toy/branin", "--proposer", "default+rnd"), "rnd", "random", ""),
        (("tune", "toy/branin", "--model", "pockett"), "'pockett'", "pocket", "'pocket'"),
        (("tune", "toy/branin", "--backend", "transfomers"), "'transfomers'", "transformers", "transformers"),
        ((*TOY, "--budget", "0"), "0", "1", "--budget"),
        ((*TOY, "--budget", "-4"), "-4", "1", "--budget"),
        ((*TOY, "--timeout", "0"), "0", "greater than 0", "--timeout"),
        ((*TOY, "--timeout", "nan"), "nan", "greater than 0", "--timeout"),
        ((*TOY, "--jobs", "0"), "0", "1 to 1024", "--jobs"),
        ((*TOY, "--executor", "dask"), "'dask'", "'ray'", "this machine"),
        ((*TOY, "--model", "pocket"), "--model", "lm", "--proposer"),
        (("tune", "toy/branin", "--temperature", "-1"), "-1", "0", "--temperature"),
        (("tune",), "task", "TASK", "airtune tune"),
        (("tune", "--space", "space.json"), "space.json", "--command", "--command"),
        (("tune", "toy/branin", "--space", "space.json"), "'toy/branin'", "module:attribute", "--space"),
        (("tune", "--command", "python x.py"), "--command", "--space", "--space"),
        (("tune", "--space", "missing.json", "--command", "true"), "missing.json", "JSON", "path"),
        (("tune", "--space", "space.json", "--command", "echo {lr}"), "lr", "x", "{x}"),
        (("tune", "--space", "space.json", "--objective", "no_module_x:f"), "no_module_x", ":", ""),
        (("grammar", "missing.json"), "missing.json", "JSON", "path"),
        (("grammar", "space.json", "--sample", "0"), "0", "1", "--sample"),
        (("show", "missing.sqlite"), "missing.sqlite", "", ""),
        (("export", "missing.sqlite"), "missing.sqlite", "", ""),
        (("models", "info", "pockett"), "'pockett'", "pocket", "'pocket'"),
        (("models", "verify", "pockett"), "'pockett'", "pocket", "'pocket'"),
        (("models", "train", "large"), "'large'", "pocket", "pocket"),
        (("bench", "toyy"), "'toyy'", "toy", "toy"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_arguments(
    folder: Folder, arguments: tuple[str, ...], value: str, allowed: str, fix: str
) -> None:
    ended = folder.call(*arguments, code=2)
    assert ended.out == ""
    check(ended.err, value, allowed, fix)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (("tune", "toy/branin", "--budget", "many"), "'many'"),
        (("tune", "toy/branin", "--bugdet", "3"), "--bugdet"),
        (("tune", "toy/branin", "--budget"), "--budget"),
        (("tnue",), "'tnue'"),
        (("show",), "STUDY_FILE"),
        (("grammar", "space.json", "--emit", "xml"), "'xml'"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_command_line_that_cannot_be_read(folder: Folder, arguments: tuple[str, ...], value: str) -> None:
    ended = folder.call(*arguments, code=2)
    assert ended.err.startswith("error: ")
    assert value in ended.err
    assert "--help" in ended.err
    assert "Traceback" not in ended.err


def hyperparameter(**changes: Any) -> dict[str, Any]:
    """A float between 0.1 and 1 on a log scale, changed."""
    plain = {
        "type": "uniform_float",
        "name": "lr",
        "lower": 0.1,
        "upper": 1.0,
        "default_value": 0.5,
        "log": True,
    }
    return {**plain, **changes}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{", "space"),
        ("", "space"),
        ("[]", "space"),
        ('{"a": 1}', "'a' has no type"),
        ([], "empty"),
        ([hyperparameter(lower=2.0)], "lr"),
        ([hyperparameter(lower=float("nan"))], "nan"),
        ([hyperparameter(upper=float("inf"))], "inf"),
        ([hyperparameter(lower=0.0)], "lr"),
        ([hyperparameter(lower=-1.0)], "lr"),
        ([hyperparameter(type="uniform_flaot")], "uniform_flaot"),
        ([hyperparameter(), hyperparameter()], "lr"),
    ],
    ids=[
        "not JSON", "empty file", "a list", "no space", "no hyperparameter", "bounds reversed", "NaN",
        "infinite", "log from zero", "log below zero", "unknown type", "twice the same name",
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["tune", "grammar"])
def test_bad_spaces(folder: Folder, command: str, text: str | list[Any], value: str) -> None:
    if isinstance(text, list):
        whole = json.loads((folder.path / "space.json").read_text())
        text = json.dumps({**whole, "hyperparameters": text})
    folder.write("bad.json", text)
    options = ("--space", "bad.json", "--command", "true") if command == "tune" else ("bad.json",)
    ended = folder.call(command, *options, code=2)
    check(ended.err, "", "", "")
    assert value.lower() in ended.err.lower()
    assert "  allowed: " in ended.err
    assert "  fix: " in ended.err
    assert not list(folder.path.glob("*.sqlite"))


def not_sqlite(path: Path) -> None:
    path.write_text("these are my notes, not a study\n" * 40)


def newer_schema(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


def other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (title TEXT)")
    connection.close()


@pytest.mark.parametrize("prepare", [not_sqlite, newer_schema, other_database, Path.mkdir])
@pytest.mark.parametrize("command", ["tune", "show", "export"])
def test_a_study_file_that_is_none(folder: Folder, command: str, prepare: Callable[[Path], None]) -> None:
    file = folder.path / "notes.sqlite"
    prepare(file)
    before = file.read_bytes() if file.is_file() else b""
    ended = folder.call(*((*TOY, "--study") if command == "tune" else (command,)), "notes.sqlite", code=2)
    check(ended.err, "notes.sqlite", "", "")
    assert (file.read_bytes() if file.is_file() else b"") == before


@pytest.mark.parametrize("place", ["/proc/study.sqlite", "no/such/folder/study.sqlite"])
def test_a_study_file_that_cannot_be_written(folder: Folder, place: str) -> None:
    ended = folder.call(*TOY, "--study", place, code=2)
    check(ended.err, place, "", "--study")


def test_a_study_file_that_a_live_process_holds(folder: Folder) -> None:
    """The other run's process number is named, nothing of it is lost, and a reader may look at any time."""
    folder.write(
        "train.py", "import pathlib, signal\npathlib.Path('began').write_text('x')\nsignal.pause()\n"
    )
    options = (
        "--space",
        "space.json",
        "--command",
        f"{sys.executable} train.py {{x}} {{n}}",
        "--proposer",
        "random",
    )
    holder = folder.start_evaluating("tune", *options)
    try:
        ended = folder.call("tune", *options, code=2)
        check(ended.err, str(holder.pid), "", "")
        assert folder.call("show", "airtune.sqlite", "--json", code=0).json
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.communicate()


def test_errors_are_json_where_json_was_asked_for(folder: Folder) -> None:
    error = folder.call(*TOY, "--budget", "0", "--json", code=2).json["error"]
    assert error["value"] == 0
    assert error["message"]
    assert error["allowed"]
    assert error["fix"]
    error = folder.call("tune", "toy/branin", "--bugdet", "3", "--json", code=2).json["error"]
    assert "--bugdet" in error["message"]


@pytest.mark.parametrize(
    "command", ["cd / && python t.py {x} {n}", "FOO=1 python t.py {x} {n}", "no-such-program {x} {n}"]
)
def test_a_command_that_cannot_work_is_refused_before_anything_is_written(
    folder: Folder, command: str
) -> None:
    """Catches: the check after the study has been made, or not at all."""
    ended = folder.call("tune", "--space", "space.json", "--command", command, code=2)
    assert "fix:" in ended.err
    assert not (folder.path / "airtune.sqlite").exists()
