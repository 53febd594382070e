"""The study-file reader: bytes, rows (their checksums made right again) and tables changed; then all that reads it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sqlite3
import tempfile
import zlib
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import typer
from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, Task
from airtune.engine.cli.app import app
from airtune.engine.cli.output import report_error
from airtune.engine.storage.records import _DICTIONARY
from airtune.engine.storage.schema import COLUMNS, checksum
from airtune.grammars import AirtuneError
from airtune.models import load_model
from tests.fuzz.mutate import EVIL, hostile, mutated_bytes, mutated_json, to_text

# What a terminal obeys: escapes of either kind, and what turns the direction of writing round.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_JSON = {"manifest", "config", "info", "pending", "proposal", "document", "transcript"}
_TABLES = [
    "CREATE VIEW extra AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    "CREATE TRIGGER t AFTER INSERT ON trials BEGIN DELETE FROM studies; END",
    "CREATE TABLE more (x, y AS (hex(zeroblob(500000000))))",
    "ALTER TABLE trials RENAME TO were",
    "ALTER TABLE trials RENAME COLUMN config TO configuration",
    "ALTER TABLE trials ADD COLUMN more GENERATED ALWAYS AS (hex(zeroblob(500000000))) VIRTUAL",
    "DROP TABLE transcripts",
    "DROP TABLE trials; CREATE VIEW trials AS SELECT * FROM studies",
    "DROP TABLE trials; CREATE TABLE trials (study, number)",
    "DROP TABLE studies; CREATE TABLE studies (id, name, manifest, created, checksum)",
    "DROP TABLE leases; CREATE TABLE leases (name, host, pid, started, token)",
    "DELETE FROM studies",
    "DELETE FROM trials",
    "PRAGMA user_version = 2147483647",
    "PRAGMA user_version = 1",
    "PRAGMA user_version = 2",
    "PRAGMA application_id = 1",
    "PRAGMA encoding = 'UTF-16'",
]


def _task() -> Task:
    def objective(config: dict[str, Any]) -> Any:
        if config["n"] == 3:
            raise ValueError("no such thing")
        return {"loss": config["x"] + config["n"], "test_loss": 0.5}

    space = ConfigurationSpace({"x": (0.0, 1.0), "n": (1, 4), "kind": ["rbf", "linear"]})
    return Task("mine", space, objective, metric="error", description="a task")


@lru_cache
def whole() -> bytes:
    """A file with a study of a language model and one of random search."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        model = load_model("scripted", "scripted")
        for proposer in ("lm", "random"):
            with Study(_task(), proposer, model=model, path=path, name=proposer) as study:
                study.run(5, keep_going=True)
                if proposer == "random":
                    study.ask()
        return path.read_bytes()


def studies(random: Random) -> None:
    """Show, export, report and go on: each must work or say in its own words why not, and print text only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        kind = random.randrange(10)
        path.write_bytes(mutated_bytes(random, whole()) if kind < 3 else whole())
        if kind >= 3:
            _edit(random, path, tables=kind == 9)
        commands = [
            ["show", str(path)],
            ["show", str(path), "--json"],
            *(
                ["show", str(path), "--study-name", name, "--trial", str(random.randrange(5))]
                for name in ("lm", "random")
            ),
            ["show", str(path), "--study-name", "lm", "--trial", "1", "--json"],
            ["show", str(path), "--study-name", random.choice(["lm", "random"])],
            ["export", str(path)],
            ["export", str(path), "--csv"],
        ]
        if random.random() < 0.04:
            commands.append(["report", str(path), "--out", str(Path(folder) / "report")])
        if random.random() < 0.2:
            other = Path(folder) / "other.sqlite"
            other.write_bytes(whole())
            commands += [["diff", str(path), str(other)], ["recover", str(path)]]
            commands += [["replay", str(path), "--level", "0"], ["diff", str(other), str(path), "--json"]]
        refused: AirtuneError | None = None
        for command in commands:
            refused = _run(command) or refused
        page = Path(folder) / "report" / "report.html"
        if page.exists():
            assert EVIL not in page.read_text(encoding="utf-8")
        if random.random() < 0.3:
            with Study(_task(), "random", path=path, name="random") as study:
                study.run(8)
        if refused is not None:
            raise refused


def _run(command: list[str]) -> AirtuneError | None:
    """Run a command as the command line does; what it printed must be text that no terminal obeys."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    refused = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(args=command, prog_name="airtune", standalone_mode=False)
        except AirtuneError as error:
            refused = error
            report_error(error, as_json=False)
            report_error(error, as_json=True)
        except typer.Exit:
            pass
    for stream in (out, err):
        stream.flush()
        shown = stream.buffer.getvalue().decode()  # type: ignore[attr-defined]
        if command[0] == "show" and "--json" not in command:
            assert not (found := _CONTROL.search(shown)), f"{command}: {found!r}"
    return refused


def _edit(random: Random, path: Path, *, tables: bool) -> None:
    """Change rows, or the tables themselves, as somebody would who knows the format."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        for _ in range(random.choice([1, 1, 2, 4])):
            if tables and random.random() < 0.7:
                with contextlib.suppress(sqlite3.Error):
                    db.executescript(random.choice(_TABLES))
            else:
                with contextlib.suppress(sqlite3.Error):
                    _edit_row(random, db)


def _edit_row(random: Random, db: sqlite3.Connection) -> None:
    table = random.choice(["studies", "trials", "trials", "trials", "transcripts", "leases"])
    columns = COLUMNS.get(table, ("name", "host", "pid", "started", "token"))
    rows = db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
    if not rows:
        return
    row = list(random.choice(rows))
    key = columns[:1] if table in ("studies", "leases") else columns[:2]
    where = [row[columns.index(name)] for name in key]
    at = random.randrange(len(columns))
    row[at] = _changed(random, columns[at], row[at])
    if table in COLUMNS and random.random() < 0.95:
        columns, row = (*columns, "checksum"), [*row, _checksum(row)]
    sets = ", ".join(f"{name} = ?" for name in columns)
    db.execute(
        f"UPDATE {table} SET {sets} WHERE {' AND '.join(f'{name} = ?' for name in key)}", (*row, *where)
    )


def _changed(random: Random, column: str, value: Any) -> Any:
    """Another value for a column: JSON of another shape where it holds JSON, else anything SQLite can hold."""
    if column in _JSON and isinstance(value, str | bytes) and random.random() < 0.9:
        if column == "transcript" and isinstance(value, bytes):
            document = json.loads(zlib.decompressobj(zdict=_DICTIONARY).decompress(value))
            deflate = zlib.compressobj(level=9, zdict=_DICTIONARY)
            bomb = b" " * (1 << 29) if random.random() < 0.01 else b""
            text = to_text(mutated_json(random, document)).encode()
            return deflate.compress(text + bomb) + deflate.flush()
        with contextlib.suppress(ValueError):  # an earlier change may have left no JSON there
            return to_text(mutated_json(random, json.loads(value)))
    new = hostile(random)
    if isinstance(new, int) and not -(2**63) <= new < 2**63:
        return float("inf")
    if isinstance(new, str):
        return (
            new.encode("utf-8", "replace").decode()
            if random.random() < 0.9
            else new.encode("utf-8", "replace")
        )
    return new if new is None or isinstance(new, int | float) else to_text(new)


def _checksum(row: list[Any]) -> bytes:
    try:
        return checksum(row)
    except (TypeError, ValueError):
        return b""
