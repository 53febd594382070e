"""A short run of every fuzzer, and the inputs that once broke a reader. Longer: `python -m tests.fuzz --help`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest

from airtune.engine import StoreError, StudyFile
from airtune.engine.storage.schema import COLUMNS, checksum
from airtune.engine.storage.validation import checked_transcript, checked_trial, parse_json
from airtune.grammars import DecodeError, SpaceError, space_from_json, space_grammar
from tests.fuzz.studies import _edit_row, _run, whole
from tests.fuzz.targets import attempt

SHORT = {"answers": 400, "ggufs": 150, "packs": 60, "spaces": 120, "studies": 12}


@pytest.mark.parametrize("name", SHORT)
def test_every_input_is_taken_or_refused_in_words(name: str) -> None:
    """Both must happen: a fuzzer whose inputs are all refused tests one line."""
    taken = sum(attempt(name, seed) for seed in range(SHORT[name]))
    assert 0 < taken < SHORT[name]


@pytest.mark.parametrize("seed", [59, 1_000_238, 1_000_957, 1_001_044])
def test_study_files_that_once_broke_the_reader(seed: int) -> None:
    """A space whose choices are a number; transcripts of trial b"..." and of trial inf; a message that is no UTF-8."""
    assert not attempt("studies", seed)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a": ' * 5000,
        '{"x": {"type": "int", "lower": 0, "upper": ' + "9" * 5000 + "}}",
        '{"x": {"type": "int", "lower": 0, "upper": ' + "9" * 400 + "}}",
        '{"x": {"type": "int", "lower": 0, "upper": 9, "default": ' + "9" * 400 + "}}",
        '{"x": {"type": "normal_float", "mu": ' + "9" * 400 + ', "sigma": 1, "lower": 0, "upper": 1}}',
        '{"hyperparameters": {"type": "int", "lower": 0, "upper": 9}, "b": {"type": "float", "lower": 9, "upper": 1}}',
    ],
    ids=["deep lists", "deep objects", "5000 digits", "400 digits", "default", "mu", "a name like a field"],
)
def test_spaces_that_once_broke_the_parser(text: str) -> None:
    """RecursionError, ValueError and OverflowError came out of the JSON and number checks."""
    with pytest.raises(SpaceError):
        space_from_json(text)


def test_a_clause_with_a_list_for_a_value() -> None:
    """ConfigSpace takes the list; the grammar then raised a TypeError of NumPy's."""
    space = {
        "hyperparameters": [{"name": "x", "type": "uniform_float", "lower": 0.0, "upper": 1.0}],
        "forbiddens": [{"name": "x", "type": "LESS", "value": [0.1, 0.2]}],
    }
    with pytest.raises(SpaceError):
        space_grammar(space_from_json(json.dumps(space)))


def test_an_excluded_number_that_no_float_holds() -> None:
    """math.isfinite raised an OverflowError."""
    space = space_from_json('{"x": {"type": "int", "lower": 0, "upper": 9}}')
    with pytest.raises(DecodeError, match="finite"):
        space_grammar(space, [{"x": 10**400}])


@pytest.mark.parametrize(
    "text", ["[" * 100, "NaN", "-Infinity", "1e999", '{"a": NaN}', "[" * 70 + "]" * 70, "9" * 5000, ""]
)
def test_json_that_is_not_as_it_was_written(text: str) -> None:
    with pytest.raises(StoreError, match="the thing cannot be read"):
        parse_json(text, "the thing")


def trial(**changes: Any) -> dict[str, Any]:
    return {
        "number": 0, "text": "", "config": {"x": 1}, "origin": "lm", "status": "told", "loss": 0.5, "reason": None,
        "info": {}, "log": "", "proposal_s": 0.1, "evaluation_s": None, "asked": 1.0, "finished": 2.0, "pending": [],
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"config": [1]}, {"config": {"x": 10**400}}, {"config": {"x": -(10**400)}}, {"info": ["ab"]}, {"number": b"1"},
        {"number": "1"}, {"loss": float("inf")}, {"loss": "0.5"}, {"loss": None}, {"reason": "why"}, {"status": "run"},
        {"status": ["told"]}, {"asked": None}, {"proposal_s": float("nan")}, {"pending": 3}, {"pending": [[]]},
        {"text": None}, {"log": b""}, {"status": "failed", "loss": None},
    ],
    ids=repr,
)  # fmt: skip
def test_rows_of_another_shape(changes: dict[str, Any]) -> None:
    checked_trial(trial())
    with pytest.raises(StoreError):
        checked_trial(trial(**changes))


