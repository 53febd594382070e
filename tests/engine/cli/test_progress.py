"""The progress of a comparison: bars on a terminal, a few lines elsewhere; rates count this run's trials only."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from airtune.benchmarks.running.runner import Progress
from airtune.engine.cli import progress as cli_progress
from airtune.engine.cli.progress import BenchProgress


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool, start: int = 0) -> str:
    """What 200 trials of two methods print, one second each, when `start` of the first were there already."""
    text = io.StringIO()
    console = Console(file=text, width=120, force_terminal=terminal, color_system=None)
    monkeypatch.setattr(cli_progress, "err", lambda: console)
    now = 0.0
    with BenchProgress(clock=lambda: now) as progress:
        for done in range(start, 201):
            progress(
                Progress({"lm": min(done, 100), "random": max(0, done - 100)}, {"lm": 100, "random": 100})
            )
            now += 1.0
    return text.getvalue()


def test_a_pipe_gets_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, terminal=False).splitlines()
    assert lines[0] == "0/200 trials"
    assert lines[1] == "10/200 trials, 1 trials/s, 3 min left"
    assert "100/200 trials, 1 trials/s, 2 min left, lm done" in lines
    assert lines[-1] == "200/200 trials, 1 trials/s, random done"
    assert len(lines) == 21


def test_what_was_there_does_not_count_for_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, terminal=False, start=60).splitlines()
    assert lines[0] == "60/200 trials"
    assert lines[1] == "70/200 trials, 1 trials/s, 2 min left"


def test_a_terminal_gets_a_bar_for_each_method(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, terminal=True)
    last = text[text.rindex("lm") :]
    assert "100/100" in last
    assert "random" in last
    assert "all trials" in last
    assert "200/200" in last
    assert "1 trials/s" in last
