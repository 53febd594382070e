"""What each proposal looked like: the transcripts of language models, made ready to be shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

from airtune.engine import StudyFile
from airtune.engine.storage.records import best_record
from airtune.engine.storage.study_file import StudyRecord, TrialRecord

# A page of several megabytes is slow on a phone: what is shown of transcripts is cut here, and the page says so.
MOST_CHARACTERS = 2_000_000
MOST_TOKENS = 200  # of an answer, each on its own
TRIALS_SHOWN = 10  # of each study, in a comparison
EMPTY = 10.0  # nats
_KNOWN = {
    "model", "dialect", "prompt", "text", "grammar", "temperature", "attempt", "seed", "prompt_tokens", "decode_steps",
    "rejected", "logprobs", "token_ids", "finish_reason",
}  # fmt: skip


@dataclass(slots=True)
class Counts:
    """What happened in all of a file's studies that ask a language model.

    Attributes:
        studies: How many there are.
        proposals: Answers that became trials.
        rejected: Answers that were turned down before one was accepted.
        repeats: Those of them that had been tried already.
        violations: Accepted proposals that the study's own check refused; none is ever evaluated.
        prompt_tokens: Of all prompts.
        answer_tokens: Of all accepted answers, forced tokens included.
    """

    studies: int = 0
    proposals: int = 0
    rejected: int = 0
    repeats: int = 0
    violations: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0

    def add(self, transcript: Mapping[str, Any]) -> None:
        """Count one transcript."""
        self.proposals += 1
        self.rejected += len(transcript.get("rejected", ()))
        self.repeats += sum("tried" in str(one.get("reason")) for one in transcript.get("rejected", ()))
        self.prompt_tokens += int(transcript.get("prompt_tokens") or 0)
        self.answer_tokens += len(transcript.get("token_ids") or ())


@dataclass(slots=True)
class Shown:
    """A study whose proposals are on the page.

    Attributes:
        name: Of the study.
        task: Of its manifest.
        proposer: Of its manifest.
        proposals: Its trials as the template wants them.
        trials: How many it has in all.
    """

    name: str
    task: str
    proposer: str
    proposals: list[dict[str, Any]] = field(default_factory=list)
    trials: int = 0


def count(file: StudyFile, studies: Iterable[StudyRecord]) -> Counts:
    """Go through all transcripts of the studies."""
    counts = Counts()
    for study in studies:
        counts.violations += study.violations
        if study.manifest.get("model") is None:
            continue
        counts.studies += 1
        for transcript in file.transcripts(study.name).values():
            counts.add(transcript)
    return counts


def show(
    file: StudyFile, studies: Iterable[StudyRecord], most_trials: int | None
) -> tuple[list[Shown], bool]:
    """The proposals of the studies, and whether MOST_CHARACTERS cut them short.

    Args:
        file: Their study file.
        studies: Those to show, in this order.
        most_trials: Of each study; None for all.
    """
    shown: list[Shown] = []
    used = 0
    for study in studies:
        records, transcripts = file.records(study.name), file.transcripts(study.name)
        entry = Shown(
            study.name, str(study.manifest["task"]), str(study.manifest["proposer"]), trials=len(records)
        )
        best = best_record(records)
        words = token_words(study.manifest.get("model") or {})
        for record in records[:most_trials]:
            made = _proposal(record, transcripts.get(record.trial.number), words)
            made["best"] = record is best
            used += len(json.dumps(made, default=str)) + 900  # and its own markup
            if used > MOST_CHARACTERS:
                return [*shown, *([entry] if entry.proposals else [])], True
            entry.proposals.append(made)
        shown.append(entry)
    return shown, False


def _proposal(
    record: TrialRecord, transcript: Mapping[str, Any] | None, words: Callable[[int], str]
) -> dict[str, Any]:
    trial = record.trial
    made: dict[str, Any] = {
        "number": trial.number,
        "status": trial.status,
        "loss": trial.loss,
        "reason": trial.reason,
        "origin": record.origin,
        "config": record.text,
        "seconds": trial.proposal_s,
        "log": record.log[-2000:],
        "transcript": None,
        "density": "",
        "program": "",
        "nearest": None,
        "difference": "",
    }
    if transcript is None:
        return made
    # A server may not tell its tokens or their log-probabilities.
    logprobs = [float(value) for value in transcript.get("logprobs") or ()]
    ids = [int(token) for token in transcript.get("token_ids") or ()]
    made["transcript"] = {
        **{
            key: transcript.get(key)
            for key in ("model", "dialect", "prompt", "text", "grammar", "temperature")
        },
        **{key: transcript.get(key) for key in ("attempt", "seed", "prompt_tokens", "decode_steps")},
        "rejected": [
            {"text": one.get("text"), "reason": one.get("reason")} for one in transcript.get("rejected", ())
        ],
        "more": [(key, json.dumps(transcript[key])) for key in sorted(transcript.keys() - _KNOWN)],
        "total": sum(logprobs) if logprobs else None,
        "tokens": _tokens(list(zip(ids, logprobs, strict=False)), words),
    }
    return made


def _tokens(pairs: list[tuple[int, float]], words: Callable[[int], str]) -> list[dict[str, Any]]:
    """The tokens with their log-probabilities; of a long answer, those that were forced as one for each run of them."""
    shown = []
    for forced, run in groupby(pairs, key=lambda pair: pair[1] == 0.0):
        some = list(run)
        if forced and len(pairs) > MOST_TOKENS and len(some) > 1:
            said = f"the only ones that the grammar allowed, {len(some)} tokens"
            shown.append(
                {"word": f"… {len(some)} …", "said": said, "logprob": 0.0, "forced": True, "bar": 100}
            )
            continue
        only = ": the only one the grammar allowed" if forced else ""
        shown += [
            {
                "word": words(token),
                "said": f"token {token}{only}",
                "logprob": logprob,
                "forced": forced,
                "bar": _bar(logprob),
            }
            for token, logprob in some
        ]
    return shown


def _bar(logprob: float) -> int:
    """How much of a token's bar is filled, in percent: all of it if it was certain, none from EMPTY nats on."""
    return round(100 * max(0.0, 1.0 + min(0.0, logprob) / EMPTY))


@lru_cache(maxsize=4)
def _tokenizer(model: str, sha256: str) -> Any:
    """The model's tokenizer if it is at hand and the very one that was used, else None."""
    from airtune.models import ModelError
    from airtune.models.names import locate

    try:
        path = locate(model) / "tokenizer.json"
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            return None
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(path))
    except (OSError, ModelError):
        return None


def token_words(manifest: Mapping[str, Any]) -> Callable[[int], str]:
    """How the model's tokens are written; by their numbers where its tokenizer is not at hand."""
    sha256 = (manifest.get("files") or {}).get("tokenizer.json")
    tokenizer = _tokenizer(str(manifest.get("model")), str(sha256)) if sha256 else None

    def word(token: int) -> str:
        text = "" if tokenizer is None else str(tokenizer.decode([token], skip_special_tokens=False))
        return text or f"#{token}"

    return word
