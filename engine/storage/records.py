"""What is read from a study file and written to it: studies, trials, and the compressed transcripts of proposals."""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airtune.engine.storage.schema import COLUMNS
from airtune.engine.storage.validation import checked_manifest, checked_transcript, checked_trial, parse_json
from airtune.engine.types import Proposal, StoreError, Trial

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

    @property
    def trials(self) -> int:
        """How many trials it has, those without a result included."""
        return self.asked + self.told + self.failed

    def __post_init__(self) -> None:
        object.__setattr__(self, "manifest", checked_manifest(self.manifest, self.name, self.created))


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as the file knows it.

    Attributes:
        trial: The trial.
        text: Its configuration as canonical text.
        origin: What proposed it, for example "lm" or "default".
        log: Traceback, the end of what was printed, notes on further values that were not kept; may be empty.
        asked: When it was asked, in seconds since 1970.
        finished: When its result was stored, or None.
        pending: Numbers of the earlier trials that had no result when it was proposed; the proposer saw the results of
            all others.
    """

    trial: Trial
    text: str
    origin: str
    log: str
    asked: float
    finished: float | None
    pending: tuple[int, ...] = ()


def best_record(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The one with the least loss, the first of equals; None if none has one. See `best_of`."""
    told = [record for record in records if record.trial.loss is not None]
    return min(told, key=lambda record: (record.trial.loss, record.trial.number), default=None)


@dataclass(frozen=True, slots=True)
class TrialInsert:
    """A trial to store, about to be evaluated.

    Attributes:
        study: Its study's name.
        trial: The trial.
        text: Its configuration as canonical text.
        proposal: How it came about.
        pending: Numbers of the earlier trials that had no result when it was proposed.
    """

    study: str
    trial: Trial
    text: str
    proposal: Proposal
    pending: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialUpdate:
    """The result of a stored trial.

    Attributes:
        study: Its study's name.
        trial: The trial as it is now: told, or failed.
        log: Traceback and what was printed, as far as they are known.
    """

    study: str
    trial: Trial
    log: str = ""


def trial_record(row: Sequence[Any]) -> TrialRecord:
    """A row of `trials`, the values of `COLUMNS`, as a record.

    Raises:
        StoreError: If it cannot be read.
    """
    found: dict[str, Any] = dict(zip(COLUMNS["trials"], row, strict=True))
    for field in ("config", "info", "pending"):
        if found[field] is not None:
            found[field] = parse_json(found[field], f"{field!r} of trial {found['number']!r}")
    known = checked_trial(found)
    fields = ("number", "config", "status", "loss", "reason", "info", "proposal_s", "evaluation_s")
    trial = Trial(**{field: known[field] for field in fields})
    rest = {field: known[field] for field in ("text", "origin", "log", "asked", "finished")}
    return TrialRecord(trial, **rest, pending=tuple(known["pending"]))


def checked_name(name: str) -> str:
    """The name of a study, if it is a text that a file can hold.

    Raises:
        StoreError: If it is not, as of an argument in another encoding.
    """
    try:
        name.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise StoreError(
            f"a study cannot be called {name!r}",
            value=name,
            allowed="a text in UTF-8",
            hint="choose another name (name=)",
        ) from error
    return name


def study_row(number: int, name: str, manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    """The row of a study that begins.

    Raises:
        StoreError: If the manifest is nothing that could be read again.
    """
    text, created = to_json(manifest, "the manifest"), time.time()
    with _before_writing(f"study {name!r}"):
        checked_manifest(parse_json(text, "the manifest"), name, created)
    return (number, name, text, created)


def asked_row(study: int, insert: TrialInsert) -> tuple[Any, ...]:
    """The row of a trial that is about to be evaluated.

    Raises:
        StoreError: If it is nothing that could be read again.
    """
    trial, config = insert.trial, to_json(insert.trial.config, "the configuration")
    proposed = (study, trial.number, insert.text, config, insert.proposal.origin)
    times = (float(trial.proposal_s), None, time.time(), None)
    row = (*proposed, "asked", None, None, "{}", "", *times, json.dumps(insert.pending))
    with _before_writing(f"trial {trial.number}"):
        trial_record(row)
    return row


def finished_row(asked: Sequence[Any], update: TrialUpdate) -> tuple[Any, ...]:
    """The row of a trial with its result.

    Args:
        asked: Its row so far, the values of `COLUMNS`.
        update: The result.

    Raises:
        StoreError: If it is nothing that could be read again.
    """
    trial = update.trial
    row = dict(zip(COLUMNS["trials"], asked, strict=True)) | {
        "status": trial.status,
        # SQLite knows no negative zero, and of its reals makes floats: what is summed is what is read.
        "loss": None if trial.loss is None else trial.loss + 0.0,
        "reason": trial.reason,
        "info": to_json(trial.info, "the further values"),
        "log": update.log.encode("utf-8", "replace").decode(),
        "evaluation_s": None if trial.evaluation_s is None else float(trial.evaluation_s),
        "finished": time.time(),
    }
    with _before_writing(f"trial {trial.number}"):
        trial_record(tuple(row.values()))
    return tuple(row.values())


@contextlib.contextmanager
def _before_writing(what: str) -> Iterator[None]:
    """A reader's objection, in a writer's words."""
    try:
        yield
    except StoreError as error:
        raise StoreError(
            f"{what} cannot be stored: {error.message}",
            value=error.value,
            allowed="what a study file can hold and be read from again",
            hint="nothing was written; change what the message names",
        ) from error


def to_json(value: object, what: str) -> str:
    """Strict JSON; mappings keep their order, floats are written by repr.

    Raises:
        StoreError: If JSON cannot hold it.
    """
    try:
        # ASCII with escapes, so that lone surrogates in a text survive SQLite's UTF-8.
        return json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"{what} cannot be stored as JSON: {error}",
            value=value,
            allowed="texts, whole numbers, finite floats, true, false, null, lists and objects of these",
            hint="nothing was written; change what the message names",
        ) from error


def compress_transcript(transcript: Mapping[str, Any]) -> bytes:
    """A transcript as it is stored.

    Raises:
        StoreError: If it is nothing that could be read again.
    """
    text = to_json(transcript, "the transcript")
    with _before_writing("the transcript"):
        checked_transcript(parse_json(text, "a transcript"))
    deflate = zlib.compressobj(level=9, zdict=_DICTIONARY)
    return deflate.compress(text.encode()) + deflate.flush()


def decompress_transcript(stored: bytes) -> dict[str, Any]:
    """The inverse of `compress_transcript`.

    Raises:
        StoreError: If it is not what `compress_transcript` made.
    """
    try:
        text = _inflate(stored)
    except (zlib.error, ValueError, TypeError) as error:
        raise StoreError(f"a transcript cannot be read: {error}", value="transcript") from error
    return checked_transcript(parse_json(text, "a transcript"))


def _inflate(stored: bytes) -> bytes:
    inflate = zlib.decompressobj(zdict=_DICTIONARY)
    text = inflate.decompress(stored, LARGEST_TRANSCRIPT)
    if not inflate.eof:
        raise ValueError(f"it is cut off, or larger than {LARGEST_TRANSCRIPT} bytes")
    return text
