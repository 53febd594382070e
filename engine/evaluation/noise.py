"""Noise on losses: what a search sees is the objective's loss times, or plus, a random number; the true loss is kept.

The random number is a function of the study's seed and the trial's number, so a resumed or repeated study has the
same. Failures, and results that a caller tells by `Study.tell`, stay as they are.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Any

from airtune.engine.evaluation.outcome import Outcome
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Trial
from airtune.grammars import AirtuneError
from airtune.grammars.space_check import is_finite_number

TRUE_LOSS = "true_loss"  # of a trial's further numbers: the loss before the noise
OWN_TRUE_LOSS = "own_true_loss"  # and what the objective itself calls so
_NUMBER = r"\s*([-+.\dEe]+)\s*"
_ALLOWED = "U(LOW,HIGH), which losses are multiplied with, or the standard deviation of what is added to them"


@dataclass(frozen=True, slots=True)
class Noise:
    """See the module's docstring.

    Attributes:
        text: As the user wrote it, without spaces: it is part of what a study is.
        factors: The ends of the range of a uniform factor; None for a normal deviate that is added.
        deviation: The standard deviation of that.
    """

    text: str
    factors: tuple[float, float] | None = None
    deviation: float = 0.0

    def on(self, loss: float, seed: int, number: int | str) -> float:
        """The loss with the noise of the study of that seed and its trial of that number."""
        share = (derive_seed("noise", seed, number) + 0.5) / 2.0**63
        if self.factors is None:
            return loss + self.deviation * NormalDist().inv_cdf(min(max(share, 2.0**-60), 1.0 - 2.0**-53))
        low, high = self.factors
        return loss * (low + (high - low) * share)

    def outcome(self, outcome: Outcome, seed: int, number: int) -> Outcome:
        """The end of a trial's evaluation as the study sees it, with the true loss among its further numbers.

        A further number of the objective's own that has this name is kept as `own_true_loss`.
        """
        if outcome.loss is None:
            return outcome
        own = {OWN_TRUE_LOSS if key == TRUE_LOSS else key: value for key, value in outcome.info.items()}
        seen, info = self.on(outcome.loss, seed, number), {**own, TRUE_LOSS: outcome.loss}
        if not math.isfinite(seen):
            return replace(outcome, loss=None, info=info, reason="the loss with its noise is not finite")
        return replace(outcome, loss=seen, info=info)


@lru_cache(maxsize=16)
def read_noise(text: str) -> Noise:
    """The noise that is written so.

    >>> read_noise("U(0.9,1.1)").factors, read_noise("0.02").deviation
    ((0.9, 1.1), 0.02)

    Raises:
        AirtuneError: If it is none.
    """
    uniform = re.fullmatch(rf"\s*U\({_NUMBER},{_NUMBER}\)\s*", text)
    try:
        if uniform:
            low, high = float(uniform[1]), float(uniform[2])
            if 0.0 < low < high < math.inf:
                return Noise("".join(text.split()), (low, high))
        elif 0.0 < (deviation := float(text)) < math.inf:
            return Noise(text.strip(), None, deviation)
    except ValueError:
        pass
    raise AirtuneError(
        f"noise {text!r} is not known",
        value=text,
        allowed=f"{_ALLOWED}; 0 < LOW < HIGH, and a deviation above 0",
        hint="for example --noise 'U(0.9,1.1)' or --noise 0.02",
    )


def true_loss(trial: Trial) -> float | None:
    """The loss of a trial before noise was added, which is its loss where none was."""
    found: Any = trial.info.get(TRUE_LOSS)
    return float(found) if trial.loss is not None and is_finite_number(found) else trial.loss
