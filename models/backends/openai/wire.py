"""What is written to and read from an OpenAI-compatible server: one table says what each kind understands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airtune.grammars import Grammar, GrammarError, unknown_name
from airtune.models.backends.openai.answer import strict_schema
from airtune.models.backends.openai.budget import Usage
from airtune.models.dialects.chat.format import Message, read_messages
from airtune.models.masks.llguidance import PLAIN_MASKS
from airtune.models.types import ModelError

ENDPOINTS = {"chat": "/chat/completions", "completions": "/completions"}


def _json_schema(grammar: Grammar) -> dict[str, Any]:
    schema = {"name": "configuration", "strict": True, "schema": strict_schema(grammar.space)}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _nothing(grammar: Grammar) -> dict[str, Any]:
    return {}


Constraint = Callable[[Grammar], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Server:
    """What one kind of server understands.

    Attributes:
        constraints: By name, what is added to a request; "auto" is the first.
        seed_bits: Seeds are cut to so many bits.
        length_key: What the cap on generated tokens is called.
        logprobs: Whether log-probabilities are asked for by default.
        extra: Added to every request.
    """

    constraints: Mapping[str, Constraint]
    seed_bits: int = 31
    length_key: str = "max_tokens"
    logprobs: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)


# A regular expression means the same to every backend of vLLM's structured outputs; Lark with its `& ~` needs
# guidance, GBNF needs xgrammar, and a server whose backend is "auto" settles on whichever came first. With guidance
# take Lark: an expression cannot say PLAIN_MASKS, without which pocket's vocabulary fails there.
SERVERS: Mapping[str, Server] = {
    "vllm": Server(
        {
            "regex": lambda g: {"structured_outputs": {"regex": g.regex()}},
            "lark": lambda g: {"structured_outputs": {"grammar": PLAIN_MASKS + g.lark()}},
            "gbnf": lambda g: {"structured_outputs": {"grammar": g.gbnf()}},
            "json_schema": _json_schema,
            "none": _nothing,
        },
        seed_bits=63,
        extra={"return_token_ids": True},
    ),
    "llama.cpp": Server(
        {"gbnf": lambda g: {"grammar": g.gbnf()}, "json_schema": _json_schema, "none": _nothing}
    ),
    "sglang": Server(
        {
            "regex": lambda g: {"regex": g.regex()},
            "gbnf": lambda g: {"ebnf": g.gbnf()},
            "json_schema": _json_schema,
            "none": _nothing,
        }
    ),
    "ollama": Server({"json_schema": _json_schema, "none": _nothing}, logprobs=False),
    "openai": Server(
        {"json_schema": _json_schema, "none": _nothing}, length_key="max_completion_tokens", logprobs=False
    ),
    "other": Server({"none": _nothing, "json_schema": _json_schema}, logprobs=False),
}
EXACT = frozenset({"regex", "lark", "gbnf"})  # those that hold the whole language


@dataclass(frozen=True, slots=True)
class Wire:
    """How requests to one server are written.

    Attributes:
        model: The model's name on the server.
        server: A key of `SERVERS`.
        endpoint: "chat" or "completions".
        constraint: One of the server's.
        logprobs: Whether to ask for log-probabilities.
        extra: Added to every request last; null takes a key out.

    Raises:
        ModelError: If a name is unknown.
    """

    model: str
    server: str
    endpoint: str
    constraint: str
    logprobs: bool
    extra: Mapping[str, Any]

    @classmethod
    def checked(
        cls,
        model: str,
        server: str | None,
        endpoint: str,
        constraint: str,
        logprobs: bool | None,
        extra: Mapping[str, Any] | None,
    ) -> Wire:
        """A wire with "auto" resolved.

        Raises:
            ModelError: If a name is unknown, or `extra` is no mapping.
        """
        if server is None:
            raise ModelError(
                "backend 'openai' was not told what kind of server it is",
                allowed=", ".join(SERVERS),
                hint="--model-setting server=vllm, for example; server=other for plain text answers",
            )
        kind = SERVERS[_known("server", server, SERVERS)]
        _known("endpoint", endpoint, ENDPOINTS)
        if constraint == "auto":
            constraint = next(iter(kind.constraints))
        _known(f"constraint of server {server}", constraint, kind.constraints)
        if extra is not None and not isinstance(extra, Mapping):
            raise ModelError(
                f"extra={extra!r} is not a JSON object", value=extra, allowed='{"reasoning_effort": "low"}'
            )
        wanted = kind.logprobs if logprobs is None else bool(logprobs)
        return cls(model, server, endpoint, constraint, wanted, dict(extra or {}))

    @property
    def path(self) -> str:
        """Where requests go, below the base URL."""
        return ENDPOINTS[self.endpoint]

    @property
    def exact(self) -> bool:
        """Whether the server is given the whole grammar."""
        return self.constraint in EXACT

    def body(
        self,
        prompt: str,
        turns: Sequence[Message],
        *,
        grammar: Grammar | None,
        seed: int,
        temperature: float,
        max_tokens: int,
        stop: Sequence[str] = (),
    ) -> dict[str, Any]:
        """A request's JSON.

        Args:
            prompt: Sent as it is to "completions"; to "chat" as the messages it holds, or as one of the user's.
            turns: What was said since, on "chat".
            grammar: The language of the answer; None for free text.
            seed: Cut to what the server takes.
            temperature: 0 is greedy.
            max_tokens: Cap on generated tokens.
            stop: Texts that end the answer.

        Raises:
            ModelError: If the grammar cannot be written in the way the server takes it.
        """
        kind = SERVERS[self.server]
        body: dict[str, Any] = {"model": self.model}
        if self.endpoint == "chat":
            body["messages"] = [*read_messages(prompt), *turns]
        else:
            body["prompt"] = prompt
        body |= {
            "temperature": temperature,
            "seed": seed & ((1 << kind.seed_bits) - 1),
            kind.length_key: max_tokens,
        }
        if stop:
            body["stop"] = list(stop)
        if self.logprobs:
            body["logprobs"] = True if self.endpoint == "chat" else 1
        body |= kind.extra
        if grammar is not None:
            try:
                body |= kind.constraints[self.constraint](grammar)
            except GrammarError as error:
                raise ModelError(
                    f"the grammar cannot be sent as {self.constraint}: {error.message}",
                    value=error.value, allowed=error.allowed,
                    hint="choose another constraint: lark (vLLM's guidance backend) and gbnf stay small",
                ) from error  # fmt: skip
        body |= self.extra
        return {key: value for key, value in body.items() if value is not None}


def _known(kind: str, name: str, known: Mapping[str, Any]) -> str:
    if name not in known:
        message, allowed, hint = unknown_name(kind, name, known)
        raise ModelError(message, value=name, allowed=allowed, hint=hint)
    return name


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
