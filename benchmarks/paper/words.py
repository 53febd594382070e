"""Figures of results in words."""

from __future__ import annotations

import math

from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.paper.results import Worth


def figure(estimate: Estimate, unit: str = "%", digits: int | None = None) -> str:
    """A figure with its interval: `78.1 % [62, 91]`."""
    if not math.isfinite(estimate.value):
        return "–"
    places = digits if digits is not None else 1 if unit == "%" else _places(estimate)
    text = f"{_plain(estimate.value, places)}{f' {unit}' if unit else ''}"
    if not math.isfinite(estimate.low):
        return text
    ends = max(0, places - 1) if unit == "%" else places
    return f"{text} [{_plain(estimate.low, ends)}, {_plain(estimate.high, ends)}]"


def plus_minus(estimate: Estimate, unit: str = "%") -> str:
    """The same without its interval."""
    return figure(Estimate(estimate.value, math.nan, math.nan), unit)


def worth_words(worth: Worth, p: float | None) -> str:
    """What a test against a control says."""
    if not worth or p is None:
        return "not tested"
    shown = "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"
    words = {
        "better": "the model adds to it",
        "worse": "the model is worse",
        "no clear difference": "no clear difference",
    }
    return f"{words[worth]} ({shown})"


def _places(estimate: Estimate) -> int:
    size = max(
        abs(estimate.value), *(abs(end) for end in (estimate.low, estimate.high) if math.isfinite(end)), 1e-12
    )
    return max(0, min(9, 2 - math.floor(math.log10(size))))


def _plain(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    return text[1:] if text.startswith("-") and float(text) == 0 else text.replace("-", "−")
