"""A study file that is moved, replaced or removed while it is written to: noticed, and all of it kept in a copy."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from airtune.engine.storage.opening import COMPARISON_FILE
from airtune.engine.types import StudyFileMoved


class Place:
    """Where a database is that this process has open, and what SQLite keeps beside it.

    SQLite goes on writing to a file that has another name, or none: nobody would find it there.

    Args:
        path: The file, open already.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()  # the objective may go to another folder
        self._file, self._size = (0, 0), 0
        with contextlib.suppress(FileNotFoundError):  # gone by now, which is noticed at the first write
            found = self.path.stat()
            self._file, self._size = (found.st_dev, found.st_ino), found.st_size
        self._beside: dict[Path, tuple[int, int]] = {}
        for end in ("-wal", "-shm"):
            one = self.path.with_name(self.path.name + end)
            with contextlib.suppress(OSError):
                self._beside[one] = (one.stat().st_dev, one.stat().st_ino)

    def what_happened(self) -> str:
        """What became of the file, in words; "" if it is where it was, or that cannot be told."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return "was moved or removed"
        except OSError:
            return ""
        if (found.st_dev, found.st_ino) != self._file:
            return "was replaced by another file"
        if found.st_size < self._size:
            return "was cut short by another program"
        self._size = found.st_size
        return ""

    def save(self, db: sqlite3.Connection) -> tuple[Path | None, str]:
        """Copy the whole database into a new file; None, and why, if there can be none."""
        why = "there is no folder for it"
        for target in self._targets():
            try:
                copy_database(db, target)
                self._tidy()
                return target, ""
            except (OSError, sqlite3.Error) as error:
                target.unlink(missing_ok=True)
                why = str(error)
        return None, why

    def error(self, happened: str, saved: Path | None, why: str) -> StudyFileMoved:
        """What to raise: what happened, where it was saved, or why it was not."""
        if saved is None:
            hint = f"no copy of it could be made ({why}): put the file back, and the same command goes on"
        elif saved.suffix == Path(COMPARISON_FILE).suffix:
            hint = (
                f"all that was told is in {str(saved)!r}: move that to a folder of its own, as {COMPARISON_FILE}, and "
                "go on in that folder"
            )
        else:
            hint = f"all that was told is in {str(saved)!r}: go on with that file (path=)"
        moved = StudyFileMoved(
            f"study file {str(self.path)!r} {happened} while it was written to",
            value=str(self.path),
            allowed="a study file that stays where it is while a study runs",
            hint=hint,
        )
        moved.saved = saved
        return moved

    def _targets(self) -> Iterator[Path]:
        """New files: beside it, or where there is no such folder any more, in this one or that of temporary files."""
        for folder in (self.path.parent, Path(), Path(tempfile.gettempdir())):
            for number in count(1):
                again = "" if number == 1 else f"-{number}"
                name = f"{self.path.stem}.rescued{again}{self.path.suffix}"
                try:
                    target = folder.absolute() / name  # this folder may be gone, too
                    target.touch(exist_ok=False)
                except FileExistsError:
                    continue
                except OSError:
                    break
                yield target
                break

    def _tidy(self) -> None:
        """Remove what SQLite keeps beside the file, if it is still ours: it would be taken for a new file's."""
        for path, known in self._beside.items():
            with contextlib.suppress(OSError):
                if (path.stat().st_dev, path.stat().st_ino) == known:
                    path.unlink()


def copy_database(db: sqlite3.Connection, target: Path) -> None:
    """Copy all that is in a database at this moment, whoever writes to it, into an empty file, as one file.

    Raises:
        sqlite3.Error: If the database cannot be read, or the file not be written.
    """
    try:
        with contextlib.closing(sqlite3.connect(os.fspath(target), isolation_level=None)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    finally:
        for ending in ("-journal", "-wal", "-shm"):  # where that failed, on a full disk, SQLite leaves them
            target.with_name(target.name + ending).unlink(missing_ok=True)
