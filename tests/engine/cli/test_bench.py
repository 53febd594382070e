"""The measurements of `airtune bench`: commands of two words beside `bench SUITE`."""

from __future__ import annotations

import json
from typing import get_args, get_type_hints

import pytest
from typer.testing import CliRunner

from airtune.benchmarks.measures import speed
from airtune.engine.cli import bench
from airtune.engine.cli.app import app
from airtune.grammars import AirtuneError
from airtune.models.masks.base import MASK_ENGINES


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.mark.parametrize("name", bench.MEASUREMENTS)
def test_a_measurement_has_options_of_its_own(name: str) -> None:
    """Taken for a suite of that name, it would show --proposers and ask for --out."""
    shown = run("bench", name, "--help")
    assert f"airtune bench {name}" in shown.replace("root", "airtune")
    assert "--proposers" not in shown
    assert "--json" in shown


def test_options_before_a_suite_are_still_the_suites() -> None:
    assert "SUITE" in run("bench", "--help")


def test_an_audit_prints_its_counts_and_its_json() -> None:
    arguments = ("bench", "grammar", "--proposals", "12", "--spaces", "3")
    assert "violations  0" in run(*arguments)
    counts = json.loads(run(*arguments, "--json"))
    assert (counts["violations"], counts["repeats"]) == (0, 0)
    assert counts["proposals"] >= 12


def test_an_audit_that_finds_something_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 for one repeat, as for one violation."""
    from airtune.benchmarks.measures import grammar

    monkeypatch.setattr(grammar, "audit", lambda *_, **__: grammar.AuditResult(proposals=3, repeats=1))
    run("bench", "grammar", code=1)


def test_the_mask_engines_on_the_command_line_are_those_that_exist() -> None:
    literal = get_type_hints(bench.grammar)["engine"]
    assert get_args(literal) == MASK_ENGINES


@pytest.mark.parametrize("option", ["--model", "--task"])
def test_speed_refuses_what_is_not_there_before_it_measures(
    monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """Bug: `bench speed --model nope` measured for minutes, and threw it away."""

    def measured(repeats: int) -> list[speed.Ratio]:
        raise AssertionError("refused before")

    monkeypatch.setattr(speed, "mask_loop", measured)
    done = CliRunner().invoke(app, ["bench", "speed", option, "nope"])
    assert isinstance(done.exception, AirtuneError)
    assert "'nope'" in done.exception.message


def test_one_comparison_of_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """--only leaves the others out; --repeats reaches it."""
    asked: list[int] = []

    def mask_loop(repeats: int) -> list[speed.Ratio]:
        asked.append(repeats)
        return [speed.Ratio("mask loop", ours_s=0.1, theirs_s=0.2, ratio=2.0, low=1.5, high=2.5)]

    monkeypatch.setattr(speed, "mask_loop", mask_loop)
    assert "2.00x  (1.50 to 2.50; 0.1000 / 0.2000 s)" in run(
        "bench", "speed", "--only", "mask", "--repeats", "3"
    )
    assert asked == [3]


def test_tokens_of_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    from airtune.benchmarks.measures import tokens
    from airtune.models.tiny import byte_tokenizer

    monkeypatch.setattr(tokens, "made_tokenizers", lambda: {"bytes": byte_tokenizer()})
    monkeypatch.setattr(tokens, "VARIANTS", ("chat", "chat+detail=none"))
    counts = json.loads(run("bench", "tokens", "--task", "toy/branin", "--json"))
    long, short = (counts["prompt_tokens"]["bytes"][name]["0"] for name in ("chat", "chat+detail=none"))
    assert long > short
    assert counts["task"] == "toy/branin"
