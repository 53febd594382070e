"""Compares a proposal that was derived again with the one that is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airtune.engine.evaluation.noise import TRUE_LOSS, read_noise, true_loss
from airtune.engine.replay.stored import StoredStudy
from airtune.engine.types import Proposal
from airtune.grammars import AirtuneError, canonical_grammar

# What is compared first explains most: a prompt that differs makes all the rest differ.
_ORDER = (
    "dialect", "prompt", "grammar", "temperature", "seed", "attempt", "rejected", "token_ids", "logprobs", "text",
    "finish_reason", "samples", "queries", "ranking",
)  # fmt: skip
_WORDS = {"token_ids": "token ids", "logprobs": "log-probabilities", "grammar": "grammar's hash"}
# Of no meaning for what is proposed: what the user called the model.
_NAMES = frozenset({"model"})
# On another machine a model may be run in other steps to the same answer.
_STEPS = frozenset({"decode_steps", "prompt_tokens"})
_SHOWN = 24  # characters of a text around where it differs


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a derived proposal is not the stored one.

    Attributes:
        trial: Its number.
        what: What differs: "prompt", "token ids", "configuration", ...
        recorded: What is stored, where it differs.
        derived: What was derived, there.
        cause: Why, as far as it can be told.
        configs: The stored and the derived configuration, where they differ.
    """

    trial: int
    what: str
    recorded: str
    derived: str
    cause: str = ""
    configs: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None


@dataclass(slots=True)
class Agreement:
    """How close models' answers came, over all trials compared.

    Attributes:
        tokens: Tokens whose recorded and derived ids were compared.
        same: Of them, those that are equal.
        largest: The largest difference of two log-probabilities of equal tokens (nats).
    """

    tokens: int = 0
    same: int = 0
    largest: float = 0.0

    def add(self, other: Agreement) -> None:
        """Count another's too."""
        self.tokens += other.tokens
        self.same += other.same
        self.largest = max(self.largest, other.largest)

    def count(self, recorded: Mapping[str, Any], derived: Mapping[str, Any]) -> None:
        """Count the tokens of two transcripts, as far as the answers go the same way."""
        before, after = recorded.get("token_ids") or [], derived.get("token_ids") or []
        same = _common(before, after)
        self.tokens += max(len(before), len(after))
        self.same += same
        values = zip(recorded.get("logprobs") or [], derived.get("logprobs") or [], strict=False)
        for i, (one, other) in enumerate(values):
            if i < same and isinstance(one, int | float):
                self.largest = max(self.largest, abs(one - other))


def compare(
    stored: StoredStudy, number: int, proposal: Proposal | None, tolerance: float | None, agreement: Agreement
) -> Divergence | None:
    """The first divergence of a derived proposal from the stored trial, or None.

    Args:
        stored: The study.
        number: The trial.
        proposal: What was derived; None if the proposer found the space exhausted.
        tolerance: Largest difference of two numbers of the model (nats) that counts as none; None compares bits.
        agreement: Counts the tokens.
    """
    record = stored.records[number]
    if proposal is None:
        return Divergence(number, "configuration", record.text, "nothing: the space is exhausted")
    transcript = _plain(proposal.transcript)
    recorded = stored.transcripts.get(number)
    if transcript is not None and recorded is not None:
        agreement.count(recorded, transcript)
    text, config = _read(stored, proposal)
    before, after = json.dumps(dict(record.trial.config)), json.dumps(config)
    configs = (dict(record.trial.config), config) if before != after else None
    for what, one, other in (
        *_pairs(recorded, transcript, tolerance),
        ("origin", record.origin, proposal.origin),
        ("configuration", record.text, text),
        ("configuration", before, after),
        *_noise(stored, number),
    ):
        if not _equal(one, other, tolerance):
            return Divergence(number, _WORDS.get(what, what), *shown(one, other), configs=configs)
    return None


def _noise(stored: StoredStudy, number: int) -> Iterator[tuple[str, Any, Any]]:
    """A trial's loss, and what its noise makes of its true loss."""
    trial, noise = stored.records[number].trial, stored.manifest.get("noise")
    true = true_loss(trial)
    if noise is not None and true is not None and TRUE_LOSS in trial.info:  # to what was told none was added
        yield "loss with noise", trial.loss, read_noise(noise).on(true, stored.state.seed, number)


def _pairs(
    recorded: Mapping[str, Any] | None, derived: Mapping[str, Any] | None, tolerance: float | None
) -> Iterator[tuple[str, Any, Any]]:
    if recorded is None or derived is None:
        yield "transcript", recorded, derived
        return
    left_out = _NAMES if tolerance is None else _NAMES | _STEPS
    rest = sorted((recorded.keys() | derived.keys()) - set(_ORDER) - left_out)
    for what in (*_ORDER, *rest):
        yield what, recorded.get(what), derived.get(what)


def _equal(before: Any, after: Any, tolerance: float | None) -> bool:
    """Whether two values are equal: to the type and the bit, or numbers of the model within a tolerance."""
    if tolerance is None:
        return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    if isinstance(before, float) and isinstance(after, float):
        return before == after or math.isclose(before, after, rel_tol=0.0, abs_tol=tolerance)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(
            _equal(one, other, tolerance) for one, other in zip(before, after, strict=True)
        )
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(_equal(before[k], after[k], tolerance) for k in before)
    return bool(before == after and type(before) is type(after))


def _read(stored: StoredStudy, proposal: Proposal) -> tuple[str, dict[str, Any]]:
    """The proposal's canonical text and configuration, as a study reads them."""
    grammar = canonical_grammar(stored.state.task.space)
    try:
        text = grammar.encode(dict(proposal.config))
        return text, grammar.decode(text)
    except AirtuneError as error:
        return error.message, dict(proposal.config)


def _plain(transcript: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The transcript as JSON gives it back: what is stored has been through it."""
    return None if transcript is None else json.loads(json.dumps(dict(transcript)))


def shown(before: Any, after: Any) -> tuple[str, str]:
    """Both values, or of long ones what is around the first difference."""
    if isinstance(before, list) and isinstance(after, list):
        at = _common(before, after)
        one, other = (
            f"number {at}: {v[at]!r}" if at < len(v) else f"ends after {at}" for v in (before, after)
        )
        return one, other
    one, other = (value if isinstance(value, str) else json.dumps(value) for value in (before, after))
    if max(len(one), len(other)) <= 3 * _SHOWN:
        return one, other
    at = _common(one, other)
    part = slice(max(0, at - _SHOWN), at + _SHOWN)
    return f"at character {at}: ...{one[part]}...", f"at character {at}: ...{other[part]}..."


def _common(before: Sequence[Any], after: Sequence[Any]) -> int:
    """The length of what both begin with."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((i for i, (one, other) in pairs if one != other), min(len(before), len(after)))
