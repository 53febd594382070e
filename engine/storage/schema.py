"""The tables of a study file: their columns, and the checksum of every row."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from airtune.engine.storage.database import Database
from airtune.engine.types import StoreError

SCHEMA_VERSION = 3
# Losses are REAL, which SQLite keeps bit for bit but for -0.0; all else with floats in it is JSON, by repr.
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS studies ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, manifest TEXT NOT NULL, created REAL NOT NULL,"
    " checksum BLOB)",
    "CREATE TABLE IF NOT EXISTS trials ("
    " study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,"
    " text TEXT NOT NULL, config TEXT NOT NULL, origin TEXT NOT NULL,"
    " status TEXT NOT NULL CHECK (status IN ('asked', 'told', 'failed')),"
    " loss REAL, reason TEXT, info TEXT NOT NULL, log TEXT NOT NULL,"
    " proposal_s REAL NOT NULL, evaluation_s REAL, asked REAL NOT NULL, finished REAL,"
    " pending TEXT, checksum BLOB,"
    " PRIMARY KEY (study, number), UNIQUE (study, text),"
    " CHECK ((status = 'told') = (loss IS NOT NULL)), CHECK ((status = 'failed') = (reason IS NOT NULL)),"
    " CHECK (loss IS NULL OR abs(loss) < 9e999)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS transcripts ("
    " study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL, transcript NOT NULL,"
    " checksum BLOB, PRIMARY KEY (study, number)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS violations ("
    " study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,"
    " proposal TEXT NOT NULL, reason TEXT NOT NULL, time REAL NOT NULL, checksum BLOB)",
    "CREATE TABLE IF NOT EXISTS leases ("
    " name TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,"
    " token TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS documents ("
    " name TEXT PRIMARY KEY, document TEXT NOT NULL, checksum BLOB) WITHOUT ROWID",
)
# The columns of the rows that have a checksum, in the order of the table; the checksum, the last one, left out.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "studies": ("id", "name", "manifest", "created"),
    "trials": (
        "study", "number", "text", "config", "origin", "status", "loss", "reason", "info", "log",
        "proposal_s", "evaluation_s", "asked", "finished", "pending",
    ),
    "transcripts": ("study", "number", "transcript"),
    "violations": ("study", "number", "proposal", "reason", "time"),
    "documents": ("name", "document"),
}  # fmt: skip
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


def insert_row(db: sqlite3.Connection, table: str, row: Sequence[Any], *, replace: bool = False) -> None:
    """Write a row, the values of `COLUMNS`, with its checksum."""
    columns = (*COLUMNS[table], "checksum")
    how = "INSERT OR REPLACE" if replace else "INSERT"
    marks = ", ".join("?" * len(columns))
    db.execute(f"{how} INTO {table} ({', '.join(columns)}) VALUES ({marks})", (*row, checksum(row)))


def stored_rows(
    database: Database, table: str, where: str = "", values: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Rows of a table as they are: the values of `COLUMNS`, and last the checksum.

    Raises:
        StoreError: If they cannot be read.
    """
    columns = ", ".join((*COLUMNS[table], "checksum"))
    return database.rows(f"SELECT {columns} FROM {table} {where}", values)


def select_rows(
    database: Database, table: str, where: str = "", values: Sequence[Any] = (), *, verify: bool = True
) -> list[tuple[Any, ...]]:
    """Rows of a table: the values of `COLUMNS`.

    Raises:
        StoreError: If they cannot be read, or with `verify` if one is not as it was written.
    """
    rows = stored_rows(database, table, where, values)
    return [verified(database, table, row, verify=verify) for row in rows]


def study_id(db: sqlite3.Connection, name: str) -> int:
    """The id of the study; a StoreError if the file holds none of that name."""
    row = db.execute("SELECT id FROM studies WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise StoreError(f"the file holds no study {name!r}", value=name, hint="create it first")
    return int(row[0])


def trial_counts(database: Database, where: str, values: Sequence[Any]) -> dict[tuple[int, str], int]:
    """How many trials the studies have, by their id and "asked", "told" or "failed"; and "violation"s."""
    chosen = f"IN (SELECT id FROM studies {where})"
    counts = database.rows(
        f"SELECT study, status, COUNT(*) FROM trials WHERE study {chosen} GROUP BY study, status"
        f" UNION ALL SELECT study, 'violation', COUNT(*) FROM violations WHERE study {chosen} GROUP BY study",
        (*values, *values),
    )
    return {(study, kind): count for study, kind, count in counts}


def verified(database: Database, table: str, row: tuple[Any, ...], *, verify: bool) -> tuple[Any, ...]:
    """The values of a row of `stored_rows`.

    Raises:
        StoreError: With `verify` if it is not as it was written.
    """
    if verify and not is_intact(row):
        raise StoreError(
            f"{described(table, row)} in study file {str(database.path)!r} is not as it was written: "
            "its checksum does not match",
            value=row[:2],
            allowed="rows that Airtune wrote and nobody changed",
            hint=f"`airtune replay {database.path}` shows what differs, "
            f"`airtune recover {database.path}` copies what is intact",
        )
    return row[:-1]


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
