"""What a run of a study says while it goes on, and at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from airtune.engine.types import Trial
from airtune.grammars import AirtuneError


class SpaceExhausted(AirtuneError):
    """Every configuration of the space has been tried: the end of a study, not a failure."""


@dataclass(frozen=True, slots=True)
class Proposing:
    """The proposer is being asked for trial `number`."""

    number: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial is stored and its evaluation begins; `resumed` if an earlier process had asked it already."""

    trial: Trial
    resumed: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial was told or has failed, and is stored; its `proposal_s` and `evaluation_s` are seconds."""

    trial: Trial


Event = Proposing | Asked | Finished
Stopped = Literal["budget", "space exhausted", "interrupted"]


@dataclass(frozen=True, slots=True)
class Result:
    """A study after a run.

    Attributes:
        best: The trial with the least loss, the first of equals; None if none has one.
        trials: All trials of the study, those of earlier runs included, in the order of their numbers.
        stopped: Why the run ended.
        path: The study file, or None if it was in memory.
    """

    best: Trial | None
    trials: tuple[Trial, ...]
    stopped: Stopped
    path: Path | None
