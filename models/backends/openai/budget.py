"""What a server's answers cost, and how much may be spent: prices, counts, limits."""

from __future__ import annotations

import json
import math
import threading
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from airtune.grammars import read_file
from airtune.models.types import ModelError

_NumberT = TypeVar("_NumberT", int, float)
_TABLE = '{"MODEL": {"prompt": 2.5, "completion": 10.0}, "currency": "USD"}, per million tokens'


class BudgetExhausted(ModelError):
    """A limit on requests, tokens or cost is reached: nothing more is sent."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What one model costs, as the user was told by whoever sells it: Airtune ships no prices.

    Attributes:
        prompt: Per million prompt tokens.
        completion: Per million completion tokens.
        cached: Per million prompt tokens that the server had cached; None if they cost like others.
        currency: As it is to be shown.
    """

    prompt: float
    completion: float
    cached: float | None = None
    currency: str = "USD"

    def cost(self, prompt: int, completion: int, cached: int = 0) -> float:
        """The cost of so many tokens; the cached ones are among the prompt's."""
        rate = self.prompt if self.cached is None else self.cached
        return ((prompt - cached) * self.prompt + cached * rate + completion * self.completion) / 1e6


def read_prices(table: str | Path | Mapping[str, Any] | None, model: str) -> Prices | None:
    """The prices of one model from a table, or from a TOML or JSON file that holds one.

    Args:
        table: {model: {"prompt": ..., "completion": ..., "cached": ...}, "currency": ...}, a path, or None.
        model: The model's name on the server.

    Raises:
        ModelError: If it cannot be read, does not name the model, or holds something else than prices.
    """
    if table is None:
        return None
    where = "the price table" if isinstance(table, Mapping) else f"the price table {str(table)!r}"
    if isinstance(table, str | Path):
        try:
            text = read_file(table).decode()
            table = json.loads(text) if str(table).endswith(".json") else tomllib.loads(text)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{where} cannot be read: {error}",
                value=str(table),
                allowed="a TOML or JSON file",
                hint=f"for example {_TABLE}",
            ) from error
    entry = table.get(model) if isinstance(table, Mapping) else None
    if not isinstance(entry, Mapping):
        named = sorted(key for key in table if key != "currency") if isinstance(table, Mapping) else []
        raise ModelError(
            f"{where} has no prices of model {model!r}",
            value=model,
            allowed=", ".join(named) or _TABLE,
            hint="add the model's prices, or leave the price table out: tokens are counted all the same",
        )
    given: dict[str, Any] = {key: entry.get(key) for key in ("prompt", "completion", "cached")}
    wrong = [key for key in entry if key not in given]
    wrong += [k for k, v in given.items() if not (_is_price(v) or (k == "cached" and v is None))]
    if wrong:
        raise ModelError(
            f"{where} says of model {model!r}: {dict(entry)!r}, and {', '.join(wrong)} is no price",
            value=dict(entry),
            allowed=_TABLE,
            hint="prompt and completion are needed, cached may be left out",
        )
    return Prices(**given, currency=str(table.get("currency", "USD")))


def _is_price(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    )


@dataclass(slots=True)
class Usage:
    """Tokens and cost of some replies; None where a server did not tell, or no price is known."""

    requests: int = 0
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    cached_tokens: int = 0
    cost: float | None = None

    def add(self, other: Usage, *, tries: int) -> None:
        """Count one more reply, which took so many tries; what one did not tell makes the sum unknown."""
        self.cost = other.cost if self.requests == 0 else _sum(self.cost, other.cost)
        self.requests += tries
        self.prompt_tokens = _sum(self.prompt_tokens, other.prompt_tokens)
        self.completion_tokens = _sum(self.completion_tokens, other.completion_tokens)
        self.cached_tokens += other.cached_tokens

    def as_json(self) -> dict[str, Any]:
        """As it goes into a transcript; `airtune.engine.storage.usage` adds these up for a study."""
        return {
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            **({"cached_tokens": self.cached_tokens} if self.cached_tokens else {}),
            **({} if self.cost is None else {"cost": self.cost}),
        }


def _sum(a: _NumberT | None, b: _NumberT | None) -> _NumberT | None:
    return None if a is None or b is None else a + b


class Spending:
    """Counts what this process has sent and received, and says when it is enough. Threads may share it.

    A limit is looked at before each request, so that what is under way when it is reached still counts on top:
    at most `concurrency` replies. It holds for this process: the same command again starts from nought.

    Args:
        prices: What the model costs, or None.
        max_requests: HTTP requests, repeated ones included; None: no limit. The others alike.
        max_total_tokens: Prompt and completion tokens in all.
        max_cost: In the currency of the prices.

    Raises:
        ModelError: If a limit is not a positive number, or a cost is limited without prices.
    """

    def __init__(
        self,
        prices: Prices | None,
        *,
        max_requests: float | None = None,
        max_total_tokens: float | None = None,
        max_cost: float | None = None,
    ) -> None:
        limits = {"max_requests": max_requests, "max_total_tokens": max_total_tokens, "max_cost": max_cost}
        for name, limit in limits.items():
            if limit is not None and not (_is_price(limit) and limit > 0):
                raise ModelError(
                    f"{name}={limit!r} is no limit",
                    value=limit,
                    allowed="a number above 0",
                    hint=f"leave {name} out for no limit",
                )
        if max_cost is not None and prices is None:
            raise ModelError(
                "max_cost was given, but no prices",
                value=max_cost,
                allowed="max_cost together with prices",
                hint=f"prices=FILE.toml, or limit max_total_tokens; a table looks like {_TABLE}",
            )
        self.prices, self._limits = prices, limits
        self.requests = self.tokens = 0
        self.cost = 0.0
        self._lock = threading.Lock()

    def permit(self) -> None:
        """Count one more request.

        Raises:
            BudgetExhausted: If a limit is reached; nothing may be sent then.
        """
        with self._lock:
            spent = {"max_requests": self.requests, "max_total_tokens": self.tokens, "max_cost": self.cost}
            for name, limit in self._limits.items():
                if limit is not None and spent[name] >= limit:
                    requests = f"{self.requests} request{'' if self.requests == 1 else 's'}"
                    raise BudgetExhausted(
                        f"{name} is reached: {requests}, {self.tokens} tokens"
                        + (f", {self.cost:.6g} {self.prices.currency}" if self.prices else "")
                        + " were used; nothing more is sent",
                        value=spent[name],
                        allowed=f"{name}={limit}",
                        hint=f"all that was finished is kept: the same command again, or with a larger {name}, goes on",
                    )
            self.requests += 1

    def count(self, usage: Usage) -> None:
        """Add what one reply took, and put its cost into `usage` where prices are known.

        Raises:
            ModelError: If tokens or cost are limited, and the server does not tell how many tokens it took.
        """
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            if self._limits["max_total_tokens"] is not None or self._limits["max_cost"] is not None:
                raise ModelError(
                    "the server does not say how many tokens it took, so a limit on them cannot be kept",
                    hint="limit max_requests instead, or switch on the server's usage report",
                )
            return
        with self._lock:
            self.tokens += usage.prompt_tokens + usage.completion_tokens
            if self.prices is not None:
                usage.cost = self.prices.cost(
                    usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens
                )
                self.cost += usage.cost
