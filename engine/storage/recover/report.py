"""What was salvaged of a damaged study file, and what is known to be lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airtune.engine.storage.validation import parse_json

Rows = dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]  # by table and key: the values of COLUMNS


@dataclass(slots=True)
class StudySalvage:
    """What is left of one study.

    Attributes:
        study: Its name; None if its name and manifest are lost.
        trials: Trials that were salvaged.
        unfinished: Of them, those without a result: what was in flight, or whose result is lost. A resumed study
            evaluates them again.
        lost: Numbers of the trials that are known to be lost.
        lost_transcripts: Numbers of the salvaged trials that a model proposed whose transcript is lost.
    """

    study: str | None
    trials: int = 0
    unfinished: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    lost_transcripts: list[int] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing of it is known to be lost."""
        return self.study is not None and not self.lost and not self.lost_transcripts


@dataclass(slots=True)
class Salvage:
    """What was salvaged of a file.

    Attributes:
        source: The damaged file.
        target: The new one.
        documents: Documents of the file as a whole that were salvaged.
        studies: Study by study; last those whose manifest is lost, with what cannot be used without it.
    """

    source: Path
    target: Path
    documents: list[str] = field(default_factory=list)
    studies: list[StudySalvage] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """As a JSON document shows it."""
        return asdict(self) | {"source": str(self.source), "target": str(self.target)}


def report(source: Path, target: Path, rows: Rows, known: set[tuple[int, int]]) -> Salvage:
    """What was salvaged, and what is known to be lost.

    Args:
        source: The damaged file.
        target: The new one.
        rows: What was salvaged.
        known: (study, number) of every trial that something tells of, if only a row of an index.
    """
    found = Salvage(source, target, documents=sorted(key[0] for key in rows["documents"]))
    names = {key[0]: row[1] for key, row in rows["studies"].items()}
    numbers: dict[int, set[int]] = {}
    for study, number in known:
        numbers.setdefault(study, set()).add(number)
    by_study: dict[int, dict[int, tuple[Any, ...]]] = {}
    for (study, number), row in rows["trials"].items():
        by_study.setdefault(study, {})[number] = row
    for study in [*sorted(names), *sorted(numbers.keys() - names.keys())]:
        trials = by_study.get(study, {})
        if study not in names and not trials:
            continue  # only an index entry tells of it, and that has no checksum
        one = StudySalvage(names.get(study), len(trials))
        one.unfinished = sorted(number for number, row in trials.items() if row[5] == "asked")
        one.lost = sorted(_believable(numbers.get(study, set()), trials) - trials.keys())
        manifest = parse_json(rows["studies"][study,][2], "manifest") if study in names else {}
        one.lost_transcripts = sorted(
            number
            for number, row in trials.items()
            if manifest.get("model")
            and str(row[4]).startswith("lm")
            and (study, number) not in rows["transcripts"]
        )
        found.studies.append(one)
    return found


def _believable(told: set[int], trials: Iterable[int]) -> set[int]:
    """Numbers of trials that there were: all up to the last salvaged one, and what an index, unverified, tells of."""
    certain = set(range(max(trials, default=-1) + 1))
    return certain | {number for number in told if number < 2 * (len(told) + len(certain)) + 64}
