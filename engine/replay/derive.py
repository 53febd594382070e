"""Derives the proposals of a group of studies again, those that were made in one batch together, and compares."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from airtune.engine.proposers import load_proposer, needs_model
from airtune.engine.replay.causes import differences, explained
from airtune.engine.replay.compare import Agreement, Divergence, compare
from airtune.engine.replay.models import Models, NotRecordedError, RecordedModel
from airtune.engine.replay.report import Options, StudyReplay
from airtune.engine.replay.stored import StoredStudy, read_study
from airtune.engine.storage.study_file import StudyFile
from airtune.engine.types import Job, Proposer, StoreError, Task
from airtune.grammars import AirtuneError
from airtune.models import LanguageModel

SIZES = (1, 3, 32)  # of the batches of level 2
Group = tuple[tuple[str, ...], tuple[str, ...]]  # studies whose proposals were made together; those to check
Found = tuple[list[StudyReplay], Agreement]


class Replayer:
    """Replays the studies of a file, group by group, with one loaded model; a context manager.

    Args:
        path: The study file.
        options: How.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self._options = options
        self._models = Models(options)
        self._tasks: dict[str, Task] = {}
        self._file = StudyFile(path, readonly=True)
        self._records = {record.name: record for record in self._file.studies(verify=False)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def replay(self, group: Group) -> Found:
        """Replay the studies whose proposals were made together, as far as the file has them.

        Raises:
            StoreError: If the file cannot be read.
        """
        batch, chosen = group
        found = {name: StudyReplay(name) for name in chosen}
        agreement = Agreement()
        members = []
        for name in batch:
            try:
                if name in self._records:
                    members.append(read_study(self._file, self._records[name], self._tasks))
            except StoreError as error:
                if name in found:
                    found[name].refused = error.message
                    found[name].altered = self._file.altered(name)
        for stored in members:
            if stored.name in found:
                found[stored.name].altered = stored.altered
        try:
            proposer, model = _proposer(members, self._models)
        except AirtuneError as error:
            for one in found.values():
                one.refused = one.refused or error.message
            return list(found.values()), agreement
        known = None if model is None or isinstance(model, RecordedModel) else model.manifest()
        for stored in members:
            if stored.name in found:
                found[stored.name].differences = differences(stored.manifest, known)
                for number in stored.records:
                    missing = stored.missing(number)
                    if missing is not None and self._options.wants(number):
                        found[stored.name].skipped[number] = (
                            f"trial {missing}, which it was proposed from, is lost"
                        )
        for wave in _waves(members, self._options):
            _replay(wave, proposer, model, found, self._options, agreement)
        return list(found.values()), agreement


def _proposer(members: Sequence[StoredStudy], models: Models) -> tuple[Proposer | None, LanguageModel | None]:
    """The proposer that all of them asked, with its model."""
    if not members:
        return None, None
    manifest = members[0].manifest
    name = str(manifest["proposer"])
    if not needs_model(name):
        return load_proposer(name), None
    if not isinstance(manifest.get("model"), Mapping):
        raise StoreError(
            f"study {members[0].name!r} does not say which language model {name!r} asked",
            value=name,
            allowed="a study whose manifest has the model",
            hint="earlier versions did not store that of lm+gp and hybrid",
        )
    model = models.of(manifest["model"])
    return load_proposer(name, model, manifest.get("temperature")), model


class BatchError(AirtuneError):
    """A proposal could not be derived in the batch that it was part of."""

    def __init__(self) -> None:
        super().__init__("the batch cannot be asked again")


Wave = list[tuple[StoredStudy, int, Job]]


def _waves(members: Sequence[StoredStudy], options: Options) -> Iterator[Wave]:
    """The jobs, batch by batch: trial i of all studies together; or on level 2 in batches of other sizes."""
    numbers = sorted({number for one in members for number in one.records if options.wants(number)})
    waves = (
        [
            (one, number, one.job(number))
            for one in members
            if number in one.records and one.missing(number) is None
        ]
        for number in numbers
    )
    if options.level != 2:
        yield from waves
        return
    jobs = [(one, number) for wave in waves for one, number, _ in wave]
    for size in SIZES:
        random.Random(size).shuffle(jobs)  # in other company too
        for start in range(0, len(jobs), size):
            yield [(one, number, one.job(number)) for one, number in jobs[start : start + size]]


def _replay(
    wave: Wave,
    proposer: Proposer | None,
    model: LanguageModel | None,
    found: Mapping[str, StudyReplay],
    options: Options,
    agreement: Agreement,
) -> None:
    """Propose a wave again and compare."""
    assert proposer is not None
    failed: dict[int, AirtuneError] = {}
    if isinstance(model, RecordedModel):
        for i, (stored, number, job) in enumerate(wave):
            model.recall(stored.transcripts.get(number, {}))
            failed.update(_tried(i, [job], proposer))
    elif _tried(0, [job for _, _, job in wave], proposer):
        # Which of them it is shows when each is on its own; for the others, the batch is not what it was.
        for i, (_, _, job) in enumerate(wave):
            job.proposal, job.rejected = None, []
            failed.update(_tried(i, [job], proposer) or {i: BatchError()})
    tolerance = options.tolerance if options.level == 3 else None
    for i, (stored, number, job) in enumerate(wave):
        one = found.get(stored.name)
        if one is None:
            continue
        error = failed.get(i)
        if isinstance(error, NotRecordedError) and _lacks_samples(stored, number):
            one.skipped[number] = (
                "an earlier version did not store all samples of lm+gp: level 1 can check it"
            )
            continue
        if (
            stored.model is not None
            and number not in stored.transcripts
            and stored.records[number].origin[:2] == "lm"
        ):
            one.skipped[number] = "its transcript is lost"
            continue
        if isinstance(error, BatchError):
            one.skipped[number] = (
                "the batch that it was proposed in cannot be asked again: another study's trial fails"
            )
            continue
        one.checked += 1
        what: Divergence | None
        if isinstance(error, NotRecordedError):
            what = Divergence(number, "seed", f"{error.allowed}", f"{error.value}")
        elif error is not None:
            what = Divergence(number, "answer", stored.records[number].text, error.message)
        else:
            what = compare(stored, number, job.proposal, tolerance, agreement)
        if what is not None:
            one.diverging.add(number)
            if one.first is None or number < one.first.trial:
                cause = _cause(stored, one, what, options.level)
                one.first = replace(what, cause=cause)


def _tried(i: int, jobs: list[Job], proposer: Proposer) -> dict[int, AirtuneError]:
    try:
        proposer.propose(jobs)
    except AirtuneError as error:
        return {i: error}
    return {}


def _lacks_samples(stored: StoredStudy, number: int) -> bool:
    transcript = stored.transcripts.get(number, {})
    return "ranking" in transcript and "samples" not in transcript


def _cause(stored: StoredStudy, one: StudyReplay, what: Divergence, level: int) -> str:
    """Why it diverges, as far as it can be told: edits that checksums show, then what differs, then the rest."""
    number = what.trial
    own = {f"trial {number}", f"the transcript of trial {number}", f"the manifest of study {stored.name!r}"}
    before = [row for row in stored.altered if row in {f"trial {i}" for i in range(number)}]
    changed = [row for row in stored.altered if row in own]
    if changed:
        return f"{' and '.join(changed)}: changed after it was written (the checksum does not match)"
    if before:
        return (
            f"an edited history: {before[0]} was changed after it was written (the checksum does not match)"
        )
    if one.differences:
        return explained(one.differences)
    settings = (stored.manifest.get("model") or {}).get("settings") or {}
    if level == 2 and settings.get("deterministic", "off") == "off":
        return (
            "the model was not run with deterministic=strict: its last bits depend on the company in a batch"
        )
    if level == 0 or stored.manifest.get("model") is None:
        return "packages and hardware are the recorded ones: the history, the manifest or the proposal was edited"
    return (
        "weights, settings, packages and hardware are the recorded ones: the study file was edited, "
        "or this machine does not compute the same twice"
    )
