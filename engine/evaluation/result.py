"""What an objective returned: which numbers are a loss, and what is kept of the values beside it.

Callables, worker processes, commands, Ray and `Study.tell` all go by this. Light, and it imports no array library:
arrays and tensors are known by their methods `tolist` and `__array__`.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set, ValuesView
from decimal import Decimal
from enum import Enum
from typing import Any

# Reasons are shown to the model and in tables: one line, no longer than this many characters.
REASON_LENGTH = 300
# Further values: characters of one text, characters of all of them (about), and lists within lists.
LONGEST_TEXT, LARGEST_INFO, DEEPEST_INFO = 10_000, 1 << 20, 60
_LONGEST_KEY, _MOST_NOTES, _NUMBER_SIZE = 200, 20, 8
_LARGEST_WHOLE_BITS = 13_000  # Python writes and reads whole numbers of up to 4,300 digits


class TrialFailed(Exception):
    """Raise it in an objective to fail the trial: its text, as it is, becomes the trial's reason."""


class _Unfit(Exception):
    """A further value that JSON cannot hold; the text says why."""


class _TooMuch(Exception):
    """A further value that is too large or too deep to be kept at all; the text says why."""


def one_line(text: str) -> str:
    """The text as a reason: one line, not too long, without memory addresses (they differ between runs)."""
    line = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(text.encode("utf-8", "replace").decode().split()))
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 3] + "..."


def read_result(returned: object) -> tuple[float, dict[str, Any], str]:
    """What an objective returned as (loss, further values, notes on what was not kept of them).

    Args:
        returned: A loss as of `read_loss`, or a mapping with one under "loss". Its other values never fail a trial:
            arrays, tensors, tuples and sets become lists, paths and dates texts, other keys than texts become texts,
            a NaN or infinity its text ("nan"); long texts are cut; what JSON cannot hold, or is larger than
            `LARGEST_INFO`, is left out. Each of the last two is a line of the notes.

    Raises:
        TrialFailed: With the reason why this is no result.
    """
    if not isinstance(returned, Mapping):
        return read_loss(returned, "objective returned "), {}, ""
    if "loss" not in returned:
        keys = ", ".join(sorted(repr(key) for key in returned)) or "none"
        raise TrialFailed(f"objective returned a mapping without the key 'loss' (its keys: {keys})")
    loss = read_loss(returned["loss"], "objective returned a mapping whose 'loss' is ")
    extras = _Extras()
    info = extras.all({key: value for key, value in returned.items() if key != "loss"})
    return loss, info, extras.log


def read_loss(value: object, lead: str) -> float:
    """A finite number: of Python, NumPy, a Decimal or Fraction, or an array or tensor with one element; no bool.

    Args:
        value: What was returned.
        lead: How the reason begins, for example "objective returned ".

    Raises:
        TrialFailed: With the reason why it is none.
    """
    plain = _only_element(value)
    if value is None:
        raise TrialFailed(f"{lead}None, expected a finite number or a mapping with key 'loss'")
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real | Decimal):
        shown = value if plain is None or isinstance(plain, list) else plain
        kind = type(shown).__name__
        text = one_line(repr(shown))[:80]
        raise TrialFailed(
            f"{lead}{_article(kind)} {kind}: {text}, expected a finite number or a mapping with key 'loss'"
        )
    try:
        loss = float(plain)
    except OverflowError:
        raise TrialFailed(f"{lead}a number too large for a float") from None
    except ValueError:  # a signalling NaN of Decimal
        loss = math.nan
    if not math.isfinite(loss):
        raise TrialFailed(f"{lead}{'NaN (nan)' if math.isnan(loss) else loss}")
    return loss + 0.0  # -0.0 becomes 0.0: SQLite knows no negative zero


def _only_element(value: object) -> object:
    """The one element of an array or tensor, None where it is masked; anything else as it is."""
    if not _is_array(value) or _elements(value) != 1:
        return value
    plain = _listed(value)
    while isinstance(plain, list) and len(plain) == 1:
        plain = plain[0]
    return plain


def _is_array(value: object) -> bool:
    listed = hasattr(value, "tolist") or hasattr(value, "__array__")
    return listed and not isinstance(value, type | Mapping)


def _elements(value: Any) -> int:
    shape = getattr(value, "shape", None)
    return len(value) if shape is None else math.prod(shape)  # a scalar's shape is (): one element


def _listed(value: Any) -> object:
    """An array, tensor or NumPy scalar in plain Python: nested lists, or one value; what is masked is None."""
    return value.tolist() if hasattr(value, "tolist") else value.__array__().tolist()


