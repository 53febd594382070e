"""What a program space is made of: rules that say what may be written, as plain data.

A rule has a name and a type. It is a choice between alternatives, a subset of alternatives, or a number. An alternative
is a piece of source code, with holes for what other rules write.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace

from ..errors import SpaceError

# A hole, a doubled brace, or a brace that stands alone.
_BRACES = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_MARK = "\0"  # stands for a hole while lines are looked at
MOST_TIMES = 400  # that a hole is filled: as many places there may be
TEXT_BUDGET = 200_000  # characters of a file, and of all that its rules write


@dataclass(frozen=True, slots=True)
class Hole:
    """Where a template has what another rule writes.

    Attributes:
        rule: The rule's name.
        type: The type that the rule must have; None: any.
        low: How often it is written at least.
        high: How often at most.
        default: How often in the default program.
        separator: What is written between two, and between the chosen ones of a subset.
        indent: The white space that its line begins with: the further lines of what fills it begin so, too.
        alone: Whether it has its line to itself: then each text that fills it has a line, and an empty one none.
        where: Its place in the file, for errors.
    """

    rule: str
    type: str | None = None
    low: int = 1
    high: int = 1
    default: int = 1
    separator: str = ""
    indent: str = ""
    alone: bool = False
    where: str = field(default="", compare=False)


Template = tuple[str | Hole, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of several pieces of source code.

    Attributes:
        label: Its name among the alternatives.
        template: The code.
    """

    label: str
    template: Template

    @property
    def renamed(self) -> Hole | None:
        """The hole that is all of it; None if there is more, or less."""
        only = self.template[0] if len(self.template) == 1 else None
        return only if isinstance(only, Hole) else None


@dataclass(frozen=True, slots=True)
class Choice:
    """One alternative is written; the first one in the default program.

    Attributes:
        name: The rule's name.
        type: The type of what it writes.
        alternatives: At least one.
        depth: How often the rule may be within itself, itself included; None: it never is.
        where: Its place in the file, for errors.
    """

    name: str
    type: str
    alternatives: tuple[Alternative, ...]
    depth: int | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Subset:
    """Any of the alternatives are written, none in the default program.

    Whoever writes this declares that their order does not matter: they stand in the order in which they are given.
    """

    name: str
    type: str
    alternatives: tuple[Alternative, ...]
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a range is written, of type `int` or `float`, on the lattice of all search spaces.

    Attributes:
        name: The rule's name.
        type: `int` or `float`.
        lower: The smallest.
        upper: The largest.
        log: Whether it is searched on a logarithmic scale.
        default: The number of the default program; None: the middle.
        where: Its place in the file, for errors.
    """

    name: str
    type: str
    lower: float
    upper: float
    log: bool = False
    default: float | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Levels:
    """One of some numbers in ascending order is written; `default` None: the first in the default program."""

    name: str
    type: str
    values: tuple[float, ...]
    default: float | None = None
    where: str = field(default="", compare=False)


Rule = Choice | Subset | Number | Levels


def template(text: str, read_hole: Callable[[str, int], Hole]) -> Template:
    """Read a piece of source code with holes in braces; braces of the code itself are doubled.

    Args:
        text: The code. Margins common to all lines, and empty lines around it, are no part of it.
        read_hole: Makes a hole of what stands in the braces; its place in the text is the second argument.

    Raises:
        SpaceError: If a brace has no partner.
    """
    holes: list[Hole] = []

    def braces(found: re.Match[str]) -> str:
        piece = found.group()
        if len(piece) == 1:
            raise SpaceError(
                f"a brace {piece!r} has no partner in {text.strip()[:60]!r}",
                value=piece,
                allowed="{name} for a hole; {{ and }} for the braces of the code",
                hint="double it, or close the hole",
            )
        if piece in ("{{", "}}"):
            return piece[0]
        holes.append(read_hole(piece[1:-1], found.start() + 1))
        return _MARK

    if _MARK in text:
        raise SpaceError(
            "the code has a NUL character",
            value=text[:60],
            allowed="printable characters and line breaks",
            hint="write it as an escape of the program's language",
        )
    marked = textwrap.dedent(_BRACES.sub(braces, text)).strip("\n")
    parts: list[str | Hole] = []
    before = ""
    for piece in re.split(rf"(\n *{_MARK}(?=\n|\Z)|{_MARK})", marked):
        if not piece.endswith(_MARK):
            parts.extend([piece] if piece else [])
        else:
            line = (before + piece).rpartition("\n")[2]
            indent = line[: len(line) - len(line.lstrip(" "))]
            parts.append(replace(holes.pop(0), indent=indent, alone=piece != _MARK))
        before += piece
    return tuple(parts)


def label_of(parts: Template, number: int, others: Container[str]) -> str:
    """The label of an alternative that has none: the rule it is, its text if that is short, or its number."""
    text = parts[0] if len(parts) == 1 else ""
    if isinstance(text, Hole):
        return text.rule
    short = text and len(text) <= 40 and "\n" not in text and text not in others
    return text if short else "none" if not parts else f"{number}"
