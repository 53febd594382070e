"""Validation of what a study file holds, when it is read and before it is written: anybody may have written the file.

A file that was damaged is told by its checksums; one that was made to harm has them right. So nothing that is read is
used before it has the type that the program relies on, and what is not there is an error of the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from airtune.engine.types import StoreError

LARGEST_CHOICE = 1 << 1000  # of whole numbers in a configuration: what a float can come close to
MOST_DEPTH = 64  # of lists and objects within each other
_TEXT, WHOLE, _NUMBER, _OBJECT, _LIST = "a text", "a whole number", "a finite number", "an object", "a list"
_NUMBERS, WHOLES, _OBJECTS = "a list of finite numbers", "a list of whole numbers", "a list of objects"
_SEED = "any whole number"
# What is relied on, where it is there; "?" where it may be null. What else there is, is shown and not used.
MANIFEST = {
    "task": _TEXT, "description": _TEXT, "metric": _TEXT, "space": _OBJECT, "space_hash": _TEXT, "proposer": _TEXT,
    "temperature": "?" + _NUMBER, "seed": _SEED, "schedule": _TEXT, "model": "?" + _OBJECT, "model_hash": "?" + _TEXT,
    "versions": _OBJECT, "hardware": "?" + _OBJECT, "comparison": "?" + _OBJECT,
    "first": _OBJECTS, "program_script": _TEXT, "noise": _TEXT,
}  # fmt: skip
MODEL = {
    "model": _TEXT, "dialect": _TEXT, "backend": _TEXT, "files": _OBJECT, "versions": _OBJECT, "settings": _OBJECT,
    "weights": "?" + WHOLE, "weights_bytes": "?" + WHOLE,
}  # fmt: skip
COMPARISON = {"suite": _TEXT, "method": _TEXT, "seed": _SEED, "batch": _LIST}
TRANSCRIPT = {
    "model": _TEXT, "dialect": _TEXT, "prompt": _TEXT, "text": _TEXT, "grammar": _TEXT, "finish_reason": "?" + _TEXT,
    "temperature": "?" + _NUMBER, "attempt": WHOLE, "seed": WHOLE, "prompt_tokens": "?" + WHOLE,
    "decode_steps": "?" + WHOLE, "token_ids": "?" + WHOLES, "logprobs": "?" + _NUMBERS, "rejected": _OBJECTS,
    "samples": _OBJECTS, "queries": _OBJECTS, "ranking": _OBJECT,
}  # fmt: skip
TRIAL = {
    "number": WHOLE, "text": _TEXT, "config": _OBJECT, "origin": _TEXT, "status": _TEXT, "loss": "?" + _NUMBER,
    "reason": "?" + _TEXT, "info": _OBJECT, "log": _TEXT, "proposal_s": _NUMBER, "evaluation_s": "?" + _NUMBER,
    "asked": _NUMBER, "finished": "?" + _NUMBER, "pending": WHOLES,
}  # fmt: skip


class Stored(dict[str, Any]):
    """An object of a study file: reading what it does not hold is a StoreError that says so."""

    def __init__(self, values: Mapping[str, Any], what: str) -> None:
        super().__init__(values)
        self.what = what

    def __missing__(self, key: str) -> NoReturn:
        raise _invalid(f"{self.what} has no {key!r}", key)


def parse_json(text: str | bytes, what: str) -> Any:
    """What JSON text says, as strictly as it was written: no NaN, no infinity, no nesting without an end.

    Raises:
        StoreError: If it is not such JSON.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        if _depth(value) > MOST_DEPTH:
            raise ValueError(f"it is nested deeper than {MOST_DEPTH}")
    except (ValueError, TypeError, RecursionError) as error:
        raise _invalid(f"{what} cannot be read: {error}", what) from error
    return value


def checked_manifest(manifest: object, name: object, created: object) -> Stored:
    """A study's manifest with the types that are relied on; its name and time are looked at, too.

    Raises:
        StoreError: Naming what has another type.
    """
    checked(name, _TEXT, "the name of a study")
    checked(created, _NUMBER, f"the time when study {name!r} was created")
    found = _shaped(manifest, MANIFEST, f"the manifest of study {name!r}")
    for field, shape in (("model", MODEL), ("comparison", COMPARISON)):
        if found.get(field) is not None:
            found[field] = _shaped(found[field], shape, f"{field!r} in {found.what}")
    return found


def checked_transcript(transcript: object) -> Stored:
    """A transcript with the types that are relied on.

    Raises:
        StoreError: Naming what has another type.
    """
    found = _shaped(transcript, TRANSCRIPT, "a transcript")
    for field in ("rejected", "samples", "queries"):
        if field in found:
            found[field] = [_shaped(one, TRANSCRIPT, f"{field!r} in a transcript") for one in found[field]]
    return found


def checked_trial(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of trials, its JSON read, with the types that are relied on.

    Raises:
        StoreError: Naming what has another type, or a trial that is neither asked, told nor failed.
    """
    found = _shaped(row, TRIAL, f"trial {row.get('number')!r}"[:60])
    status, loss, reason = found["status"], found["loss"], found["reason"]
    if status not in ("asked", "told", "failed") or (status == "told") != (loss is not None):
        raise _invalid(f"{found.what} is {status!r:.40} with the loss {loss!r}", status)
    if (status == "failed") != (reason is not None):
        raise _invalid(f"{found.what} is {status!r} with the reason {reason!r:.40}", reason)
    for name, value in found["config"].items():
        if isinstance(value, int) and abs(value) >= LARGEST_CHOICE:
            raise _invalid(f"{found.what} has a {name!r:.40} that no space can have: {value!r:.40}", name)
    return found


def _shaped(value: object, shape: Mapping[str, str], what: str) -> Stored:
    if not isinstance(value, Mapping):
        raise _invalid(f"{what} is no object", type(value).__name__)
    for field, kind in shape.items():
        if field in value:
            checked(value[field], kind, f"{field!r} in {what}")
    return Stored(value, what)


def checked(value: Any, kind: str, what: str) -> Any:
    """A value, if it is of the kind.

    Raises:
        StoreError: If it is not.
    """
    if not _is(value, kind):
        raise _invalid(f"{what} is not {kind.removeprefix('?')}: {value!r:.60}", what)
    return value


def _is(value: Any, kind: str) -> bool:
    if kind.startswith("?"):
        return value is None or _is(value, kind[1:])
    if kind == _TEXT:
        return isinstance(value, str)
    if kind == _OBJECT:
        return isinstance(value, Mapping)
    if kind in (WHOLE, _SEED):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and (kind == _SEED or abs(value) < 2**64)
    if kind == _NUMBER:
        return _is(value, WHOLE) or (isinstance(value, float) and math.isfinite(value))
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return False
    inner = {_NUMBERS: _NUMBER, WHOLES: WHOLE, _OBJECTS: _OBJECT}.get(kind)
    return inner is None or all(_is(one, inner) for one in value)


def _depth(value: object) -> int:
    """How many lists and objects lie within each other; what is deeper than that could not be followed later."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large")
    return number


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _invalid(message: str, value: object) -> StoreError:
    return StoreError(
        message,
        value=value,
        allowed="what Airtune writes",
        hint="the file was written by something else, or changed: use a copy that you trust",
    )
