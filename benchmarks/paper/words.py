"""Figures of results in words."""

from __future__ import annotations

import math

from airtune.benchmarks.analysis.numbers import p_words
from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.paper.results import Worth


def figure(estimate: Estimate, unit: str = "%", digits: int | None = None) -> str:
    """A figure with its interval, `78.1 % [62, 91]`, or the word that it has none."""
    text = without_interval(estimate, unit, digits)
    if not math.isfinite(estimate.value):
        return text
    if not math.isfinite(estimate.low):
        return f"{text} (no interval)"
    shown, places = _shown(estimate, unit, digits)
    ends = f".{max(0, places - 1)}f" if unit == "%" else shown
    return f"{text} [{_plain(estimate.low, ends)}, {_plain(estimate.high, ends)}]"


def without_interval(estimate: Estimate, unit: str = "%", digits: int | None = None) -> str:
    """The same without its interval."""
    if not math.isfinite(estimate.value):
        return "–"
    shown, _ = _shown(estimate, unit, digits)
    return f"{_plain(estimate.value, shown)}{f' {unit}' if unit else ''}"


def _shown(estimate: Estimate, unit: str, digits: int | None) -> tuple[str, int]:
    """How a figure is formatted, and its places."""
    size = max(abs(end) for end in (estimate.value, estimate.low, estimate.high) if math.isfinite(end))
    places = digits if digits is not None else 1 if unit == "%" else 3 if size < 10 else 1
    return f".{places}f" if unit == "%" or size >= 0.001 or size == 0 else ".2e", places


def worth_words(worth: Worth, p: float | None) -> str:
    """What a test against a control says."""
    if not worth or p is None:
        return "not tested"
    words = {
        "better": "the model adds to it",
        "worse": "the model is worse",
        "no clear difference": "no clear difference",
    }
    return f"{words[worth]} ({p_words(p)})"


def _plain(value: float, shown: str) -> str:
    mantissa, exponent, power = f"{value:{shown}}".partition("e")
    text = mantissa[1:] if mantissa.startswith("-") and float(mantissa) == 0 else mantissa
    return (text + (f"e{int(power)}" if exponent else "")).replace("-", "−")
