"""One study of a file that cannot be read is named, and its neighbours are shown, exported and gone on with."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from airtune.engine.storage.schema import COLUMNS, checksum

if TYPE_CHECKING:
    from conftest import Folder

TUNE = ("tune", "toy/branin", "--proposer", "random", "--study", "s.sqlite", "--study-name")


@pytest.fixture(params=["first", "middle", "last"])
def bad(request: pytest.FixtureRequest, folder: Folder) -> str:
    """A file of three studies; the name of the one that is about to be damaged."""
    for name in ("first", "middle", "last"):
        folder.call(*TUNE, name, "--budget", "2")
    return str(request.param)


def damage(folder: Folder, table: str, column: str, value: object, name: str, *, forged: bool) -> None:
    """Change a value of the study's first row in the table; with `forged` its checksum is right again."""
    with closing(sqlite3.connect(folder.path / "s.sqlite")) as db, db:
        (study,) = db.execute("SELECT id FROM studies WHERE name = ?", (name,)).fetchone()
        where = "id = ?" if table == "studies" else "study = ? AND number = 0"
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, study))
        if forged:
            row = db.execute(
                f"SELECT {', '.join(COLUMNS[table])} FROM {table} WHERE {where}", (study,)
            ).fetchone()
            db.execute(f"UPDATE {table} SET checksum = ? WHERE {where}", (checksum(row), study))


DAMAGES = [
    ("studies", "manifest", "{}", False),
    ("studies", "manifest", '{"seed": "0"}', True),
    ("studies", "manifest", "no JSON", True),
    ("trials", "loss", 0.125, False),
    ("trials", "info", "[1]", True),
    ("trials", "pending", '{"a": 1}', True),
]


@pytest.mark.parametrize(("table", "column", "value", "forged"), DAMAGES)
def test_neighbours_of_an_unreadable_study(
    folder: Folder, bad: str, table: str, column: str, value: object, forged: bool
) -> None:
    """Bug: `show` and `export` of the file, and of every study in it, ended with the error of that one."""
    good = [name for name in ("first", "middle", "last") if name != bad]
    damage(folder, table, column, value, bad, forged=forged)
    manifest = table == "studies"
    listed = folder.call("show", "s.sqlite", code=1 if manifest else 0)
    assert all(name in listed.out for name in good)
    assert (f"study {bad!r}" in listed.err) == manifest
    shown = folder.call("show", "s.sqlite", "--json", code=1)
    assert [one["name"] for one in json.loads(shown.out)["studies"]] == good
    lines = folder.call("export", "s.sqlite", "--jsonl", code=1).out.splitlines()
    assert [one["name"] for one in map(json.loads, lines) if one["kind"] == "study"] == sorted(good)
    rows = csv.DictReader(
        folder.call("export", "s.sqlite", "--csv", "-o", "out.csv", code=1).out.splitlines()
    )
    assert list(rows) == []
    with (folder.path / "out.csv").open() as file:
        assert [one["study"] for one in csv.DictReader(file)] == [
            name for name in sorted(good) for _ in range(2)
        ]
    for name in good:
        folder.call("show", "s.sqlite", "--study-name", name)
        folder.call("export", "s.sqlite", "--study-name", name)
        folder.call(*TUNE, name, "--budget", "3")
    for command in ("show", "export"):
        ended = folder.call(command, "s.sqlite", "--study-name", bad, code=2)
        assert ended.err.startswith("error: ")
        assert ended.out == ""


def test_a_file_whose_only_study_is_unreadable(folder: Folder) -> None:
    """Bug: an empty list, as if there were nothing, and exit code 0."""
    folder.call(*TUNE, "only", "--budget", "2")
    damage(folder, "studies", "manifest", "[]", "only", forged=True)
    for command in (["show"], ["show", "--json"], ["export"]):
        ended = folder.call(command[0], "s.sqlite", *command[1:], code=2)
        assert "'only'" in ended.err + ended.out
