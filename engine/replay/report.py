"""What a replay is asked for, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airtune.engine.replay.causes import OTHER_MODEL, Difference
from airtune.engine.replay.compare import Agreement, Divergence
from airtune.grammars import AirtuneError

LEVELS: Mapping[int, str] = {
    0: "the recorded answers, no model",
    1: "same machine and settings, to the bit",
    2: "batches of other sizes, to the bit",
    3: "another machine, within a tolerance",
}
TOLERANCE = 1e-3  # nats


@dataclass(frozen=True, slots=True)
class Options:
    """How to replay.

    Attributes:
        level: A key of LEVELS.
        model: The model's name or directory here; None for the recorded one.
        backend: Another backend than the recorded one (level 3).
        settings: Settings of the model that replace recorded ones (level 3).
        tolerance: Largest difference of log-probabilities (nats) that counts as none, on level 3.
        first: The first trial to check.
        last: The last one; None for all.
    """

    level: int = 1
    model: str | None = None
    backend: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    tolerance: float = TOLERANCE
    first: int = 0
    last: int | None = None

    @property
    def allowed_difference(self) -> float | None:
        """The tolerance (nats) on level 3; None elsewhere, where bits are compared."""
        return self.tolerance if self.level == 3 else None

    def check(self) -> None:
        """Raise an AirtuneError if an option has no meaning, or none on this level."""
        if self.level not in LEVELS:
            levels = ", ".join(f"{level} ({what})" for level, what in LEVELS.items())
            raise AirtuneError(f"there is no level {self.level}", value=self.level, allowed=levels)
        other = [name for name, value in (("backend", self.backend), *self.settings) if value is not None]
        if other and self.level != 3:
            raise AirtuneError(
                f"level {self.level} replays with the recorded settings; {', '.join(other)} would change them",
                value=other,
                allowed="level=3 with other settings",
                hint="leave them out, or use level=3",
            )
        if not self.tolerance >= 0:
            raise AirtuneError(
                "a tolerance is 0 or more", value=self.tolerance, allowed="nats, for example 0.001"
            )
        if self.first < 0 or (self.last is not None and self.last < self.first):
            raise AirtuneError(
                f"trials {self.first}:{self.last} are none",
                value=[self.first, self.last],
                allowed="for example 0:9",
            )

    def wants(self, number: int) -> bool:
        """Whether the trial is to be checked."""
        return self.first <= number and (self.last is None or number <= self.last)


@dataclass(slots=True)
class StudyReplay:
    """What the replay of one study found.

    Attributes:
        name: The study.
        checked: Trials that were derived again.
        skipped: Trials that could not be, with the reason.
        diverging: Of the checked ones, those that differ.
        first: The first divergence.
        altered: Rows of the study that are not as they were written.
        differences: What differs from the recorded machine and model.
        refused: Why nothing of it could be checked.
    """

    name: str
    checked: int = 0
    skipped: dict[int, str] = field(default_factory=dict)
    diverging: set[int] = field(default_factory=set)
    first: Divergence | None = None
    altered: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    refused: str | None = None

    @property
    def other_model(self) -> list[Difference]:
        """The differences that make it another model."""
        return [one for one in self.differences if one.cause in OTHER_MODEL]

    def holds(self, level: int) -> bool:
        """Whether the check held: everything derived is what is stored, and nothing was changed."""
        same = level == 3 or not self.other_model
        return same and not (self.diverging or self.altered or self.refused or self.skipped)

    def json(self, level: int) -> dict[str, Any]:
        """As a JSON document shows it."""
        return {
            "study": self.name,
            "holds": self.holds(level),
            "trials": self.checked,
            "diverging": sorted(self.diverging),
            "first": None if self.first is None else asdict(self.first),
            "altered": self.altered,
            "skipped": {str(number): why for number, why in self.skipped.items()},
            "differences": [asdict(one) for one in self.differences],
            "refused": self.refused,
        }


@dataclass(slots=True)
class Report:
    """What a replay found, study by study.

    Attributes:
        path: The study file.
        level: The level of the replay.
        studies: In the order of the file.
        agreement: How close the models' answers came.
    """

    path: Path
    level: int
    studies: list[StudyReplay] = field(default_factory=list)
    agreement: Agreement = field(default_factory=Agreement)

    @property
    def holds(self) -> bool:
        """Whether the check held for all of them."""
        return all(one.holds(self.level) for one in self.studies)

    @property
    def differences(self) -> list[Difference]:
        """What differs from the recorded machines and models, each once."""
        return list({str(one): one for study in self.studies for one in study.differences}.values())

    def json(self) -> dict[str, Any]:
        """As a JSON document shows it."""
        return {
            "path": str(self.path),
            "level": self.level,
            "checks": LEVELS[self.level],
            "holds": self.holds,
            "trials": sum(one.checked for one in self.studies),
            "tokens": self.agreement.tokens,
            "equal_tokens": self.agreement.same,
            "largest_logprob_difference": self.agreement.largest,
            "differences": [asdict(one) for one in self.differences],
            "studies": [one.json(self.level) for one in self.studies],
        }
