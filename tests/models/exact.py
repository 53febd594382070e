"""Probabilities of whole answers, added up over `next_tokens`: an oracle for what is drawn and for what is shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from airtune.models.types import AnswerDistribution, NextTokens


def text_probabilities(distribution: AnswerDistribution) -> dict[str, float]:
    """The probability of every answer, all its spellings together, by opening the whole tree."""
    found: dict[str, float] = defaultdict(float)
    open_: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    while open_:
        following = distribution.next_tokens([prefix for prefix, _ in open_])
        longer: list[tuple[tuple[int, ...], float]] = []
        for (prefix, mass), step in zip(open_, following, strict=True):
            here = (*prefix, *step.forced)
            if not len(step.allowed):
                found[b"".join(distribution.tokens[token] for token in here).decode()] += mass
            chances = zip(step.allowed.tolist(), np.exp(step.logprobs), strict=True)
            longer += [((*here, token), mass * float(chance)) for token, chance in chances]
        open_ = longer
    return dict(found)


def branching_points(distribution: AnswerDistribution, token_ids: Sequence[int]) -> list[NextTokens]:
    """What could have stood wherever an answer had a choice, in order; a server's end token is not part of it."""
    steps, at = [], 0
    while at < len(token_ids):
        (step,) = distribution.next_tokens([token_ids[:at]])
        at += len(step.forced)
        assert (*step.written, *step.forced) == tuple(token_ids[:at])
        if not len(step.allowed):
            break
        steps.append(step)
        at += 1
    return steps


def path_logprob(distribution: AnswerDistribution, token_ids: Sequence[int]) -> float:
    """The log-probability (nats) of an answer as it is spelt."""
    total = 0.0
    for step in branching_points(distribution, token_ids):
        token = token_ids[len(step.written) + len(step.forced)]
        total += float(step.logprobs[step.allowed.tolist().index(token)])
    return total
