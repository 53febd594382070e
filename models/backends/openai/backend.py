"""The `openai` backend: `vllm serve`, llama.cpp, SGLang, Ollama and closed services, over HTTP.

Where the server can be given the grammar, it is; where it can only be given a JSON schema, or nothing, an answer
is read from what comes back. Either way an answer counts only if it is finished, not empty and in the grammar's
language. Otherwise it is asked again, with the next attempt's seed and, on the chat endpoint, with what was wrong
said to the model; a few times, and then it is an error. The server is local unless another is allowed, keys come
from the environment alone, and all that was received is in `Completion.details`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from airtune.grammars import DecodeError, Grammar
from airtune.models.backends.openai.answer import complaint, read_answer
from airtune.models.backends.openai.budget import Spending, read_prices
from airtune.models.backends.openai.http import Transport
from airtune.models.backends.openai.reply import Exchange, Reply, read_reply
from airtune.models.backends.openai.wire import Wire
from airtune.models.backends.prompts import check_request
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.dialects.chat.format import JSONFormat, PlainFormat
from airtune.models.masks.base import require_some
from airtune.models.types import Completion, Dialect, ModelError, Request, TextRequest

_RequestT = TypeVar("_RequestT", Request, TextRequest)
_FREE_TOKENS = 4096  # for an answer that no grammar bounds: some models think first, and that counts


class OpenAIModel:
    """A model behind an OpenAI-compatible API.

    Settings that decide what is answered are part of a study's identity; the others (base_url, limits, prices,
    time-outs) may change when it goes on.

    Args:
        name: The model's name on the server.
        dialect: The dialect it speaks.
        server: "vllm", "llama.cpp", "sglang", "ollama", "openai" (also closed services that follow it to the
            letter) or "other": what the server understands beside the common API. There is no default.
        base_url: For example "http://127.0.0.1:8000/v1"; by default what OPENAI_BASE_URL says.
        allow_network: Whether the server may be another machine than this.
        api_key_env: The environment variable with the key. By default OPENAI_API_KEY for server "openai", and
            no key for the others: a key is sent nowhere unless the server is named. "" sends none.
        endpoint: "chat", which has the server apply the chat template, or "completions", for prompts as they
            are. By default "chat" for the chat dialect, else "completions".
        constraint: "auto" (the server's best), "regex", "lark", "gbnf", "json_schema" or "none".
        attempts: How often a request is asked before its answers are an error.
        max_tokens: Cap on generated tokens. By default the grammar's own bound where the server has the
            grammar, else 4096.
        logprobs: Whether to ask for log-probabilities; by default of servers known to have them. They are what
            the server reports: whether under the mask and the temperature is its affair (vLLM: start it with
            --logprobs-mode processed_logprobs).
        extra: Added to every request, for example {"reasoning_effort": "low"}; null takes a key out.
        prices: A price table or the TOML or JSON file with it: {model: {"prompt": 2.5, "completion": 10}}, per
            million tokens.
        max_requests: See `Spending`; likewise max_total_tokens and max_cost.
        max_total_tokens: Prompt and completion tokens of this process in all.
        max_cost: In the currency of the prices.
        concurrency: Requests of a batch that are under way at a time.
        timeout_s: Longest wait for a reply.
        max_retries: How often a request that failed in passing (429, 5xx, time-outs, connections) is repeated.
        max_wait_s: Longest wait between two tries.
        clock: Seconds since 1970.
        sleep: Waits for so many seconds.

    Raises:
        ModelError: If a setting cannot be used, or the extra `airtune[openai]` is not installed.
    """

    backend = "openai"

    def __init__(
        self,
        name: str,
        *,
        dialect: Dialect,
        server: str | None = None,
        base_url: str | None = None,
        allow_network: bool = False,
        api_key_env: str | None = None,
        endpoint: str | None = None,
        constraint: str = "auto",
        attempts: int = 4,
        max_tokens: int | None = None,
        logprobs: bool | None = None,
        extra: Mapping[str, Any] | None = None,
        prices: str | Path | Mapping[str, Any] | None = None,
        max_requests: float | None = None,
        max_total_tokens: float | None = None,
        max_cost: float | None = None,
        concurrency: int = 8,
        timeout_s: float = 120.0,
        max_retries: int = 4,
        max_wait_s: float = 120.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name, self.dialect = name, dialect
        endpoint = endpoint or ("chat" if isinstance(dialect, ChatDialect) else "completions")
        self.wire = Wire(name, server, endpoint, constraint, logprobs, extra)
        if isinstance(dialect, ChatDialect):
            self.dialect = dialect.bind(format=JSONFormat() if self._turns else PlainFormat())
        counts = {"attempts": attempts, "concurrency": concurrency, "max_tokens": max_tokens}
        for setting, value in counts.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ModelError(f"{setting}={value!r} cannot be used", value=value, allowed="1, 2, ...")
        self._attempts, self._concurrency, self._max_tokens = attempts, concurrency, max_tokens
        self.prices = read_prices(prices, name)
        self.spending = Spending(
            self.prices, max_requests=max_requests, max_total_tokens=max_total_tokens, max_cost=max_cost
        )
        if api_key_env is None and server == "openai":
            api_key_env = "OPENAI_API_KEY"
        self._transport = Transport(
            base_url or os.environ.get("OPENAI_BASE_URL"), key_env=api_key_env or None, allow_network=allow_network,
            timeout_s=timeout_s, retries=max_retries, max_wait_s=max_wait_s, clock=clock, sleep=sleep,
        )  # fmt: skip

    def manifest(self) -> dict[str, Any]:
        """See `LanguageModel.manifest`. The weights are the server's affair: it says only what they are called."""
        wire = self.wire
        return {
            "model": self.name,
            "backend": self.backend,
            "dialect": self.dialect.name,
            "files": {},
            "versions": {package: metadata.version(package) for package in ("airtune", "httpx2")},
            "settings": {
                "model": self.name, "server": wire.server, "endpoint": wire.endpoint, "constraint": wire.constraint,
                "logprobs": wire.logprobs, "extra": dict(wire.extra), "attempts": self._attempts,
                "max_tokens": self._max_tokens,
            },
            "base_url": self._transport.url,
            "prices": None if self.prices is None else asdict(self.prices),
        }  # fmt: skip

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`. What was answered before an error is in the error's `answered`.

        Raises:
            ModelError: If a request is refused, or no answer to it is usable; `BudgetExhausted` at a limit.
        """
        for request in requests:
            check_request(request)
            require_some(request.grammar)
        return self._ask_all(requests, self._answer)

    def write(self, requests: Sequence[TextRequest]) -> list[Completion]:
        """See `TextWriter.write`."""
        for request in requests:
            check_request(request)
        return self._ask_all(requests, self._text)

    def _ask_all(
        self, requests: Sequence[_RequestT], ask: Callable[[_RequestT], Completion]
    ) -> list[Completion]:
        """Every request's completion, in order; `ask` is called in several threads at a time.

        One request, or one at a time, is asked in this thread: Ctrl-C stops it.

        Raises:
            ModelError: The first one that `ask` raised; what was answered by then is in its `answered`.
        """
        if len(requests) <= 1 or self._concurrency == 1:
            done: list[Completion] = []
            for request in requests:
                try:
                    done.append(ask(request))
                except ModelError as error:
                    error.answered = list(zip(requests, done, strict=False))
                    raise
            return done
        pool = ThreadPoolExecutor(min(self._concurrency, len(requests)), thread_name_prefix="airtune-openai")
        try:
            futures = {pool.submit(ask, request): request for request in requests}
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:  # after a failure nothing more is begun; what is under way is paid for
                future.cancel()
            wait(futures)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        ended = [future for future in futures if not future.cancelled()]
        for failure in filter(None, (future.exception() for future in ended)):
            if isinstance(failure, ModelError):
                failure.answered = [(futures[f], f.result()) for f in ended if f.exception() is None]
            raise failure
        return [future.result() for future in futures]

    def _answer(self, request: Request) -> Completion:
        """Ask until an answer is usable."""
        exchange = Exchange()
        for attempt in range(self._attempts):
            seed = attempt_seed(request.seed, attempt)
            reply = self._ask(request, seed, self._cap(request), exchange, grammar=request.grammar)
            try:
                return exchange.completion(reply, self._read(reply, request))
            except DecodeError as error:
                exchange.reject(reply, seed, error)
                if self._turns and not self.wire.exact and reply.text:
                    exchange.turns += complaint(reply.text, error)
        last = exchange.rejected[-1]
        raise ModelError(
            f"the server at {self._transport.url} gave no usable answer in {self._attempts} attempts; the last was "
            f"{last['text'][:200]!r} (finish reason {last['finish_reason']!r}): {last['reason']}",
            value=[one["text"] for one in exchange.rejected],
            allowed="a finished, non-empty answer in the grammar's language",
            hint="the server may not know the constraint it is sent: check server= and constraint=; or use more "
            "attempts=, or a larger max_tokens=",
        )

    def _text(self, request: TextRequest) -> Completion:
        """Free text: whatever came back, as long as it came to an end that means something."""
        exchange, reason = Exchange(), ""
        for attempt in range(self._attempts):
            reply = self._ask(
                request, attempt_seed(request.seed, attempt), request.max_tokens, exchange, stop=request.stop
            )
            reason = reply.finish_reason
            if reason in ("stop", "length"):
                return exchange.completion(reply, reply.text)
        raise ModelError(
            f"the server at {self._transport.url} wrote no text in {self._attempts} attempts; the last ended with "
            f"{reason!r}",
            allowed="finish reason stop or length",
        )

    def _ask(
        self,
        request: Request | TextRequest,
        seed: int,
        max_tokens: int,
        exchange: Exchange,
        *,
        grammar: Grammar | None = None,
        stop: Sequence[str] = (),
    ) -> Reply:
        """One reply; what it took, and what failed on the way, goes into the exchange."""
        body = self.wire.body(
            request.prompt, exchange.turns, grammar=grammar, seed=seed, temperature=request.temperature,
            max_tokens=max_tokens, stop=stop,
        )  # fmt: skip
        sent = self._transport.post(self.wire.path, body, seed=seed, permit=self.spending.permit)
        reply = read_reply(sent.data)
        exchange.failures += sent.failures
        self.spending.count(reply.usage)
        exchange.used.add(reply.usage, tries=1 + len(sent.failures))
        return reply

    def _cap(self, request: Request) -> int:
        """Most tokens of an answer; no token is shorter than one byte, and one ends it."""
        if request.max_tokens is not None:
            return request.max_tokens
        bound = request.grammar.max_length + 1
        return self._max_tokens or (bound if self.wire.exact else max(_FREE_TOKENS, bound))

    def _read(self, reply: Reply, request: Request) -> str:
        """The canonical text of an answer.

        Raises:
            DecodeError: If it is none.
        """
        if reply.finish_reason == "length" and request.max_tokens is not None:
            return reply.text  # who asked for so few tokens knows what to do with them
        if reply.finish_reason != "stop":
            raise DecodeError(f"it ended with {reply.finish_reason!r}", value=reply.text)
        if not reply.text.strip():
            raise DecodeError("it is empty", value=reply.text)
        if self.wire.exact:
            request.grammar.decode(reply.text)
            return reply.text
        return read_answer(reply.text, request.grammar)

    @property
    def _turns(self) -> bool:
        """Whether the server knows turns, so that a model can be told what was wrong."""
        return self.wire.endpoint == "chat"


def attempt_seed(seed: int, attempt: int) -> int:
    """The seed of a request's attempt: the first has the request's own."""
    if attempt == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"attempt {seed} {attempt}".encode()).digest()[:8], "big") >> 1
