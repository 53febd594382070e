"""One SQLite file of ours: opened only if it is one, written in transactions, with errors in our words."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airtune.engine.storage import opening
from airtune.engine.storage.moved import Place, copy_database
from airtune.engine.types import StoreError, StudyFileMoved

APPLICATION_ID = 0x41697254  # "AirT", in the database header: what `file` and we recognise a study file by


def is_study_file(path: Path) -> bool:
    """Whether a study file, of whatever version, is at the path."""
    with contextlib.suppress(OSError, sqlite3.Error, UnicodeError, StoreError):
        if path.is_file() and path.stat().st_size:
            with contextlib.closing(opening.connect(path, "ro")) as db:
                return bool(db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID)
    return False


class Database:
    """A study file as a database: WAL, so that readers and a writer never wait; synced when written.

    Args:
        path: The file; made if it is not there, unless `readonly`. None for one in memory.
        schema: Statements that make its tables where they are not there (IF NOT EXISTS).
        version: Of the schema.
        readonly: Open it for reading: while others write, and without changing it.
        ours: Whether this process keeps a copy if the file is moved or removed; else another one of its run does.

    Raises:
        StoreError: If it cannot be opened, is not ours, or has another schema.
    """

    def __init__(
        self,
        path: Path | None,
        schema: Sequence[str],
        version: int,
        *,
        readonly: bool = False,
        ours: bool = True,
    ) -> None:
        self.path = path
        self._readonly = readonly
        self._ours = ours
        self._place: Place | None = None  # where it must stay
        self._moved: StudyFileMoved | None = None
        self._schema = schema
        self._version = version
        self._lock = threading.RLock()
        if path is None:
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._create()
            return
        opening.check_path(path, readonly)
        # Whatever lies at the path is looked at before anything is written to it.
        empty = not path.exists() or path.stat().st_size == 0 or opening.is_half_made(path)
        wal = path.with_name(path.name + "-wal")
        if empty and wal.exists() and wal.stat().st_size > 0:  # SQLite would delete it
            message = f"study file {str(path)!r} is empty, but {wal.name!r}, what was last written, is there"
            raise opening.unusable(path, message, opening.salvage(path))
        empty = empty or self._look(path)
        if readonly and empty:
            raise opening.unusable(
                path, f"study file {str(path)!r} is empty", "run `airtune tune ... --study FILE` first"
            )
        self._db = opening.connect(path, "ro" if readonly else "rwc")
        try:
            if not readonly:
                with self._errors("open"):
                    self._db.execute("PRAGMA journal_mode=WAL")
                    self._db.execute("PRAGMA synchronous=FULL")
                self._create()
                self._checkpoint()  # of a process that was killed
                self._place = Place(path)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file. What was written is then in it, and not in the log beside it, also while others read.

        Raises:
            StudyFileMoved: If it is no longer where it was.
        """
        with self._lock, contextlib.closing(self._db):
            moved, self._place, self._moved = self._notice(), None, None
            self._checkpoint()
            with contextlib.suppress(sqlite3.Error):  # an empty log is removed by whoever closes last
                self._db.execute("PRAGMA busy_timeout = 0")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if self._readonly and self.path is not None:
            opening.tidy(self.path)
        if moved is not None:
            raise moved

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query.

        Raises:
            StoreError: If the file cannot be read.
        """
        with self._lock, self._errors("read"):
            return self._db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written in it is on the disk when it ends, or, after an error, nothing of it.

        Raises:
            StudyFileMoved: If the file is no longer where it was; what was written is in the copy then.
            StoreError: If the file cannot be written.
        """
        with self._lock, self._errors("write"):
            moved = self._notice()
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # there is none, or SQLite has rolled it back
                    self._db.execute("ROLLBACK")
                raise
        if moved is not None:
            raise moved

    def copy(self, target: Path) -> None:
        """Copy what it holds at this moment into a file that is not there, or empty; without leases.

        Raises:
            StoreError: If it cannot be read, or the file not be written.
        """
        with self._lock, self._errors("copy"):
            copy_database(self._db, target)
            with contextlib.closing(sqlite3.connect(target)) as copy, copy:
                copy.execute("DELETE FROM leases")

    def _notice(self) -> StudyFileMoved | None:
        """Notice whether the file is where it was; if not, go on in a copy of it."""
        if self._place is None or (self._moved is not None and self._moved.saved is not None):
            return self._moved
        happened = self._place.what_happened()
        if not happened:  # or it is there again
            self._moved = None
            return None
        saved, why = self._place.save(self._db) if self._ours else (None, "another process makes it")
        self._moved = self._place.error(happened, saved, why)
        if saved is not None:
            self._db.close()  # which leaves alone what is beside the old place: SQLite looks, too
            self._db = opening.connect(saved, "rw")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
        return self._moved

    def _checkpoint(self) -> None:
        """Bring what the log beside the file holds into the file itself, as far as that can be without waiting."""
        with contextlib.suppress(sqlite3.Error):  # read-only, closed already, or the disk is full
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _create(self) -> None:
        """Make the tables of a new file."""
        with self._errors("open"):
            if self._db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
                return
        with self.transaction() as db:
            for statement in self._schema:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {self._version}")

    def _look(self, path: Path) -> bool:
        """Whether the database at the path is still empty.

        Raises:
            StoreError: If it is neither empty nor one that this version can read.
        """
        with contextlib.closing(opening.connect(path, "ro")) as db:
            try:
                application = db.execute("PRAGMA application_id").fetchone()[0]
                version = db.execute("PRAGMA user_version").fetchone()[0]
                tables = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
                more = _foreign_object(db, self._schema) if application == APPLICATION_ID else ""
                damage = "" if more else _damage(db, path)
            except _UNREADABLE as error:
                if "not a database" in str(error):
                    message = f"{str(path)!r} is not an SQLite file, and so no study file"
                    hint = f"choose another file (path=); if it was one, `airtune recover {path}`"
                    raise opening.unusable(path, message, hint) from error
                raise opening.cannot("read", path, error) from error
        if (application, version, tables) == (0, 0, 0):
            return True
        if application != APPLICATION_ID and (application or tables):
            raise opening.unusable(
                path, f"{str(path)!r} is an SQLite file of another program, not a study file"
            )
        if application != APPLICATION_ID or version != self._version:
            raise StoreError(
                f"study file {str(path)!r} has schema version {version}",
                value=version,
                allowed=f"schema version {self._version}",
                hint="another version of Airtune wrote it: use that one, or choose another file (path=)",
            )
        if more:
            message = f"{str(path)!r} holds {more}, which no Airtune puts into a study file"
            raise opening.unusable(path, message, f"do not trust it as it is: {opening.salvage(path)}")
        if damage:
            raise opening.unusable(
                path, f"study file {str(path)!r} is damaged: {damage}", opening.salvage(path)
            )
        return False

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except _UNREADABLE as error:
            raise opening.cannot(what, self.path, error) from error


