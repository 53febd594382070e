"""An OpenAI-compatible server on loopback, in this process: a real one as far as HTTP goes, and as good or bad as told.

Left alone it behaves: what a request constrains (regex, Lark, GBNF, as the kinds of server take them) it really
decodes under, byte by byte, with the `scripted` model; where it is given a JSON schema or nothing, it answers with
valid JSON that knows nothing of what was tried, like a chat model that must be told. `script` takes misdeeds, one
for each request to come.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import numpy as np
from llguidance import LLMatcher

from airtune.grammars import Grammar
from airtune.models import Request
from airtune.models.backends.scripted import ScriptedModel
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.masks import llguidance as llg
from airtune.models.masks import xgrammar as xg
from airtune.models.masks.base import Matcher

Handler = BaseHTTPRequestHandler
Misdeed = Callable[[Handler, dict[str, Any]], None]


class _WireEngine:
    """Masks from a grammar's text as it came over the wire."""

    name = "wire"

    def __init__(self, model: ScriptedModel) -> None:
        self.vocabulary = model.vocabulary
        self._ll, self._xg = llg.Engine(model.vocabulary), xg.Engine(model.vocabulary)

    def compile(self, grammar: Any) -> Matcher:
        kind, text = grammar.wire
        if kind == "gbnf":
            compiled = self._xg._compiler.compile_grammar(text)
            return Matcher(xg._XGrammar(xg.xgrammar.GrammarMatcher(compiled)), self.vocabulary)
        source = LLMatcher.grammar_from_regex(text) if kind == "regex" else text
        backend = llg._LLGuidance(LLMatcher(self._ll._tokenizer, source, limits=llg._LIMITS))
        backend.check()
        return Matcher(backend, self.vocabulary)


