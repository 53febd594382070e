"""Axes: the finite, ordered lattice of texts on which one hyperparameter's values live.

Every axis is an exact one-to-one map index <-> text <-> value. Large axes (integers up to 1e12, floats) are
arithmetic, never enumerated.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .errors import DecodeError, SpaceError
from .intervals import Intervals
from .pattern import Literal, Pattern, alt, integers, literals, padded, seq, stripped

# ConfigSpace rounds every float to 13 decimals; a lattice finer than that would not be told apart.
MAX_DECIMALS = 13
# Any two decimals of up to 15 significant digits are different doubles.
MAX_SIGNIFICANT = 15


@runtime_checkable
class Axis(Protocol):
    """One hyperparameter's finite, ordered lattice. Indices run from 0 to size - 1."""

    @property
    def size(self) -> int:
        """Number of lattice points."""

    @property
    def prefix_free(self) -> bool:
        """Whether no text is the beginning of another, so that texts can be joined without a separator."""

    @property
    def max_bytes(self) -> int:
        """No text is longer than this, in bytes of UTF-8."""

    def value(self, index: int) -> Any:
        """The plain Python value at an index."""

    def text(self, index: int) -> str:
        """The text at an index."""

    def index(self, value: Any) -> int:
        """The index of exactly this value.

        Raises:
            DecodeError: If the value is not on the lattice.
        """

    def nearest(self, value: Any) -> int:
        """The index nearest to a value, on the axis's own scale; the smaller one on ties.

        Raises:
            DecodeError: If nothing is near, as for a choice that does not exist.
        """

    def pattern(self, inside: Intervals) -> Pattern:
        """The texts of a set of indices."""

    def parse(self, text: str, pos: int) -> tuple[int, int] | None:
        """Read the longest lattice text at `pos`: (index, end), or None."""

    def describe(self) -> str:
        """All that defines the axis, as stable text (it goes into the grammar's hash)."""


def _number(value: Any) -> float:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DecodeError(f"{value!r} is not a finite number", value=value, allowed="a finite number")
    return value


class IntegerAxis:
    """The integers lower..upper.

    >>> IntegerAxis(-5, 10**12).text(2)
    '-3'
    """

    prefix_free = False

    def __init__(self, lower: int, upper: int) -> None:
        self.lower, self.upper = int(lower), int(upper)
        self.size = self.upper - self.lower + 1
        self.max_bytes = max(len(str(self.lower)), len(str(self.upper)))

    def value(self, index: int) -> int:
        """See `Axis`."""
        return self.lower + index

    def text(self, index: int) -> str:
        """See `Axis`."""
        return str(self.lower + index)

    def index(self, value: Any) -> int:
        """See `Axis`."""
        number = _number(value)
        if number != int(number) or not self.lower <= number <= self.upper:
            raise DecodeError(
                f"{value!r} is not on the lattice",
                value=value,
                allowed=f"integers {self.lower}..{self.upper}",
            )
        return int(number) - self.lower

    def nearest(self, value: Any) -> int:
        """See `Axis`."""
        number = _number(value)
        return min(max(math.ceil(number - 0.5), self.lower), self.upper) - self.lower

    def pattern(self, inside: Intervals) -> Pattern:
        """See `Axis`."""
        return alt(integers(self.lower + low, self.lower + high) for low, high in inside)

    def parse(self, text: str, pos: int) -> tuple[int, int] | None:
        """See `Axis`."""
        end = _scan(text, pos, "-0123456789", self.max_bytes)
        for stop in range(end, pos, -1):
            piece = text[pos:stop]
            if piece.removeprefix("-").isdigit() and str(int(piece)) == piece:
                number = int(piece)
                if self.lower <= number <= self.upper:
                    return number - self.lower, stop
        return None

    def describe(self) -> str:
        """See `Axis`."""
        return f"int[{self.lower},{self.upper}]"


def _scan(text: str, pos: int, alphabet: str, limit: int) -> int:
    end = pos
    while end < len(text) and end - pos < limit and text[end] in alphabet:
        end += 1
    return end


