"""Numbers as people write them, and cells of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.analysis.table import Cell

DASH = "–"


def number(value: float, digits: int) -> str:
    """A number with a true minus sign; a dash for NaN."""
    if not math.isfinite(value):
        return DASH
    text = f"{value:.{digits}f}"
    return (text[1:] if float(text) == 0 and text.startswith("-") else text).replace("-", "−")


def significant(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:.{digits}g}"
    mantissa, exponent, power = text.partition("e")
    if exponent:
        text = f"{mantissa}e{int(power)}"
    return text.replace("-", "−")


def p_value(p: float) -> str:
    """A p-value with two digits, or a bound."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def p_words(p: float) -> str:
    """The same in a sentence.

    >>> p_words(0.031), p_words(1e-6)
    ('p = 0.031', 'p < 0.0001')
    """
    return f"p = {p_value(p)}".replace("= <", "<")


def interval(estimate: Estimate, digits: int) -> str:
    """Both ends, for people: `[-2, 17]`."""
    if math.isnan(estimate.low):
        return ""
    return f"[{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def estimated(estimate: Estimate, digits: int) -> Cell:
    """A figure with its interval."""
    return Cell(
        number(estimate.value, digits), interval(estimate, max(0, digits - 1)), sortable(estimate.value)
    )


def sortable(value: float | None) -> float | str:
    """What a number is sorted by; what is not there comes last."""
    return "" if value is None or not math.isfinite(value) else float(value)


def aligned(values: Sequence[float | None], digits: int = 5) -> list[str]:
    """Numbers of one column with the same number of decimals, so that their points stand in line.

    Scientific where their sizes span more than that can show.
    """
    known = [abs(value) for value in values if value is not None and math.isfinite(value) and value]
    if not known:
        return [significant(value) for value in values]
    largest, smallest = math.floor(math.log10(max(known))), math.floor(math.log10(min(known)))
    if largest > 6 or smallest < -4 or largest - smallest > 5:
        return [DASH if value is None else _scientific(value) for value in values]
    decimals = max(0, min(6, digits - 1 - largest, max(_decimals(value, digits) for value in known)))
    decimals = max(decimals, min(6, 1 - smallest)) if smallest < 0 else decimals
    return [DASH if value is None else number(value, decimals) for value in values]


def _scientific(value: float) -> str:
    mantissa, _, power = f"{value:.3e}".partition("e")
    return f"{mantissa}e{int(power)}".replace("-", "−") if value else "0"


def _decimals(value: float, digits: int) -> int:
    """Decimals of a number written with so many significant digits at most."""
    text = f"{float(f'{value:.{digits}g}'):f}".rstrip("0")
    return len(text.partition(".")[2])
