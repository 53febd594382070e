"""A lenient reader: the configuration that a well-meaning program would take out of a model's free text.

Its rules were fixed before it had read an answer of any model:

1. The first JSON object that has a hyperparameter's name among its keys, wherever it stands: in a code fence, in a
   sentence, within another object.
2. Else, of each hyperparameter, the first `name: value`, `name = value`, `name -> value`, `name is value` or
   `name to value`, anywhere. So are read Python's literals, unquoted or cut JSON, lists with bullets, and prose.
3. Else the first line, or JSON list, of as many values as the prompt's table has columns, in their order, each of which
   could be a value of its column; `-` is none. What follows `->` is left out.

Names match in any case, with blanks, dashes and underscores in any place, where that is not ambiguous. A number may be
written in any notation (`.5`, `1e-3`, `10^-3`, `2 x 10**-3`, `1/8`, `50 %`, `1,024`), in quotes, and with words after
it; a choice in any case, with quotes or without, `yes` and `on` for true. A list or an object of one element is that.
Keys that name nothing are passed over.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import Constant, NumericalHyperparameter

from airtune.grammars import canonical_grammar

_BRACES = 200  # are looked at: a text that has more is no answer, and each costs time
_DECODER = json.JSONDecoder()
_SEPARATORS = re.compile(r"[\s_-]+")
_SIGN = str.maketrans({"−": "-", "–": "-", "×": "x", "·": "x", "*": "x"})
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_PLAIN = r"(?:\d{1,3}(?:[,_]\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_POWER = r"(?P<base>\d+)\s*(?:\^|xx)\s*[({]?\s*(?P<power>[-+]?\d+)\s*[)}]?"  # "**" was translated
_END = r"(?![\w.]*\w)"  # "3rd", "0x1f" and "1.2.3" are no numbers
_NUMBERS = tuple(
    re.compile(rf"\s*[~≈]?\s*(?P<sign>[-+]?)\s*{form}{_END}", re.IGNORECASE)
    for form in (
        rf"(?:(?P<plain>{_PLAIN})\s*x\s*)?{_POWER}",
        rf"(?P<plain>{_PLAIN})\s*(?P<percent>%)",
        rf"(?P<plain>{_PLAIN})\s*/\s*(?P<over>{_PLAIN})",
        rf"(?P<plain>{_PLAIN})",
    )
)
_YES, _NO, _NONE = ("true", "yes", "on"), ("false", "no", "off"), ("none", "null", "n/a", "na", "-", "")
_FILLERS = (
    "set|changed|increased|decreased|reduced|raised|lowered|equal|about|around|approximately|now|be|to|at"
)
_ASSIGN = (
    r"[\"'`*\]]*\s*(?:\([^()\n]{0,60}\)\s*)?(?::=|==?|:|->|→|\bis\b|\bto\b)\s*"
    rf"(?:(?:{_FILLERS})\s+)*"
)
_VALUE = re.compile(
    r"[`*]*(?:\"(?P<double>[^\"\n]*)\"|'(?P<single>[^'\n]*)'|(?P<list>\[[^\[\]\n]*\])|(?P<bare>[^,;|\n{}\]]+))"
)


def read_answer(text: str, space: ConfigurationSpace) -> dict[str, Any]:
    """What a text says of a space's hyperparameters, as it says it; see the module's docstring.

    Args:
        text: Any text.
        space: Whose hyperparameters.

    Returns:
        Values by name, to be understood by `number_in` and `choice_in`; empty where nothing was found.
    """
    names = _Names(space)
    for found in _objects(text):
        read: dict[str, Any] = {}
        for key, value in found.items():
            name = names.find(key)
            if name is not None:
                read.setdefault(name, _only(value))
        if read:
            return read
    return names.pairs(text) or _row(text, space)


def number_in(value: object) -> int | float | None:
    """The number that a value is or begins with, perhaps an infinite one; None if it is none.

    >>> [number_in(value) for value in (3, "1E-3", "about 5", "2 x 10^-3", "50 %", "1,024 units", True)]
    [3, 0.001, None, 0.002, 0.5, 1024, None]
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        return None if value != value else value  # NaN
    text = re.sub(r"(?<=\d)[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+", lambda m: "^" + m.group().translate(_RAISED), value[:400])
    text = text.translate(_SIGN)
    for form in _NUMBERS:
        match = form.match(text)
        if match is not None:
            return _value_of(match.groupdict())
    return None


def choice_in(value: object, choices: list[Any]) -> int | None:
    """The index of the choice that a value is or begins with; None if it is none of them.

    >>> choice_in("ReLU (as before)", ["tanh", "relu"]), choice_in("64", [32, 64]), choice_in("yes", [True, False])
    (1, 1, 0)
    """
    for same in (_equal, _alike, _begins):
        matches = [i for i, choice in enumerate(choices) if same(choice, value)]
        if matches:
            return max(matches, key=lambda i: len(str(choices[i])) if same is _begins else -i)
    return None


def is_nothing(value: object) -> bool:
    """Whether a value says that there is none: null, none, "-" or nothing at all."""
    return value is None or (isinstance(value, str) and _folded(value) in _NONE)


