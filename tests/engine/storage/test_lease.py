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
from airtune.engine.storage.lease import Holder, process_start


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
            (holder.host, holder.pid, holder.started),
        )
    db.close()


def test_a_dead_process_s_lease_is_taken_over_and_a_live_one_s_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    me = Holder.me()
    with StudyFile(path) as file:
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            started = process_start(other.pid)
            assert started is not None
            live = Holder(me.host, other.pid, started)
            set_holder(path, live)
            with pytest.raises(StoreError, match=f"process {other.pid}") as caught:
                file.acquire("s")
            assert caught.value.value == other.pid
            assert caught.value.hint is not None
            set_holder(path, replace(live, started="an earlier process with its number"))
            file.acquire("s")
            file.release("s")
            set_holder(path, live)
        finally:
            other.communicate()
        file.acquire("s")


def test_a_lease_of_another_machine_is_given_up_by_hand_only(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        set_holder(path, Holder("elsewhere", 4321, "then"))
        with pytest.raises(StoreError, match="process 4321 on 'elsewhere'") as caught:
            file.acquire("s")
        assert "release('s', force=True)" in str(caught.value)
        file.release("s", force=True)
        file.acquire("s")


@pytest.mark.parametrize("host", ["elsewhere", "container-1", "ö.example"])
def test_one_option_takes_a_study_over(host: str, tmp_path: Path) -> None:
    """Catches: an option that asks for the lease as ever, or one that is always on; a former holder that writes on."""
    path, task = tmp_path / "s.sqlite", Task("t", ConfigurationSpace({"x": (0.0, 1.0)}), lambda c: c["x"])
    with Study(task, "random", path=path, name="s") as former:
        asked = former.ask()
        set_holder(path, Holder(host, 4321, "then"))
        with pytest.raises(StoreError, match="--take-over"):
            Study(task, "random", path=path, name="s")
        with Study(task, "random", path=path, name="s", take_over=True) as taken:
            assert len(taken.run(2).trials) == 2
            with pytest.raises(StoreError, match="does not hold"):
                former.tell(asked, 0.0)


def test_a_zombie_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(process.pid) is None
    process.wait()
    assert process_start(process.pid) is None
    assert process_start(os.getpid()) == Holder.me().started


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
        set_holder(path, Holder("elsewhere", 1, "then"))
        other = file.leases["other"]
        file.release("s")
        assert leases(path) == {"s": "token", "other": other}
        assert file.leases == {"other": other}
        file.release("s", force=True)
        assert leases(path) == {"other": other}
        set_holder(path, Holder("elsewhere", 1, "then"))
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
        parent = process_start(os.getppid())
        assert parent is not None
        set_holder(path, Holder(me.host, os.getppid(), parent))
        with pytest.raises(StoreError) as caught:
            file.acquire("s")
        assert (
            caught.value.message == f"study 's' in {str(path)!r} is being written by process {os.getppid()}"
        )
        assert str(caught.value.hint).startswith(f"wait for process {os.getppid()} or end it")
        set_holder(path, Holder("elsewhere", me.pid, me.started))
        with pytest.raises(StoreError) as caught:
            file.acquire("s")
        assert caught.value.message.endswith(f"is being written by process {me.pid} on 'elsewhere'")
        assert str(caught.value.hint).startswith("wait for it or end it there")


def test_who_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bugs: `and` for `or`; a process that is alive is gone; one of another machine is looked for on this one."""
    me = Holder.me()
    assert not me.is_gone()
    assert replace(me, started="before").is_gone()
    assert not replace(me, host="elsewhere", started="before").is_gone()
    monkeypatch.setattr(lease, "process_start", lambda pid: None)
    assert me.is_gone()
    assert not replace(me, host="elsewhere").is_gone()


def test_when_a_process_was_started_whatever_its_name() -> None:
    """Bugs: another field of the kernel's line, a name with brackets and blanks that moves the fields; no boot."""
    code = "open('/proc/self/comm', 'w').write(') Z 1 ('); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        assert ") Z 1 (" in stat
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # proc(5): starttime is field 22; the name, field 2, here has four words.
        assert process_start(child.pid) == f"{boot}:{stat.split()[21 + 3]}"
        child.communicate(b"\n")


@pytest.mark.parametrize(
    ("printed", "started"), [("Mon Jan  1 10:00:00 2029\n", "Mon Jan  1 10:00:00 2029"), ("\n", None)]
)
def test_without_proc_ps_is_asked(monkeypatch: pytest.MonkeyPatch, printed: str, started: str | None) -> None:
    """As on macOS. Bugs: a process that ps does not know is alive; its environment's language changes the words."""
    asked: list[Any] = []

    def run(command: list[str], **settings: Any) -> Any:
        asked.append((command, settings["env"], settings["text"], settings["capture_output"]))
        return subprocess.CompletedProcess(command, 0 if started else 1, printed, "")

    monkeypatch.setattr(lease, "Path", lambda name: Path("/nowhere") / str(name).lstrip("/"))
    monkeypatch.setattr(lease.subprocess, "run", run)
    assert process_start(77) == started
    assert asked == [(["ps", "-o", "lstart=", "-p", "77"], {"LC_ALL": "C"}, True, True)]
    monkeypatch.setattr(lease, "process_start", lambda pid: None)
    assert Holder.me().started == ""


def test_where_proc_is_a_process_that_it_does_not_know_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: ps is asked all the same, and where it is not installed, nobody can take a dead process's study over."""

    def run(*_: Any, **__: Any) -> None:
        raise AssertionError("ps was asked")

    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    monkeypatch.setattr(lease.subprocess, "run", run)
    assert process_start(ended.pid) is None


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
