"""HTTP to one OpenAI-compatible server: where it may go, the key, time limits, retries.

Retries are ours, not a client library's, so that `Retry-After` is kept, the jitter is seeded and tests need not
sleep. Nothing that is read from the server is trusted: bodies have a largest size, redirects are not followed,
and the key is taken out of whatever comes back before anybody sees it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airtune.models.backends.openai.address import checked_url, is_loopback, read_key, remover
from airtune.models.types import ModelError

if TYPE_CHECKING:
    import httpx2

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
MAX_BODY = 16 * 2**20  # bytes; an answer with log-probabilities takes some kilobytes
_SHOWN = 300  # characters of a reply in an error


@dataclass(frozen=True, slots=True)
class Sent:
    """What came back for one request.

    Attributes:
        data: The reply's JSON, without the key wherever the server echoed it.
        failures: What went wrong before, one line each, in order.
    """

    data: dict[str, Any]
    failures: tuple[str, ...]


class ServerError(ModelError):
    """The server gave no answer, or refused to."""


class _Transient(Exception):
    """A failure that a later try may not have; `wait_s` is what the server asked for."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.what, self.wait_s = what, wait_s


class Transport:
    """One server.

    Args:
        base_url: Its API, for example "http://127.0.0.1:8000/v1".
        key_env: The environment variable with its key; None: no key is sent.
        allow_network: Whether it may be another machine than this.
        timeout_s: Longest wait for a whole reply, in seconds.
        retries: How often a request that failed for a passing reason is sent again.
        max_wait_s: Longest wait between two tries; a server that asks for more ends it.
        clock: Seconds since 1970.
        sleep: Waits for so many seconds.

    Raises:
        ModelError: If the URL, the key or a number is not usable, or the extra is not installed.
    """

    def __init__(
        self,
        base_url: str | None,
        *,
        key_env: str | None = None,
        allow_network: bool = False,
        timeout_s: float = 120.0,
        retries: int = 4,
        max_wait_s: float = 120.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise ModelError(
                "backend 'openai' needs the package httpx2, which is not installed",
                hint="pip install 'airtune[openai]'",
            ) from error
        self.url = checked_url(base_url, allow_network=allow_network, keyed=key_env is not None)
        self._check("timeout_s", timeout_s, 0 < timeout_s < 1e6, "seconds above 0")
        self._check("max_retries", retries, 0 <= retries <= 100, "0 to 100")
        self._check("max_wait_s", max_wait_s, 0 <= max_wait_s < 1e6, "seconds from 0 up")
        key = read_key(key_env)
        self._without_key = remover(key)
        self.keyed = key is not None
        self._timeout_s, self._retries, self._max_wait_s = timeout_s, retries, max_wait_s
        self._clock, self._sleep = clock, sleep
        headers = {"user-agent": "airtune", "accept": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        self._httpx = httpx2
        # A proxy is for the way out: what is meant for this machine must not take it.
        local = is_loopback(urlsplit(self.url).hostname or "")
        self._client = httpx2.Client(headers=headers, timeout=timeout_s, trust_env=not local)

    @staticmethod
    def _check(name: str, value: float, good: bool, allowed: str) -> None:
        if not good:
            raise ModelError(f"{name}={value!r} cannot be used", value=value, allowed=allowed)

    def post(self, path: str, body: dict[str, Any], *, seed: int, permit: Callable[[], None]) -> Sent:
        """Send one request until it is answered; `permit` is asked before each try, `seed` is the jitter's.

        Raises:
            ModelError: If it is refused, or fails in a passing way too often; whatever `permit` raises.
        """
        failures: list[str] = []
        while True:
            permit()
            try:
                return Sent(self._once("POST", path, body), tuple(failures))
            except _Transient as error:
                failures.append(error.what)
                wait = self._backoff(seed, len(failures))
                if error.wait_s is not None:
                    wait = max(wait, error.wait_s)
                if len(failures) > self._retries or wait > self._max_wait_s:
                    asked = f"; it asks to wait {wait:.0f} s" if wait > self._max_wait_s else ""
                    raise ServerError(
                        f"the server at {self.url} gave no answer in {len(failures)} "
                        f"{'try' if len(failures) == 1 else 'tries'}: {error.what}{asked}",
                        value=failures,
                        allowed=f"up to {self._retries} retries, {self._max_wait_s:.0f} s between two of them",
                        hint="all that was finished is kept: the same command again goes on; see timeout_s, "
                        "max_retries, max_wait_s",
                    ) from None
                self._sleep(wait)

    def served(self) -> list[str]:
        """The names of the models that the server says it has; empty where it does not say."""
        try:
            data = self._once("GET", "/models", None).get("data")
        except (ModelError, _Transient):
            return []
        models = data if isinstance(data, list) else []
        return sorted(str(m["id"]) for m in models if isinstance(m, dict) and isinstance(m.get("id"), str))

    def _backoff(self, seed: int, failure: int) -> float:
        """Half a second, doubled each time, up to 30; between half and all of it, by the seed."""
        digest = hashlib.sha256(f"{seed} {failure}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        return min(0.5 * 2.0 ** (failure - 1), 30.0) * (0.5 + share / 2)

    def _once(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        httpx = self._httpx
        # ASCII: a text that a model began may hold half a character, which UTF-8 has no place for.
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        kind = {} if body is None else {"content-type": "application/json"}
        try:
            with self._client.stream(method, self.url + path, content=content, headers=kind) as response:
                received = self._read(response)
        except httpx.TimeoutException as error:
            raise _Transient(f"no answer within {self._timeout_s:g} s ({type(error).__name__})") from None
        except (
            httpx.NetworkError,
            httpx.RemoteProtocolError,
            httpx.DecodingError,
            httpx.ProxyError,
        ) as error:
            raise _Transient(f"{type(error).__name__}: {self._one_line(str(error))}") from None
        except httpx.HTTPError as error:
            raise ModelError(
                f"{self.url} cannot be asked: {type(error).__name__}: {self._one_line(str(error))}",
                value=self.url, hint="check base_url",
            ) from None  # fmt: skip
        return self._json(response, received)

    def _read(self, response: httpx2.Response) -> bytes:
        """The body, up to MAX_BODY, within the time limit however slowly it drips."""
        started, parts, size = time.monotonic(), list[bytes](), 0
        for part in response.iter_bytes():
            size += len(part)
            if size > MAX_BODY:
                raise ModelError(
                    f"the server at {self.url} answered with more than {MAX_BODY} bytes",
                    value=size, allowed=f"{MAX_BODY} bytes", hint="this is no language model's answer: check base_url",
                )  # fmt: skip
            if time.monotonic() - started > self._timeout_s:
                raise _Transient(f"the answer was not complete within {self._timeout_s:g} s")
            parts.append(part)
        return b"".join(parts)

    def _json(self, response: httpx2.Response, content: bytes) -> dict[str, Any]:
        status, text = response.status_code, content.decode("utf-8", "replace")
        answer = f"HTTP {status}: {self._one_line(text) or '(empty)'}"
        if status in RETRIED and "insufficient_quota" not in text:
            raise _Transient(answer, self._asked_wait(response))
        if status != 200:
            raise self._refused(status, answer)
        kind = response.headers.get("content-type", "")
        if "json" not in kind:
            raise ModelError(
                f"the server at {self.url} answered {kind or 'without a content type'}, not JSON: "
                f"{self._one_line(text)}",
                value=kind, allowed="application/json", hint="base_url must be that of the API; most end in /v1",
            )  # fmt: skip
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise _Transient(f"broken JSON of {len(content)} bytes: {self._one_line(text)}") from None
        if not isinstance(data, dict):
            raise _Transient(f"JSON that is no object: {self._one_line(text)}")
        clean: dict[str, Any] = self._cleaned(data)
        return clean

    def _refused(self, status: int, answer: str) -> ServerError:
        """What to tell about a status that no later try will change."""
        hints = {
            401: "name the variable that holds the key: api_key_env=NAME" if not self.keyed else "the key is not valid",
            403: "the key has no right to this model",
            404: "check base_url (most end in /v1), endpoint and the model's name",
            429: "the account is used up: see the service's billing",
        }  # fmt: skip
        if 300 <= status < 400:
            hints[status] = "redirects are not followed: give the final base_url"
        served = self.served() if status == 404 else []
        return ServerError(
            f"the server at {self.url} refused the request: {answer}",
            value=status,
            allowed=f"the models that it serves: {', '.join(served[:20])}" if served else None,
            hint=hints.get(status, "see what the server says; settings it does not know can be left out"),
        )

    def _asked_wait(self, response: httpx2.Response) -> float | None:
        """The seconds that `Retry-After` (a number or a date) asks for."""
        milliseconds, after = (response.headers.get(h) for h in ("retry-after-ms", "retry-after"))
        try:
            if milliseconds is not None:
                return max(0.0, float(milliseconds) / 1000)
            if after is None:
                return None
            if after.strip().replace(".", "", 1).isdigit():
                return float(after)
            return max(0.0, parsedate_to_datetime(after).timestamp() - self._clock())
        except (ValueError, TypeError, OverflowError):
            return None

    def _one_line(self, text: str) -> str:
        """The start of a text as it may be shown: without the key, on one line."""
        text = " ".join(self._cleaned(text).split())[: 2 * _SHOWN]
        text = "".join(c if c.isprintable() else "?" for c in text)
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."

    def _cleaned(self, value: Any) -> Any:
        """JSON without the key."""
        if isinstance(value, str):
            return self._without_key(value)
        if isinstance(value, dict):
            return {self._cleaned(key): self._cleaned(item) for key, item in value.items()}
        return [self._cleaned(item) for item in value] if isinstance(value, list) else value
