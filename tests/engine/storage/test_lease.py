"""Leases: one writer per study, and what becomes of the lease of a process that died, hung or moved."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import StoreError, Study, StudyFile, Task
from airtune.engine.storage import lease
from airtune.engine.storage.holder import Holder, process_start


def test_two_files_may_not_write_to_one_study(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as one, StudyFile(path) as two:
        one.acquire("s")
        with pytest.raises(StoreError, match="being written by this process") as caught:
            two.acquire("s")
        assert caught.value.value == os.getpid()
        two.acquire("another")
        one.release("s")
        two.acquire("s")
        with pytest.raises(StoreError, match="does not hold"):
            one.create("s", {})


def test_the_lease_of_a_study_file_that_is_gone_lapses(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    gone = StudyFile(path)
    gone.acquire("s")
    gone._database.close()  # as where the disk is too full to give it back
    gone.close()
    with StudyFile(path) as file:
        file.acquire("s")


def test_a_lease_is_given_back_if_an_interrupt_came_just_after_it_was_stored(tmp_path: Path) -> None:
    """It was stored, and not yet noted as ours: it stayed in the file, held by a process that had ended well."""

    class Interrupted(dict[str, str]):
        def update(self, *_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

    path = tmp_path / "s.sqlite"
    file = StudyFile(path)
    file._leases._tokens = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        file.acquire("s")
    file.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT COUNT(*) FROM leases").fetchone() == (0,)


def set_holder(path: Path, holder: Holder) -> None:
    db = sqlite3.connect(path)
    with db:
        db.execute(
            "INSERT OR REPLACE INTO leases VALUES ('s', ?, ?, ?, 'token')",
            holder.row,
        )
    db.close()


def test_a_dead_process_s_lease_is_taken_over_and_a_live_one_s_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    me = Holder.me()
    with StudyFile(path) as file:
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            start = process_start(other.pid)
            assert start is not None
            live = Holder(me.host, other.pid, me.place, start)
            set_holder(path, live)
            with pytest.raises(StoreError, match=f"process {other.pid}") as caught:
                file.acquire("s")
            assert caught.value.value == other.pid
            assert caught.value.hint is not None
            set_holder(path, replace(live, start="of an earlier process with its number"))
            file.acquire("s")
            file.release("s")
            set_holder(path, live)
        finally:
            other.communicate()
        file.acquire("s")


def test_a_lease_of_another_machine_is_given_up_by_hand_only(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        set_holder(path, Holder("elsewhere", 4321, "m/b/pid:[1]", "then"))
        with pytest.raises(StoreError, match="process 4321 on 'elsewhere'") as caught:
            file.acquire("s")
        assert "take_over=True" in str(caught.value)
        file.release("s", force=True)
        file.acquire("s")


@pytest.mark.parametrize("host", ["elsewhere", "container-1", "ö.example"])
def test_one_option_takes_a_study_over(host: str, tmp_path: Path) -> None:
    """Catches: an option that asks for the lease as ever, or one that is always on; a former holder that writes on."""
    path, task = tmp_path / "s.sqlite", Task("t", ConfigurationSpace({"x": (0.0, 1.0)}), lambda c: c["x"])
    with Study(task, "random", path=path, name="s") as former:
        asked = former.ask()
        set_holder(path, Holder(host, 4321, "m/b/pid:[1]", "then"))
        with pytest.raises(StoreError, match="take_over=True"):
            Study(task, "random", path=path, name="s")
        with Study(task, "random", path=path, name="s", take_over=True) as taken:
            assert len(taken.run(2).trials) == 2
            with pytest.raises(StoreError, match="does not hold"):
                former.tell(asked, 0.0)


def leases(path: Path) -> dict[str, str]:
    """The rows as they are: name -> token."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT name, token FROM leases").fetchall())


def test_all_leases_or_none(tmp_path: Path) -> None:
    """Bugs: those before the one that is held stay acquired; a lease that was refused is counted among ours."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as one, StudyFile(path) as two:
        one.acquire("b")
        with pytest.raises(StoreError, match="'b'"):
            two.acquire("a", "b")
        assert two.leases == {}
        assert leases(path) == one.leases
        two.acquire("a", "c")
        assert leases(path) == one.leases | two.leases
        assert set(two.leases) == {"a", "c"}


def test_a_lease_is_given_back_by_its_holder_alone(tmp_path: Path) -> None:
    """Bugs: `release` or `close` deletes the row of whoever has taken the study over; or that of another study."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        file.acquire("s", "other")
        set_holder(path, Holder("elsewhere", 1, "m/b/pid:[1]", "then"))
        other = file.leases["other"]
        file.release("s")
        assert leases(path) == {"s": "token", "other": other}
        assert file.leases == {"other": other}
        file.release("s", force=True)
        assert leases(path) == {"other": other}
        set_holder(path, Holder("elsewhere", 1, "m/b/pid:[1]", "then"))
    assert leases(path) == {"s": "token"}