class FakeServer:
    """A server; use `serve`.

    Attributes:
        url: Its base URL.
        seen: Every request's (path, headers by lower-case name, body), in order of arrival.
        script: What to do with the next requests; then it behaves.
        grammars: What it knows of spaces, to answer where it is given no grammar.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.script: deque[Misdeed] = deque()
        self.grammars: list[Grammar] = []
        self.ended = threading.Event()
        self._model = ScriptedModel(dialect=ChatDialect())
        self._model.engine = _WireEngine(self._model)
        self._lock = threading.Lock()

    def post(self, handler: Handler, body: dict[str, Any]) -> None:
        with self._lock:
            headers = {name.lower(): value for name, value in handler.headers.items()}
            self.seen.append((handler.path, headers, body))
            misdeed = self.script.popleft() if self.script else None
        if misdeed is not None:
            misdeed(handler, body)
        else:
            self.behave(handler, body)

    def behave(self, handler: Handler, body: dict[str, Any]) -> None:
        wire = _constraint(body)
        prompt = _prompt(body)
        most = body.get("max_completion_tokens") or body["max_tokens"]
        if wire is None and "response_format" not in body and "stop" in body:
            return send(handler, envelope(body, "I think so.\n"))
        if wire is None:
            return send(handler, envelope(body, self._chat(body)))
        shim: Any = SimpleNamespace(wire=wire, max_length=0)
        request = Request(prompt, shim, body["seed"], body["temperature"], most)
        with self._lock:
            (answer,) = self._model.generate([request])
        reply = envelope(body, answer.text, answer.finish_reason, answer.token_ids, answer.logprobs)
        reply["usage"] = {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": len(answer.token_ids or ()),
        }
        send(handler, reply)

    def _chat(self, body: dict[str, Any]) -> str:
        """JSON that fits the space asked about and was not said in this conversation, as people write it.

        Without a schema it knows of the space only what it was told when its answer was refused.
        """
        said = [m["content"] for m in body.get("messages", ()) if m["role"] == "assistant"]
        told = "".join(m["content"] for m in body.get("messages", ()) if m["role"] == "user")
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        known = [g for g in self.grammars if set(g.space) == set(schema.get("properties", ()))]
        known += [g for g in self.grammars if f"there are {', '.join(g.space)}." in told]
        grammar = [*known, *self.grammars][0]
        seed = hashlib.sha256(f"{body['seed'] * bool(body['temperature'])} {_prompt(body)}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
        while True:
            config: dict[str, Any] = {name: None for name in grammar.space} if schema else {}
            text = json.dumps(config | grammar.sample(rng), ensure_ascii=False, indent=1)
            if text not in said:
                return text


def _constraint(body: dict[str, Any]) -> tuple[str, str] | None:
    """The grammar that a request carries, where vLLM, llama.cpp and SGLang look for it."""
    outputs = body.get("structured_outputs", {})
    if "regex" in outputs or "regex" in body:
        return "regex", outputs.get("regex") or body["regex"]
    text = outputs.get("grammar") or body.get("grammar") or body.get("ebnf")
    return None if text is None else ("gbnf" if "::=" in text else "lark", text)


def _prompt(body: dict[str, Any]) -> str:
    if "prompt" in body:
        return str(body["prompt"])
    messages = body["messages"]
    return str(messages[0]["content"]) if len(messages) == 1 else json.dumps(messages, ensure_ascii=False)


def envelope(
    body: dict[str, Any], text: Any, finish: Any = "stop", ids: Any = None, logprobs: Any = None
) -> dict[str, Any]:
    """A reply in the form of the endpoint that was asked."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    if "messages" in body:
        choice["message"] = {"role": "assistant", "content": text}
        told: Any = {"content": [{"token": "?", "logprob": value} for value in logprobs or ()]}
    else:
        choice["text"] = text
        told = {"tokens": ["?"] * len(logprobs or ()), "token_logprobs": list(logprobs or ())}
    if body.get("logprobs") and logprobs is not None:
        choice["logprobs"] = told
    if body.get("return_token_ids") and ids is not None:
        choice["token_ids"] = list(ids)
    return {
        "id": "fake", "object": "completion", "model": f"{body['model']}-2026-11-01", "system_fingerprint": "fp_1",
        "choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }  # fmt: skip


def send(
    handler: Handler, data: Any, status: int = 200, headers: dict[str, str] | None = None,
    kind: str = "application/json", length: int | None = None,
) -> None:  # fmt: skip
    """Write one reply; `data` is JSON unless it is bytes."""
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    handler.send_response(status)
    if kind:
        handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def replies(data: Any, status: int = 200, **how: Any) -> Misdeed:
    """Always the same reply."""
    return lambda handler, body: send(handler, data, status, **how)


def says(text: Any, finish: Any = "stop") -> Misdeed:
    """An answer with this text."""
    return lambda handler, body: send(handler, envelope(body, text, finish))


def hangs(server: FakeServer) -> Misdeed:
    """No answer until the server ends."""
    return lambda handler, body: server.ended.wait(60) and None


def drips(server: FakeServer) -> Misdeed:
    """A reply that never ends, a byte at a time, each well within a time limit for single reads."""

    def drip(handler: Handler, body: dict[str, Any]) -> None:
        send(handler, b"{", length=1 << 20)
        while not server.ended.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    return drip


def hangs_up(handler: Handler, body: dict[str, Any]) -> None:
    """The connection is closed in the middle of a reply."""
    send(handler, b'{"choices": [{"mess', length=500)
    handler.close_connection = True


def floods(handler: Handler, body: dict[str, Any]) -> None:
    """More than any answer can have."""
    send(handler, b"", length=1 << 40)
    block = b" " * (1 << 20)
    for _ in range(64):
        handler.wfile.write(block)


def echoes(handler: Handler, body: dict[str, Any]) -> None:
    """The request's headers, key and all, in an error."""
    message = f"bad request with {dict(handler.headers)!r}"
    send(handler, {"error": {"message": message, "code": "invalid_api_key"}}, 401)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeServer

    def server_bind(self) -> None:
        """Without the look-up of a host name that HTTPServer makes."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that time out or hang up are what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: 40 ms each otherwise
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.fake.post(self, body)

    def do_GET(self) -> None:
        send(self, {"object": "list", "data": [{"id": "tuner"}, {"id": "other-model"}]})

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the tests' output."""


@contextmanager
def serve() -> Iterator[FakeServer]:
    """A server on a free loopback port."""
    http = _Server(("127.0.0.1", 0), _Handler)
    http.fake = fake = FakeServer(http.server_address[1])
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.ended.set()
        http.shutdown()
        http.server_close()
        thread.join(timeout=10)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


__all__ = [
    "Clock", "FakeServer", "drips", "echoes", "envelope", "floods", "hangs", "hangs_up", "replies", "says", "send",
    "serve",
]  # fmt: skip
