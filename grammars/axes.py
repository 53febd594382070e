"""Axes: the finite, ordered lattice of texts on which one hyperparameter's values live.

Every axis is an exact one-to-one map index <-> text <-> value. Large axes (integers up to 1e12, floats) are
arithmetic, never enumerated.
"""

from __future__ import annotations

import copy
import json
import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .errors import DecodeError, SpaceError
from .intervals import Intervals
from .pattern import Pattern, alt, integers, literals
from .space_check import is_finite_number


@runtime_checkable
class Axis(Protocol):
    """One hyperparameter's finite, ordered lattice. Indices run from 0 to size - 1."""

    @property
    def size(self) -> int:
        """Number of lattice points."""

    @property
    def prefix_free(self) -> bool:
        """Whether no text is a prefix of another, so that texts can be joined without a separator."""

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


def number_of(value: Any) -> int | float:
    """A finite number as a plain Python one; anything else is a DecodeError."""
    if isinstance(value, np.generic):
        value = value.item()
    if not is_finite_number(value):
        raise DecodeError(f"{value!r} is not a finite number", value=value, allowed="a finite number")
    return value  # type: ignore[no-any-return]


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
        number = number_of(value)
        if number != int(number) or not self.lower <= number <= self.upper:
            raise DecodeError(
                f"{value!r} is not on the lattice",
                value=value,
                allowed=f"integers {self.lower}..{self.upper}",
            )
        return int(number) - self.lower

    def nearest(self, value: Any) -> int:
        """See `Axis`."""
        number = number_of(value)
        whole = number if isinstance(number, int) else math.ceil(number - 0.5)
        return min(max(whole, self.lower), self.upper) - self.lower

    def pattern(self, inside: Intervals) -> Pattern:
        """See `Axis`."""
        return alt(integers(self.lower + low, self.lower + high) for low, high in inside)

    def parse(self, text: str, pos: int) -> tuple[int, int] | None:
        """See `Axis`."""
        end = scan(text, pos, "-0123456789", self.max_bytes)
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


def scan(text: str, pos: int, alphabet: str, limit: int) -> int:
    """Where the run of at most `limit` characters of an alphabet that starts at `pos` ends."""
    end = pos
    while end < len(text) and end - pos < limit and text[end] in alphabet:
        end += 1
    return end


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
        self._values = [copied(value) for _, value in entries]
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
        self.prefix_free = not any(b.startswith(a) for a, b in pairwise(ranked))

    def value(self, index: int) -> Any:
        """See `Axis`. A list or dictionary is a new one: whoever gets it may change it."""
        return copied(self._values[index])

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
        number = number_of(value)
        if self._log and number <= 0:
            return 0
        right = bisect_left(self._values, number)  # the nearest one stands here or just before
        if right < self.size and self._values[right] == number:
            return right
        scale = math.log if self._log else float
        target = scale(number)
        near = range(max(right - 1, 0), min(right + 1, self.size))
        return min(near, key=lambda i: (abs(scale(self._values[i]) - target), i))

    def pattern(self, inside: Intervals) -> Pattern:
        """See `Axis`."""
        if inside == ((0, self.size - 1),):  # what every proposal's grammar starts from
            return self._whole
        return literals([text for low, high in inside for text in self._texts[low : high + 1]])

    @cached_property
    def _whole(self) -> Pattern:
        return literals(self._texts)

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
    """Choices of a categorical, ordinal or constant hyperparameter as JSON, decoded to equal objects.

    >>> axis = ChoiceAxis(["relu", None, True, 1.5])
    >>> [axis.text(i) for i in range(axis.size)]
    ['"relu"', 'null', 'true', '1.5']
    """

    def __init__(self, choices: Sequence[Any]) -> None:
        super().__init__([(choice_text(choice), plain(choice)) for choice in choices])


def plain(value: Any) -> Any:
    """A NumPy scalar as the plain Python value; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def copied(value: Any) -> Any:
    """Lists, dictionaries and tuples within each other made anew; what is in them stays the same.

    >>> choice = {"sizes": [1, 2]}
    >>> copied(choice)["sizes"].append(3)
    >>> choice
    {'sizes': [1, 2]}
    """
    if isinstance(value, list | dict):
        made: Any = copy.copy(value)
        for key in range(len(value)) if isinstance(value, list) else value:
            made[key] = copied(value[key])
        return made
    if type(value) is tuple or hasattr(value, "_make"):  # a plain or a named one
        inner = list(map(copied, value))
        same = all(new is old for new, old in zip(inner, value, strict=True))
        return value if same else getattr(type(value), "_make", tuple)(inner)
    return value


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
