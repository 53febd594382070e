"""Checksums for the rows of study files that a test has edited by hand."""

from __future__ import annotations

import sqlite3

from airtune.engine.storage.schema import COLUMNS, checksum


def seal(db: sqlite3.Connection) -> None:
    """Give every row whose checksum is NULL the one of what it holds now."""
    db.create_function("row_checksum", -1, lambda *row: checksum(row))
    for table, columns in COLUMNS.items():
        db.execute(f"UPDATE {table} SET checksum = row_checksum({', '.join(columns)}) WHERE checksum IS NULL")
