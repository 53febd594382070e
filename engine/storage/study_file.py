"""The study file: one SQLite database that holds any number of studies, their trials and how each came about.

A trial is committed as "asked" before its evaluation starts and again when its result is known, each time
to the disk (synchronous=FULL), so a kill at any moment loses no more than the evaluation in flight. One
process writes to a study at a time (the lease); others write to other studies of the same file, and anybody
reads at any time. What is written for many studies at once is one transaction: all of it or nothing.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

from airtune.engine.storage import schema
from airtune.engine.storage.database import Database
from airtune.engine.storage.lease import Leases
from airtune.engine.storage.opening import COMPARISON_FILE, study_file
from airtune.engine.storage.records import (
    StudyRecord,
    TrialInsert,
    TrialRecord,
    TrialUpdate,
    asked_row,
    checked_name,
    compress_transcript,
    decompress_transcript,
    finished_row,
    study_row,
    to_json,
    trial_record,
)
from airtune.engine.storage.validation import WHOLE, checked, parse_json
from airtune.engine.types import Proposal, StoreError, Trial
from airtune.grammars import unknown_name

__all__ = [
    "COMPARISON_FILE", "StudyFile", "StudyRecord", "TrialInsert", "TrialRecord", "TrialUpdate", "study_file",
]  # fmt: skip

# gets the errors of studies that are left out; None to raise them
Skipped: TypeAlias = list[StoreError] | None


class StudyFile:
    """A study file, open; a context manager.

    Args:
        path: The file; made if it is not there, unless `readonly`. None for one in memory.
        readonly: Open it for reading: while others write, and without changing it.
        leases: Those of another process, by `leases` of its StudyFile, under which this one writes.

    Raises:
        StoreError: If it cannot be opened, is no study file, or was written by another version.
    """

    def __init__(
        self, path: str | Path | None, *, readonly: bool = False, leases: Mapping[str, str] | None = None
    ) -> None:
        self.path = None if path is None else Path(path)
        self._database = Database(
            self.path, schema.SCHEMA, schema.SCHEMA_VERSION, readonly=readonly, ours=leases is None
        )
        self._leases = Leases(self._database, leases)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back all leases and close the file. Closing it again does nothing.

        Raises:
            StudyFileMoved: If the file is no longer where it was.
        """
        self._leases.release_all()
        self._database.close()

    def backup(self, target: Path) -> None:
        """Copy all that the file holds at this moment, whoever writes to it, into one new file, which nobody holds.

        Raises:
            AirtuneError: If the file cannot be read, or a database is there, which would be lost.
            OSError: If the copy cannot be written.
        """
        from airtune.grammars import replacing

        with replacing(target, self.path) as beside:
            self._database.copy(beside)

    # Studies

    def studies(self, *, verify: bool = True, skipped: Skipped = None) -> list[StudyRecord]:
        """All studies, in the order in which they were begun.

        Args:
            verify: See `records`.
            skipped: Gets the errors of studies that cannot be read, which are left out; None to raise the first.
        """
        return self._studies("", (), verify, skipped)

    def find(self, name: str) -> StudyRecord | None:
        """The study of that name, or None; whatever is the matter with the others."""
        return next(iter(self._studies("WHERE name = ?", (checked_name(name),), True, None)), None)

    def _studies(
        self, where: str, values: Sequence[str], verify: bool, skipped: Skipped
    ) -> list[StudyRecord]:
        rows = schema.stored_rows(self._database, "studies", f"{where} ORDER BY id", values)
        counts = schema.trial_counts(self._database, where, values)
        found = []
        for row in rows:
            try:
                study, name, manifest, created = schema.verified(
                    self._database, "studies", row, verify=verify
                )
                numbers = [counts.get((study, kind), 0) for kind in ("asked", "told", "failed", "violation")]
                known = parse_json(manifest, f"the manifest of study {name!r}")
                found.append(StudyRecord(name, known, created, *numbers))
            except StoreError as error:
                if skipped is None:
                    raise
                skipped.append(error)
        return found

    def get(self, name: str | None = None) -> StudyRecord:
        """The study of that name; with None the only study of the file.

        Raises:
            StoreError: If there is no such study, or with None if there is not exactly one.
        """
        names = [str(row[0]) for row in self._database.rows("SELECT name FROM studies ORDER BY id")]
        wanted = names[0] if name is None and len(names) == 1 else name
        if wanted is not None and (found := self.find(wanted)):
            return found
        message, allowed, hint = unknown_name("study", name or "", names)
        if name is None:
            message = f"study file {str(self.path)!r} holds {len(names)} studies"
            hint = "name one of them" if names else "run `airtune tune ... --study FILE` first"
        raise StoreError(message, value=name, allowed=allowed, hint=hint)

    def create(self, name: str, manifest: Mapping[str, Any]) -> None:
        """Begin a study, of which this process must hold the lease."""
        self.create_all({name: manifest})

    def create_all(self, manifests: Mapping[str, Mapping[str, Any]]) -> None:
        """Begin studies, by name, of which this process must hold the leases."""
        with self._write(manifests) as db:
            (last,) = db.execute("SELECT COALESCE(MAX(id), 0) FROM studies").fetchone()
            for number, (name, one) in enumerate(manifests.items(), last + 1):
                schema.insert_row(db, "studies", study_row(number, name, one))

    # Documents

    def document(self, name: str) -> dict[str, Any] | None:
        """A document that belongs to the file as a whole, or None."""
        rows = schema.select_rows(self._database, "documents", "WHERE name = ?", (name,))
        return parse_json(rows[0][1], f"the document {name!r}") if rows else None

    def update_document(
        self, name: str, change: Callable[[dict[str, Any] | None], Mapping[str, Any]]
    ) -> None:
        """Store what `change` makes of the document, in one transaction with reading it."""
        with self._database.transaction() as db:
            stored = self.document(name)
            text = to_json(change(stored), f"the document {name!r}")
            if stored is None or to_json(stored, f"the document {name!r}") != text:
                schema.insert_row(db, "documents", (name, text), replace=True)

    # Trials

    def records(self, name: str, *, verify: bool = True) -> list[TrialRecord]:
        """All trials of a study, in the order of their numbers, with what the file knows about them.

        Args:
            name: The study.
            verify: Refuse rows that are not as they were written. False is for those who look into that.

        Raises:
            StoreError: If a row cannot be read, or is not as it was written.
        """
        rows = schema.select_rows(self._database, "trials", schema.OF_STUDY, (name,), verify=verify)
        return [trial_record(row) for row in rows]

    def trials(self, name: str) -> list[Trial]:
        """All trials of a study, in the order of their numbers."""
        return [record.trial for record in self.records(name)]

    def transcripts(self, name: str, *, verify: bool = True) -> dict[int, dict[str, Any]]:
        """How the trials were proposed, by number; none for proposers that say nothing. See `records`."""
        rows = schema.select_rows(self._database, "transcripts", schema.OF_STUDY, (name,), verify=verify)
        return {checked(n, WHOLE, "a trial's number"): decompress_transcript(stored) for _, n, stored in rows}

    def altered(self, name: str) -> list[str]:
        """Which rows of a study are not as they were written, in words: "trial 3"."""
        found = []
        for table in ("studies", "trials", "transcripts"):
            where = "WHERE name = ?" if table == "studies" else schema.OF_STUDY
            rows = schema.stored_rows(self._database, table, where, (name,))
            found += [schema.described(table, row) for row in rows if not schema.is_intact(row)]
        return found

    def best_losses(self) -> dict[str, float]:
        """The least loss of every study that has one, by its name."""
        rows = self._database.rows(
            "SELECT name, MIN(loss) FROM studies JOIN trials ON study = studies.id WHERE status = 'told' GROUP BY name"
        )
        return dict(rows)

    def known(self, prefix: str, text: str) -> TrialUpdate | None:
        """A finished trial with the canonical `text` in any study whose name begins with `prefix`, or None.

        Where an objective is deterministic, its result is that of every such trial.
        """
        rows = schema.select_rows(
            self._database,
            "trials",
            "WHERE text = ? AND status <> 'asked'"
            " AND study IN (SELECT id FROM studies WHERE name >= ? AND name < ?) LIMIT 1",
            (text, prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)),
        )
        return next((TrialUpdate(prefix, one.trial, one.log) for one in map(trial_record, rows)), None)

    def insert(self, trials: Sequence[TrialInsert]) -> None:
        """Store trials that are about to be evaluated, in one transaction.

        Raises:
            StoreError: If one cannot be stored, or its number or its configuration has been used.
        """
        transcripts = [
            None if one.proposal.transcript is None else compress_transcript(one.proposal.transcript)
            for one in trials
        ]
        with self._write(one.study for one in trials) as db:
            for one, transcript in zip(trials, transcripts, strict=True):
                study = schema.study_id(db, one.study)
                schema.insert_row(db, "trials", asked_row(study, one))
                if transcript is not None:
                    # In a salvaged file one may be there: of a trial that was lost, and now is asked again.
                    schema.insert_row(db, "transcripts", (study, one.trial.number, transcript), replace=True)

    def update(self, trials: Sequence[TrialUpdate]) -> None:
        """Store the results of trials, in one transaction.

        Raises:
            StoreError: If one cannot be stored, or its trial is not waiting for a result.
        """
        with self._write(one.study for one in trials) as db:
            for one in trials:
                where = "WHERE study = ? AND number = ? AND status = 'asked'"
                key = (schema.study_id(db, one.study), one.trial.number)
                rows = schema.select_rows(self._database, "trials", where, key)
                if not rows:
                    raise StoreError(
                        f"trial {one.trial.number} of study {one.study!r} is not waiting for a result",
                        value=one.trial.number,
                    )
                schema.insert_row(db, "trials", finished_row(rows[0], one), replace=True)

    def violation(self, name: str, number: int, proposal: Proposal, reason: str) -> None:
        """Store a proposal that must not be used, and why."""
        stored = {"config": proposal.config, "origin": proposal.origin, "transcript": proposal.transcript}
        with self._write([name]) as db:
            row = (schema.study_id(db, name), number, json.dumps(stored, default=repr), reason, time.time())
            schema.insert_row(db, "violations", row)

    # The lease

    @property
    def leases(self) -> dict[str, str]:
        """The leases that are held, for a StudyFile of another process that writes on behalf of this one."""
        return self._leases.tokens

    def acquire(self, *names: str, take_over: bool = False) -> None:
        """See `Leases.acquire`."""
        self._leases.acquire([*map(checked_name, names)], take_over=take_over)

    def release(self, name: str, *, force: bool = False) -> None:
        """Give the lease back; with `force` also that of a process which is known to be gone for good."""
        self._leases.release([name], force=force)

    @contextlib.contextmanager
    def _write(self, names: Iterable[str]) -> Iterator[sqlite3.Connection]:
        """A transaction of the leases' holder."""
        with self._database.transaction() as db:
            for name in dict.fromkeys(names):
                self._leases.check(db, name)
            yield db
