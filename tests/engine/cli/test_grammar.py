"""`airtune grammar` on program spaces; on search spaces, see the tests of whole commands."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from airtune.engine.cli.app import app
from airtune.grammars import SpaceError, program_space

TEXT = "p: P = '''\n  def f(x):\n    {s * 0..1}\n    return {n}'''\ns: S = \"x = {n}\"\nn: int = 1 .. 3"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.space"
    path.write_text(TEXT)
    return path


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["grammar", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_samples_are_programs(file: Path) -> None:
    programs = re.split(r"^# program \d of 4\n", run(file, "--sample", 4), flags=re.MULTILINE)
    space = program_space(file)
    assert programs[0] == ""
    assert len(programs) == 5
    for source in programs[1:]:
        assert space.accepts(source[:-1])
        ast.parse(source)


def test_all_programs_where_there_are_fewer(file: Path) -> None:
    found = json.loads(run(file, "--sample", 50, "--json"))
    space = program_space(file)
    assert len({one["text"] for one in found}) == len(found) == space.count() == 3 + 9
    assert all(space.render(one["config"]) == one["text"] for one in found)


def test_what_was_tried_is_left_out(file: Path, tmp_path: Path) -> None:
    tried = tmp_path / "tried.jsonl"
    config = program_space(file).default()
    tried.write_text(json.dumps(config) + "\n")
    left = json.loads(run(file, "--sample", 50, "--json", "--exclude", tried))
    assert len(left) == 11
    assert config not in [one["config"] for one in left]


def test_notations_and_summary(file: Path) -> None:
    expression = run(file, "--emit", "regex").rstrip("\n")
    space = program_space(file)
    assert re.fullmatch(expression, space.render(space.default()))
    assert run(file, "--emit", "gbnf") == space.grammar().gbnf()
    shown = run(file)
    assert "n_s" in shown
    assert "def f(x):" in shown
    assert "12 valid" in shown
    assert json.loads(run("tiny", "--json"))["count"] == program_space("tiny").count()


def test_an_error_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.space"
    path.write_text("p: P = 'x {n}'\nn: int 1 .. 3")
    with pytest.raises(SpaceError, match="line 2, column 8: expected '=' or 'depth', found '1'"):
        run(path)