class _Extras:
    """Further values on their way into JSON, and notes on what could not be kept."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._room = LARGEST_INFO

    @property
    def log(self) -> str:
        """The notes, a line each."""
        more = len(self._notes) - _MOST_NOTES
        shown = [*self._notes[:_MOST_NOTES], *([f"note: and {more} more"] if more > 0 else [])]
        return "".join(line + "\n" for line in shown)

    def all(self, given: Mapping[Any, Any]) -> dict[str, Any]:
        """Each value as JSON will give it back; whatever is wrong with one leaves it out, and a note."""
        found: dict[str, Any] = {"loss": None}  # no further value takes that name
        for key, value in given.items():
            room, shown = self._room, "a key"
            try:
                shown = repr(key)
                self._put(found, given, key, value, "", 1)
            except _TooMuch as why:
                self._left_out(shown, str(why))
                self._room = room
            except (
                Exception
            ) as error:  # of the value's own methods, such as a tensor of a device that is gone
                self._left_out(shown, type(error).__name__ + _said(error))
                self._room = room
        del found["loss"]
        return found

    def _put(
        self,
        found: dict[str, Any],
        given: Mapping[Any, Any],
        key: object,
        value: object,
        path: str,
        depth: int,
    ) -> None:
        shown = f"{path}[{one_line(repr(key))}]" if path else one_line(repr(key))
        try:
            name = _key(key)
            if name in found or (not isinstance(key, str) and name in given):
                raise _Unfit(f"another key is {name!r}, too")
            self._take(len(name))
            found[name] = self._value(value, shown, depth)
        except _Unfit as why:
            self._left_out(shown, str(why))

    def _mapping(self, given: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in given.items():
            self._put(found, given, key, value, path, depth)
        return found

    def _list(self, given: Iterable[Any], path: str, depth: int) -> list[Any]:
        found: list[Any] = []
        for i, value in enumerate(given):
            try:
                found.append(self._value(value, f"{path}[{i}]", depth))
            except _Unfit as why:
                self._left_out(f"{path}[{i}]", str(why))
                found.append(None)
        return found

    def _value(self, value: Any, path: str, depth: int) -> Any:
        self._take(_NUMBER_SIZE)
        if value is None or isinstance(value, bool | int | float | str):
            return self._scalar(value, path)
        if depth >= DEEPEST_INFO:
            raise _TooMuch(f"it is nested deeper than {DEEPEST_INFO}")
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth + 1)
        if _is_array(value):
            if _elements(value) * _NUMBER_SIZE > self._room:
                raise _TooMuch("it is too large")
            listed = _listed(value)
            if type(listed) is not type(value):
                return self._value(listed, path, depth)
        if isinstance(value, Set):
            return sorted(self._list(value, path, depth + 1), key=json.dumps)
        if isinstance(value, Sequence | ValuesView) and not isinstance(value, bytes | bytearray):
            return self._list(value, path, depth + 1)
        return self._scalar(_as_scalar(value), path)

    def _scalar(self, value: Any, path: str) -> Any:
        if isinstance(value, str):
            # A lone surrogate, which no file can hold, is spelled out.
            text = str.__str__(value)[: LONGEST_TEXT + 1].encode("utf-8", "backslashreplace").decode()
            if len(value) > LONGEST_TEXT:
                text = text[:LONGEST_TEXT] + "..."
                self._notes.append(f"note: {path} was cut to {LONGEST_TEXT} of {len(value)} characters")
            self._take(len(text))
            return text
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            if value.bit_length() > _LARGEST_WHOLE_BITS:
                raise _Unfit(f"a whole number of {value.bit_length()} bits")
            self._take(value.bit_length() // 3)
            return int(value)
        return float(value) + 0.0 if math.isfinite(value) else str(float(value))

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise _TooMuch("it is too large")

    def _left_out(self, path: str, why: str) -> None:
        self._notes.append(f"note: {one_line(path)} was left out: {one_line(why)}")


def _said(error: Exception) -> str:
    try:
        return f": {error}"
    except Exception:
        return ""


def _key(key: object) -> str:
    """A key as the text that JSON makes of it, or else its own."""
    if isinstance(key, str):
        text = str.__str__(key)
    else:
        text = json.dumps(key) if key is None or isinstance(key, bool | int | float) else one_line(str(key))
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST_KEY else text[: _LONGEST_KEY - 3] + "..."


def _as_scalar(value: Any) -> str | int | float | bool | None:
    """An object that stands for a text or a number as that.

    Raises:
        _Unfit: If it is no such object.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes | bytearray):
        return value[: LONGEST_TEXT + 1].decode("utf-8", "backslashreplace")
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, numbers.Real | Decimal):
        try:
            return float(value)
        except (OverflowError, ValueError):
            return str(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    kind = type(value).__name__
    raise _Unfit(f"{_article(kind)} {kind} is nothing that JSON can hold")


def _article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" else "a"
