"""What is written to an OpenAI-compatible server: one table says what each kind understands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airtune.grammars import Grammar, GrammarError
from airtune.models.backends.openai.answer import strict_schema
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


class Wire:
    """How requests to one server are written.

    Args:
        model: The model's name on the server.
        server: A key of `SERVERS`.
        endpoint: "chat" or "completions".
        constraint: One of the server's, or "auto".
        logprobs: Whether to ask for log-probabilities; None for what the server is known to do.
        extra: Added to every request last; null takes a key out.

    Raises:
        ModelError: If a name is unknown, or `extra` is no mapping.
    """

    def __init__(
        self,
        model: str,
        server: str | None,
        endpoint: str,
        constraint: str,
        logprobs: bool | None,
        extra: Mapping[str, Any] | None,
    ) -> None:
        if server is None:
            raise ModelError(
                "backend 'openai' was not told what kind of server it is",
                allowed=", ".join(SERVERS),
                hint="--model-setting server=vllm, for example; server=other for plain text answers",
            )
        if server not in SERVERS:
            raise ModelError.unknown("server", server, SERVERS)
        if endpoint not in ENDPOINTS:
            raise ModelError.unknown("endpoint", endpoint, ENDPOINTS)
        self._kind = SERVERS[server]
        if constraint == "auto":
            constraint = next(iter(self._kind.constraints))
        if constraint not in self._kind.constraints:
            raise ModelError.unknown(f"constraint of server {server}", constraint, self._kind.constraints)
        if extra is not None and not isinstance(extra, Mapping):
            raise ModelError(
                f"extra={extra!r} is not a JSON object", value=extra, allowed='{"reasoning_effort": "low"}'
            )
        self.model, self.server, self.endpoint, self.constraint = model, server, endpoint, constraint
        self.logprobs = self._kind.logprobs if logprobs is None else bool(logprobs)
        self.extra: Mapping[str, Any] = dict(extra or {})

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
        body: dict[str, Any] = {"model": self.model}
        if self.endpoint == "chat":
            body["messages"] = [*read_messages(prompt), *turns]
        else:
            body["prompt"] = prompt
        body |= {
            "temperature": temperature,
            "seed": seed & ((1 << self._kind.seed_bits) - 1),
            self._kind.length_key: max_tokens,
        }
        if stop:
            body["stop"] = list(stop)
        if self.logprobs:
            body["logprobs"] = True if self.endpoint == "chat" else 1
        body |= self._kind.extra
        if grammar is not None:
            try:
                body |= self._kind.constraints[self.constraint](grammar)
            except GrammarError as error:
                raise ModelError(
                    f"the grammar cannot be sent as {self.constraint}: {error.message}",
                    value=error.value, allowed=error.allowed,
                    hint="choose another constraint: lark (vLLM's guidance backend) and gbnf stay small",
                ) from error  # fmt: skip
        body |= self.extra
        return {key: value for key, value in body.items() if value is not None}
