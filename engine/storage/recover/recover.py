"""Salvages a damaged study file: what can still be read, and is as it was written, goes into a new file.

Rows are looked for page by page (`sqlite_pages`), whatever became of the rest. A row counts if its checksum, which
covers all of it, says that it is one; so nothing that is salvaged is other than what was written, and what was
asked and later told is salvaged as told if that can be read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airtune.engine.storage.database import Database
from airtune.engine.storage.records import decompress_transcript, trial_record
from airtune.engine.storage.recover.report import Rows, Salvage, report
from airtune.engine.storage.recover.sqlite_pages import Pages, Row, read_pages
from airtune.engine.storage.schema import (
    CHECKSUM_BYTES,
    COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    insert_row,
    is_intact,
)
from airtune.engine.storage.validation import checked_manifest, parse_json
from airtune.engine.types import StoreError
from airtune.grammars import read_file

_REALS = {
    "studies": ("created",),
    "trials": ("loss", "proposal_s", "evaluation_s", "asked", "finished"),
    "violations": ("time",),
}  # SQLite writes a real that is whole as an integer
_MOST_BYTES = 1 << 36
_MOST = 1 << 22  # studies in a file, and trials in a study: all up to the last one are counted


def recover(source: Path, target: Path) -> Salvage:
    """Salvage what can be read of a study file into a new one. The damaged file is only read.

    Args:
        source: The damaged file; what is beside it in its write-ahead log counts too.
        target: The new file; must not exist.

    Raises:
        StoreError: If the source cannot be read, nothing of it can be salvaged, or the target cannot be made.
    """
    if target.exists():
        raise StoreError(
            f"{str(target)!r} is there already",
            value=str(target),
            allowed="a new file",
            hint="choose another with -o",
        )
    data, wal = _read(source), _read(source.with_name(source.name + "-wal"), missing=True)
    known: set[tuple[int, int]] = set()
    rows = _collect(read_pages(data, wal), known)
    if not rows["studies"]:
        raise StoreError(
            f"nothing can be salvaged from {str(source)!r}: no study's manifest can be read",
            value=str(source),
            allowed="a study file of which at least one page is whole",
            hint="look for a backup; exports (airtune export) are no study files, but have all trials",
        )
    _write(target, rows)
    return report(source, target, rows, known)


def _read(path: Path, *, missing: bool = False) -> bytes:
    if missing and not path.exists():
        return b""
    try:
        return read_file(path, _MOST_BYTES)
    except OSError as error:
        raise StoreError(
            f"{str(path)!r} cannot be read: {error.strerror}",
            value=str(path),
            allowed="a study file",
            hint="check the path and the file's permissions",
        ) from error


def _collect(views: Iterable[Pages], known: set[tuple[int, int]]) -> Rows:
    """All rows that the pages hold; `known` gets (study, number) of every trial that something tells of."""
    rows: Rows = {table: {} for table in COLUMNS}
    for pages in views:
        for number in pages.pages:
            listed = list(pages.rows(number))
            kept = sum(_keep(row, rows, known) for row in listed)
            if kept < len(listed) or not listed:
                for row in pages.rows_ending_in(number, CHECKSUM_BYTES):
                    _keep(row, rows, known)
    return rows


def _keep(row: Row, rows: Rows, known: set[tuple[int, int]]) -> bool:
    """Keep the row if it is one of a table's; whether it is."""
    rowid, values = row
    if rowid is None and len(values) == 3 and isinstance(values[1], str) and isinstance(values[2], int):
        if isinstance(values[0], int) and values[0] > 0 <= values[2] < 1 << 31:
            # the index of the trials' texts: it has no checksum, only tells of them
            known.add((values[0], values[2]))
        return False
    for table in COLUMNS:
        if (rowid is None) != (table in ("trials", "transcripts", "documents")):
            continue
        read = _as(table, rowid, values)
        if read is None:
            continue
        key = read[:1] if table in ("studies", "documents") else read[:2] if table != "violations" else read
        before = rows[table].get(key)
        # Of two versions of a trial, the one with its result is the later one; of all else there is but one, and of
        # documents the newest comes first.
        if before is None or (table == "trials" and before[5] == "asked" != read[5]):
            rows[table][key] = read
        if table in ("trials", "transcripts"):
            known.add((read[0], read[1]))
        return True
    return False


def _as(table: str, rowid: int | None, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The values as those of a row of the table, without its checksum; None if they are none."""
    columns = COLUMNS[table]
    if len(values) != len(columns) + 1:
        return None
    row = list(values)
    if table == "studies":
        row[0] = rowid
    for name in _REALS.get(table, ()):
        at = columns.index(name)
        if isinstance(row[at], int):
            row[at] = float(row[at])
    return tuple(row[:-1]) if is_intact(row) and _usable(table, row[:-1]) else None


def _usable(table: str, row: list[Any]) -> bool:
    """Whether a row can be what it should be: who writes rows of another shape can write their checksums, too."""
    numbers = row[: {"studies": 1, "documents": 0}.get(table, 2)]
    if not all(isinstance(number, int) and 0 <= number < _MOST for number in numbers):
        return False
    try:
        if table == "studies":
            checked_manifest(parse_json(row[2], "the manifest"), row[1], row[3])
        elif table == "trials":
            trial_record(row)
        elif table == "transcripts":
            decompress_transcript(row[2])
        elif table == "documents":
            return isinstance(parse_json(row[1], "the document"), dict)
        return True
    except StoreError:
        return False


def _write(target: Path, rows: Rows) -> None:
    """Write the new file, all of it or nothing. Rows get the checksums that they had."""
    try:
        with contextlib.closing(Database(target, SCHEMA, SCHEMA_VERSION)) as database:
            present = {key[0] for key in rows["studies"]}
            with database.transaction() as db:
                for table in COLUMNS:
                    for _, row in sorted(rows[table].items(), key=lambda item: repr(item[0])):
                        if table in ("studies", "documents") or row[0] in present:
                            insert_row(db, table, row)
    except BaseException:
        for path in (target, *(target.with_name(target.name + end) for end in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)
        raise


def default_target(source: Path) -> Path:
    """Where the salvaged file goes if nothing else is said: beside the damaged one."""
    return source.with_name(f"{source.stem}.recovered{source.suffix}")
