"""`airtune replay`, `airtune diff` and `airtune recover` as a user runs them: words, documents, exit codes."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import Folder

LOSS = "def loss(config):\n    return {'loss': (config['x'] - 0.3) ** 2 + config['n'] / 64}\n"


@pytest.fixture
def studies(folder: Folder) -> Path:
    """A file with a study of the bundled model and one of random search, of a user's own objective."""
    folder.write("train.py", LOSS)
    for proposer, name in (("lm", "model"), ("random", "chance")):
        folder.call(
            "tune", "--space", "space.json", "--objective", "train:loss", "--budget", "4", "--proposer", proposer,
            "--study", "s.sqlite", "--study-name", name, "--no-progress",
        )  # fmt: skip
    (folder.path / "train.py").unlink()  # a replay evaluates nothing
    return folder.path / "s.sqlite"


def edit(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


def test_replay(folder: Folder, studies: Path) -> None:
    before = studies.read_bytes()
    for level in "013":
        said = folder.call("replay", "s.sqlite", "--level", level)
        assert "2 of 2 studies are equal" in said.out
    document = folder.call("replay", "s.sqlite", "--json").json
    assert document["holds"] is True
    assert document["trials"] == 8
    assert document["equal_tokens"] == document["tokens"] > 0
    one = folder.call("replay", "s.sqlite", "--study-name", "model", "--trials", "1:2", "--level", "0")
    assert "the study is equal to the bit (2 proposals derived again)" in one.out
    assert studies.read_bytes() == before


def test_replay_of_an_edited_file(folder: Folder, studies: Path) -> None:
    edit(studies, "UPDATE trials SET loss = 0.0 WHERE number = 1 AND study = 1")
    said = folder.call("replay", "s.sqlite", "--level", "0", code=1)
    assert "study 'model'" in said.out
    assert "changed after it was written (the checksum does not match): trial 1" in said.out
    assert "1 of 2 studies are equal" in said.out
    document = folder.call("replay", "s.sqlite", "--level", "0", "--json", code=1).json
    assert document["holds"] is False
    assert [one["holds"] for one in document["studies"]] == [False, True]
    # Nothing else goes on with such a file, and what it says names the way out.
    for command in ("show", "export"):
        refused = folder.call(command, "s.sqlite", "--study-name", "model", code=2)
        assert "trial 1 in study file 's.sqlite' is not as it was written" in refused.err
        assert "airtune recover s.sqlite" in refused.err
    others = folder.call("export", "s.sqlite", code=1)  # the other study is whole
    assert {json.loads(line)["kind"] for line in others.out.splitlines()} == {"study", "trial"}
    assert "trial 1 in study file 's.sqlite' is not as it was written" in others.err


def test_a_comparison(folder: Folder) -> None:
    folder.call(
        "bench",
        "toy",
        "--proposers",
        "lm,random",
        "--seeds",
        "1",
        "--budget",
        "3",
        "--jobs",
        "1",
        "--out",
        "b",
    )
    said = folder.call("replay", "b")
    assert "12 of 12 studies are equal to the bit (36 proposals derived again)" in said.out
    assert "replayed 12 of 12 studies" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", "none.sqlite"),
        ("replay", "space.json"),
        ("replay", "s.sqlite", "--level", "7"),
        ("replay", "s.sqlite", "--level", "high"),
        ("replay", "s.sqlite", "--trials", "x"),
        ("replay", "s.sqlite", "--trials", "3:1"),
        ("replay", "s.sqlite", "--study-name", "nope"),
        ("replay", "s.sqlite", "--dtype", "float16"),
        ("replay", "s.sqlite", "--jobs", "0"),
        ("diff", "s.sqlite", "none.sqlite"),
        ("diff", "s.sqlite"),
        ("recover", "none.sqlite"),
        ("recover", "space.json"),
        ("recover", "s.sqlite", "-o", "s.sqlite"),
        ("recover", "s.sqlite", "-o", "no/such/folder/x.sqlite"),
    ],
)
def test_what_has_no_meaning_is_refused(folder: Folder, arguments: tuple[str, ...]) -> None:
    folder.write("train.py", LOSS)
    folder.call(
        "tune", "--space", "space.json", "--objective", "train:loss", "--budget", "2", "--proposer", "random",
        "--study", "s.sqlite", "--no-progress",
    )  # fmt: skip
    said = folder.call(*arguments, code=2)
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    assert said.out == ""


def test_diff(folder: Folder, studies: Path) -> None:
    shutil.copy(studies, folder.path / "t.sqlite")
    assert "equal: 2 studies, 8 trials" in folder.call("diff", "s.sqlite", "t.sqlite").out
    said = folder.call(
        "diff", "s.sqlite", "s.sqlite", "--study-name", "model", "--other-name", "chance", code=1
    )
    assert "proposer: lm | random" in said.out
    assert "proposals differ from trial 0 on" in said.out
    assert "best of a: trial" in said.out
    document = folder.call(
        "diff", "s.sqlite", "s.sqlite", "--study-name", "model", "--other-name", "chance", "--json", code=1
    ).json
    assert document["equal"] is False
    assert document["studies"][0]["first_differences"][0]["what"] == "proposals"


def test_recover(folder: Folder, studies: Path) -> None:
    whole = folder.call("export", "s.sqlite", "--no-times").out
    said = folder.call("recover", "s.sqlite")
    assert "salvaged 2 studies, 8 trials into s.recovered.sqlite" in said.out
    assert "nothing is known to be lost" in said.out
    assert folder.call("export", "s.recovered.sqlite", "--no-times").out == whole
    data = studies.read_bytes()
    studies.write_bytes(bytes(4096) + data[4096:])
    refused = folder.call("show", "s.sqlite", code=2)
    assert "airtune recover s.sqlite" in refused.err
    folder.call("recover", "s.sqlite", "-o", "t.sqlite", "--json")
    assert folder.call("export", "t.sqlite", "--no-times").out == whole
    studies.write_bytes(data[: len(data) // 2])
    refused = folder.call("tune", "toy/branin", "--study", "s.sqlite", code=2)
    assert "airtune recover s.sqlite" in refused.err


def test_recover_says_what_is_lost(folder: Folder, studies: Path) -> None:
    with closing(sqlite3.connect(studies)) as db, db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("DELETE FROM trials WHERE study = 2 AND number = 2")
        db.execute("DELETE FROM transcripts WHERE number = 3")
    said = folder.call("recover", "s.sqlite", code=1)
    assert "study 'chance': 3 trials\n  lost: trial 2" in said.out
    assert "study 'model': 4 trials\n  without a transcript: trial 3" in said.out
    document = folder.call("recover", "s.sqlite", "-o", "t.sqlite", "--json", code=1).json
    assert [one["lost"] for one in document["studies"]] == [[], [2]]
