"""Paths of study files: what may be opened, how, and what went wrong in our words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from pathlib import Path
from urllib.parse import quote

from airtune.engine.types import StoreError

# The study file of a comparison, in the folder that `airtune bench --out` names.
COMPARISON_FILE = "bench.airtune"
# How long a write waits for another process's; theirs take milliseconds, a slow disk's a second.
BUSY_TIMEOUT_S = 60.0
# How SQLite's rollback journal begins: its magic, how many pages the file had before, and the size of one.
_JOURNAL, _JOURNAL_MAGIC = struct.Struct(">8s8xI4xI"), bytes.fromhex("d9d505f920a163d7")


def study_file(path: Path) -> Path:
    """The study file that a path names: itself, or that of the comparison in the folder."""
    with contextlib.suppress(OSError):  # a folder that is closed to us: `check_path` says what is the matter
        return path / COMPARISON_FILE if path.is_dir() else path
    return path


def check_path(path: Path, readonly: bool) -> None:
    """Raise a StoreError if no study file can be there."""
    if "\0" in str(path):
        raise unusable(path, f"study file {str(path)!r} has a NUL character in its name")
    try:
        is_file, is_there = path.is_file(), path.exists()
    except OSError as error:
        raise unusable(path, f"cannot open study file {str(path)!r}: {error.strerror}") from error
    if is_there and not is_file:
        raise unusable(path, f"study file {str(path)!r} is not a file")
    if readonly and not is_there:
        hint = "check the path, or run `airtune tune ... --study FILE` first"
        raise unusable(path, f"there is no study file {str(path)!r}", hint)
    if not is_there and not path.parent.is_dir():
        message = f"cannot make study file {str(path)!r}: there is no folder {str(path.parent)!r}"
        raise unusable(path, message, "make the folder, or choose another file (path=)")


def is_half_made(path: Path) -> bool:
    """Whether a process was killed as it made the file: SQLite has its first page to undo yet, which leaves nothing."""
    try:
        with path.with_name(path.name + "-journal").open("rb") as journal:
            header = journal.read(_JOURNAL.size)
    except OSError:
        return False
    magic, pages_before, page_size = _JOURNAL.unpack(header.ljust(_JOURNAL.size, b"\0"))
    return bool(magic == _JOURNAL_MAGIC and pages_before == 0 and path.stat().st_size <= page_size)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """SQLite's connection to the file: "ro", "rw", or "rwc" to make it.

    Raises:
        StoreError: If there can be none.
    """
    uri = f"file:{quote(os.fsencode(path))}?mode={mode}"
    if mode == "ro" and is_at_rest(path):
        uri += "&immutable=1"
    try:
        return sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise cannot("open", path, error) from error


def is_at_rest(path: Path) -> bool:
    """Whether nobody writes it and SQLite cannot make the files beside it by which readers see a writer."""
    return not path.with_name(path.name + "-wal").exists() and not os.access(path.parent, os.W_OK)


def tidy(path: Path) -> None:
    """Remove the empty log that a reader has left beside a file at rest: SQLite does, where one who may write closes.

    Nothing of the file changes, and where somebody else has it open, nothing at all.
    """
    log = path.with_name(path.name + "-wal")
    with contextlib.suppress(OSError, sqlite3.Error, StoreError):
        if log.stat().st_size == 0 and os.access(path, os.W_OK):
            with contextlib.closing(connect(path, "rw")) as db:
                db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()


def cannot(what: str, path: Path | None, error: sqlite3.Error | UnicodeError) -> StoreError:
    """What to raise where SQLite cannot do `what` with the file."""
    text = str(error)
    if "readonly" in text or "unable to open" in text:
        hint = "make the file and its folder writable, or choose another file (path=)"
    elif "locked" in text:
        hint = "another program keeps the file locked: close it, or choose another file (path=)"
    elif "full" in text or ("disk I/O" in text and (what != "read" or _is_no_room(error))):
        # SQLite says the latter of a full disk and of a file made read-only while it was open.
        see = "" if "full" in text else ", see that the file and its folder are writable,"
        again = "run the same command again: nothing that was told is lost"
        hint = f"free some space on the disk{see} and {again}"
    elif what == "write" and "malformed" not in text:
        hint = "check the file and the disk, or choose another file (path=)"
    else:
        hint = salvage(path)
    return unusable(path, f"cannot {what} study file {str(path)!r}: {text}", hint)


def _is_no_room(error: sqlite3.Error | UnicodeError) -> bool:
    """Whether reading failed as SQLite made or wrote the files beside a study file, by which readers see a writer."""
    name = getattr(error, "sqlite_errorname", "")
    return name in ("SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMMAP", "SQLITE_IOERR_WRITE")


def salvage(path: Path | None) -> str:
    """The advice for a damaged file."""
    return f"`airtune recover {path}` copies what can still be read into a new file"


def unusable(path: Path | None, message: str, hint: str = "choose another file (path=)") -> StoreError:
    """What to raise where a path is none of a study file."""
    allowed = "a study file, or a path where one can be made"
    return StoreError(message, value=str(path), allowed=allowed, hint=hint)
