"""Prices, counts and limits of servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airtune.models import ModelError
from airtune.models.backends.openai.budget import BudgetExhausted, Prices, Spending, Usage, read_prices


def test_cost_by_hand() -> None:
    """1,500 prompt tokens, 400 of them cached, 200 completion tokens."""
    assert Prices(2.5, 10.0).cost(1500, 200, 400) == pytest.approx((1500 * 2.5 + 200 * 10) / 1e6)
    cached = Prices(2.5, 10.0, 1.25).cost(1500, 200, 400)
    assert cached == pytest.approx((1100 * 2.5 + 400 * 1.25 + 200 * 10) / 1e6)


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_tables_in_files(tmp_path: Path, suffix: str) -> None:
    table = {"currency": "CHF", "gpt-x": {"prompt": 1, "completion": 2.5, "cached": 0}}
    text = json.dumps(table) if suffix == "json" else (
        'currency = "CHF"\n["gpt-x"]\nprompt = 1\ncompletion = 2.5\ncached = 0\n'
    )  # fmt: skip
    file = tmp_path / f"prices.{suffix}"
    file.write_text(text)
    assert read_prices(file, "gpt-x") == Prices(1, 2.5, 0, "CHF") == read_prices(table, "gpt-x")
    assert read_prices(None, "gpt-x") is None
    with pytest.raises(ModelError, match="no prices of model 'gpt-y'") as caught:
        read_prices(str(file), "gpt-y")
    assert "gpt-x" in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        {}, {"prompt": 1}, {"prompt": -1, "completion": 1}, {"prompt": "1", "completion": 1},
        {"prompt": True, "completion": 1}, {"prompt": float("nan"), "completion": 1},
        {"prompt": 1, "completion": 1, "promt": 1},
    ],
)  # fmt: skip
def test_prices_that_are_none(entry: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="is no price"):
        read_prices({"m": entry}, "m")


@pytest.mark.parametrize("text", [None, "{", "[1]"])
def test_files_that_hold_no_table(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "prices.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ModelError, match=r"prices\.json"):
        read_prices(file, "m")


def test_limits() -> None:
    spending = Spending(Prices(1.0, 1.0), max_requests=3, max_total_tokens=100, max_cost=1e-3)
    spending.permit()
    spending.count(Usage(1, 60, 39))
    spending.permit()
    spending.count(Usage(1, 1, 0))
    with pytest.raises(
        BudgetExhausted, match=r"max_total_tokens is reached: 2 requests, 100 tokens, 0.0001 USD"
    ):
        spending.permit()
    costly = Spending(Prices(10.0, 10.0), max_cost=1e-3)
    costly.permit()
    usage = Usage(1, 60, 40)
    costly.count(usage)
    assert usage.cost == pytest.approx(1e-3)
    with pytest.raises(BudgetExhausted, match="max_cost is reached"):
        costly.permit()
    few = Spending(None, max_requests=1)
    few.permit()
    with pytest.raises(BudgetExhausted, match="max_requests"):
        few.permit()
    for _ in range(1000):
        Spending(None).permit()


@pytest.mark.parametrize("limit", [0, -1, True, float("nan"), "3"])
def test_limits_that_are_none(limit: Any) -> None:
    with pytest.raises(ModelError, match="is no limit"):
        Spending(None, max_requests=limit)


def test_a_limit_that_cannot_be_kept() -> None:
    with pytest.raises(ModelError, match="but no prices"):
        Spending(None, max_cost=1.0)
    with pytest.raises(ModelError, match="does not say how many tokens"):
        Spending(None, max_total_tokens=5).count(Usage(1, None, None))
    Spending(None).count(Usage(1, None, None))


def test_sums_with_what_was_not_told() -> None:
    total = Usage()
    total.add(Usage(1, 10, 5, 2, 0.5), tries=1)
    total.add(Usage(1, 20, 6, 0, 0.25), tries=3)
    assert total == Usage(4, 30, 11, 2, 0.75)
    total.add(Usage(1, None, 1), tries=1)
    assert total == Usage(5, None, 12, 2, None)
