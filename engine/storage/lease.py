"""Leases: which process may write to which studies of a file."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
import weakref
from collections.abc import Mapping, Sequence

from airtune.engine.storage.database import Database
from airtune.engine.storage.holder import Holder
from airtune.engine.storage.validation import WHOLE, checked
from airtune.engine.types import StoreError

# Of this process: a lease of ours whose token none of them has is left over from one that is closed or gone.
_living: weakref.WeakSet[Leases] = weakref.WeakSet()
# The tokens that were made here, and by which process: a fork knows those of its parent.
_made: dict[str, int] = {}


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

    def acquire(self, names: Sequence[str], *, take_over: bool = False) -> None:
        """Become the one process that writes to the studies, in the place of one that has died; all or none.

        Args:
            names: Of the studies.
            take_over: Also in the place of one that may be alive, which can then write no more.

        Raises:
            StoreError: If another process, or another open file of this one, writes to one of them.
        """
        me, token = Holder.me(), uuid.uuid4().hex
        gone: dict[Holder, bool] = {}
        _made[token] = me.pid
        self._taking = dict.fromkeys(names, token)
        with self._database.transaction() as db:
            for name in names:
                row = db.execute(
                    "SELECT host, pid, started, token FROM leases WHERE name = ?", (name,)
                ).fetchone()
                if row is not None and not take_over:
                    host, pid, started, held = row
                    checked(pid, WHOLE, f"the process that holds study {name!r}")
                    holder = Holder.stored(str(host), pid, str(started))
                    ours = _made.get(held) == me.pid
                    if ours:
                        lapsed = not any(held in one._tokens.values() for one in _living)
                    else:
                        if holder not in gone:
                            gone[holder] = holder.is_gone()
                        lapsed = gone[holder]
                    if not lapsed:
                        raise self._held(name, holder, ours)
                db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", (name, *me.row, token))
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

    def _held(self, name: str, holder: Holder, ours: bool) -> StoreError:
        path = str(self._database.path)
        if ours:
            who, hint = "this process", "close() the Study that has it open"
        elif holder.is_near:
            who = f"process {holder.pid}"
            hint = f"wait for process {holder.pid} or end it; or use another file (path=) or name (name=)"
        else:
            # Of another machine or container, which may have this one's name: its number says nothing here.
            who = f"process {holder.pid} on {holder.host!r}, which cannot be seen from here"
            hint = (
                "wait for it or end it there; if it has ended: take_over=True. Should it live "
                "all the same, it can write no more, and what it evaluates is lost and evaluated again here"
            )
        return StoreError(
            f"study {name!r} in {path!r} is being written by {who}",
            value=holder.pid,
            allowed="one writer per study",
            hint=hint,
        )
