"""Files that users name: read if they are regular ones, written whole or not at all, and never over a database."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from .errors import AirtuneError

MOST_BYTES = 1 << 28  # of a file that is read as a whole: more is a slip
SQLITE = b"SQLite format 3\0"  # what a study file, and any SQLite database, begins with
_BESIDE = re.compile(r"-(wal|shm|journal)$")  # what SQLite keeps beside a database


def read_file(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file that a user has named.

    Raises:
        OSError: If it cannot be read, is no regular file (a pipe may never end, nor does /dev/zero), or is too large.
    """
    # Without waiting: opening a pipe that nobody writes to would last forever.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if found.st_size > most:
            raise OSError(
                errno.EFBIG, f"it has {found.st_size:,} bytes, and {most:,} are the most", str(path)
            )
        return file.read(found.st_size)


def check_output(path: Path, reading: Path | None = None) -> None:
    """Refuse to write over a database, which a study file is, or over the file that is being read.

    Raises:
        AirtuneError: If the path is such a file, a link to one, or what SQLite keeps beside it.
    """
    for one in (path, path.with_name(_BESIDE.sub("", path.name))):
        if not one.is_file():
            continue
        if reading is not None and reading.exists() and one.samefile(reading):
            what = "the file that is being read"
        else:
            with one.open("rb") as file:
                if file.read(len(SQLITE)) != SQLITE:
                    continue
            what = "an SQLite database, perhaps a study file"
        raise AirtuneError(
            f"{str(path)!r} is {what if one == path else f'part of {str(one)!r}, {what}'}, and would be lost",
            value=str(path),
            allowed="a new file, or one that is no database",
            hint="choose another file",
        )


@contextlib.contextmanager
def replacing(path: Path, reading: Path | None = None) -> Iterator[Path]:
    """A path beside a file that a user has named, to write the new one at: it gets there when it is whole.

    What was there stays until then; where there is a link, the file that it shows is replaced.

    Args:
        path: The file.
        reading: The file that the content is made from.

    Raises:
        AirtuneError: See `check_output`.
        OSError: If it cannot be written, or is no regular file.
    """
    check_output(path, reading)
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    target = path.resolve()
    beside = target.with_name(f".{target.name[:100]}-{uuid.uuid4().hex}.part")
    try:
        beside.touch(exist_ok=False)
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        if target.exists():
            beside.chmod(stat.S_IMODE(target.stat().st_mode))
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def write_file(path: Path, content: bytes, reading: Path | None = None) -> None:
    """Write a file that a user has named; see `replacing`. Pipes and devices are written to as they are.

    Args:
        path: The file.
        content: All of it.
        reading: The file that the content was made from.

    Raises:
        AirtuneError: See `check_output`.
        OSError: If it cannot be written.
    """
    check_output(path, reading)
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    with replacing(path, reading) as beside:
        beside.write_bytes(content)
