"""What a study file's rows hold: its tables, studies and trials as read, values as JSON, transcripts compressed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airtune.engine.storage.validation import checked_manifest, checked_transcript, strict_json
from airtune.engine.types import StoreError, Trial

# 2: documents; transcripts are compressed (those that version 1 wrote, as text, are read too).
# 3: a checksum of every row that is kept (rows of older versions have none); what was pending when a trial was asked.
SCHEMA_VERSION = 3
# Losses are REAL, which SQLite keeps bit for bit but for -0.0; all else with floats in it is JSON, by repr.
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS studies ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, manifest TEXT NOT NULL, created REAL NOT NULL,"
    " checksum BLOB)",
    "CREATE TABLE IF NOT EXISTS trials ("
    " study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,"
    " text TEXT NOT NULL, config TEXT NOT NULL, origin TEXT NOT NULL,"
    " status TEXT NOT NULL CHECK (status IN ('asked', 'told', 'failed')),"
    " loss REAL, reason TEXT, info TEXT NOT NULL, log TEXT NOT NULL,"
    " proposal_s REAL NOT NULL, evaluation_s REAL, asked REAL NOT NULL, finished REAL,"
    " pending TEXT, checksum BLOB,"
    " PRIMARY KEY (study, number), UNIQUE (study, text),"
    " CHECK ((status = 'told') = (loss IS NOT NULL)), CHECK ((status = 'failed') = (reason IS NOT NULL)),"
    " CHECK (loss IS NULL OR abs(loss) < 9e999)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS transcripts ("
    " study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL, transcript NOT NULL,"
    " checksum BLOB, PRIMARY KEY (study, number)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS violations ("
    " study INTEGER NOT NULL REFERENCES studies, number INTEGER NOT NULL,"
    " proposal TEXT NOT NULL, reason TEXT NOT NULL, time REAL NOT NULL, checksum BLOB)",
    "CREATE TABLE IF NOT EXISTS leases ("
    " name TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,"
    " token TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS documents ("
    " name TEXT PRIMARY KEY, document TEXT NOT NULL, checksum BLOB) WITHOUT ROWID",
)
# The columns of the rows that have a checksum, in the order of the table; the checksum, the last one, left out.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "studies": ("id", "name", "manifest", "created"),
    "trials": (
        "study", "number", "text", "config", "origin", "status", "loss", "reason", "info", "log",
        "proposal_s", "evaluation_s", "asked", "finished", "pending",
    ),
    "transcripts": ("study", "number", "transcript"),
    "violations": ("study", "number", "proposal", "reason", "time"),
    "documents": ("name", "document"),
}  # fmt: skip
# What an older file's tables lack: (table, column, type).
ADDED = (("trials", "pending", "TEXT"), *((table, "checksum", "BLOB") for table in COLUMNS))
# A file may come from anywhere: a few bytes must not unpack to all of the memory.
LARGEST_TRANSCRIPT = 1 << 28
# What transcripts have in common, for zlib to refer to: part of the format, never to be changed.
_DICTIONARY = (
    b'"reason": "", "rejected": [{"attempt": 1, "dialect": "chat", "prompt": "", "temperature": 1.0, '
    b'{"model": "pocket", "dialect": "pocket", "prompt": ";>", "grammar": "0123456789abcdef", '
    b'"temperature": 0.7, "attempt": 0, "seed": , "text": "", "finish_reason": "stop", "token_ids": [], '
    b'"logprobs": [0.0, 0.0, -0.0, -1.], "prompt_tokens": , "decode_steps": , "rejected": []}'
)


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as the file knows it.

    Attributes:
        name: Unique in the file.
        manifest: What the study is: task, space, proposer, seed, model, versions.
        created: Seconds since 1970.
        asked: Trials without a result.
        told: Trials with a loss.
        failed: Trials that failed.
        violations: Proposals that were not valid or not new; none was ever evaluated.
    """

    name: str
    manifest: Mapping[str, Any]
    created: float
    asked: int
    told: int
    failed: int
    violations: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "manifest", checked_manifest(self.manifest, self.name, self.created))


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as the file knows it.

    Attributes:
        trial: The trial.
        text: Its configuration as canonical text.
        origin: What proposed it, for example "lm" or "default".
        log: Traceback and the end of what was printed, of a failure; may be empty.
        asked: When it was asked, in seconds since 1970.
        finished: When its result was stored, or None.
        pending: Numbers of the earlier trials that had no result when it was proposed; the proposer saw the results of
            all others. None if that was not recorded (schema versions 1 and 2).
    """

    trial: Trial
    text: str
    origin: str
    log: str
    asked: float
    finished: float | None
    pending: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """A trial that is about to be evaluated.

    Attributes:
        study: Its study's name.
        trial: The trial.
        text: Its configuration as canonical text.
        origin: What proposed it.
        transcript: How a language model came to it, or None.
        pending: Numbers of the earlier trials that have no result yet.
    """

    study: str
    trial: Trial
    text: str
    origin: str
    transcript: Mapping[str, Any] | None = None
    pending: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finishing:
    """The result of an asked trial.

    Attributes:
        study: Its study's name.
        trial: The trial as it is now: told, or failed.
        log: Traceback and what was printed, as far as they are known.
    """

    study: str
    trial: Trial
    log: str = ""


def to_json(value: object, what: str) -> str:
    """Strict JSON; mappings keep their order, floats are written by repr.

    Raises:
        StoreError: If JSON cannot hold it.
    """
    try:
        # ASCII with escapes, so that lone surrogates in a text survive SQLite's UTF-8.
        return json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{what} cannot be stored as JSON: {error}", value=value) from error


def from_json(text: str, what: str) -> Any:
    """The inverse of `to_json`.

    Raises:
        StoreError: If the text is not JSON: it is not what was written.
    """
    return strict_json(text, what)


def pack(transcript: Mapping[str, Any]) -> bytes:
    """A transcript as it is stored.

    Raises:
        StoreError: If JSON cannot hold it.
    """
    deflate = zlib.compressobj(level=9, zdict=_DICTIONARY)
    return deflate.compress(to_json(transcript, "the transcript").encode()) + deflate.flush()


def unpack(stored: bytes | str) -> dict[str, Any]:
    """The inverse of `pack`; text is what schema version 1 stored.

    Raises:
        StoreError: If it is not what `pack` made.
    """
    try:
        text = stored if isinstance(stored, str) else _inflate(stored)
    except (zlib.error, ValueError, TypeError) as error:
        raise StoreError(f"a transcript cannot be read: {error}", value="transcript") from error
    return checked_transcript(strict_json(text, "a transcript"))


def _inflate(stored: bytes) -> bytes:
    inflate = zlib.decompressobj(zdict=_DICTIONARY)
    text = inflate.decompress(stored, LARGEST_TRANSCRIPT)
    if not inflate.eof:
        raise ValueError(f"it is cut off, or larger than {LARGEST_TRANSCRIPT} bytes")
    return text
