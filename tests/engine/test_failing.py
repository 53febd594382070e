"""Runs in which the objective is broken: they end after three failures that are alike, and only then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Evaluation, Result, Study, Task, TrialFailed, minimize


class Scripted:
    """An objective that fails with one reason after another; "" is a loss. The last is repeated."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = list(reasons)

    def __call__(self, config: dict[str, Any]) -> float:
        reason = self.reasons.pop(0) if len(self.reasons) > 1 else self.reasons[0]
        if reason:
            raise TrialFailed(reason)
        return 1.0


def run(reasons: Sequence[str], path: Path | None = None, budget: int = 8, **options: Any) -> Result:
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    return minimize(Scripted(reasons), space, budget=budget, proposer="random", path=path, **options)


@pytest.mark.parametrize(
    ("reasons", "trials", "stopped"),
    [
        (["a"], 3, "failing"),
        (["a", "a", "a", ""], 3, "failing"),
        (["a", "b", "a", "a", "a"], 8, "budget"),
        (["a", "a", "b"], 8, "budget"),
        (["", "a"], 8, "budget"),
        (["a", "a", "", "a"], 8, "budget"),
    ],
)
def test_three_alike_from_the_start_end_a_run(reasons: list[str], trials: int, stopped: str) -> None:
    """Catches: any three failures, or two, or three after a loss, are enough."""
    ended = run(reasons)
    assert (len(ended.trials), ended.stopped) == (trials, stopped)
    ended = run(reasons, keep_going=True)
    assert (len(ended.trials), ended.stopped) == (8, "budget")


@pytest.mark.parametrize(
    ("mended", "trials", "stopped"),
    [(["a"], 4, "failing"), ([""], 8, "budget"), (["b"], 6, "failing"), (["b", "c"], 8, "budget")],
)
def test_the_same_again_goes_on_once_it_is_mended(
    tmp_path: Path, mended: list[str], trials: int, stopped: str
) -> None:
    """Catches: failures of before that end every later run; a second fault that burns the budget."""
    assert run(["a"], tmp_path / "s").stopped == "failing"
    ended = run(mended, tmp_path / "s")
    assert (len(ended.trials), ended.stopped) == (trials, stopped)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_several_at_a_time_are_waited_for(asynchronous: bool) -> None:
    """Catches: trials in evaluation that are given up, or a batch after the one that failed."""
    space = ConfigurationSpace({"x": (0.0, 1.0)})

    def fails(config: dict[str, Any]) -> float:  # not of this module, which a worker process cannot import
        raise TrialFailed("a")

    task = Task("t", space, fails)
    evaluation = Evaluation(jobs=4, asynchronous=asynchronous)
    with Study(task, "random", evaluation=evaluation) as study:
        ended = study.run(20)
    assert ended.stopped == "failing"
    assert 4 <= len(ended.trials) <= 6
    assert {trial.status for trial in ended.trials} == {"failed"}


def test_a_budget_that_is_spent_is_spent() -> None:
    """Catches: "failing" where nothing was left to do."""
    assert run(["a"], budget=3).stopped == "budget"
