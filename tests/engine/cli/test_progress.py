"""The progress of a comparison: bars on a terminal, a few lines elsewhere; rates count this run's trials only."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from airtune.benchmarks.running.runner import Progress
from airtune.engine.cli import progress as cli_progress
from airtune.engine.cli.model_options import loading_text
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


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((None, None, None), "loading pocket (first proposal in about 6 s)"),
        (("lm", "pocket", "transformers"), "loading pocket (first proposal in about 6 s)"),
        (("random", None, None), "loading"),
        (("lm", "gpt-x", "openai"), "loading gpt-x"),
        (("lm", "nowhere", None), "loading nowhere"),
    ],
)
def test_what_is_waited_for_has_a_name(given: tuple[str | None, ...], text: str) -> None:
    """It said "loading" for as long as torch takes; a model that cannot be found is told where it is loaded."""
    assert loading_text(*given) == text


def test_a_large_model_takes_longer(tmp_path: Path) -> None:
    with open(tmp_path / "model.safetensors", "wb") as file:
        file.truncate(2_000_000_000)
    assert loading_text("lm", str(tmp_path), None).endswith("(first proposal in about 16 s)")
