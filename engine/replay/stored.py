"""A stored study as what its proposals were made from: for every trial the task, the history and the seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from airtune.engine.manifest import stored_space
from airtune.engine.state import StudyState
from airtune.engine.storage.study_file import StudyFile, StudyRecord, TrialRecord
from airtune.engine.types import Job, StoreError, Task


@dataclass(slots=True)
class StoredStudy:
    """One study, read to be replayed; nothing in it is trusted.

    Attributes:
        name: Its name in the file.
        manifest: What it is.
        task: What was tuned, rebuilt from the manifest; its objective must not be called.
        records: Its trials by number.
        transcripts: How they were proposed, by number.
        altered: Rows that are not as they were written, in words: "trial 3".
    """

    name: str
    manifest: Mapping[str, Any]
    task: Task
    records: dict[int, TrialRecord]
    transcripts: dict[int, dict[str, Any]]
    altered: list[str] = field(default_factory=list)

    @property
    def model(self) -> Mapping[str, Any] | None:
        """The manifest of its language model, if it has one."""
        return self.manifest.get("model")

    @property
    def batch(self) -> tuple[str, ...]:
        """The studies whose proposals the model was asked for together with this one's."""
        return tuple((self.manifest.get("comparison") or {}).get("batch") or (self.name,))

    @property
    def state(self) -> StudyState:
        """Its trials."""
        trials = {number: self.records[number].trial for number in sorted(self.records)}
        return StudyState(self.name, self.task, int(self.manifest["seed"]), trials=trials)

    def missing(self, number: int) -> int | None:
        """The first trial before `number` that the file does not have, or None."""
        first = self.state.first_missing
        return first if first < number else None

    def job(self, number: int) -> Job:
        """What the proposer was given for trial `number`; all trials before it must be there."""
        record = self.records[number]
        pending = record.pending
        if pending is None:  # schema versions 1 and 2 did not store it, but the times tell
            earlier = (self.records[i] for i in range(number))
            late = (one for one in earlier if one.finished is None or one.finished > record.asked)
            pending = tuple(one.trial.number for one in late)
        return self.state.job(number, pending)


def read_study(file: StudyFile, record: StudyRecord, tasks: dict[str, Task]) -> StoredStudy:
    """Read a study.

    Args:
        file: Its file.
        record: From `file.studies(verify=False)`.
        tasks: Those rebuilt so far; equal tasks share their space, whose grammar is then built once.

    Raises:
        StoreError: If its rows cannot be read, or its manifest is not that of a study.
    """
    return StoredStudy(
        record.name,
        record.manifest,
        _task(record, tasks),
        {one.trial.number: one for one in file.records(record.name, verify=False)},
        file.transcripts(record.name, verify=False),
        file.altered(record.name),
    )


def _task(record: StudyRecord, tasks: dict[str, Task]) -> Task:
    manifest = record.manifest
    try:
        if not isinstance(manifest["seed"], int) or not isinstance(manifest["proposer"], str):
            raise TypeError("seed or proposer is of the wrong type")
        key = repr([manifest[name] for name in ("task", "description", "metric", "space_hash")])
        if key not in tasks:
            tasks[key] = Task(
                manifest["task"], stored_space(manifest), _never, manifest["metric"], manifest["description"]
            )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"study {record.name!r} cannot be replayed: its manifest does not describe it ({error!r})",
            value=sorted(manifest),
            allowed="a manifest as Airtune writes it",
            hint="nothing can be derived without it",
        ) from error
    return tasks[key]


def _never(config: Mapping[str, Any]) -> NoReturn:
    raise AssertionError("a replay evaluates nothing")
