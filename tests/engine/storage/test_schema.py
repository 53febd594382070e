"""Rows that are not as they were written are refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airtune.engine import Proposal, StoreError, Study, StudyFile, Task, Trial
from airtune.engine.storage.study_file import TrialInsert, TrialUpdate

SAID = {"prompt": "p", "text": "t", "token_ids": [1, 2], "logprobs": [-0.5, 0.0]}


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
