from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import command_objective, minimize
from airtune.engine.evaluation.waiting import LONGEST_WAIT_S, wait_in_turns
from airtune.engine.evaluation.workers import Worker

# What a user may call a limit: months, centuries, more than a C double's milliseconds, more than any float.
LIMITS = [2_147_484, 40 * 86_400.0, 1e9, 1e10, 9.3e9, 1e300, 2**63, 10**400]


class _Clock:
    """A clock that only waiting moves; `after` seconds from its start an attempt succeeds."""

    def __init__(self, after: float) -> None:
        self.now, self.after = 0.0, after
        self.waits: list[float | None] = []

    def attempt(self, seconds: float | None) -> bool:
        self.waits.append(seconds)
        self.now = self.after if seconds is None else min(self.now + seconds, max(self.now, self.after))
        return self.now >= self.after


@pytest.mark.parametrize("seconds", [0.0, 1.5, LONGEST_WAIT_S, 2.5 * LONGEST_WAIT_S, 100 * LONGEST_WAIT_S])
def test_a_wait_lasts_as_long_as_it_was_meant_to(seconds: float) -> None:
    """Catches a cap without the loop: a time limit of a month would stop a trial after a day."""
    clock = _Clock(float("inf"))
    assert not wait_in_turns(clock.attempt, seconds, lambda: clock.now)
    assert clock.now == seconds
    assert all(one is not None and one <= LONGEST_WAIT_S for one in clock.waits)


@pytest.mark.parametrize("seconds", [*LIMITS, None])
def test_a_wait_ends_when_it_is_over(seconds: float | None) -> None:
    """Catches a loop that waits for its end though what was waited for has come."""
    clock = _Clock(3.5 * LONGEST_WAIT_S) if seconds != 2_147_484 else _Clock(10.0)
    assert wait_in_turns(clock.attempt, seconds, lambda: clock.now)
    assert clock.now == clock.after


@pytest.mark.parametrize("seconds", LIMITS)
def test_time_limits_of_any_length(seconds: float) -> None:
    """Catches a user's seconds handed to poll(2), or added to a float, as they are."""
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    found = minimize(lambda config: 0.5, space, budget=2, proposer="random", timeout_s=seconds, jobs=2)
    assert [trial.loss for trial in found.trials] == [0.5, 0.5]
    with Worker(lambda config: 0.5, seconds) as worker:
        assert worker.evaluate({"x": 0.5}).loss == 0.5
    command = f"{sys.executable} -c 'print(0.5)' {{config_json}}"
    run: Callable[[dict[str, Any]], Any] = command_objective(command, space, timeout_s=seconds)
    assert run({"x": 0.5}) == {"loss": 0.5}
