"""One thing has one name in every command, and errors name it in the words of who asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from airtune.engine import Evaluation, Study, Task, minimize
from airtune.engine.cli.app import COMMANDS, app
from airtune.engine.cli.output import error_fields
from airtune.engine.cli.words import OPTIONS
from airtune.grammars import AirtuneError


def options(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every parameter of a command and of those below it."""
    if hasattr(command, "commands"):
        for below in command.list_commands(None):
            yield from options(command.get_command(None, below), f"{name} {below}")
    else:
        yield from ((name, parameter) for parameter in command.params)


EVERY = [found for name in COMMANDS for found in options(get_command(app).get_command(None, name), name)]  # type: ignore[attr-defined, arg-type, unused-ignore]


def test_one_thing_has_one_name() -> None:
    """`tune --name` and `show --study-name`, `show --out` and `export --output`, `report --study` that was no file."""
    names: dict[str, set[tuple[str, ...]]] = {}
    things: dict[str, set[str]] = {}
    for _, parameter in EVERY:
        if parameter.param_type_name == "option":
            names.setdefault(parameter.name, set()).add(tuple(parameter.opts))
            for option in parameter.opts:
                things.setdefault(option, set()).add(parameter.name)
    assert {thing: found for thing, found in names.items() if len(found) > 1} == {}
    assert {option: found for option, found in things.items() if len(found) > 1} == {}


def test_a_study_file_is_called_so_everywhere() -> None:
    files = {
        p.metavar for _, p in EVERY if "airtune tune" in (getattr(p, "help", None) or "") and p.name == "file"
    }
    assert files == {"STUDY_FILE"}


def test_the_words_of_errors_are_options_that_there_are() -> None:
    known = {option for _, parameter in EVERY for option in parameter.opts}
    assert set(OPTIONS.values()) <= known


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"budget": 0}, "--budget 10"),
        ({"jobs": 0}, "--jobs 4"),
        ({"timeout_s": -1}, "--timeout 60"),
        ({"path": "no/such/folder/s"}, "(--study)"),
        ({"proposer": "local", "path": "there"}, "--new"),
        ({"first": [{"x": 2.0}]}, "widen the space"),
    ],
)
def test_python_errors_speak_python(
    wrong: dict[str, Any], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--budget` says nothing to a caller of minimize(); the command line says it all the same."""
    from ConfigSpace import ConfigurationSpace

    monkeypatch.chdir(tmp_path)
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    minimize(lambda config: config["x"], space, proposer="random", budget=1, path="there")
    with pytest.raises(AirtuneError) as raised:
        minimize(lambda config: config["x"], space, **{"proposer": "random", **wrong})
    assert re.search(r"(^|[ (])--\w", str(raised.value)) is None
    assert option in error_fields(raised.value)["fix"]


def test_no_python_error_names_an_option(task: Task, tmp_path: Path) -> None:
    """Not those of a study that is open, or is another one, either."""
    path = tmp_path / "s"
    with Study(task, "random", path=path) as study:
        study.run(1)
        for options in ({}, {"name": study.name, "seed": 1}, {"evaluation": Evaluation(jobs=2)}):
            with pytest.raises(AirtuneError) as raised:
                Study(task, "random", path=path, **options)
            assert "--" not in str(raised.value)
