"""The rows of a study file and their checksums: written, verified when read, added to older files."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from airtune.engine.storage.database import Database
from airtune.engine.storage.records import ADDED, COLUMNS, TrialRecord, from_json
from airtune.engine.storage.validation import checked_trial
from airtune.engine.types import StoreError, Trial

CHECKSUM_BYTES = 16
OF_STUDY = "WHERE study = (SELECT id FROM studies WHERE name = ?) ORDER BY number"


def checksum(row: Sequence[Any]) -> bytes:
    """What is stored beside a row to tell later that it is as it was written.

    It finds damage and edits by hand. It is no signature: who rewrites a row can rewrite its checksum.

    Args:
        row: The values of `COLUMNS`, as SQLite keeps them.

    Returns:
        CHECKSUM_BYTES bytes.
    """
    plain = [value.hex() if isinstance(value, bytes) else value for value in row]
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=CHECKSUM_BYTES).digest()


def is_intact(row: Sequence[Any]) -> bool:
    """Whether a row, its checksum last, is as it was written."""
    *values, stored = row
    return bool(stored == checksum(values))


def insert(db: sqlite3.Connection, table: str, row: Sequence[Any], *, replace: bool = False) -> None:
    """Write a row, the values of `COLUMNS`, with its checksum."""
    columns = (*COLUMNS[table], "checksum")
    how = "INSERT OR REPLACE" if replace else "INSERT"
    marks = ", ".join("?" * len(columns))
    db.execute(f"{how} INTO {table} ({', '.join(columns)}) VALUES ({marks})", (*row, checksum(row)))


def select(
    database: Database, table: str, where: str = "", values: Sequence[Any] = (), *, verify: bool = True
) -> list[tuple[Any, ...]]:
    """Rows of a table: the values of `COLUMNS`.

    Raises:
        StoreError: If they cannot be read, or with `verify` if one is not as it was written.
    """
    columns = ", ".join((*COLUMNS[table], "checksum"))
    rows = database.rows(f"SELECT {columns} FROM {table} {where}", values)
    for row in rows if verify else ():
        if not is_intact(row):
            raise StoreError(
                f"{described(table, row)} in study file {str(database.path)!r} is not as it was written: "
                "its checksum does not match",
                value=row[:2],
                allowed="rows that Airtune wrote and nobody changed",
                hint=f"`airtune replay {database.path}` shows what differs, "
                f"`airtune recover {database.path}` copies what is intact",
            )
    return [row[:-1] for row in rows]


def described(table: str, row: Sequence[Any]) -> str:
    """Which row it is, in words."""
    if table == "studies":
        return f"the manifest of study {row[1]!r}"
    if table == "documents":
        return f"the document {row[0]!r}"
    return {
        "trials": "trial",
        "transcripts": "the transcript of trial",
        "violations": "the violation of trial",
    }[table] + f" {row[1]}"


def trial_record(row: Sequence[Any]) -> TrialRecord:
    """A row of `trials`, the values of `COLUMNS`, as a record.

    Raises:
        StoreError: If it cannot be read.
    """
    found: dict[str, Any] = dict(zip(COLUMNS["trials"], row, strict=True))
    for field in ("config", "info", "pending"):
        if found[field] is not None:
            found[field] = from_json(found[field], f"{field!r} of trial {found['number']!r}")
    known = checked_trial(found)
    fields = ("number", "config", "status", "loss", "reason", "info", "proposal_s", "evaluation_s")
    trial = Trial(**{field: known[field] for field in fields})
    pending = None if known["pending"] is None else tuple(known["pending"])
    rest = {field: known[field] for field in ("text", "origin", "log", "asked", "finished")}
    return TrialRecord(trial, **rest, pending=pending)


def upgrade(db: sqlite3.Connection) -> None:
    """Add to an older file's tables the columns that they lack; rows get the checksums of what they hold now."""
    for table, column, kind in ADDED:
        if column not in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    for table, columns in COLUMNS.items():
        key = "rowid" if table == "violations" else ", ".join(columns[: 1 if table in _SHORT else 2])
        rows = db.execute(
            f"SELECT {', '.join(columns)}, {key} FROM {table} WHERE checksum IS NULL"
        ).fetchall()
        where = " AND ".join(f"{name} = ?" for name in key.split(", "))
        db.executemany(
            f"UPDATE {table} SET checksum = ? WHERE {where}",
            [(checksum(row[: len(columns)]), *row[len(columns) :]) for row in rows],
        )


_SHORT = ("studies", "documents")  # tables whose key is their first column alone
