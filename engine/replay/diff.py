"""Compares two studies, or the studies of two files: what they are, and the first trial at which they part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airtune.engine.replay.causes import Difference, compared
from airtune.engine.replay.compare import shown
from airtune.engine.storage.study_file import StudyFile, StudyRecord, TrialRecord
from airtune.engine.types import Trial, best_of
from airtune.grammars import AirtuneError


@dataclass(frozen=True, slots=True)
class Parting:
    """The first trial at which two studies differ in something.

    Attributes:
        what: "proposals", "losses", "prompts", ...
        trial: The trial's number.
        a: What the first study has there.
        b: What the second one has.
    """

    what: str
    trial: int
    a: str
    b: str


@dataclass(slots=True)
class StudyDiff:
    """How two studies differ; times and dates do not count.

    Attributes:
        name: The first one's name.
        other: The second one's.
        trials: How many trials they have.
        manifest: What differs in what they are.
        partings: The first trial that differs in proposals, losses, prompts, answers, and so on.
        best: Their best trials.
    """

    name: str
    other: str
    trials: tuple[int, int]
    manifest: list[Difference] = field(default_factory=list)
    partings: list[Parting] = field(default_factory=list)
    best: tuple[Trial | None, Trial | None] = (None, None)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.manifest and not self.partings and self.trials[0] == self.trials[1]

    def json(self) -> dict[str, Any]:
        """As a JSON document shows it."""
        return {
            "a": self.name,
            "b": self.other,
            "equal": self.equal,
            "trials": list(self.trials),
            "manifest": [asdict(one) for one in self.manifest],
            "first_differences": [asdict(one) for one in self.partings],
            "best": [
                None if one is None else {"number": one.number, "loss": one.loss, "config": dict(one.config)}
                for one in self.best
            ],
        }


@dataclass(slots=True)
class FileDiff:
    """How two files, or two studies, differ.

    Attributes:
        studies: Pair by pair.
        only_a: Studies that only the first file has.
        only_b: Studies that only the second one has.
    """

    studies: list[StudyDiff] = field(default_factory=list)
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.only_a or self.only_b) and all(one.equal for one in self.studies)


def diff(a: Path, b: Path, name: str | None = None, other: str | None = None) -> FileDiff:
    """Compare two study files, or one study of each.

    Args:
        a: The first file.
        b: The second; may be the same.
        name: A study of the first; None for all studies that both have, by name, or the only one of each.
        other: A study of the second; None for the one called `name`.

    Raises:
        StoreError: If a file cannot be read, or has no such study.
    """
    with StudyFile(a, readonly=True) as first, StudyFile(b, readonly=True) as second:
        if name is None and other is not None:
            raise AirtuneError(
                "the second study was named, but not the first",
                value=other,
                allowed="name= and other=",
                hint="name the study of the first file with name=",
            )
        if name is not None:
            pair = _study(first, first.get(name), second, second.get(other or name))
            return FileDiff([pair])
        ours, theirs = ({one.name: one for one in file.studies()} for file in (first, second))
        if len(ours) == len(theirs) == 1:
            return FileDiff([_study(first, first.get(), second, second.get())])
        return FileDiff(
            [_study(first, record, second, theirs[key]) for key, record in ours.items() if key in theirs],
            [key for key in ours if key not in theirs],
            [key for key in theirs if key not in ours],
        )


def _study(first: StudyFile, a: StudyRecord, second: StudyFile, b: StudyRecord) -> StudyDiff:
    ours = {one.trial.number: one for one in first.records(a.name)}
    theirs = {one.trial.number: one for one in second.records(b.name)}
    transcripts = first.transcripts(a.name), second.transcripts(b.name)
    partings: dict[str, Parting] = {}
    for number in sorted(ours.keys() & theirs.keys()):
        pairs = _pairs(ours[number], theirs[number], *(one.get(number, {}) for one in transcripts))
        for what, before, after in pairs:
            if what not in partings and json.dumps(before) != json.dumps(after):
                partings[what] = Parting(what, number, *shown(before, after))
    if ours.keys() != theirs.keys():
        number = min(ours.keys() ^ theirs.keys())
        have = ("asked", "not asked") if number in ours else ("not asked", "asked")
        partings["number of trials"] = Parting("number of trials", number, *have)
    return StudyDiff(
        a.name,
        b.name,
        (len(ours), len(theirs)),
        compared(a.manifest, b.manifest),
        list(partings.values()),
        (best_of(one.trial for one in ours.values()), best_of(one.trial for one in theirs.values())),
    )


def _pairs(
    a: TrialRecord, b: TrialRecord, transcript_a: Mapping[str, Any], transcript_b: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """What is compared of a trial: (what, the first study's, the second's)."""
    yield "proposals", dict(a.trial.config), dict(b.trial.config)
    yield "origins", a.origin, b.origin
    yield "losses", a.trial.loss, b.trial.loss
    yield "failures", [a.trial.status, a.trial.reason], [b.trial.status, b.trial.reason]
    yield "further values", dict(a.trial.info), dict(b.trial.info)
    one, other = dict(transcript_a), dict(transcript_b)
    for what, key in (
        ("prompts", "prompt"), ("seeds", "seed"), ("answers", "text"), ("token ids", "token_ids"),
        ("log-probabilities", "logprobs"),
    ):  # fmt: skip
        yield what, one.pop(key, None), other.pop(key, None)
    yield "transcripts", dict(sorted(one.items())), dict(sorted(other.items()))
