"""The study file's contract: what is written is there, also for readers; what is no study file is refused."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airtune.engine import Proposal, StoreError, StudyFile, Trial
from airtune.engine.storage.opening import cannot
from airtune.engine.storage.study_file import TrialInsert, TrialUpdate


@pytest.fixture(params=["file", "memory"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StudyFile]:
    path = tmp_path / "s.sqlite" if request.param == "file" else None
    with StudyFile(path) as opened:
        opened.acquire("s")
        opened.create("s", {"task": "t", "seed": 0})
        yield opened


def ask(file: StudyFile, number: int, name: str = "s", transcript: dict[str, object] | None = None) -> Trial:
    trial = Trial(number, {"x": number / 3, "c": "é\u2028"}, proposal_s=0.25)
    file.insert([TrialInsert(name, trial, f'{{"x":{number}}}', Proposal(trial.config, "random", transcript))])
    return trial


def test_what_is_written_is_read_back(file: StudyFile) -> None:
    first = ask(
        file, 0, transcript={"prompt": "p\x00\ud800", "logprobs": [-0.1, 1e-320], "token_ids": [1, 2]}
    )
    second = ask(file, 1)
    told = replace(first, status="told", loss=0.1 + 0.2, info={"b": 1e-17, "a": [1, None]}, evaluation_s=1.5)
    failed = replace(second, status="failed", reason="it broke")
    file.update([TrialUpdate("s", told)])
    file.update([TrialUpdate("s", failed, "Traceback\ud800")])
    assert file.trials("s") == [told, failed]
    assert list(file.trials("s")[0].info) == ["b", "a"]
    records = file.records("s")
    assert [record.origin for record in records] == ["random", "random"]
    assert [record.text for record in records] == ['{"x":0}', '{"x":1}']
    assert records[1].log == "Traceback?"
    assert all(r.finished is not None and r.finished >= r.asked for r in records)
    assert file.transcripts("s") == {
        0: {"prompt": "p\x00\ud800", "logprobs": [-0.1, 1e-320], "token_ids": [1, 2]}
    }
    record = file.get()
    assert (record.name, record.told, record.failed, record.asked) == ("s", 1, 1, 0)
    assert record.manifest == {"task": "t", "seed": 0}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_round_trip(value: float) -> None:
    value += 0.0  # the one float that SQLite does not keep is -0.0, and a loss is never that
    with StudyFile(None) as file:
        file.acquire("s")
        file.create("s", {})
        trial = Trial(0, {"x": value})
        file.insert([TrialInsert("s", trial, "t", Proposal(trial.config, "random"))])
        file.update([TrialUpdate("s", replace(trial, status="told", loss=value, info={"y": value}))])
        (found,) = file.trials("s")
        for kept in (found.loss, found.info["y"], found.config["x"]):
            assert kept == value
            assert math.copysign(1.0, kept) == math.copysign(1.0, value)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, None])
def test_no_told_trial_without_a_finite_loss(file: StudyFile, loss: float | None) -> None:
    trial = ask(file, 0)
    with pytest.raises(StoreError):
        file.update([TrialUpdate("s", replace(trial, status="told", loss=loss))])
    assert file.trials("s") == [trial]


def test_a_number_a_configuration_and_a_result_are_given_once(file: StudyFile) -> None:
    trial = ask(file, 0)
    with pytest.raises(StoreError, match="UNIQUE"):
        ask(file, 0)
    with pytest.raises(StoreError, match="UNIQUE"):
        file.insert([TrialInsert("s", Trial(1, {}), '{"x":0}', Proposal({}, "random", {"prompt": "p"}))])
    file.update([TrialUpdate("s", replace(trial, status="told", loss=1.0))])
    with pytest.raises(StoreError, match="not waiting"):
        file.update([TrialUpdate("s", replace(trial, status="told", loss=2.0))])
    assert file.trials("s")[0].loss == 1.0
    assert file.transcripts("s") == {}  # the refused trial has left nothing behind


def test_what_json_cannot_hold_is_refused(file: StudyFile) -> None:
    with pytest.raises(StoreError, match="the transcript cannot be stored"):
        ask(file, 0, transcript={"logprobs": [math.nan]})
    assert file.trials("s") == []


def test_violations_are_kept_and_counted(file: StudyFile) -> None:
    file.violation("s", 3, Proposal({"x": object()}, "broken"), "it has been tried")
    assert file.get("s").violations == 1


def test_get_names_what_is_there(file: StudyFile) -> None:
    file.acquire("study two")
    file.create("study two", {})
    with pytest.raises(StoreError) as caught:
        file.get("studytwo")
    assert "'study two'" in str(caught.value)
    with pytest.raises(StoreError, match="holds 2 studies"):
        file.get()
    assert file.find("three") is None


def test_a_reader_sees_what_a_writer_has_committed(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as writer:
        writer.acquire("s")
        writer.create("s", {})
        with StudyFile(path, readonly=True) as reader:
            assert reader.trials("s") == []
            for number in range(3):
                ask(writer, number)
                assert len(reader.trials("s")) == number + 1
            with pytest.raises(StoreError, match="readonly"):
                reader.acquire("other")


def test_reading_changes_no_byte(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as writer:
        writer.acquire("s")
        writer.create("s", {})
    before = path.read_bytes()
    with StudyFile(path, readonly=True) as reader:
        assert reader.get("s").told == 0
    assert path.read_bytes() == before
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT COUNT(*) FROM leases").fetchone() == (0,)
    db.close()


def half_made(path: Path, pages: int = 0) -> None:
    """What is there if a process is killed just after SQLite wrote a file's first page."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1")
    journal = bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", 0, 7, pages, 512, 4096)
    Path(f"{path}-journal").write_bytes(journal.ljust(512, b"\0"))