# What reading a damaged file raises: SQLite's own messages may quote it, and Python then cannot read the message.
_UNREADABLE = (sqlite3.Error, UnicodeError)
# Files that were found whole, as they were then: (path, inode, size, time).
_whole: set[tuple[str, int, int, int]] = set()


def _damage(db: sqlite3.Connection, path: Path) -> str:
    """What SQLite finds wrong with the file as a whole, or ""; reads all of it once for each process."""
    stat = path.stat()
    seen = (str(path.absolute()), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if seen in _whole:
        return ""
    if (found := str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])) != "ok":
        return " ".join(found.removeprefix("*** in database main ***").split())
    _whole.add(seen)
    return ""


# What our own statements call, and the types and clauses that look like it.
_CALLED = {"abs", "check", "in", "key", "unique"}
_CALL = re.compile(r"\b(\w+)\s*\(")
_ACTIVE = re.compile(r"\b(AS|GENERATED|SELECT|VIRTUAL|COLLATE|DEFAULT)\b", re.IGNORECASE)


def _foreign_object(db: sqlite3.Connection, schema: Sequence[str]) -> str:
    """What is in the database that we do not put there, or "".

    Views, triggers, virtual tables, generated columns and expressions are run by SQLite when it reads or checks.
    `schema` are the statements that make our tables: CREATE TABLE IF NOT EXISTS name (...).
    """
    ours = {statement.split()[5] for statement in schema}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
        if kind == "index" and sql is None:  # SQLite's own, of a primary key
            continue
        calls = {call.lower() for call in _CALL.findall(str(sql))} - _CALLED - {name}
        if kind != "table" or name not in ours or calls or _ACTIVE.search(str(sql)):
            return f"the {kind} {str(name)!r:.60}"
    return ""
