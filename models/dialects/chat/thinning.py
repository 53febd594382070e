"""Too long a history is thinned: which trials a prompt shows, so that it fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from airtune.models.types import ModelError, Observation


def thinned(
    trials: Sequence[Observation],
    most: int | None,
    prompt: Callable[[set[int]], str],
    size: Callable[[str], int] | None,
    room: int,
) -> str:
    """The prompt with as many finished trials as fit; the best trial is shown in any case.

    Args:
        trials: All trials.
        most: Show at most this many finished ones; None: all.
        prompt: Makes the prompt that shows the trials of these indices.
        size: How many tokens a prompt needs; None: whatever it needs, it fits.
        room: How many there are.

    Raises:
        ModelError: If the prompt does not fit even with the best trial alone.
    """
    done = [(i, trial) for i, trial in enumerate(trials) if trial.status != "asked"]
    # What stays longest comes first: the best loss, the newer of equals; then failures, newest first.
    ranked = sorted(done, key=lambda pair: (math.inf if pair[1].loss is None else pair[1].loss, -pair[0]))
    shown = len(ranked) if most is None else min(len(ranked), most)
    while True:
        made = prompt({i for i, _ in ranked[:shown]})
        needed = 0 if size is None else size(made)
        if size is None or needed <= room:
            return made
        if shown <= 1:
            raise ModelError(
                f"the prompt has {needed} tokens without its history, but only {room} fit",
                value=needed,
                allowed=f"{room} tokens, beside the answer",
                hint="shorten the description or the choices, or use a model with a longer context",
            )
        # Trials are of like size: jump near the number that fits, then close in one by one.
        shown = max(1, min(shown - 1, int(shown * room / needed) + 1))
