"""The commands: every one is there under its name, and a command loads no other's module."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from airtune.engine.cli import bench
from airtune.engine.cli.app import COMMANDS, app
from airtune.engine.cli.options import PROPOSER_HELP
from airtune.engine.proposers import PROPOSERS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str) -> None:
    """A name that stands for nothing in its module, or for another command."""
    done = CliRunner().invoke(app, [*name.split(), "--help"], prog_name="airtune")
    assert done.exit_code == 0, done.output
    assert f"Usage: airtune {name} " in done.stdout
    assert "completion" not in done.stdout


def test_help_lists_every_command() -> None:
    lines = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout.splitlines()
    for name in COMMANDS:
        assert any(line.startswith(f"│ {name} ") for line in lines), name


def test_help_names_every_proposer() -> None:
    """Bug: `uniform` was missing."""
    named = PROPOSER_HELP.partition(", or default+")[0].split(", ")
    assert sorted(named) == sorted(PROPOSERS)


def test_the_measurements_of_bench_are_commands() -> None:
    """A measurement that is no command would be taken for a suite."""
    assert {f"bench {name}" for name in bench.MEASUREMENTS} == {n for n in COMMANDS if n.startswith("bench ")}


def test_a_misspelt_command_is_told_the_right_one() -> None:
    """Commands that are not loaded are proposed, too."""
    done = CliRunner().invoke(app, ["tuen"])
    assert done.exit_code == 2
    assert "Did you mean 'tune'?" in done.output


def test_a_command_loads_no_other() -> None:
    code = (
        "import sys\nfrom airtune.engine.cli.app import main\ntry:\n    main(['recover', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "print(*(n for n in sys.modules if n.startswith('airtune.engine.cli.')))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.rsplit(".", 1)[1] for name in shown.splitlines()[-1].split()}
    assert "recover" in loaded
    assert not loaded & {"tune", "show", "replay", "grammar", "bench", "models", "doctor", "report"}