class _FloatAxis(ABC):
    """A decimal grid with extra exact points (bounds, constants of conditions) between its points."""

    prefix_free = False
    _ALPHABET = "-+.e0123456789"

    def __init__(self, lower: float, upper: float, extras: Sequence[float]) -> None:
        self.lower, self.upper = float(lower), float(upper)
        low, high = Decimal(repr(self.lower)), Decimal(repr(self.upper))
        self._first, self._last = self._ceil(low), self._floor(high)
        points = sorted({float(x) for x in (self.lower, self.upper, *extras) if lower <= x <= upper})
        grid_size = max(self._last - self._first + 1, 0)
        self._extras: list[tuple[int, float, str]] = []  # (index, value, text)
        for point in points:
            rank = self._ceil(Decimal(repr(point)))
            if rank <= self._last and self._grid_value(rank) == point and rank >= self._first:
                continue
            below = min(max(rank - self._first, 0), grid_size)
            self._extras.append((below + len(self._extras), point, self._exact_text(Decimal(repr(point)))))
        self._extra_at = {index: (value, text) for index, value, text in self._extras}
        self.size = grid_size + len(self._extras)
        self.max_bytes = max(
            [len(text) for _, _, text in self._extras] + ([self._grid_width()] if grid_size else [])
        )

    # The grid, by integer rank: what a scale defines.
    @abstractmethod
    def _ceil(self, x: Decimal) -> int: ...

    @abstractmethod
    def _floor(self, x: Decimal) -> int: ...

    @abstractmethod
    def _grid_text(self, rank: int) -> str: ...

    @abstractmethod
    def _grid_pattern(self, low: int, high: int) -> Pattern: ...

    @abstractmethod
    def _grid_width(self) -> int: ...

    @abstractmethod
    def _exact_text(self, x: Decimal) -> str: ...

    @abstractmethod
    def _distance(self, a: float, b: float) -> float: ...

    def _grid_value(self, rank: int) -> float:
        return float(self._grid_text(rank))

    def _rank(self, index: int) -> int:
        return self._first + index - sum(1 for at, _, _ in self._extras if at < index)

    def _index_of_rank(self, rank: int) -> int:
        index = rank - self._first
        for at, _, _ in self._extras:
            index += at <= index
        return index

    def value(self, index: int) -> float:
        """See `Axis`."""
        extra = self._extra_at.get(index)
        return extra[0] if extra else self._grid_value(self._rank(index))

    def text(self, index: int) -> str:
        """See `Axis`."""
        extra = self._extra_at.get(index)
        return extra[1] if extra else self._grid_text(self._rank(index))

    def index(self, value: Any) -> int:
        """See `Axis`."""
        index = self.nearest(value)
        if self.value(index) != float(value):
            raise DecodeError(
                f"{value!r} is not on the lattice",
                value=value,
                allowed=f"lattice values in [{self.lower!r}, {self.upper!r}], the nearest is {self.text(index)}",
                hint="snap the configuration first",
            )
        return index

    def nearest(self, value: Any) -> int:
        """See `Axis`."""
        number = min(max(float(_number(value)), self.lower), self.upper)
        rank = self._floor(Decimal(repr(number)))
        near = (
            {min(max(r, self._first), self._last) for r in (rank, rank + 1)}
            if self._last >= self._first
            else set()
        )
        candidates = [self._index_of_rank(r) for r in near] + [at for at, _, _ in self._extras]
        return min(candidates, key=lambda i: (self._distance(self.value(i), number), i))

    def pattern(self, inside: Intervals) -> Pattern:
        """See `Axis`."""
        return alt(part for low, high in inside for part in self._between(low, high))

    def _between(self, low: int, high: int) -> list[Pattern]:
        parts: list[Pattern] = []
        start = low
        for at, _, text in [*self._extras, (high + 1, 0.0, "")]:
            if not low <= at <= high + 1:
                continue
            if start < at:
                parts.append(self._grid_pattern(self._rank(start), self._rank(at - 1)))
            if at <= high:
                parts.append(Literal(text))
            start = at + 1
        return parts

    def parse(self, text: str, pos: int) -> tuple[int, int] | None:
        """See `Axis`."""
        end = _scan(text, pos, self._ALPHABET, self.max_bytes)
        for stop in range(end, pos, -1):
            piece = text[pos:stop]
            if not (piece[0] in "-0123456789" and piece[-1].isdigit()):
                continue
            try:
                number = float(piece)
            except ValueError:
                continue
            if self.lower <= number <= self.upper:
                index = self.nearest(number)
                if self.text(index) == piece:
                    return index, stop
        return None


