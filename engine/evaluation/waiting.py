"""Waits as long as a user asks for: the system's own calls overflow at a month, or at three centuries."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

# A day; poll(2) takes at most 2**31 - 1 milliseconds, some 24 days.
LONGEST_WAIT_S = 86_400.0


def wait_in_turns(
    attempt: Callable[[float | None], Found],
    seconds: float | None,
    clock: Callable[[], float] = time.perf_counter,
) -> Found:
    """Wait by calls that each wait `LONGEST_WAIT_S` at most.

    Args:
        attempt: Waits for so many seconds (None: without end); what it gives is true once it is over.
        seconds: In all, any number from 0 up; None for no limit.
        clock: Seconds since some moment.

    Returns:
        What the last attempt gave.
    """
    if seconds is None:
        return attempt(None)
    end = clock() + min(seconds, sys.float_info.max)  # a whole number may be larger
    while True:
        left = max(0.0, end - clock())
        found = attempt(min(left, LONGEST_WAIT_S))
        if found or left <= LONGEST_WAIT_S:
            return found
