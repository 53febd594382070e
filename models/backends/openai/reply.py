"""What is read from an OpenAI-compatible server: one reply, and what becomes of it. Nothing in it is trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airtune.grammars import DecodeError
from airtune.models.backends.openai.budget import Usage
from airtune.models.dialects.chat.format import Message
from airtune.models.types import Completion


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer as a server gave it; what it did not tell is None.

    Attributes:
        text: The answer's text; empty if there is none.
        finish_reason: "stop", "length", or the server's own word for another end.
        token_ids: Ids of the generated tokens.
        logprobs: One per generated token, as the server reports them.
        usage: Tokens that it took.
        served_model: The model that answered.
        system_fingerprint: What the server calls its configuration.
    """

    text: str
    finish_reason: str
    token_ids: tuple[int, ...] | None
    logprobs: tuple[float, ...] | None
    usage: Usage
    served_model: str | None
    system_fingerprint: str | None


def read_reply(data: Mapping[str, Any]) -> Reply:
    """A reply from the server's JSON. Parts that are missing or of the wrong type count as not told."""
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    reason = choice.get("finish_reason")
    if not choice:
        reason = "no choices"
    elif not text and isinstance(message, dict) and isinstance(message.get("refusal"), str):
        reason = f"refusal: {message['refusal'][:200]}"
    ids = choice.get("token_ids")
    token_ids = tuple(ids) if isinstance(ids, list) and all(_count(i) is not None for i in ids) else None
    logprobs = _logprobs(choice.get("logprobs"))
    if token_ids is not None and logprobs is not None and len(token_ids) != len(logprobs):
        logprobs = None
    model, fingerprint = data.get("model"), data.get("system_fingerprint")
    return Reply(
        text=text if isinstance(text, str) else "",
        finish_reason=reason if isinstance(reason, str) else "none given",
        token_ids=token_ids,
        logprobs=logprobs,
        usage=_usage(data.get("usage")),
        served_model=model if isinstance(model, str) else None,
        system_fingerprint=fingerprint if isinstance(fingerprint, str) else None,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _usage(given: object) -> Usage:
    if not isinstance(given, dict):
        return Usage(1, None, None)
    details = given.get("prompt_tokens_details")
    prompt, completion = _count(given.get("prompt_tokens")), _count(given.get("completion_tokens"))
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Usage(1, prompt, completion, min(cached or 0, prompt or 0))


def _logprobs(given: object) -> tuple[float, ...] | None:
    """Log-probabilities of the generated tokens: of "chat" in "content", of "completions" in "token_logprobs"."""
    if not isinstance(given, dict):
        return None
    content = given.get("content")
    values: Any = given.get("token_logprobs")
    if isinstance(content, list):
        values = [one.get("logprob") if isinstance(one, dict) else None for one in content]
    if not isinstance(values, list) or not values:
        return None
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        return None
    return tuple(min(0.0, float(v)) for v in values)  # rounding can leave the last bit above zero


@dataclass(slots=True)
class Exchange:
    """What came of one request before its answer.

    Attributes:
        used: Tokens and cost of all replies.
        failures: What went wrong on the way, one line each.
        rejected: Replies that could not be used.
        turns: What was said to the model about those.
    """

    used: Usage = field(default_factory=Usage)
    failures: list[str] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    turns: list[Message] = field(default_factory=list)

    def reject(self, reply: Reply, seed: int, error: DecodeError) -> None:
        """Keep a reply that could not be used."""
        self.rejected.append(
            {
                "seed": seed, "text": reply.text, "finish_reason": reply.finish_reason, "reason": error.message,
                "prompt_tokens": reply.usage.prompt_tokens, "completion_tokens": reply.usage.completion_tokens,
            }
        )  # fmt: skip

    def completion(self, reply: Reply, text: str) -> Completion:
        """A reply as a completion, with all that came before it in the details."""
        details = {
            "served_model": reply.served_model,
            "system_fingerprint": reply.system_fingerprint,
            "usage": self.used.as_json(),
            **({"rejected": self.rejected} if self.rejected else {}),
            **({"answer": reply.text} if reply.text != text else {}),
            **({"failures": self.failures} if self.failures else {}),
        }
        return Completion(
            text,
            reply.token_ids,
            reply.logprobs,
            reply.finish_reason,
            reply.usage.prompt_tokens,
            None,
            details,
        )
