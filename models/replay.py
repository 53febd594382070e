"""The `replay` backend: completions that were recorded before, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airtune.models.base import Completion, Dialect, LanguageModel, ModelError, Request


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


class RecordingModel:
    """Passes requests on to a model and keeps what it answered.

    Args:
        model: The model that answers.

    Attributes:
        records: What was asked and answered, in order; `save` writes them as JSON lines.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.records: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """The name of the model that answers."""
        return self._model.name

    @property
    def dialect(self) -> Dialect:
        """The dialect of the model that answers."""
        return self._model.dialect

    def manifest(self) -> dict[str, Any]:
        """The manifest of the model that answers."""
        return self._model.manifest()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`."""
        completions = self._model.generate(requests)
        self.records += [record(r, c) for r, c in zip(requests, completions, strict=True)]
        return completions

    def save(self, path: str | Path) -> None:
        """Write the records as JSON lines."""
        lines = (json.dumps(entry, sort_keys=True, ensure_ascii=False) for entry in self.records)
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class ReplayModel:
    """Answers recorded requests with their recorded completions, bit for bit, on any machine.

    Args:
        records: Mappings with prompt, grammar_hash, seed, temperature and text; token_ids, logprobs,
            finish_reason, prompt_tokens and decode_steps where they were recorded. Others are passed over.
        dialect: The dialect that the recorded model spoke.
        name: What the user called it.

    Raises:
        ModelError: If a record lacks something, or two records of one request disagree.
    """

    backend = "replay"

    def __init__(
        self, records: Iterable[Mapping[str, Any]], *, dialect: Dialect, name: str = "replay"
    ) -> None:
        self.name, self.dialect = name, dialect
        self._answers: dict[str, Completion] = {}
        for number, entry in enumerate(records):
            try:
                key = request_key(entry["prompt"], entry["grammar_hash"], entry["seed"], entry["temperature"])
                completion = Completion(
                    text=entry["text"],
                    token_ids=tuple(entry.get("token_ids", ())),
                    logprobs=tuple(entry.get("logprobs", ())),
                    finish_reason=entry.get("finish_reason", "stop"),
                    prompt_tokens=entry.get("prompt_tokens", 0),
                    decode_steps=entry.get("decode_steps", 0),
                )
            except (KeyError, TypeError) as error:
                raise ModelError(
                    f"record {number} is not a recorded completion: {error!r}",
                    allowed="objects with prompt, grammar_hash, seed, temperature, text",
                    hint="record with RecordingModel, or export a study with its transcripts",
                ) from error
            if self._answers.setdefault(key, completion).text != completion.text:
                raise ModelError(
                    f"record {number} contradicts an earlier record of the same request",
                    value=completion.text,
                    allowed=self._answers[key].text,
                    hint="record one model at a time",
                )

    @classmethod
    def from_file(cls, path: str | Path, *, dialect: Dialect) -> ReplayModel:
        """Read records from a file of JSON lines.

        Raises:
            ModelError: If the file cannot be read or a line is not a record.
        """
        try:
            lines = (
                Path(path).read_text(encoding="utf-8").split("\n")
            )  # not splitlines: texts may hold U+2028
            records = [json.loads(line) for line in lines if line.strip()]
        except (OSError, ValueError) as error:
            raise ModelError(
                f"cannot read recorded completions from {path}: {error}",
                value=str(path),
                allowed="a JSON-lines file",
            ) from error
        return cls(records, dialect=dialect, name=str(path))

    def manifest(self) -> dict[str, Any]:
        """The hash of the recorded answers stands for the weights."""
        listing = json.dumps(sorted((key, answer.text) for key, answer in self._answers.items()))
        return {
            "model": self.name,
            "backend": self.backend,
            "dialect": self.dialect.name,
            "files": {"records": hashlib.sha256(listing.encode()).hexdigest()},
            "versions": {},
            "settings": {},
        }

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`.

        Raises:
            ModelError: If a request was not recorded.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        if request.grammar.count() == 0:
            raise ModelError("the grammar is empty: no configuration is left to propose", value=0)
        key = request_key(request.prompt, request.grammar.hash, request.seed, request.temperature)
        if key not in self._answers:
            raise ModelError(
                f"this request was not recorded (seed {request.seed}, temperature {request.temperature}, "
                f"grammar {request.grammar.hash[:12]}, prompt of {len(request.prompt)} characters)",
                value=key,
                allowed=f"{len(self._answers)} recorded requests",
                hint="prompt, grammar, seed and temperature must all be those of the recording",
            )
        return self._answers[key]
