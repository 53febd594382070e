"""What vLLM answered: as our completion, whether it counts, and the seed of another attempt."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from airtune.models.masks.vocabulary import Vocabulary
from airtune.models.types import Completion, ModelError, Request, TextRequest


def completion(request: Request | TextRequest, output: Any, vocabulary: Vocabulary) -> Completion:
    """A finished output of vLLM as ours.

    Raises:
        ModelError: If the model's logits were no numbers.
    """
    made = output.outputs[0]
    ids = tuple(int(i) for i in made.token_ids)
    text = vocabulary.text(i for i in ids if i < len(vocabulary.tokens))
    reason = str(made.finish_reason)
    for stop in request.stop if isinstance(request, TextRequest) else ():
        if stop in text:
            text, reason = text.partition(stop)[0], "stop"
    told = [float(line[i].logprob) for i, line in zip(ids, made.logprobs or [], strict=True)]
    if any(map(math.isnan, told)):
        raise ModelError(
            "the model's logits are not numbers",
            hint="the weights are damaged (airtune models verify), or try dtype=float32",
        )
    if request.temperature == 0:  # what is certain has probability one; vLLM tells that at temperature 1
        told = [0.0] * len(ids)
    return Completion(
        text=text, token_ids=ids, logprobs=tuple(told), finish_reason=reason,
        prompt_tokens=len(output.prompt_token_ids), decode_steps=max(0, len(ids) - 1),
    )  # fmt: skip


def usable(request: Request, completion: Completion) -> bool:
    """Whether an answer is complete and in the language, or was cut where the request wanted it cut."""
    if completion.finish_reason == "length" and request.max_tokens is not None:
        return len(completion.token_ids or ()) >= request.max_tokens
    return (
        completion.finish_reason == "stop"
        and bool(completion.text)
        and request.grammar.accepts(completion.text)
    )


def next_seed(seed: int, attempt: int) -> int:
    """The seed of a further attempt at a request."""
    return int.from_bytes(hashlib.sha256(f"{seed} attempt {attempt}".encode()).digest()[:8], "big") >> 1