class _Names:
    """The names of a space's hyperparameters, as texts write them."""

    def __init__(self, space: ConfigurationSpace) -> None:
        self._names = list(space)
        loose: dict[str, list[str]] = {}
        for name in self._names:
            loose.setdefault(_loose(name), []).append(name)
        self._loose = {key: found[0] for key, found in loose.items() if len(found) == 1 and key}

    def find(self, key: str) -> str | None:
        """The hyperparameter that is meant, or None."""
        return key if key in self._names else self._loose.get(_loose(key))

    def pairs(self, text: str) -> dict[str, Any]:
        """Of each hyperparameter, the first value that is assigned to it."""
        found: dict[str, Any] = {}
        for name in self._names:
            exact = self._loose.get(_loose(name)) != name
            parts = [name] if exact else filter(None, _SEPARATORS.split(name))
            words = r"[\s_-]*".join(map(re.escape, parts))
            flags = re.NOFLAG if exact else re.IGNORECASE
            for assigned in re.finditer(rf"(?<!\w){words}(?!\w){_ASSIGN}", text, flags):
                value = _VALUE.match(text, assigned.end())
                if value is not None:
                    found[name] = _read_value(value)
                    break
        return found


def _read_value(match: re.Match[str]) -> Any:
    parts = match.groupdict()
    if parts["list"] is not None:
        try:
            return _only(json.loads(parts["list"]))
        except (ValueError, RecursionError):
            return _unquoted(parts["list"].strip("[] "))
    for quoted in ("double", "single"):
        if parts[quoted] is not None:
            return parts[quoted]
    return _unquoted(parts["bare"])


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that begin at a brace of a text."""
    for match in islice(re.finditer(r"\{", text), _BRACES):
        try:
            found, _ = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):  # integers of more than 4,300 digits, too
            continue
        yield found


def _row(text: str, space: ConfigurationSpace) -> dict[str, Any]:
    """Rule 3: a row of the prompt's table."""
    lattice = canonical_grammar(space).lattice
    columns = [name for name in lattice.names if not isinstance(space[name], Constant)]
    for line in text.splitlines():
        row = re.split("->|→", line, maxsplit=1)[0].strip().strip("`|*[](){}").strip()
        try:
            (cells,) = csv.reader([row], skipinitialspace=True)
        except (csv.Error, ValueError):  # a cell that is too long; nothing at all
            continue
        if len(cells) == len(columns):
            values = dict(zip(columns, map(_unquoted, cells), strict=True))
            meant = {name: cell for name, cell in values.items() if could_be(space, name, cell)}
            if all(name in meant or is_nothing(cell) for name, cell in values.items()):
                return meant
    return {}


def could_be(space: ConfigurationSpace, name: str, value: object) -> bool:
    """Whether a value is a number, or one of the choices, as the hyperparameter has them."""
    if isinstance(space[name], NumericalHyperparameter):
        return number_in(value) is not None
    return choice_in(value, choices_of(space, name)) is not None


def choices_of(space: ConfigurationSpace, name: str) -> list[Any]:
    """The choices of a categorical, ordinal or constant hyperparameter."""
    hyperparameter: Any = space[name]
    if isinstance(hyperparameter, Constant):
        return [hyperparameter.value]
    return list(getattr(hyperparameter, "choices", None) or hyperparameter.sequence)


def _value_of(parts: Mapping[str, str | None]) -> int | float | None:
    """The number that the parts of a match of `_NUMBERS` make."""
    try:
        value: int | float = _plain(parts["plain"] or "1")
        if parts.get("base"):
            value = value * float(int(parts["base"] or "") ** float(int(parts["power"] or "")))
        elif parts.get("percent"):
            value = value / 100
        elif parts.get("over"):
            value = value / _plain(parts["over"] or "")
    except OverflowError:
        value = math.inf
    except (ValueError, ZeroDivisionError):  # integers of more than 4,300 digits
        return None
    return -value if parts["sign"] == "-" else value


def _plain(text: str) -> int | float:
    text = text.replace(",", "").replace("_", "")
    return int(text) if text.isascii() and text.isdigit() else float(text)


def _equal(choice: Any, value: object) -> bool:
    if isinstance(choice, tuple | list):
        return json.dumps(choice, default=repr) == json.dumps(value, default=repr)
    return isinstance(choice, bool) == isinstance(value, bool) and bool(choice == value)


def _alike(choice: Any, value: object) -> bool:
    word = _folded(value)
    if isinstance(choice, bool):
        return word in (_YES if choice else _NO) or word == str(int(choice))
    if choice is None:
        return word in _NONE
    if isinstance(choice, int | float):
        number = number_in(value)
        return number is not None and math.isclose(number, choice, rel_tol=1e-9)
    return word == _folded(choice)


def _begins(choice: Any, value: object) -> bool:
    word = _folded(choice)
    return (
        isinstance(value, str)
        and bool(word)
        and re.match(rf"{re.escape(word)}(?!\w)", _folded(value)) is not None
    )


def _folded(value: object) -> str:
    return _unquoted(str(value)).casefold()


def _loose(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()


def _unquoted(text: str) -> str:
    return text.strip().strip("\"'`*").strip().removesuffix(".")


def _only(value: Any) -> Any:
    """The only element of a list or an object, or else the value."""
    while isinstance(value, list | dict) and len(value) == 1:
        (value,) = value.values() if isinstance(value, dict) else value
    return value
