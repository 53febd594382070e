"""The study file: one SQLite database that holds any number of studies, their trials and how each came about.

A trial is committed as "asked" before its evaluation starts and again when its result is known, each time
to the disk (synchronous=FULL), so a kill at any moment loses no more than the evaluation in flight. One
process writes to a study at a time (the lease); others write to other studies of the same file, and anybody
reads at any time.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import uuid
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from airtune.engine.database import Database
from airtune.engine.lease import Holder
from airtune.engine.types import Proposal, StoreError, Trial
from airtune.grammars import unknown_name

SCHEMA_VERSION = 1
# Losses are REAL, which SQLite keeps bit for bit but for -0.0; all else with floats in it is JSON, by repr.
_SCHEMA = (
    "CREATE TABLE studies ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, manifest TEXT NOT NULL, created REAL NOT NULL)",
    "CREATE TABLE trials ("
    " study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,"
    " text TEXT NOT NULL, config TEXT NOT NULL, origin TEXT NOT NULL,"
    " status TEXT NOT NULL CHECK (status IN ('asked', 'told', 'failed')),"
    " loss REAL, reason TEXT, info TEXT NOT NULL, log TEXT NOT NULL,"
    " proposal_s REAL NOT NULL, evaluation_s REAL, asked REAL NOT NULL, finished REAL,"
    " PRIMARY KEY (study, number), UNIQUE (study, text),"
    " CHECK ((status = 'told') = (loss IS NOT NULL)), CHECK ((status = 'failed') = (reason IS NOT NULL)),"
    " CHECK (loss IS NULL OR abs(loss) < 9e999)) WITHOUT ROWID",
    "CREATE TABLE transcripts ("
    " study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL, transcript TEXT NOT NULL,"
    " PRIMARY KEY (study, number)) WITHOUT ROWID",
    "CREATE TABLE violations ("
    " study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,"
    " proposal TEXT NOT NULL, reason TEXT NOT NULL, time REAL NOT NULL)",
    "CREATE TABLE leases ("
    " name TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,"
    " token TEXT NOT NULL) WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as the file knows it.

    Attributes:
        name: Unique in the file.
        manifest: What the study is: task, space, proposer, seed, model, versions.
        created: Seconds since 1970.
        asked: Trials without a result.
        told: Trials with a loss.
        failed: Trials that failed.
        violations: Proposals that were not valid or not new; none was ever evaluated.
    """

    name: str
    manifest: Mapping[str, Any]
    created: float
    asked: int
    told: int
    failed: int
    violations: int


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as the file knows it.

    Attributes:
        trial: The trial.
        text: Its configuration as canonical text.
        origin: What proposed it, for example "lm" or "default".
        log: Traceback and the end of what was printed, of a failure; may be empty.
        asked: When it was asked, in seconds since 1970.
        finished: When its result was stored, or None.
    """

    trial: Trial
    text: str
    origin: str
    log: str
    asked: float
    finished: float | None


# Of this process: a lease of ours whose token none of them has is left over from one that is closed or gone.
_open_files: weakref.WeakSet[StudyFile] = weakref.WeakSet()


class StudyFile:
    """A study file, open; a context manager.

    Args:
        path: The file; made if it is not there, unless `readonly`. None for one in memory.
        readonly: Open it for reading: while others write, and without changing it.

    Raises:
        StoreError: If it cannot be opened, is no study file, or was written by a newer version.
    """

    def __init__(self, path: str | Path | None, *, readonly: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self._tokens: dict[str, str] = {}
        self._database = Database(self.path, _SCHEMA, SCHEMA_VERSION, readonly=readonly)
        _open_files.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back all leases and close the file. Closing it again does nothing."""
        for name in list(self._tokens):
            # Where it cannot be given back, on a full disk, it lapses: its token is no open file's any more.
            with contextlib.suppress(StoreError):
                self.release(name)
        self._database.close()

    # Studies

    def studies(self) -> list[StudyRecord]:
        """All studies, in the order in which they were begun."""
        rows = self._database.rows(
            "SELECT name, manifest, created,"
            " (SELECT COUNT(*) FROM trials WHERE study = studies.id AND status = 'asked'),"
            " (SELECT COUNT(*) FROM trials WHERE study = studies.id AND status = 'told'),"
            " (SELECT COUNT(*) FROM trials WHERE study = studies.id AND status = 'failed'),"
            " (SELECT COUNT(*) FROM violations WHERE study = studies.id) FROM studies ORDER BY id"
        )
        return [StudyRecord(name, json.loads(manifest), *rest) for name, manifest, *rest in rows]

    def find(self, name: str) -> StudyRecord | None:
        """The study of that name, or None."""
        return next((record for record in self.studies() if record.name == name), None)

    def get(self, name: str | None = None) -> StudyRecord:
        """The study of that name; with None the only study of the file.

        Raises:
            StoreError: If there is no such study, or with None if there is not exactly one.
        """
        records = self.studies()
        if name is None and len(records) == 1:
            return records[0]
        message, allowed, hint = unknown_name("study", name or "", [record.name for record in records])
        for record in records:
            if record.name == name:
                return record
        if name is None:
            message = f"study file {str(self.path)!r} holds {len(records)} studies"
            hint = "name one of them" if records else "run `airtune tune ... --study FILE` first"
        raise StoreError(message, value=name, allowed=allowed, hint=hint)

    def create(self, name: str, manifest: Mapping[str, Any]) -> None:
        """Begin a study, of which this process must hold the lease."""
        with self._write(name) as db:
            db.execute(
                "INSERT INTO studies (name, manifest, created) VALUES (?, ?, ?)",
                (name, _json(manifest, "the manifest"), time.time()),
            )

    # Trials

    def records(self, name: str) -> list[TrialRecord]:
        """All trials of a study, in the order of their numbers, with what the file knows about them."""
        rows = self._database.rows(
            "SELECT number, config, status, loss, reason, info, proposal_s, evaluation_s,"
            " text, origin, log, asked, finished FROM trials"
            " WHERE study = (SELECT id FROM studies WHERE name = ?) ORDER BY number",
            (name,),
        )
        return [
            TrialRecord(
                Trial(
                    number=number,
                    config=json.loads(config),
                    status=status,
                    loss=loss,
                    reason=reason,
                    info=json.loads(info),
                    proposal_s=proposal_s,
                    evaluation_s=evaluation_s,
                ),
                *rest,
            )
            for number, config, status, loss, reason, info, proposal_s, evaluation_s, *rest in rows
        ]

    def trials(self, name: str) -> list[Trial]:
        """All trials of a study, in the order of their numbers."""
        return [record.trial for record in self.records(name)]

    def transcripts(self, name: str) -> dict[int, dict[str, Any]]:
        """How the trials were proposed, by number; none for proposers that say nothing."""
        rows = self._database.rows(
            "SELECT number, transcript FROM transcripts"
            " WHERE study = (SELECT id FROM studies WHERE name = ?) ORDER BY number",
            (name,),
        )
        return {number: json.loads(transcript) for number, transcript in rows}

    def ask(self, name: str, trial: Trial, text: str, proposal: Proposal) -> None:
        """Store a trial that is about to be evaluated.

        Raises:
            StoreError: If it cannot be stored, or its number or its configuration has been used.
        """
        with self._write(name) as db:
            study = _study_id(db, name)
            db.execute(
                "INSERT INTO trials"
                " (study, number, text, config, origin, status, info, log, proposal_s, asked)"
                " VALUES (?, ?, ?, ?, ?, 'asked', '{}', '', ?, ?)",
                (
                    study,
                    trial.number,
                    text,
                    _json(trial.config, "the configuration"),
                    proposal.origin,
                    trial.proposal_s,
                    time.time(),
                ),
            )
            if proposal.transcript is not None:
                transcript = _json(proposal.transcript, "the transcript")
                db.execute("INSERT INTO transcripts VALUES (?, ?, ?)", (study, trial.number, transcript))

    def finish(self, name: str, trial: Trial, log: str = "") -> None:
        """Store the result of an asked trial.

        Raises:
            StoreError: If it cannot be stored, or the trial is not waiting for a result.
        """
        with self._write(name) as db:
            changed = db.execute(
                "UPDATE trials SET status = ?, loss = ?, reason = ?, info = ?, log = ?, evaluation_s = ?,"
                " finished = ? WHERE study = ? AND number = ? AND status = 'asked'",
                (
                    trial.status,
                    trial.loss,
                    trial.reason,
                    _json(trial.info, "the further values"),
                    log.encode("utf-8", "replace").decode(),
                    trial.evaluation_s,
                    time.time(),
                    _study_id(db, name),
                    trial.number,
                ),
            ).rowcount
            if changed != 1:
                raise StoreError(
                    f"trial {trial.number} of study {name!r} is not waiting for a result", value=trial.number
                )

    def violation(self, name: str, number: int, proposal: Proposal, reason: str) -> None:
        """Store a proposal that must not be used, and why."""
        stored = {"config": proposal.config, "origin": proposal.origin, "transcript": proposal.transcript}
        with self._write(name) as db:
            db.execute(
                "INSERT INTO violations VALUES (?, ?, ?, ?, ?)",
                (_study_id(db, name), number, json.dumps(stored, default=repr), reason, time.time()),
            )

    # The lease

    def acquire(self, name: str) -> None:
        """Become the one process that writes to the study, in the place of one that has died.

        Raises:
            StoreError: If another process, or another `StudyFile` of this one, writes to it.
        """
        me, token = Holder.me(), uuid.uuid4().hex
        with self._database.transaction() as db:
            row = db.execute(
                "SELECT host, pid, started, token FROM leases WHERE name = ?", (name,)
            ).fetchone()
            if row is not None:
                holder = Holder(*row[:3])
                lapsed = holder == me and not any(row[3] in file._tokens.values() for file in _open_files)
                if not (lapsed or holder.is_gone()):
                    raise self._held(name, holder, me)
            db.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)",
                (name, me.host, me.pid, me.started, token),
            )
        self._tokens[name] = token

    def release(self, name: str, *, force: bool = False) -> None:
        """Give the lease back; with `force` also that of a process which is known to be gone for good."""
        token = self._tokens.pop(name, None)
        with self._database.transaction() as db:
            if force:
                db.execute("DELETE FROM leases WHERE name = ?", (name,))
            else:
                db.execute("DELETE FROM leases WHERE name = ? AND token = ?", (name, token))

    def _held(self, name: str, holder: Holder, me: Holder) -> StoreError:
        where = "" if holder.host == me.host else f" on {holder.host!r}"
        who = "this process" if holder == me else f"process {holder.pid}{where}"
        if holder == me:
            hint = "close() the Study that has it open"
        elif where:
            hint = (
                "wait for it or end it there; if that machine is gone for good: "
                f"airtune.engine.StudyFile({str(self.path)!r}).release({name!r}, force=True)"
            )
        else:
            hint = f"wait for process {holder.pid} or end it; or use another file (--study) or name (--name)"
        return StoreError(
            f"study {name!r} in {str(self.path)!r} is being written by {who}",
            value=holder.pid,
            allowed="one writer per study",
            hint=hint,
        )

    @contextlib.contextmanager
    def _write(self, name: str) -> Iterator[sqlite3.Connection]:
        """A transaction of the lease's holder."""
        with self._database.transaction() as db:
            row = db.execute("SELECT token, host, pid FROM leases WHERE name = ?", (name,)).fetchone()
            if row is None or row[0] != self._tokens.get(name):
                now = "nobody does" if row is None else f"process {row[2]} on {row[1]!r} does"
                raise StoreError(
                    f"this process does not hold study {name!r} (any more): {now}",
                    value=name,
                    allowed="writing by the study's one writer",
                    hint="open the study again",
                )
            yield db


def _study_id(db: sqlite3.Connection, name: str) -> int:
    row = db.execute("SELECT id FROM studies WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise StoreError(f"the file holds no study {name!r}", value=name, hint="create it first")
    return int(row[0])


def _json(value: object, what: str) -> str:
    """Strict JSON; mappings keep their order, floats are written by repr.

    Raises:
        StoreError: If JSON cannot hold it.
    """
    try:
        # ASCII with escapes, so that lone surrogates in a text survive SQLite's UTF-8.
        return json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{what} cannot be stored as JSON: {error}", value=value) from error
