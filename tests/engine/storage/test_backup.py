"""The main file alone is whole once nobody writes: what a copy of it holds, with nothing of the log beside it."""

from __future__ import annotations

import shutil
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airtune.engine import Proposal, StudyFile, Trial
from airtune.engine.cli.app import main
from airtune.engine.storage.study_file import TrialInsert
from airtune.engine.types import StoreError


def write(file: StudyFile, trials: int) -> None:
    file.acquire("s")
    file.create("s", {})
    file.insert([TrialInsert("s", Trial(n, {"x": n}), f"{n}", Proposal({}, "random")) for n in range(trials)])


def trials_of_a_copy(path: Path, to: Path) -> int:
    """Trials in a copy of the main file alone, as a backup program takes it."""
    to.mkdir(exist_ok=True)
    with StudyFile(Path(shutil.copy(path, to)), readonly=True) as file:
        return len(file.trials("s"))


@pytest.mark.parametrize("trials", [1, 40, 2000])
def test_closed_while_somebody_reads(tmp_path: Path, trials: int) -> None:
    """Bug: the last to close is a reader, who may not bring the log into the file: the copy was empty."""
    path = tmp_path / "s.sqlite"
    writer = StudyFile(path)
    with StudyFile(path, readonly=True) as reader:
        write(writer, trials)
        assert len(reader.trials("s")) == trials
        writer.close()
        assert trials_of_a_copy(path, tmp_path / "copy") == trials


@pytest.mark.parametrize("trials", [1, 40, 500])
def test_opened_again_after_a_kill(tmp_path: Path, trials: int) -> None:
    """Bug: what a killed process left in the log stays there until the next thousand pages."""
    path = tmp_path / "s.sqlite"
    (tmp_path / "killed").mkdir()
    with StudyFile(path) as file:
        write(file, trials)
        killed = Path(shutil.copy(path, tmp_path / "killed"))
        shutil.copy(f"{path}-wal", f"{killed}-wal")
    with StudyFile(killed):
        assert trials_of_a_copy(killed, tmp_path / "copy") == trials


def test_a_reader_leaves_nothing_beside_it(tmp_path: Path) -> None:
    """Bugs: whoever only reads cannot remove what SQLite then makes beside the file; or writes to the file for that."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        write(file, 3)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    with StudyFile(path, readonly=True) as reader, StudyFile(path, readonly=True) as another:
        assert len(reader.trials("s")) == len(another.trials("s")) == 3
    assert [one.name for one in tmp_path.iterdir()] == ["s.sqlite"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    writer = StudyFile(path)
    with StudyFile(path, readonly=True) as reader:
        writer.acquire("t")
        writer.close()
        assert len(reader.trials("s")) == 3
    assert [one.name for one in tmp_path.iterdir()] == ["s.sqlite"]


def test_a_reader_leaves_what_a_killed_process_wrote(tmp_path: Path) -> None:
    """Bug: reading brings the log into the file: evidence of what has happened is gone."""
    path, killed = tmp_path / "s.sqlite", tmp_path / "killed"
    with StudyFile(path) as file:
        write(file, 3)
        shutil.copy(path, killed)
        shutil.copy(f"{path}-wal", f"{killed}-wal")
    before = (killed.read_bytes(), Path(f"{killed}-wal").read_bytes())
    for _ in range(2):
        with StudyFile(killed, readonly=True) as file:
            assert len(file.trials("s")) == 3
    assert (killed.read_bytes(), Path(f"{killed}-wal").read_bytes()) == before


def test_a_reader_while_somebody_writes(tmp_path: Path) -> None:
    """Bug: what a reader tidies is the log of a writer, who has not written to it yet."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        write(file, 1)
    with StudyFile(path) as writer:
        with StudyFile(path, readonly=True) as reader:
            reader.studies()
        writer.acquire("t")
        writer.create("t", {})
        with StudyFile(path, readonly=True) as reader:
            assert len(reader.studies()) == 2


def test_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for name in ("a", "b.airtune", "c d.sqlite"):
        with StudyFile(tmp_path / name) as file:
            write(file, 3)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b.airtune", "c d.sqlite"]


