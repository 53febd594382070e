"""The study file: one SQLite database that holds any number of studies, their trials and how each came about.

A trial is committed as "asked" before its evaluation starts and again when its result is known, each time to the
disk (synchronous=FULL), so a kill at any moment loses no more than the evaluation in flight. One process writes
to a study at a time (the lease); others write to other studies of the same file, and anybody reads at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from airtune.engine.lease import Holder
from airtune.engine.types import Proposal, StoreError, Trial
from airtune.grammars import unknown_name

APPLICATION_ID = 0x41697254  # "AirT", in the database header: what `file` and we recognise a study file by
SCHEMA_VERSION = 1
# How long a write waits for another process's; theirs take milliseconds, a slow disk's a second.
BUSY_TIMEOUT_S = 60.0

# Losses are REAL, which SQLite keeps bit for bit but for -0.0; all else that has floats in it is JSON, by repr.
_SCHEMA = """
CREATE TABLE studies (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, manifest TEXT NOT NULL, created REAL NOT NULL
);
CREATE TABLE trials (
    study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,
    text TEXT NOT NULL, config TEXT NOT NULL, origin TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('asked', 'told', 'failed')),
    loss REAL, reason TEXT, info TEXT NOT NULL, log TEXT NOT NULL,
    proposal_s REAL NOT NULL, evaluation_s REAL, asked REAL NOT NULL, finished REAL,
    PRIMARY KEY (study, number), UNIQUE (study, text),
    CHECK ((status = 'told') = (loss IS NOT NULL)), CHECK ((status = 'failed') = (reason IS NOT NULL))
) WITHOUT ROWID;
CREATE TABLE transcripts (
    study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL, transcript TEXT NOT NULL,
    PRIMARY KEY (study, number)
) WITHOUT ROWID;
CREATE TABLE violations (
    study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,
    proposal TEXT NOT NULL, reason TEXT NOT NULL, time REAL NOT NULL
);
CREATE TABLE leases (
    name TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL, token TEXT NOT NULL
) WITHOUT ROWID;
"""


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
        self._lock = threading.RLock()
        self._tokens: dict[str, str] = {}
        if self.path is None:
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._create()
            return
        self._check_path(self.path, readonly)
        # Whatever lies at the path is looked at before anything is written to it.
        if self.path.exists() and self.path.stat().st_size > 0:
            looked = self._connect("ro")
            empty = self._check_contents(looked)
            looked.close()
        else:
            empty = True
        if readonly and empty:
            raise self._error(
                f"study file {str(self.path)!r} is empty", hint="run `airtune tune ... --study FILE` first"
            )
        self._db = self._connect("ro" if readonly else "rwc")
        if not readonly:
            with self._errors("open"):
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
            if empty:
                self._create()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back all leases and close the file. Closing it again does nothing."""
        with self._lock:
            try:
                for name in list(self._tokens):
                    self.release(name)
            finally:
                self._db.close()

    # Studies

    def studies(self) -> list[StudyRecord]:
        """All studies, in the order in which they were begun."""
        with self._errors("read"):
            rows = self._db.execute(
                "SELECT name, manifest, created,"
                " (SELECT COUNT(*) FROM trials WHERE study = studies.id AND status = 'asked'),"
                " (SELECT COUNT(*) FROM trials WHERE study = studies.id AND status = 'told'),"
                " (SELECT COUNT(*) FROM trials WHERE study = studies.id AND status = 'failed'),"
                " (SELECT COUNT(*) FROM violations WHERE study = studies.id) FROM studies ORDER BY id"
            ).fetchall()
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
        with self._errors("read"):
            rows = self._db.execute(
                "SELECT number, config, status, loss, reason, info, proposal_s, evaluation_s,"
                " text, origin, log, asked, finished FROM trials"
                " WHERE study = (SELECT id FROM studies WHERE name = ?) ORDER BY number",
                (name,),
            ).fetchall()
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
        """How the trials were proposed, by number; those of proposers that say nothing about it are missing."""
        with self._errors("read"):
            rows = self._db.execute(
                "SELECT number, transcript FROM transcripts"
                " WHERE study = (SELECT id FROM studies WHERE name = ?) ORDER BY number",
                (name,),
            ).fetchall()
        return {number: json.loads(transcript) for number, transcript in rows}

    def ask(self, name: str, trial: Trial, text: str, proposal: Proposal) -> None:
        """Store a trial that is about to be evaluated.

        Raises:
            StoreError: If it cannot be stored, or its number or its configuration has been used.
        """
        with self._write(name) as db:
            study = _study_id(db, name)
            db.execute(
                "INSERT INTO trials (study, number, text, config, origin, status, info, log, proposal_s, asked)"
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
        with self._transaction() as db:
            row = db.execute("SELECT host, pid, started FROM leases WHERE name = ?", (name,)).fetchone()
            if row is not None:
                holder = Holder(*row)
                if not holder.is_gone():
                    raise self._held(name, holder, me)
            db.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)",
                (name, me.host, me.pid, me.started, token),
            )
        self._tokens[name] = token

    def release(self, name: str, *, force: bool = False) -> None:
        """Give the lease back; with `force` also that of a process which is known to be gone for good."""
        token = self._tokens.pop(name, None)
        with self._transaction() as db:
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

    # Below: SQLite

    @contextlib.contextmanager
    def _write(self, name: str) -> Iterator[sqlite3.Connection]:
        """A transaction of the lease's holder."""
        with self._transaction() as db:
            row = db.execute("SELECT token, host, pid FROM leases WHERE name = ?", (name,)).fetchone()
            if row is None or row[0] != self._tokens.get(name):
                now = "no process" if row is None else f"process {row[2]} on {row[1]!r}"
                raise StoreError(
                    f"this process does not hold study {name!r} any more: {now} does",
                    value=name,
                    hint="open the study again",
                )
            yield db

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors("write"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # SQLite rolls back by itself when the disk is full
                    self._db.execute("ROLLBACK")
                raise

    def _create(self) -> None:
        with self._transaction() as db:
            if db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
                return  # another process was faster
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"file:{quote(os.fsencode(str(self.path)))}?mode={mode}"
        if mode == "ro" and self._is_at_rest():
            uri += "&immutable=1"
        try:
            db = sqlite3.connect(
                uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._cannot("open", error) from error
        return db

    def _is_at_rest(self) -> bool:
        """Whether it lies, closed, in a folder where SQLite cannot make the files by which readers see a writer."""
        path = self.path or Path()
        writing = path.with_name(path.name + "-wal").exists()
        return not writing and not os.access(path.parent, os.W_OK)

    def _check_path(self, path: Path, readonly: bool) -> None:
        try:
            is_file, is_there = path.is_file(), path.exists()
        except OSError as error:
            raise self._error(f"cannot open study file {str(path)!r}: {error.strerror}") from error
        if is_there and not is_file:
            raise self._error(f"study file {str(path)!r} is not a file")
        if readonly and not is_there:
            raise self._error(
                f"there is no study file {str(path)!r}",
                hint="check the path, or run `airtune tune ... --study FILE`",
            )
        if not is_there and not path.parent.is_dir():
            raise self._error(
                f"cannot make study file {str(path)!r}: there is no folder {str(path.parent)!r}",
                hint="make the folder, or choose another file (--study)",
            )

    def _check_contents(self, db: sqlite3.Connection) -> bool:
        """Whether the database is still empty.

        Raises:
            StoreError: If it is neither empty nor one that this version can read.
        """
        try:
            application = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            tables = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        except sqlite3.DatabaseError as error:
            db.close()
            if "not a database" in str(error):
                raise self._error(
                    f"{str(self.path)!r} is not an SQLite file, and so no study file"
                ) from error
            raise self._cannot("read", error) from error
        if (application, version, tables) == (0, 0, 0):
            return True
        if application != APPLICATION_ID and (application or tables):
            db.close()
            raise self._error(f"{str(self.path)!r} is an SQLite file of another program, not a study file")
        if version > SCHEMA_VERSION or application != APPLICATION_ID:
            db.close()
            raise StoreError(
                f"study file {str(self.path)!r} has schema version {version}",
                value=version,
                allowed=f"schema version up to {SCHEMA_VERSION}",
                hint="it was written by a newer Airtune: update this one, or choose another file (--study)",
            )
        return False

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._cannot(what, error) from error

    def _cannot(self, what: str, error: sqlite3.Error) -> StoreError:
        text = str(error)
        hint = "check the file and the disk, or choose another file (--study)"
        if "full" in text or "disk I/O" in text:
            hint = "free some space on the disk and run the same command again: nothing that was told is lost"
        elif "readonly" in text or "unable to open" in text:
            hint = "make the file and its folder writable, or choose another file (--study)"
        elif "locked" in text:
            hint = "another program keeps the file locked: close it, or choose another file (--study)"
        return self._error(f"cannot {what} study file {str(self.path)!r}: {text}", hint=hint)

    def _error(self, message: str, hint: str = "choose another file (--study)") -> StoreError:
        return StoreError(
            message, value=str(self.path), allowed="a study file, or a path where one can be made", hint=hint
        )


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