def test_what_a_record_lacks_is_an_error_of_the_file(tmp_path: Path) -> None:
    """A KeyError came out of `show` for manifests and transcripts without a field."""
    assert checked_transcript({"text": "a", "rejected": [{"text": "b"}]})["rejected"][0]["text"] == "b"
    with pytest.raises(StoreError, match="a transcript has no 'prompt'"):
        checked_transcript({"text": "a"})["prompt"]
    with StudyFile(tmp_path / "s.sqlite") as file:
        file.acquire("s")
        file.create("s", {"task": "t"})
        with pytest.raises(StoreError, match="study 's' has no 'metric'"):
            file.get("s").manifest["metric"]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW extra AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON trials BEGIN DELETE FROM studies; END",
        "CREATE TABLE more (x)",
        "CREATE INDEX i ON trials (hex(text))",
        "ALTER TABLE trials ADD COLUMN more GENERATED ALWAYS AS (hex(zeroblob(9))) VIRTUAL",
        "CREATE VIRTUAL TABLE v USING fts5(x)",
    ],
)
def test_tables_that_compute_are_refused(tmp_path: Path, sql: str) -> None:
    """SQLite runs what a schema says when a file is read or checked: a view in the place of a table may never end."""
    path = tmp_path / "s.sqlite"
    path.write_bytes(whole())
    with StudyFile(path, readonly=True) as file:
        assert len(file.studies()) == 2
    with sqlite3.connect(path) as db:
        db.executescript(sql)
    db.close()
    for readonly in (True, False):
        with pytest.raises(StoreError, match="which no Airtune puts into a study file"):
            StudyFile(path, readonly=readonly)


@pytest.mark.parametrize("number", [1 << 40, "7", -1])
def test_recover_and_numbers_of_trials_that_are_none(tmp_path: Path, number: int | str) -> None:
    """All trials up to the last one were counted, however many; a text among numbers was a TypeError."""
    path = tmp_path / "s.sqlite"
    path.write_bytes(whole())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        row = list(
            db.execute(
                f"SELECT {', '.join(COLUMNS['trials'])} FROM trials ORDER BY study, number"
            ).fetchall()[0]
        )
        row[1] = number
        changed = (number, checksum(row))
        db.execute("UPDATE trials SET number = ?, checksum = ? WHERE study = 1 AND number = 0", changed)
    assert _run(["recover", str(path)]) is None
    with StudyFile(tmp_path / "s.recovered.sqlite", readonly=True) as file:
        assert [one.number for one in file.trials("lm")] == [1, 2, 3, 4]


@pytest.mark.parametrize("evil", ["\x1b[2J\x1b]0;owned\x07", "\x9b31m", "\u202etxt", "[bold]x[/]", "\ud800"])
def test_a_terminal_gets_text_only(tmp_path: Path, evil: str) -> None:
    """Names, reasons and logs went to the terminal as they were, escapes and all."""
    from ConfigSpace import ConfigurationSpace

    from airtune.engine import Study, Task

    def objective(config: dict[str, Any]) -> float:
        raise ValueError(evil)

    path = tmp_path / "s.sqlite"
    task = Task("t" + evil.encode("utf-8", "ignore").decode(), ConfigurationSpace({"x": (0, 9)}), objective)
    with Study(task, "random", path=path, name="s") as study:
        study.run(2)
    for command in (["show"], ["show", "--trial", "0"], ["show", "--json"], ["export"], ["export", "--csv"]):
        assert _run([command[0], str(path), *command[1:]]) is None


def test_the_fuzzer_itself_changes_rows(tmp_path: Path) -> None:
    """Its rows have right checksums: otherwise all that comes after them would go untested."""
    taken = 0
    for seed in range(20):
        path = tmp_path / f"{seed}.sqlite"
        path.write_bytes(whole())
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            with contextlib.suppress(sqlite3.Error):  # a value that not even SQLite takes there
                _edit_row(Random(seed), db)
        if path.read_bytes() == whole():
            continue
        with StudyFile(path, readonly=True) as file:
            taken += not any(file.altered(name) for name in ("lm", "random"))
    assert taken >= 5
