"""Leases: one writer per study, and what becomes of the lease of a process that died, hung or moved."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airtune.engine import StoreError, StudyFile
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


def test_a_zombie_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(process.pid) is None
    process.wait()
    assert process_start(process.pid) is None
    assert process_start(os.getpid()) == Holder.me().started