class LinearFloatAxis(_FloatAxis):
    """Plain decimals with a fixed number of decimals: between 10**digits and 10**(digits + 1) points over the range.

    Both bounds (and `extras`) are points even where they are off the grid.

    >>> axis = LinearFloatAxis(0.0, 0.95, digits=2)
    >>> [axis.text(i) for i in (0, 1, axis.size - 1)]
    ['0.000', '0.001', '0.950']
    """

    def __init__(self, lower: float, upper: float, digits: int = 3, extras: Sequence[float] = ()) -> None:
        self.digits = digits
        span = Decimal(repr(float(upper))) - Decimal(repr(float(lower)))
        largest = max(abs(lower), abs(upper))
        decimals = math.ceil(digits - span.log10())
        self.decimals = min(decimals, MAX_DECIMALS, MAX_SIGNIFICANT - math.ceil(math.log10(largest)))
        super().__init__(lower, upper, extras)

    def _ceil(self, x: Decimal) -> int:
        return int(x.scaleb(self.decimals).to_integral_value(ROUND_CEILING))

    def _floor(self, x: Decimal) -> int:
        return int(x.scaleb(self.decimals).to_integral_value(ROUND_FLOOR))

    def _grid_text(self, rank: int) -> str:
        sign, rank = "-" if rank < 0 else "", abs(rank)
        if self.decimals <= 0:
            return sign + (str(rank) + "0" * -self.decimals if rank else "0")
        whole, part = divmod(rank, 10**self.decimals)
        return f"{sign}{whole}.{part:0{self.decimals}d}"

    def _grid_width(self) -> int:
        return max(len(self._grid_text(self._first)), len(self._grid_text(self._last)))

    def _exact_text(self, x: Decimal) -> str:
        text = format(x, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text

    def _distance(self, a: float, b: float) -> float:
        return abs(a - b)

    def _grid_pattern(self, low: int, high: int) -> Pattern:
        parts: list[Pattern] = []
        if low < 0:
            parts.append(seq(Literal("-"), self._positive(max(1, -high), -low)))
        if high >= 0:
            parts.append(self._positive(max(low, 0), high))
        return alt(parts)

    def _positive(self, low: int, high: int) -> Pattern:
        if self.decimals <= 0:
            zeros = Literal("0" * -self.decimals)
            some = [seq(integers(max(low, 1), high), zeros)] if high else []
            return alt([*([Literal("0")] if low == 0 else []), *some])
        unit = 10**self.decimals
        (first, start), (last, stop) = divmod(low, unit), divmod(high, unit)
        rows: list[tuple[int, int, int, int]] = []  # whole numbers a..b, decimals c..d
        if first == last:
            rows.append((first, last, start, stop))
        else:
            if start:
                rows.append((first, first, start, unit - 1))
                first += 1
            full_last = last if stop == unit - 1 else last - 1
            if first <= full_last:
                rows.append((first, full_last, 0, unit - 1))
            if full_last < last:
                rows.append((last, last, 0, stop))
        return alt(seq(integers(a, b), Literal("."), padded(c, d, self.decimals)) for a, b, c, d in rows)

    def describe(self) -> str:
        """See `Axis`."""
        return f"linear[{self.lower!r},{self.upper!r}]/{self.decimals}+{[t for _, _, t in self._extras]}"


class LogFloatAxis(_FloatAxis):
    """Scientific notation with up to `digits` significant digits, trailing zeros dropped: 1e-3, 1.2e-3, 1.23e-3.

    Both bounds (and `extras`) are points even where they have more digits.

    >>> axis = LogFloatAxis(0.0009765625, 1.0)
    >>> [axis.text(i) for i in (0, 1, axis.size - 1)]
    ['9.765625e-4', '9.77e-4', '1e0']
    """

    def __init__(self, lower: float, upper: float, digits: int = 3, extras: Sequence[float] = ()) -> None:
        self.digits = digits
        self._unit = 10 ** (digits - 1)
        self._per_decade = 9 * self._unit
        super().__init__(lower, upper, extras)

    def _ceil(self, x: Decimal) -> int:
        exponent = x.adjusted()
        mantissa = x.scaleb(self.digits - 1 - exponent).to_integral_value(ROUND_CEILING)
        return exponent * self._per_decade + int(mantissa) - self._unit

    def _floor(self, x: Decimal) -> int:
        exponent = x.adjusted()
        mantissa = x.scaleb(self.digits - 1 - exponent).to_integral_value(ROUND_FLOOR)
        return exponent * self._per_decade + int(mantissa) - self._unit

    def _grid_text(self, rank: int) -> str:
        exponent, mantissa = divmod(rank, self._per_decade)
        return _scientific(str(mantissa + self._unit), exponent)

    def _grid_width(self) -> int:
        exponents = (self._first // self._per_decade, self._last // self._per_decade)
        return self.digits + (self.digits > 1) + 1 + max(len(str(e)) for e in exponents)

    def _exact_text(self, x: Decimal) -> str:
        return _scientific("".join(map(str, x.as_tuple().digits)), x.adjusted())

    def _distance(self, a: float, b: float) -> float:
        return abs(math.log(a) - math.log(b))

    def _grid_pattern(self, low: int, high: int) -> Pattern:
        (first, start), (last, stop) = divmod(low, self._per_decade), divmod(high, self._per_decade)
        top = self._per_decade - 1
        if first == last:
            return self._decades(first, last, start, stop)
        parts: list[Pattern] = []
        if start:
            parts.append(self._decades(first, first, start, top))
            first += 1
        full_last = last if stop == top else last - 1
        if first <= full_last:
            parts.append(self._decades(first, full_last, 0, top))
        if full_last < last:
            parts.append(self._decades(last, last, 0, stop))
        return alt(parts)

    def _decades(self, first: int, last: int, start: int, stop: int) -> Pattern:
        """Mantissas start..stop (as offsets from 1.00) in the decades first..last."""
        leads: dict[Pattern, str] = {}
        low, high = start + self._unit, stop + self._unit
        for lead in range(low // self._unit, high // self._unit + 1):
            sub_low = max(low - lead * self._unit, 0)
            sub_high = min(high - lead * self._unit, self._unit - 1)
            tail = stripped(sub_low, sub_high, self.digits - 1)
            leads[tail] = leads.get(tail, "") + str(lead)
        mantissa = alt(seq(literals(list(digits)), tail) for tail, digits in leads.items())
        return seq(mantissa, Literal("e"), integers(first, last))

    def describe(self) -> str:
        """See `Axis`."""
        return f"log[{self.lower!r},{self.upper!r}]/{self.digits}+{[t for _, _, t in self._extras]}"


def _scientific(digits: str, exponent: int) -> str:
    lead, tail = digits[0], digits[1:].rstrip("0")
    return f"{lead}{'.' + tail if tail else ''}e{exponent}"


class EnumeratedAxis:
    """Any list of (text, value), in order; for numbers the values ascend.

    >>> axis = EnumeratedAxis([("a0", 0.0), ("a1", 0.5), ("a2", 1.0)], ordered=True)
    >>> axis.nearest(0.4), axis.parse("a2b7", 0)
    (1, (2, 2))

    Args:
        entries: Distinct texts and the values they stand for.
        ordered: The values are numbers in ascending order: `nearest` takes the nearest one. Otherwise only an
            equal value is near.
        log: Distances are taken between logarithms.
    """

    def __init__(
        self, entries: Sequence[tuple[str, Any]], *, ordered: bool = False, log: bool = False
    ) -> None:
        self._texts = [text for text, _ in entries]
        self._values = [value for _, value in entries]
        self._at = {text: i for i, text in enumerate(self._texts)}
        if not entries or len(self._at) != len(entries):
            twice = sorted({t for t in self._texts if self._texts.count(t) > 1})
            raise SpaceError(
                "an axis needs at least one text, all different",
                value=twice,
                hint="rename what has the same text",
            )
        self._ordered, self._log = ordered, log
        self.size = len(entries)
        self.max_bytes = max(len(text.encode()) for text in self._texts)
        self._lengths = sorted({len(text) for text in self._texts}, reverse=True)
        ranked = sorted(self._texts)
        self.prefix_free = not any(b.startswith(a) for a, b in zip(ranked, ranked[1:], strict=False))

    def value(self, index: int) -> Any:
        """See `Axis`."""
        return self._values[index]

    def text(self, index: int) -> str:
        """See `Axis`."""
        return self._texts[index]

    def index(self, value: Any) -> int:
        """See `Axis`."""
        if isinstance(value, np.generic):
            value = value.item()
        for i, known in enumerate(self._values):
            if value is known or (_kind(value) == _kind(known) and value == known):
                return i
        shown = ", ".join(self._texts[:20]) + (", ..." if self.size > 20 else "")
        raise DecodeError(f"{value!r} is not on the lattice", value=value, allowed=shown)

    def nearest(self, value: Any) -> int:
        """See `Axis`."""
        if not self._ordered:
            return self.index(value)
        number = _number(value)
        scale = math.log if self._log else float
        target = scale(number) if not self._log or number > 0 else -math.inf
        return min(range(self.size), key=lambda i: (abs(scale(self._values[i]) - target), i))

    def pattern(self, inside: Intervals) -> Pattern:
        """See `Axis`."""
        return literals([text for low, high in inside for text in self._texts[low : high + 1]])

    def parse(self, text: str, pos: int) -> tuple[int, int] | None:
        """See `Axis`."""
        for length in self._lengths:
            index = self._at.get(text[pos : pos + length])
            if index is not None and len(text) >= pos + length:
                return index, pos + length
        return None

    def describe(self) -> str:
        """See `Axis`."""
        return "enum" + json.dumps(list(zip(self._texts, map(repr, self._values), strict=True)))


def _kind(value: Any) -> str:
    """What keeps 1 and True apart, while 1 and 1.0 stay equal, as they are in Python and ConfigSpace."""
    return "bool" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "other"


class ChoiceAxis(EnumeratedAxis):
    """The choices of a categorical, ordinal or constant hyperparameter as JSON values; decoded to the very objects.

    >>> axis = ChoiceAxis(["relu", None, True, 1.5])
    >>> [axis.text(i) for i in range(axis.size)]
    ['"relu"', 'null', 'true', '1.5']
    """

    def __init__(self, choices: Sequence[Any]) -> None:
        super().__init__([(choice_text(choice), plain(choice)) for choice in choices])


def plain(value: Any) -> Any:
    """A NumPy scalar as the plain Python value; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def choice_text(choice: Any) -> str:
    """The JSON text of one choice.

    Raises:
        SpaceError: If the choice has no JSON text, or is NaN (which equals nothing).
    """
    choice = plain(choice)
    try:
        text = json.dumps(choice, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError) as e:
        raise SpaceError(
            f"the choice {choice!r} has no JSON text",
            value=choice,
            allowed="text, integers, finite floats, booleans, None, and lists of these",
            hint="use a name for it, and map the name to the object in the objective",
        ) from e
    return text
