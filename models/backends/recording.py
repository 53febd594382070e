"""Recordings of completions: a file of JSON lines, first the model, then a line for each request and its completion."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airtune.grammars import read_file
from airtune.models.types import Completion, LanguageModel, ModelError, Request

MOST_BYTES = 1 << 33  # of a recording

# What makes a model another one: as in a study's identity, versions, addresses and prices may differ.
_IDENTITY = ("backend", "dialect", "files", "settings")


def request_key(prompt: str, grammar_hash: str, seed: int, temperature: float) -> str:
    """SHA-256 that identifies a request: everything its answer may depend on, model aside."""
    parts = json.dumps([prompt, grammar_hash, seed, float(temperature)], ensure_ascii=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def record(request: Request, completion: Completion) -> dict[str, Any]:
    """A request and its completion as one JSON-able record, the form `ReplayModel` reads."""
    return {
        "prompt": request.prompt,
        "grammar_hash": request.grammar.hash,
        "seed": request.seed,
        "temperature": request.temperature,
        **asdict(completion),
    }


def model_record(model: LanguageModel) -> dict[str, Any]:
    """The first line of a recording: whose answers follow."""
    kind = type(getattr(model.dialect, "format", None)).__name__
    return {
        "kind": "model", "model": model.name, "dialect": model.dialect.name, "format": kind,
        "manifest": model.manifest(),
    }  # fmt: skip


def key_of(request: Request) -> str:
    """`request_key` of a request."""
    return request_key(request.prompt, request.grammar.hash, request.seed, request.temperature)


class Recording:
    """What is in a recording.

    Args:
        entries: Its lines as mappings: {"kind": "model", ...}, or prompt, grammar_hash, seed, temperature and
            text; token_ids, logprobs, finish_reason, prompt_tokens, decode_steps and details where they were
            recorded. What else they hold is passed over.

    Attributes:
        model: The model's line, or None.

    Raises:
        ModelError: If an entry lacks something, two answers to one request disagree, or there are two models.
    """

    def __init__(self, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        self.model: Mapping[str, Any] | None = None
        self._answers: dict[str, Completion] = {}
        for number, entry in enumerate(entries):
            self._read(number, entry)

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, request: Request) -> Completion | None:
        """The recorded completion of a request."""
        return self._answers.get(key_of(request))

    def add(self, request: Request, completion: Completion) -> bool:
        """Keep a completion; False if the request has one, which stays."""
        return self._answers.setdefault(key_of(request), completion) is completion

    def digest(self) -> str:
        """SHA-256 over all answers."""
        listing = json.dumps(sorted((key, answer.text) for key, answer in self._answers.items()))
        return hashlib.sha256(listing.encode()).hexdigest()

    def require_same_model(self, other: Mapping[str, Any]) -> None:
        """Raise a ModelError that says what differs if the recording is another model's than `other`."""
        if self.model is None:
            return
        before, now = self.model["manifest"], other["manifest"]
        for field in _IDENTITY:
            if _plain(before.get(field)) != _plain(now.get(field)):
                raise ModelError(
                    f"the recording is of another model: its {field} differs",
                    value=now.get(field),
                    allowed=f"{field} {before.get(field)!r} of model {self.model['model']!r}",
                    hint="record each model, and each setting of it, in a file of its own",
                )

    def _read(self, number: int, entry: Mapping[str, Any]) -> None:
        try:
            if entry.get("kind") == "model":
                found: dict[str, Any] = {key: str(entry[key]) for key in ("model", "dialect", "format")}
                found["manifest"] = dict(entry["manifest"])
                self.require_same_model(found)
                self.model = self.model or found
                return
            key = request_key(entry["prompt"], entry["grammar_hash"], entry["seed"], entry["temperature"])
            completion = Completion(
                text=entry["text"],
                token_ids=_tuple(entry.get("token_ids")),
                logprobs=_tuple(entry.get("logprobs")),
                finish_reason=entry.get("finish_reason", "stop"),
                prompt_tokens=entry.get("prompt_tokens"),
                decode_steps=entry.get("decode_steps"),
                details=dict(entry.get("details") or {}),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"record {number} is not a recorded completion: {error!r}",
                allowed="objects with prompt, grammar_hash, seed, temperature, text",
                hint="record with load_model(..., record=FILE) or RecordingModel",
            ) from error
        if self._answers.setdefault(key, completion).text != completion.text:
            raise ModelError(
                f"record {number} contradicts an earlier record of the same request",
                value=completion.text,
                allowed=self._answers[key].text,
                hint="record one model at a time",
            )


def read_recording(path: str | Path, *, repair: bool = False) -> Recording:
    """Read a file of JSON lines.

    Args:
        path: The file.
        repair: Cut off a last line that has no end: its writer was killed.

    Raises:
        ModelError: If the file cannot be read or a line is not a record.
    """
    try:
        text = read_file(path, MOST_BYTES).decode()
        if repair and not text.endswith("\n") and text:
            text = text[: text.rfind("\n") + 1]
            os.truncate(path, len(text.encode()))
        lines = text.split("\n")  # not splitlines: texts may hold U+2028
        entries = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"cannot read recorded completions from {path}: {error}",
            value=str(path),
            allowed="a JSON-lines file",
        ) from error
    return Recording(entries)


def to_lines(entries: Iterable[Mapping[str, Any]]) -> str:
    """Entries as JSON lines, in ASCII, which holds whatever a model may have said."""
    return "".join(json.dumps(entry, sort_keys=True, ensure_ascii=True) + "\n" for entry in entries)


def _plain(value: object) -> object:
    """As it is after JSON, which knows no tuples."""
    return json.loads(json.dumps(value, sort_keys=True))


def _tuple(values: Any) -> Any:
    return None if values is None else tuple(values)
