"""Who is writing: a process told apart from any later one that gets its number, and the studies it may write to."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import uuid
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from airtune.engine.storage.database import Database
from airtune.engine.types import StoreError


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that may write to a study.

    Attributes:
        host: Name of its machine.
        pid: Its number there.
        started: When it was started, in whatever form the machine tells; with the boot, where that is known.
    """

    host: str
    pid: int
    started: str

    @classmethod
    def me(cls) -> Self:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), process_start(os.getpid()) or "")

    def is_gone(self) -> bool:
        """Whether the process is known to have ended. One on another machine is not known to."""
        return self.host == socket.gethostname() and process_start(self.pid) != self.started


def process_start(pid: int) -> str | None:
    """When a process of this machine was started, or None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # proc(5): the name, in brackets, may hold anything; after it come the state and, 20th, the start.
        state, *rest = stat.rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return None if state in "ZX" else f"{boot}:{rest[18]}"
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    # Without /proc (macOS): ps tells to the second, in words; empty output means no such process.
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    return shown.stdout.strip() or None


# Of this process: a lease of ours whose token none of them has is left over from one that is closed or gone.
_living: weakref.WeakSet[Leases] = weakref.WeakSet()


class Leases:
    """The right to write to studies of one file: one process has it at a time for each study.

    A lease is a row with its holder and a token. Every write checks the token in its own transaction, so a process
    that has lost its lease writes nothing more, however late it wakes up.

    Args:
        database: The study file's database.
        borrowed: Leases that another process of the same run holds, by study: name -> token. Not given back.
    """

    def __init__(self, database: Database, borrowed: Mapping[str, str] | None = None) -> None:
        self._database = database
        self._borrowed = dict(borrowed or {})
        self._tokens: dict[str, str] = {}
        # Perhaps stored already, when an interrupt comes before that is noted.
        self._taking: dict[str, str] = {}
        _living.add(self)

    @property
    def tokens(self) -> dict[str, str]:
        """What another process needs to write under these leases, by study."""
        return {**self._borrowed, **self._tokens}

    def acquire(self, names: Sequence[str]) -> None:
        """Become the one process that writes to the studies, in the place of one that has died; all or none.

        Raises:
            StoreError: If another process, or another open file of this one, writes to one of them.
        """
        me, token = Holder.me(), uuid.uuid4().hex
        gone: dict[Holder, bool] = {}
        self._taking = dict.fromkeys(names, token)
        with self._database.transaction() as db:
            for name in names:
                row = db.execute(
                    "SELECT host, pid, started, token FROM leases WHERE name = ?", (name,)
                ).fetchone()
                if row is not None:
                    holder = Holder(*row[:3])
                    if holder not in gone:
                        gone[holder] = holder.is_gone()
                    lapsed = holder == me and not any(row[3] in one._tokens.values() for one in _living)
                    if not (lapsed or gone[holder]):
                        raise self._held(name, holder, me)
                db.execute(
                    "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)",
                    (name, me.host, me.pid, me.started, token),
                )
        self._tokens.update(self._taking)

    def release(self, names: Sequence[str], *, force: bool = False) -> None:
        """Give leases back; with `force` also those of a process which is known to be gone for good."""
        tokens = [self._tokens.pop(name, None) for name in names]
        with self._database.transaction() as db:
            for name, token in zip(names, tokens, strict=True):
                if force:
                    db.execute("DELETE FROM leases WHERE name = ?", (name,))
                else:
                    db.execute("DELETE FROM leases WHERE name = ? AND token = ?", (name, token))

    def release_all(self) -> None:
        """Give back what is held. Where that fails, on a full disk, they lapse with this object."""
        self._tokens = {**self._taking, **self._tokens}
        self._taking = {}
        if self._tokens:
            with contextlib.suppress(StoreError):
                self.release(list(self._tokens))

    def check(self, db: sqlite3.Connection, name: str) -> None:
        """Raise a StoreError, within a transaction, if this process may not write to the study (any more)."""
        row = db.execute("SELECT token, host, pid FROM leases WHERE name = ?", (name,)).fetchone()
        token = self._tokens.get(name) or self._borrowed.get(name)
        if row is None or row[0] != token:
            now = "nobody does" if row is None else f"process {row[2]} on {row[1]!r} does"
            raise StoreError(
                f"this process does not hold study {name!r} (any more): {now}",
                value=name,
                allowed="writing by the study's one writer",
                hint="open the study again",
            )

    def _held(self, name: str, holder: Holder, me: Holder) -> StoreError:
        path = str(self._database.path)
        where = "" if holder.host == me.host else f" on {holder.host!r}"
        who = "this process" if holder == me else f"process {holder.pid}{where}"
        if holder == me:
            hint = "close() the Study that has it open"
        elif where:
            hint = (
                "wait for it or end it there; if it has ended: take_over=True, "
                f"or airtune.engine.StudyFile({path!r}).release({name!r}, force=True)"
            )
        else:
            hint = f"wait for process {holder.pid} or end it; or use another file (path=) or name (name=)"
        return StoreError(
            f"study {name!r} in {path!r} is being written by {who}",
            value=holder.pid,
            allowed="one writer per study",
            hint=hint,
        )
