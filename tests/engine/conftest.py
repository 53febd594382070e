from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import StudyFile, Task, export_jsonl

# The tables as versions 1 and 2 made them.
_TRIALS = (
    "CREATE TABLE studies (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, manifest TEXT NOT NULL,"
    " created REAL NOT NULL);"
    "CREATE TABLE trials (study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,"
    " text TEXT NOT NULL, config TEXT NOT NULL, origin TEXT NOT NULL,"
    " status TEXT NOT NULL CHECK (status IN ('asked', 'told', 'failed')),"
    " loss REAL, reason TEXT, info TEXT NOT NULL, log TEXT NOT NULL,"
    " proposal_s REAL NOT NULL, evaluation_s REAL, asked REAL NOT NULL, finished REAL,"
    " PRIMARY KEY (study, number), UNIQUE (study, text),"
    " CHECK ((status = 'told') = (loss IS NOT NULL)), CHECK ((status = 'failed') = (reason IS NOT NULL))"
    ") WITHOUT ROWID;"
    "CREATE TABLE violations (study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,"
    " proposal TEXT NOT NULL, reason TEXT NOT NULL, time REAL NOT NULL);"
    "CREATE TABLE leases (name TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL,"
    " started TEXT NOT NULL, token TEXT NOT NULL) WITHOUT ROWID;"
)
OLD = {
    1: _TRIALS + "CREATE TABLE transcripts (study INTEGER NOT NULL REFERENCES studies,"
    " number INTEGER NOT NULL, transcript TEXT NOT NULL, PRIMARY KEY (study, number)) WITHOUT ROWID;",
    2: _TRIALS + "CREATE TABLE transcripts (study INTEGER NOT NULL REFERENCES studies,"
    " number INTEGER NOT NULL, transcript NOT NULL, PRIMARY KEY (study, number)) WITHOUT ROWID;"
    "CREATE TABLE documents (name TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;",
}


@pytest.fixture(scope="session")
def old_schemas() -> Mapping[int, str]:
    """The tables of study files of versions 1 and 2, as SQL."""
    return OLD


@pytest.fixture
def space() -> ConfigurationSpace:
    return ConfigurationSpace({"x": (-1.0, 1.0), "n": (1, 9), "c": ["a", "b"]})


@pytest.fixture
def task(space: ConfigurationSpace) -> Task:
    def objective(config: dict[str, Any]) -> dict[str, Any]:
        return {"loss": config["x"] ** 2 + config["n"] / 3, "size": config["n"]}

    return Task("bowl", space, objective, metric="depth", description="A bowl.")


@pytest.fixture
def export() -> Callable[..., str]:
    """The file as text, without times."""

    def export(path: Path, name: str | None = None) -> str:
        with StudyFile(path, readonly=True) as file:
            return "".join(export_jsonl(file, name, times=False, transcripts=True))

    return export
