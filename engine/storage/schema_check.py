"""Whether a database holds nothing but plain tables of ours: what else SQLite can store there may compute, or act."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

# What our own statements call, and the types and clauses that look like it.
_CALLED = {"abs", "check", "in", "key", "unique"}
_CALL = re.compile(r"\b(\w+)\s*\(")
_ACTIVE = re.compile(r"\b(AS|GENERATED|SELECT|VIRTUAL|COLLATE|DEFAULT)\b", re.IGNORECASE)


def strange(db: sqlite3.Connection, schema: Sequence[str]) -> str:
    """What is in the database that none of our versions puts there, or "".

    Views, triggers, virtual tables, generated columns and expressions are run by SQLite when it reads or checks.

    Args:
        db: The database.
        schema: Statements that make our tables: CREATE TABLE IF NOT EXISTS name (...).
    """
    ours = {statement.split()[5] for statement in schema}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
        if kind == "index" and sql is None:  # SQLite's own, of a primary key
            continue
        calls = {call.lower() for call in _CALL.findall(str(sql))} - _CALLED - {name}
        if kind != "table" or name not in ours or calls or _ACTIVE.search(str(sql)):
            return f"the {kind} {str(name)!r:.60}"
    return ""