def test_a_file_that_was_only_just_being_made_is_made_anew(tmp_path: Path) -> None:
    """A process killed between SQLite's first page and its journal's end left what nobody could open any more."""
    path = tmp_path / "s.sqlite"
    half_made(path)
    with pytest.raises(StoreError, match="is empty"):
        StudyFile(path, readonly=True)
    with StudyFile(path) as file:
        file.acquire("s")
        file.create("s", {})
    with StudyFile(path, readonly=True) as file:
        assert file.get("s").told == 0


def test_a_journal_of_a_file_that_held_something_is_not_undone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    half_made(path, pages=1)
    before = path.read_bytes()
    with pytest.raises(StoreError):
        StudyFile(path)
    assert path.read_bytes() == before


def test_an_input_output_error_may_mean_that_the_file_was_made_read_only(tmp_path: Path) -> None:
    """SQLite's words for a file made unchangeable while it was open; the advice spoke of the disk's space alone."""
    error = cannot("write", tmp_path / "s.sqlite", sqlite3.OperationalError("disk I/O error"))
    assert "free some space" in str(error)
    assert "the file and its folder are writable" in str(error)


@pytest.mark.parametrize("name", ["SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE"])
def test_reading_on_a_full_disk_is_no_damage(tmp_path: Path, name: str) -> None:
    """Bug: SQLite has no room for the files beside a whole study file, and the advice was to recover what is left."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name
    told = str(cannot("read", tmp_path / "s.sqlite", error))
    assert "free some space" in told
    assert "recover" not in told
    error.sqlite_errorname = "SQLITE_IOERR_READ"
    assert "recover" in str(cannot("read", tmp_path / "s.sqlite", error))


def not_sqlite(path: Path) -> None:
    path.write_text("these are my notes, not a study\n" * 40)


def other_program(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes (title TEXT)")
    db.close()


def other_application(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA application_id = 77")
    db.close()


def newer(path: Path) -> None:
    StudyFile(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()


def newer_and_empty(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()


def cut_off(path: Path) -> None:
    StudyFile(path).close()
    os.truncate(path, 50)


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (not_sqlite, "not an SQLite file"),
        (cut_off, "malformed"),
        (other_program, "another program"),
        (other_application, "another program"),
        (newer, "schema version 999"),
        (newer_and_empty, "schema version 999"),
        (Path.mkdir, "is not a file"),
        (os.mkfifo, "is not a file"),
    ],
)
def test_what_is_no_study_file_is_refused_and_left_alone(
    tmp_path: Path, prepare: Callable[[Path], None], message: str, readonly: bool
) -> None:
    path = tmp_path / "s.sqlite"
    prepare(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError, match=message) as caught:
        StudyFile(path, readonly=readonly)
    assert "s.sqlite" in caught.value.message
    assert caught.value.allowed
    assert caught.value.hint
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize("name", ["no/such/folder/s.sqlite", "file/s.sqlite", "x" * 5000, "nul\0"])
def test_paths_where_no_file_can_be_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    for readonly in (False, True):
        with pytest.raises(StoreError) as caught:
            StudyFile(tmp_path / name, readonly=readonly)
        assert caught.value.hint


@pytest.mark.parametrize("name", ["a b?c#d%20.sqlite", "ünï.sqlite", "-wal", "100%"])
def test_paths_with_odd_characters(tmp_path: Path, name: str) -> None:
    with StudyFile(tmp_path / name) as file:
        file.acquire("s")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_empty_file_becomes_a_study_file_but_is_none_to_read(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.touch()
    with pytest.raises(StoreError, match="is empty"):
        StudyFile(path, readonly=True)
    StudyFile(path).close()
    StudyFile(path, readonly=True).close()
    # what is left if the process that makes the file is killed on the way
    with sqlite3.connect(tmp_path / "half") as db:
        db.execute("PRAGMA journal_mode=WAL")
    db.close()
    StudyFile(tmp_path / "half").close()
    StudyFile(tmp_path / "half", readonly=True).close()


def test_closing_twice_does_nothing(tmp_path: Path) -> None:
    file = StudyFile(tmp_path / "s.sqlite")
    file.acquire("s")
    file.close()
    file.close()
    with pytest.raises(StoreError, match="closed"):
        file.studies()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_nobody(action: Callable[[], object]) -> str:
    """What the action returns, or its error, in a process without root's rights."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            text = str(action())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(sending, text.encode())
        os._exit(0)
    os.close(sending)
    os.waitpid(child, 0)
    with open(receiving, encoding="utf-8") as received:
        return received.read()


def test_a_file_that_may_only_be_read(public_folder: Path) -> None:
    path = public_folder / "s.sqlite"
    with StudyFile(path) as file:
        file.acquire("s")
        file.create("s", {})
    path.chmod(0o444)
    public_folder.chmod(0o555)

    def read() -> str:
        with StudyFile(path, readonly=True) as file:
            return file.get().name

    def write(name: str) -> None:
        with StudyFile(public_folder / name) as file:
            file.acquire("s")

    assert as_nobody(read) == "s"
    for name in ("s.sqlite", "new.sqlite"):
        said = as_nobody(lambda name=name: write(name))
        assert said.startswith("StoreError: cannot ")
        assert name in said
        assert "make the file and its folder writable" in said
    public_folder.chmod(0o755)


@pytest.mark.parametrize("name", ["\udcff", 3])
def test_a_name_that_no_file_can_hold(tmp_path: Path, name: Any) -> None:
    """Bug: the advice was to check the file and the disk."""
    with StudyFile(tmp_path / "a.sqlite") as file:
        for use in (file.find, file.get, file.acquire):
            with pytest.raises(StoreError, match="cannot be called") as caught:
                use(name)
            assert caught.value.hint == "choose another name (name=)"
