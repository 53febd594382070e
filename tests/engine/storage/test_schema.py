"""Study files of older versions are read and go on; rows that are not as they were written are refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airtune.engine import Proposal, StoreError, Study, StudyFile, Task, Trial
from airtune.engine.manifest import study_manifest
from airtune.engine.proposers import load_proposer
from airtune.engine.storage.database import APPLICATION_ID
from airtune.engine.storage.records import compress_transcript
from airtune.engine.storage.study_file import TrialInsert, TrialUpdate

SAID = {"prompt": "p", "text": "t", "token_ids": [1, 2], "logprobs": [-0.5, 0.0]}


@pytest.fixture(params=[1, 2])
def old(request: pytest.FixtureRequest, tmp_path: Path, task: Task, old_schemas: Mapping[int, str]) -> Path:
    """A study of three trials, told, failed and asked, in a file as the older version wrote it."""
    version, path = request.param, tmp_path / "old.sqlite"
    with Study(task, "random", name="s") as study:
        trials = [study.ask() for _ in range(3)]
        texts = [record.text for record in study._file.records("s")]
    db = sqlite3.connect(path)
    db.executescript(old_schemas[version])
    manifest = json.dumps(study_manifest(task, load_proposer("random"), 0))
    db.execute("INSERT INTO studies VALUES (1, 's', ?, 5.0)", (manifest,))
    ends: list[tuple[Any, ...]] = [("told", 0.25, None), ("failed", None, "it broke"), ("asked", None, None)]
    for trial, text, end in zip(trials, texts, ends, strict=True):
        row = (trial.number, text, json.dumps(dict(trial.config)), "random", *end, "{}", "", 0.5)
        db.execute(f"INSERT INTO trials VALUES (1, {', '.join('?' * 13)})", (*row, None, 6.0, None))
    said = json.dumps(SAID) if version == 1 else compress_transcript(SAID)
    db.execute("INSERT INTO transcripts VALUES (1, 0, ?)", (said,))
    if version == 2:
        db.execute("INSERT INTO documents VALUES ('plan', '{\"a\": 1}')")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {version}")
    db.commit()
    db.close()
    return path


def shown(file: StudyFile) -> list[Any]:
    records = [replace(record, finished=None) for record in file.records("s")]
    return [*records, file.transcripts("s"), file.get().manifest, file.get().told, file.get().failed]


def test_an_older_file_is_read_without_being_changed(old: Path) -> None:
    before = old.read_bytes()
    with StudyFile(old, readonly=True) as file:
        assert [trial.status for trial in file.trials("s")] == ["told", "failed", "asked"]
        assert file.records("s")[0].pending is None
        assert file.transcripts("s") == {0: SAID}
        assert file.document("nothing") is None
        assert file.altered("s") == []
    assert old.read_bytes() == before


def test_an_older_file_is_upgraded_by_whoever_writes_to_it(old: Path, task: Task) -> None:
    with StudyFile(old, readonly=True) as file:
        before = shown(file)
    with StudyFile(old) as file:
        assert shown(file) == before
    with Study(task, "random", path=old, name="s") as study:
        study.run(5)
    with StudyFile(old, readonly=True) as file:
        assert shown(file)[:2] == before[:2]
        assert file.get().asked == 0
        assert len(file.trials("s")) == 5
        assert [record.pending for record in file.records("s")] == [None] * 3 + [()] * 2
    db = sqlite3.connect(old)
    assert db.execute("PRAGMA user_version").fetchone() == (3,)
    for table in ("studies", "trials", "transcripts", "violations", "documents"):
        assert db.execute(f"SELECT COUNT(*) FROM {table} WHERE checksum IS NULL").fetchone() == (0,)
    db.close()


def test_what_was_pending_is_kept(tmp_path: Path, task: Task) -> None:
    with Study(task, "random", path=tmp_path / "s.sqlite", name="s") as study:
        first, second, third = study.ask(), study.ask(), study.ask()
        study.tell(second, 1.0)
        study.ask()
        study.tell(first, 1.0)
        study.tell(third, 1.0)
        study.ask()
        records = study._file.records("s")
    assert [record.pending for record in records] == [(), (0,), (0, 1), (0, 2), (3,)]


def read_all(file: StudyFile) -> None:
    file.studies()
    file.document("d")
    file.records("s")
    file.transcripts("s")


def edit(statement: str) -> Callable[[sqlite3.Connection], object]:
    return lambda db: db.execute(statement)


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (edit("UPDATE trials SET loss = loss + 1e-9 WHERE number = 1"), "trial 1"),
        (edit("UPDATE trials SET config = replace(config, '0.2', '0.3') WHERE number = 0"), "trial 0"),
        (edit("UPDATE trials SET text = text || ' ' WHERE number = 0"), "trial 0"),
        (edit("UPDATE trials SET pending = '[0]' WHERE number = 1"), "trial 1"),
        (edit("UPDATE trials SET finished = finished + 1 WHERE number = 1"), "trial 1"),
        (edit("UPDATE trials SET checksum = NULL WHERE number = 1"), "trial 1"),
        (edit("UPDATE trials SET number = 7 WHERE number = 1"), "trial 7"),
        (edit("UPDATE transcripts SET number = 1"), "the transcript of trial 1"),
        (edit("UPDATE studies SET manifest = replace(manifest, '0', '1')"), "the manifest of study 's'"),
        (edit("UPDATE documents SET document = '{}'"), "the document 'd'"),
    ],
)
def test_a_row_that_was_changed_is_refused(
    tmp_path: Path, change: Callable[[sqlite3.Connection], object], row: str
) -> None:
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        file.acquire("s")
        file.create("s", {"seed": 0})
        file.update_document("d", lambda _: {"a": 1})
        for number in range(2):
            trial = Trial(number, {"x": 0.2 + number})
            file.insert(
                [TrialInsert("s", trial, f"{number}", Proposal(trial.config, "lm", None if number else SAID))]
            )
            file.update([TrialUpdate("s", replace(trial, status="told", loss=number / 3))])
        assert file.altered("s") == []
    db = sqlite3.connect(path)
    change(db)
    db.commit()
    db.close()
    with StudyFile(path, readonly=True) as file:
        with pytest.raises(StoreError, match=rf"{row} in study file .* is not as it was written") as caught:
            read_all(file)
        assert "airtune recover" in str(caught.value)
        if "document" not in row:
            assert file.altered("s") == [row]
            file.records("s", verify=False)


def test_a_result_is_not_added_to_a_row_that_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        file.acquire("s")
        file.create("s", {"seed": 0})
        trial = Trial(0, {"x": 0.5})
        file.insert([TrialInsert("s", trial, "0", Proposal(trial.config, "lm"))])
        db = sqlite3.connect(path)
        db.execute("""UPDATE trials SET config = '{"x": 0.6}'""")
        db.commit()
        db.close()
        with pytest.raises(StoreError, match=r"trial 0 .* is not as it was written"):
            file.update([TrialUpdate("s", replace(trial, status="told", loss=0.0))])
        assert file.records("s", verify=False)[0].trial.status == "asked"
