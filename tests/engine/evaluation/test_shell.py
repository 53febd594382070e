"""Commands that argparse programs take, and commands that are refused before they are run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import Categorical, ConfigurationSpace

from airtune.engine import TaskError, command_objective

SPACE = ConfigurationSpace({"a": (0.0, 1.0)})


@pytest.mark.parametrize(
    ("template", "value", "expected"),
    [
        ("t --flag {v}", True, ["t", "--flag"]),
        ("t --flag {v}", False, ["t"]),
        ("t -f {v} end", None, ["t", "end"]),
        ("t --layers {v}", [64], ["t", "--layers", "64"]),
        ("t --layers {v} --x", [64, 3.5, "b c"], ["t", "--layers", "64", "3.5", "b c", "--x"]),
        ("t --layers {v}", (1, None, [2, 3]), ["t", "--layers", "1", "null", "[2, 3]"]),
        ("t --layers {v}", [], ["t", "--layers"]),
        ("t --flag={v}", True, ["t", "--flag=true"]),
        ("t --opt={v}", None, ["t", "--opt=null"]),
        ("t {v}", False, ["t", "false"]),
        ("t -- {v}", [1, 2], ["t", "--", "[1, 2]"]),
        ("t --n {v}", 0, ["t", "--n", "0"]),
        ("t --n {v}", 1, ["t", "--n", "1"]),
        ("t --text {v}", "", ["t", "--text", ""]),
        ("t --text {v}", "False", ["t", "--text", "False"]),
        ("t --map {v}", {"k": True}, ["t", "--map", '{"k": true}']),
        ("t --whole {config_json}", True, ["t", "--whole", '{"v": true}']),
    ],
)
def test_flags_options_left_out_and_lists(template: str, value: Any, expected: list[str]) -> None:
    """Catches: 0 or "" taken for false, 1 for true; the option's rule applied to other words."""
    space = ConfigurationSpace(space=[Categorical("v", ["one", "other"])])
    assert command_objective(template, space).argv({"v": value}) == expected


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("cd /data && python t.py {a}", "cd"),
        ("FOO=1 python t.py {a}", "FOO=1"),
        ("A=b C='d e' python t.py {a}", "A=b"),
        ("source env/bin/activate; python t.py {a}", "source"),
        ("python t.py {a} | tee log", "|"),
        ("python t.py {a}|tail -1", "|"),
        ("python t.py {a} > log", ">"),
        ("python t.py {a} 2>&1", "2>&1"),
        ("python t.py < {a}", "<"),
        ("python t.py {a}; echo done", ";"),
        ("python t.py {a} || true", "||"),
        ("python t.py {a} &", "&"),
        ("python $HOME/t.py {a}", "$HOME"),
        ("python t.py --seed $(date) {a}", "$(date"),
        ("python `which t.py` {a}", "`"),
    ],
)
def test_lines_for_a_shell_are_refused(template: str, found: str) -> None:
    """Catches: an operator that is not known."""
    with pytest.raises(TaskError, match="needs a shell") as caught:
        command_objective(template, SPACE)
    assert str(caught.value.value).startswith(found[:2])
    assert "sh -c '" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "template",
    [
        "sh -c 'cd /data && FOO=1 python t.py \"$1\" | tail -1 > x; cat x' sh {a}",
        "python t.py --filter 'a>b;c' \"x|y & $z\" {a}",
        r"python t.py a\;b \$HOME {a}",
        "env FOO=1 python t.py --set K=V {a}",
        "python t.py {{ab}} {a}",
    ],
)
def test_what_is_quoted_is_meant(template: str) -> None:
    """Catches: quotes and escapes that are not heeded."""
    command_objective(template, SPACE)


def test_names_with_operators_are_no_operators() -> None:
    """Catches: placeholders that are read as a part of the line."""
    space = ConfigurationSpace({"a>b|c;$d": (0.0, 1.0)})
    assert command_objective("t {a>b|c;$d}", space).argv({"a>b|c;$d": 0.5}) == ["t", "0.5"]


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("no-such-program-here", "is not in any folder of PATH"),
        ("./no-such-file", "does not exist"),
        ("./plain.sh", "is not executable"),
        ("plain.sh", "is not in any folder of PATH"),
        ("./folder", "is a folder"),
    ],
)
def test_programs_are_looked_for(
    program: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a program that exists and cannot be run passes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain.sh").write_text("echo 1\n")
    with pytest.raises(TaskError, match=why):
        command_objective(f"{program} {{a}}", SPACE).check()
    (tmp_path / "plain.sh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for there in ("./plain.sh", "plain.sh", "sh", str(tmp_path / "plain.sh")):
        command_objective(f"{there} {{a}}", SPACE).check()
    command_objective("{a}", SPACE).check()  # only known for each trial
