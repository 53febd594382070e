"""One SQLite file of ours: opened only if it is one, written in transactions, with errors in our words."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airtune.engine.types import StoreError

APPLICATION_ID = 0x41697254  # "AirT", in the database header: what `file` and we recognise a study file by
# How long a write waits for another process's; theirs take milliseconds, a slow disk's a second.
BUSY_TIMEOUT_S = 60.0
# How SQLite's rollback journal begins: its magic, how many pages the file had before, and the size of one.
_JOURNAL, _JOURNAL_MAGIC = struct.Struct(">8s8xI4xI"), bytes.fromhex("d9d505f920a163d7")


class Database:
    """A study file as a database: WAL, so that readers and a writer never wait; synced when written.

    Args:
        path: The file; made if it is not there, unless `readonly`. None for one in memory.
        schema: Statements that make its tables where they are not there (IF NOT EXISTS).
        version: Of the schema.
        upgrade: Makes of the tables of an older version those of this one, in a transaction.
        readonly: Open it for reading: while others write, and without changing it.

    Raises:
        StoreError: If it cannot be opened, is not ours, or has a newer schema.
    """

    def __init__(
        self,
        path: Path | None,
        schema: Sequence[str],
        version: int,
        upgrade: Callable[[sqlite3.Connection], None],
        *,
        readonly: bool = False,
    ) -> None:
        self.path = path
        self._schema = schema
        self._version = version
        self._upgrade = upgrade
        self._lock = threading.RLock()
        if path is None:
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._create()
            return
        _check_path(path, readonly)
        # Whatever lies at the path is looked at before anything is written to it.
        empty = not path.exists() or path.stat().st_size == 0 or _is_half_made(path)
        wal = path.with_name(path.name + "-wal")
        if empty and wal.exists() and wal.stat().st_size > 0:  # SQLite would delete it
            message = f"study file {str(path)!r} is empty, but {wal.name!r}, what was last written, is there"
            raise _error(path, message, _salvage(path))
        empty = empty or self._look(path)
        if readonly and empty:
            raise _error(
                path, f"study file {str(path)!r} is empty", "run `airtune tune ... --study FILE` first"
            )
        self._db = _connect(path, "ro" if readonly else "rwc")
        try:
            if not readonly:
                with self._errors("open"):
                    self._db.execute("PRAGMA journal_mode=WAL")
                    self._db.execute("PRAGMA synchronous=FULL")
                self._create()
                self._checkpoint()  # of a process that was killed
            elif not self._is_current():
                self._copy()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file. What was written is then in it, and not in the log beside it, also while others read."""
        with self._lock, contextlib.closing(self._db):
            self._checkpoint()

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
            StoreError: If the file cannot be written.
        """
        with self._lock, self._errors("write"):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # there is none, or SQLite has rolled it back
                    self._db.execute("ROLLBACK")
                raise

    def _checkpoint(self) -> None:
        """Bring what the log beside the file holds into the file itself, as far as that can be without waiting."""
        with contextlib.suppress(sqlite3.Error):  # read-only, closed already, or the disk is full
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _is_current(self) -> bool:
        with self._errors("open"):
            application = self._db.execute("PRAGMA application_id").fetchone()[0]
            version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        return bool(application == APPLICATION_ID) and version == self._version

    def _create(self) -> None:
        """Make the tables that are not there: all of a new file's, the later ones of an older schema."""
        if self._is_current():
            return
        with self.transaction() as db:
            for statement in self._schema:
                db.execute(statement)
            self._upgrade(db)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {self._version}")

    def _copy(self) -> None:
        """Read an older file as one of this version: a copy in memory, upgraded."""
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        with self._errors("read"):
            self._db.backup(copy)
        self._db.close()
        self._db = copy
        self._create()

    def _look(self, path: Path) -> bool:
        """Whether the database at the path is still empty.

        Raises:
            StoreError: If it is neither empty nor one that this version can read.
        """
        with contextlib.closing(_connect(path, "ro")) as db:
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
                    raise _error(path, message, hint) from error
                raise _cannot("read", path, error) from error
        if (application, version, tables) == (0, 0, 0):
            return True
        if application != APPLICATION_ID and (application or tables):
            raise _error(path, f"{str(path)!r} is an SQLite file of another program, not a study file")
        if application != APPLICATION_ID or not 1 <= version <= self._version:
            raise StoreError(
                f"study file {str(path)!r} has schema version {version}",
                value=version,
                allowed=f"schema version 1 to {self._version}",
                hint="a newer Airtune wrote it: update this one, or choose another file (path=)",
            )
        if more:
            message = f"{str(path)!r} holds {more}, which no Airtune puts into a study file"
            raise _error(path, message, f"do not trust it as it is: {_salvage(path)}")
        if damage:
            raise _error(path, f"study file {str(path)!r} is damaged: {damage}", _salvage(path))
        return False

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except _UNREADABLE as error:
            raise _cannot(what, self.path, error) from error


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
    """What is in the database that none of our versions puts there, or "".

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


def _check_path(path: Path, readonly: bool) -> None:
    if "\0" in str(path):
        raise _error(path, f"study file {str(path)!r} has a NUL character in its name")
    try:
        is_file, is_there = path.is_file(), path.exists()
    except OSError as error:
        raise _error(path, f"cannot open study file {str(path)!r}: {error.strerror}") from error
    if is_there and not is_file:
        raise _error(path, f"study file {str(path)!r} is not a file")
    if readonly and not is_there:
        hint = "check the path, or run `airtune tune ... --study FILE` first"
        raise _error(path, f"there is no study file {str(path)!r}", hint)
    if not is_there and not path.parent.is_dir():
        message = f"cannot make study file {str(path)!r}: there is no folder {str(path.parent)!r}"
        raise _error(path, message, "make the folder, or choose another file (path=)")


def _is_half_made(path: Path) -> bool:
    """Whether a process was killed as it made the file: SQLite has its first page to undo yet, which leaves nothing."""
    try:
        with path.with_name(path.name + "-journal").open("rb") as journal:
            header = journal.read(_JOURNAL.size)
    except OSError:
        return False
    magic, pages_before, page_size = _JOURNAL.unpack(header.ljust(_JOURNAL.size, b"\0"))
    return bool(magic == _JOURNAL_MAGIC and pages_before == 0 and path.stat().st_size <= page_size)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(os.fsencode(path))}?mode={mode}"
    if mode == "ro" and _is_at_rest(path):
        uri += "&immutable=1"
    try:
        return sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise _cannot("open", path, error) from error


def _is_at_rest(path: Path) -> bool:
    """Whether nobody writes it and SQLite cannot make the files beside it by which readers see a writer."""
    return not path.with_name(path.name + "-wal").exists() and not os.access(path.parent, os.W_OK)


def _cannot(what: str, path: Path | None, error: sqlite3.Error | UnicodeError) -> StoreError:
    text = str(error)
    if "readonly" in text or "unable to open" in text:
        hint = "make the file and its folder writable, or choose another file (path=)"
    elif "locked" in text:
        hint = "another program keeps the file locked: close it, or choose another file (path=)"
    elif "full" in text or ("disk I/O" in text and what != "read"):
        # SQLite says the latter of a full disk and of a file made read-only while it was open.
        see = "" if "full" in text else ", see that the file and its folder are writable,"
        again = "run the same command again: nothing that was told is lost"
        hint = f"free some space on the disk{see} and {again}"
    elif what == "write" and "malformed" not in text:
        hint = "check the file and the disk, or choose another file (path=)"
    else:
        hint = _salvage(path)
    return _error(path, f"cannot {what} study file {str(path)!r}: {text}", hint)


def _salvage(path: Path | None) -> str:
    return f"`airtune recover {path}` copies what can still be read into a new file"


def _error(path: Path | None, message: str, hint: str = "choose another file (path=)") -> StoreError:
    allowed = "a study file, or a path where one can be made"
    return StoreError(message, value=str(path), allowed=allowed, hint=hint)