def test_what_is_borrowed_writes_and_is_not_given_back(tmp_path: Path) -> None:
    """Bugs: a lent lease does not let its user write; or ends with the user, while its owner goes on."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as owner:
        owner.acquire("s", "t")
        with StudyFile(path, leases=owner.leases) as user:
            assert user.leases == owner.leases
            user.create("s", {})
            user.acquire("mine")
            assert set(user.leases) == {"s", "t", "mine"}
        assert leases(path) == owner.leases
        owner.create("t", {})
        owner.release("s")
        with StudyFile(path, leases={"s": "stale"}) as user, pytest.raises(StoreError, match="nobody does"):
            user.create("s", {})


def test_who_holds_it_and_what_to_do(tmp_path: Path) -> None:
    """Bugs: the three cases of the advice change places."""
    path = tmp_path / "s.sqlite"
    me = Holder.me()
    assert (me.host, me.pid) == (socket.gethostname(), os.getpid())
    with StudyFile(path) as file, StudyFile(path) as mine:
        mine.acquire("s")
        with pytest.raises(StoreError) as caught:
            file.acquire("s")
        assert caught.value.hint == "close() the Study that has it open"
        assert caught.value.allowed == "one writer per study"
        with pytest.raises(StoreError) as caught:
            file.create("s", {})
        assert (caught.value.value, caught.value.hint) == ("s", "open the study again")
        assert caught.value.allowed == "writing by the study's one writer"
        mine.release("s")
        parent = Holder(me.host, os.getppid(), me.place, process_start(os.getppid()) or "")
        set_holder(path, parent)
        with pytest.raises(StoreError) as caught:
            file.acquire("s")
        assert (
            caught.value.message == f"study 's' in {str(path)!r} is being written by process {os.getppid()}"
        )
        assert str(caught.value.hint).startswith(f"wait for process {os.getppid()} or end it")
        set_holder(path, replace(parent, host="elsewhere", place="m/b/pid:[1]"))
        with pytest.raises(StoreError) as caught:
            file.acquire("s")
        who = f"process {parent.pid} on 'elsewhere', which cannot be seen from here"
        assert caught.value.message.endswith(f"is being written by {who}")
        assert str(caught.value.hint).startswith("wait for it or end it there")


def test_closing_again_gives_nothing_back_twice(tmp_path: Path) -> None:
    """Bug: the second `close` fails, or takes the lease from whoever has the study by then."""
    path = tmp_path / "s.sqlite"
    file = StudyFile(path)
    file.acquire("s")
    file.close()
    with StudyFile(path) as other:
        other.acquire("s")
        file.close()
        assert leases(path) == other.leases


@pytest.mark.parametrize("started", ["boot:17", "Mon Jan  1 10:00:00 2029", "", "a/b", "/", "//////"])
def test_rows_of_older_versions_and_of_none(tmp_path: Path, started: str) -> None:
    """They know no namespace: nothing is proved by them, and one option takes the study over."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        for host in (socket.gethostname(), "elsewhere"):
            set_holder(path, Holder(host, os.getppid(), "", started))
            with pytest.raises(StoreError, match="take_over=True"):
                file.acquire("s")
            file.acquire("s", take_over=True)


@pytest.mark.parametrize("pid", ["one", "/../self", 1.5, b"1", 1 << 62, -1, 0])
def test_rows_that_nobody_of_us_wrote(tmp_path: Path, pid: Any) -> None:
    """A file may come from anywhere: what stands for a process's number is no error of ours, and signals nobody."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        set_holder(path, replace(Holder.me(), pid=pid))
        with contextlib.suppress(StoreError):  # of a number that no process can have, the process has ended
            file.acquire("s")
        file.acquire("s", take_over=True)


def test_a_fork_is_another_process(tmp_path: Path) -> None:
    """Bug: a fork knows its parent's tokens, and took the lease of its living parent for one of its own that lapsed."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        file.acquire("s")
        child = os.fork()
        if child == 0:
            lease._living.clear()  # as where the copy of the file was dropped
            try:
                StudyFile(path).acquire("s")
            except StoreError as error:
                os._exit(0 if f"process {os.getppid()}" in str(error) else 2)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_host_gets_another_name_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: by another name this process took itself for another one, and its own lease that had lapsed for held."""
    path = tmp_path / "s.sqlite"
    gone = StudyFile(path)
    gone.acquire("s")
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    with StudyFile(path) as file:
        with pytest.raises(StoreError, match="by this process"):
            file.acquire("s")
        gone._leases._tokens.clear()
        file.acquire("s")
    gone.close()
