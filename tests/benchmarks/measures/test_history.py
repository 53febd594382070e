"""The curve of speed over the history's length: what is measured, and where a slow rival is left out."""

from __future__ import annotations

import pytest

from airtune.benchmarks.measures import history as module
from airtune.benchmarks.measures.history import speed_by_history
from airtune.models import load_model


def lengths(longest: int) -> list[str]:
    ratios = speed_by_history(load_model("scripted"), ["random"], longest, repeats=1)
    assert all(ratio.ours_s > 0 and ratio.theirs_s > 0 for ratio in ratios)
    return [ratio.what.split(", ")[2] for ratio in ratios]


def test_histories_are_measured_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HISTORIES", (3, 6, 12))
    assert lengths(6) == [f"{n} trials: default+lm+gp against random" for n in (3, 6)]


def test_a_rival_stops_before_a_proposal_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the history that would take so long, not after it: at ten times the length that may be hours."""
    monkeypatch.setattr(module, "HISTORIES", (3, 6, 12))
    monkeypatch.setattr(module, "MOST_S", 0.0)
    assert lengths(12) == ["3 trials: default+lm+gp against random"]
