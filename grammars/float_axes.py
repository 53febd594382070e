"""Axes of floats: a decimal grid, linear or per decade, with exact extra points between its points."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from .axes import number_of, scan
from .errors import DecodeError
from .intervals import Intervals
from .pattern import Literal, Pattern, alt, integers, literals, padded, seq, stripped

# ConfigSpace rounds every float to 13 decimals; a lattice finer than that would not be told apart.
MAX_DECIMALS = 13
# Any two decimals of up to 15 significant digits are different doubles.
MAX_SIGNIFICANT = 15


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
                allowed=f"lattice values {self.lower!r} to {self.upper!r}, the nearest is {self.text(index)}",
                hint="snap the configuration first",
            )
        return index

    def nearest(self, value: Any) -> int:
        """See `Axis`."""
        number = min(max(float(number_of(value)), self.lower), self.upper)
        rank = self._floor(Decimal(repr(number)))
        if self._first <= rank <= self._last and self._grid_value(rank) == number:
            return self._index_of_rank(rank)  # most of what is asked for is on the grid
        near = {min(max(r, self._first), self._last) for r in (rank, rank + 1) if self._first <= self._last}
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
        end = scan(text, pos, self._ALPHABET, self.max_bytes)
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
    """Plain decimals, a fixed number of them: 10**digits to 10**(digits + 1) points over the range.

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
    """Scientific notation, up to `digits` significant digits, no trailing zeros: 1e-3, 1.2e-3, 1.23e-3.

    Both bounds (and `extras`) are points even where they have more digits.

    >>> axis = LogFloatAxis(0.0009765625, 1.0)
    >>> [axis.text(i) for i in (0, 1, axis.size - 1)]
    ['9.765625e-4', '9.77e-4', '1e0']
    """

    def __init__(self, lower: float, upper: float, digits: int = 3, extras: Sequence[float] = ()) -> None:
        self.digits = digits
        self._unit: int = 10 ** (digits - 1)
        self._per_decade: int = 9 * self._unit
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
