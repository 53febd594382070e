"""`airtune tasks`: names that `airtune tune` takes."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from airtune.benchmarks import get_task, needs_data
from airtune.engine.cli.app import app


def run(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ["tasks", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_every_name_is_that_of_a_task() -> None:
    """A name with a fidelity that the task does not have, or of a table that does not ship."""
    names = json.loads("\n".join(run("--json")))["tasks"]
    assert {name.partition("/")[0] for name in names} >= {"toy", "sklearn", "hpobench"}
    for name in [one for one in names if not needs_data(one)][::5]:
        assert get_task(name).name == name


def test_a_prefix_leaves_the_others_out() -> None:
    assert [line.partition("/")[0] for line in run("toy/")[:-1]] == ["toy"] * 6


def test_a_prefix_of_nothing_is_told_the_families() -> None:
    from airtune.grammars import AirtuneError

    done = CliRunner().invoke(app, ["tasks", "sklaern"])
    assert isinstance(done.exception, AirtuneError)
    assert str(done.exception.allowed).startswith("toy/, sklearn/, ")