def test_a_copy_of_a_live_study(tmp_path: Path) -> None:
    """Bugs: what is in the log alone is not copied; the copy is held by the writer of the original; needs a log."""
    path, copy = tmp_path / "s.sqlite", tmp_path / "copy.sqlite"
    with StudyFile(path) as writer:
        write(writer, 40)
        with StudyFile(path, readonly=True) as reader:
            reader.backup(copy)
        writer.insert([TrialInsert("s", Trial(40, {"x": 40}), "40", Proposal({}, "random"))])
        assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith("copy")) == [copy.name]
        with StudyFile(copy) as file:
            assert file.trials("s") == writer.trials("s")[:-1]
            file.acquire("s")
        writer.backup(tmp_path / "another")
    assert trials_of_a_copy(tmp_path / "another", tmp_path / "copies") == 41


class Full(sqlite3.Connection):
    """As on a small file system that the copy fills: there is no room for SQLite's index, nor to tidy up."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        (_, _, file) = super().execute("PRAGMA database_list").fetchone()
        for ending in ("-wal", "-shm"):
            Path(file + ending).touch()
        raise sqlite3.OperationalError("disk I/O error")


def test_a_copy_for_which_there_is_no_room_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: a hidden log and its index stayed on the full disk for good, of a name that is never used again."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        write(file, 40)
    with StudyFile(path, readonly=True) as file:
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Full))
            with pytest.raises(StoreError, match="cannot copy"):
                file.backup(tmp_path / "copy.sqlite")
        assert [one.name for one in tmp_path.iterdir() if ".copy" in one.name] == []


def test_a_copy_of_what_a_killed_process_left(tmp_path: Path) -> None:
    path, killed = tmp_path / "s.sqlite", tmp_path / "killed"
    with StudyFile(path) as file:
        write(file, 7)
        shutil.copy(path, killed)
        shutil.copy(f"{path}-wal", f"{killed}-wal")
    with StudyFile(killed, readonly=True) as file:
        file.backup(tmp_path / "copy")
    assert trials_of_a_copy(tmp_path / "copy", tmp_path / "copies") == 7


@pytest.mark.parametrize(
    "target", ["s.sqlite", "link", "hard", "s.sqlite-wal", "other.sqlite", "folder/link"]
)
def test_no_database_is_replaced_by_a_copy(
    tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, trials in (("s.sqlite", 2), ("other.sqlite", 3)):
        with StudyFile(tmp_path / name) as file:
            write(file, trials)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("s.sqlite")
    (tmp_path / "folder" / "link").symlink_to("../other.sqlite")
    (tmp_path / "hard").hardlink_to(tmp_path / "s.sqlite")
    with pytest.raises(SystemExit) as ended:
        main(["export", str(tmp_path / "s.sqlite"), "--backup", str(tmp_path / target)])
    assert ended.value.code == 2
    assert "would be lost" in capsys.readouterr().err
    for name, trials in (("s.sqlite", 2), ("other.sqlite", 3)):
        with StudyFile(tmp_path / name, readonly=True) as file:
            assert len(file.trials("s")) == trials


def test_where_a_copy_can_and_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bugs: a raw error of the system; half a copy is left; the file's permissions change; a device is replaced."""
    path, old = tmp_path / "s.sqlite", tmp_path / "old.txt"
    with StudyFile(path) as file:
        write(file, 2)
    old.write_text("an old text")
    old.chmod(0o640)
    main_of(["export", str(path), "--backup", str(old)], 0)
    assert "copied 1 study, 2 trials into" in capsys.readouterr().out
    assert old.stat().st_mode & 0o777 == 0o640
    assert trials_of_a_copy(old, tmp_path / "copies") == 2
    for wrong in (tmp_path, tmp_path / "no folder" / "copy", Path("/dev/null"), tmp_path / ("x" * 300)):
        main_of(["export", str(path), "--backup", str(wrong)], 2)
        assert "--backup" in capsys.readouterr().err
    for option in (["--csv"], ["--no-times"], ["-o", "x"], ["--study-name", "s"], ["--optuna", "sqlite://"]):
        main_of(["export", str(path), "--backup", str(tmp_path / "new"), *option], 2)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copies", "old.txt", "s.sqlite"]


def main_of(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code
