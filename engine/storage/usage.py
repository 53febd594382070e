"""What a study's language model took, where it is behind a server that counts: requests, tokens, money."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airtune.engine.storage.study_file import StudyFile, StudyRecord

COUNTING = ("openai", "replay")  # backends behind which a server counts, or did


@dataclass(slots=True)
class StudyUsage:
    """Sums over all proposals of a study, attempts that were turned down and thoughts included.

    Attributes:
        requests: HTTP requests, those that failed and were repeated included.
        prompt_tokens: None if the server did not always tell.
        completion_tokens: None if the server did not always tell.
        cost: By the price table that was given; None without one.
        currency: Of `cost`.
    """

    requests: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    currency: str | None

    def text(self) -> str:
        """One line for people."""
        tokens = [("?" if n is None else f"{n:,}") for n in (self.prompt_tokens, self.completion_tokens)]
        cost = (
            "no prices given" if self.cost is None else f"cost {self.cost:.4g} {self.currency or ''}".rstrip()
        )
        requests = f"{self.requests:,} request{'' if self.requests == 1 else 's'}"
        return f"server: {requests}, {tokens[0]} prompt and {tokens[1]} completion tokens, {cost}"


def study_usage(manifest: Mapping[str, Any], transcripts: Iterable[Mapping[str, Any]]) -> StudyUsage | None:
    """What a study took; None if its model counts nothing, as local ones do.

    Args:
        manifest: The study's.
        transcripts: Of its proposals.
    """
    prices = (manifest.get("model") or {}).get("prices") or {}
    found = [usage for transcript in transcripts for usage in _usages(transcript)]
    if not found:
        return None
    requests = sum(int(usage.get("requests") or 0) for usage in found)
    prompt, completion, cost = (
        _sum(usage.get(key) for usage in found) for key in ("prompt_tokens", "completion_tokens", "cost")
    )
    return StudyUsage(requests, prompt, completion, cost, prices.get("currency"))


def stored_usage(path: str | Path | None, name: str) -> StudyUsage | None:
    """What a study in a file took; None if its model is not behind a server.

    Raises:
        StoreError: If the file cannot be read, or has no such study.
    """
    if path is None:
        return None
    with StudyFile(path, readonly=True) as file:
        return file_usage(file, file.get(name))


def file_usage(file: StudyFile, study: StudyRecord) -> StudyUsage | None:
    """What a study of the file took; None if its model counts nothing. Transcripts of others are not read for it.

    Raises:
        StoreError: If the file cannot be read.
    """
    if (study.manifest.get("model") or {}).get("backend") not in COUNTING:
        return None
    return study_usage(study.manifest, file.transcripts(study.name).values())


def _usages(transcript: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The counts of one proposal: of all its samples and predictions, or of its answer and the attempts before it."""
    answers = transcript.get("samples") or [transcript, *transcript.get("rejected", ())]
    answers = [*answers, *transcript.get("queries", ())]
    for answer in answers:
        details = answer.get("details") or {}
        thought = (details.get("thought") or {}).get("details") or {}
        for usage in (answer.get("usage"), details.get("usage"), thought.get("usage")):
            if usage:
                yield usage


def _sum(values: Iterable[Any]) -> Any:
    known = list(values)
    return None if None in known else sum(known)
