"""Two studies are equal or part at a trial that is named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, Task, load_proposer
from airtune.engine.replay.diff import diff
from airtune.engine.storage.records import compress_transcript, decompress_transcript
from airtune.grammars import AirtuneError
from airtune.models import load_model
from tests.sealing import seal

SPACE = ConfigurationSpace({"x": (-1.0, 1.0), "n": (1, 9), "c": ["a", "b"]})
TASK = Task("bowl", SPACE, lambda config: {"loss": config["x"] ** 2, "n": config["n"]})


def run(path: Path, seed: int = 0, name: str = "s", proposer: str = "random", trials: int = 4) -> Path:
    made = load_proposer(proposer, model=load_model("scripted") if "lm" in proposer else None)
    with Study(TASK, made, seed=seed, path=path, name=name) as study:
        study.run(trials)
    return path


def test_equal_studies_are_equal_whenever_they_ran(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a"), run(tmp_path / "b")
    found = diff(a, b)
    assert found.equal
    assert [one.json()["equal"] for one in found.studies] == [True]
    # Alone in their files, they are compared whatever their names.
    assert [(one.name, one.other) for one in diff(a, run(tmp_path / "c", name="t")).studies] == [("s", "t")]


def test_other_seeds(tmp_path: Path) -> None:
    (found,) = diff(run(tmp_path / "a"), run(tmp_path / "b", seed=1, trials=6)).studies
    assert not found.equal
    assert [one.key for one in found.manifest] == ["seed"]
    assert found.trials == (4, 6)
    parted = {one.what: one.trial for one in found.partings}
    assert parted["proposals"] == 0
    assert parted["number of trials"] == 4
    assert all(one is not None for one in found.best)
    assert found.best[0] != found.best[1]


def edited(transcript: bytes, **changes: Any) -> bytes:
    return compress_transcript({**decompress_transcript(transcript), **changes})


@pytest.mark.parametrize(
    ("table", "column", "change", "what"),
    [
        ("trials", "loss", lambda value: value + 1e-12, "losses"),
        ("trials", "info", lambda text: text.replace('"n": ', '"n": 1'), "further values"),
        ("trials", "origin", lambda text: "tpe", "origins"),
        ("transcripts", "transcript", lambda b: edited(b, prompt="?"), "prompts"),
        ("transcripts", "transcript", lambda b: edited(b, logprobs=[-1.0]), "log-probabilities"),
        ("transcripts", "transcript", lambda b: edited(b, token_ids=[1]), "token ids"),
        ("transcripts", "transcript", lambda b: edited(b, more=1), "transcripts"),
    ],
)
def test_the_first_trial_that_differs(
    tmp_path: Path, table: str, column: str, change: Callable[[Any], Any], what: str
) -> None:
    a = run(tmp_path / "a", proposer="lm")
    b = Path(shutil.copy(a, tmp_path / "b"))
    with closing(sqlite3.connect(b)) as db, db:
        for number in (2, 3):
            (value,) = db.execute(f"SELECT {column} FROM {table} WHERE number = {number}").fetchone()
            db.execute(
                f"UPDATE {table} SET {column} = ?, checksum = NULL WHERE number = {number}", (change(value),)
            )
        seal(db)
    (found,) = diff(a, b).studies
    assert [(one.what, one.trial) for one in found.partings] == [(what, 2)]
    assert found.partings[0].a != found.partings[0].b


def test_files_with_several_studies(tmp_path: Path) -> None:
    a = run(run(tmp_path / "a"), name="t", seed=1)
    b = run(run(tmp_path / "b"), name="u", seed=1)
    found = diff(a, b)
    assert [one.name for one in found.studies] == ["s"]
    assert (found.only_a, found.only_b) == (["t"], ["u"])
    assert not found.equal
    assert diff(a, b, "t", "u").equal
    assert diff(a, a).equal
    assert not diff(a, a, "s", "t").equal
    with pytest.raises(AirtuneError, match="unknown study"):
        diff(a, b, "nope")
    with pytest.raises(AirtuneError, match="was named, but not the first"):
        diff(a, b, None, "u")
