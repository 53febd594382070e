"""Files that users name: only regular ones are read; a database is never written over, and nothing by halves."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from airtune.grammars import AirtuneError, read_file, read_space, write_file


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xffabc")
    (tmp_path / "link").symlink_to(path)
    assert read_file(tmp_path / "link", most=4) == b"\xffabc"
    with pytest.raises(OSError, match="4 bytes, and 3 are the most"):
        read_file(path, most=3)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (os.mkfifo, errno.EINVAL),
        (lambda path: path.symlink_to("/dev/zero"), errno.EINVAL),
        (lambda path: path.symlink_to("/dev/tty0"), None),
        (Path.mkdir, errno.EISDIR),
        (lambda path: None, errno.ENOENT),
    ],
)
def test_what_never_ends_is_not_read(tmp_path: Path, make: Callable[[Path], None], code: int | None) -> None:
    """Bug: a pipe without a writer is waited for, and a device is read until no memory is left."""
    path = tmp_path / "f"
    make(path)
    with pytest.raises(OSError, match="Errno") as caught:
        read_file(path)
    assert code is None or caught.value.errno == code
    with pytest.raises(AirtuneError, match="cannot read the space file"):
        read_space(path)


def test_a_byte_order_mark_is_no_part_of_a_space(tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text(
        '\ufeff{"x": {"type": "int", "lower": 1, "upper": 3}}', encoding="utf-8"
    )
    assert list(read_space(tmp_path / "space.json")) == ["x"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "s.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
    return path


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("s.sqlite", lambda path, database: None),
        ("./x/../s.sqlite", lambda path, database: None),
        ("link", lambda path, database: path.symlink_to(database)),
        ("hard", lambda path, database: path.hardlink_to(database)),
        ("copy", lambda path, database: path.write_bytes(database.read_bytes())),
        ("s.sqlite-wal", lambda path, database: None),
        ("s.sqlite-shm", lambda path, database: path.write_bytes(b"shared")),
        ("s.sqlite-journal", lambda path, database: None),
    ],
)
def test_a_database_is_never_written_over(
    tmp_path: Path, database: Path, name: str, make: Callable[[Path, Path], None]
) -> None:
    """Bug: `airtune export s.sqlite -o s.sqlite` left a text where all trials had been, with exit code 0."""
    (tmp_path / "x").mkdir()
    path = tmp_path / name
    make(path, database)
    before = {one: one.read_bytes() for one in tmp_path.iterdir() if one.is_file()}
    for reading in (None, database):
        with pytest.raises(AirtuneError, match="would be lost") as caught:
            write_file(path, b"text", reading)
        assert caught.value.hint
    assert {one: one.read_bytes() for one in tmp_path.iterdir() if one.is_file()} == before


def test_what_is_read_is_not_written_over_whatever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(b"once a study")
    with pytest.raises(AirtuneError, match="the file that is being read"):
        write_file(path, b"text", reading=path)
    assert path.read_bytes() == b"once a study"


@pytest.mark.parametrize("before", [None, b"", b"an earlier export"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    """Bug: the file was emptied first, and then there was no room for the new one."""
    path = tmp_path / "out.jsonl"
    if before is not None:
        path.write_bytes(before)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_file(path, b"text")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == ([] if before is None else [before])
    write_file(path, b"text")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"text"]


def test_links_rights_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    """Bugs: the link is replaced in place of its file; a private file becomes public; a device becomes a file."""
    path, link, new = tmp_path / "out", tmp_path / "link", tmp_path / "new"
    path.write_bytes(b"old")
    path.chmod(0o600)
    link.symlink_to(path)
    write_file(link, b"text")
    assert link.is_symlink()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"text", 0o600)
    write_file(new, b"text")
    (tmp_path / "plain").touch()
    assert new.stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "null").symlink_to("/dev/null")
    write_file(tmp_path / "null", b"text")
    assert (tmp_path / "null").is_char_device()
