"""Program spaces from files: their text, by the grammar in `space.lark`, as rules."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..errors import SpaceError, shown
from .definition import (
    TEXT_BUDGET,
    Alternative,
    Choice,
    Hole,
    Levels,
    Number,
    Rule,
    Subset,
    Template,
    label_of,
    template,
)

if TYPE_CHECKING:
    from lark import Lark

_WORDS = {
    "NAME": "a name",
    "TYPE": "a type",
    "INT": "a whole number",
    "NUMBER": "a number",
    "TEXT": "a text in quotes",
    "$END": "the end",
}


def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a program space's text.

    Raises:
        SpaceError: If the text is not in the language of `space.lark`; the message names the line and the column.
    """
    if len(text) > TEXT_BUDGET:
        raise SpaceError(
            f"this program space has {len(text):,} characters",
            value=len(text),
            allowed=f"up to {TEXT_BUDGET:,}",
            hint="let the code import what is always the same, and leave out alternatives",
        )
    text = text.replace("\r\n", "\n")  # as Windows ends lines
    return tuple(_rule(tree) for tree in _parse(text, "start").children)


def read_template(text: str) -> Template:
    """A piece of source code with holes, as in a file.

    >>> read_template("nn.Linear({units: int}, 1)")[0]
    'nn.Linear('

    Raises:
        SpaceError: If a hole is none.
    """
    return template(text, lambda inside, _: _hole(inside, 1, 1))


@cache
def _parser() -> Lark:
    from lark import Lark

    grammar = files(__package__).joinpath("space.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", start=["start", "hole"], maybe_placeholders=True)


def _parse(text: str, start: str, line: int = 1, column: int = 1) -> Any:
    """The tree of a text that begins at a line and column of the file."""
    from lark import UnexpectedInput

    try:
        return _parser().parse(text, start=start)
    except UnexpectedInput as error:
        wanted = getattr(error, "accepts", None) or getattr(error, "expected", None) or error.allowed  # type: ignore[attr-defined]
        expected = " or ".join(sorted({_word(name) for name in wanted}))
        token = getattr(error, "token", None)
        if token is not None and token.type == "$END":
            read = text.rstrip()
            row, col, rest = read.count("\n") + 1, len(read.rpartition("\n")[2]) + 1, ""
        else:
            row, col, rest = error.line, error.column, text[error.pos_in_stream :]
        found = f"{rest.split()[0][:40]!r}" if rest.split() else "the end"
        where = _place(row + line - 1, col + column - 1 if row == 1 else col)
        raise SpaceError(
            f"{where}: expected {expected}, found {found}",
            value=rest[:40],
            allowed=expected,
            hint="close the quotes"
            if token is None and rest[:1] in ("'", '"')
            else "correct it there; docs/how-to/programs.md shows the format",
        ) from error


def _word(terminal: str) -> str:
    if terminal in _WORDS:
        return _WORDS[terminal]
    return repr(str(_parser().get_terminal(terminal).pattern.value))


def _place(line: int, column: int) -> str:
    return f"line {line}, column {column}"


def _rule(tree: Any) -> Rule:
    name, kind, depth, body = tree.children
    named: dict[str, Any] = {"name": str(name), "type": str(kind), "where": _place(name.line, name.column)}
    if depth is not None and body.data != "choice":
        raise SpaceError(
            f"{named['where']}: {str(name)!r} is a {body.data}, and has a depth",
            value=str(name),
            allowed="depths of choices",
            hint="give the depth to the choice that the circle runs through",
        )
    parts = [part for part in body.children if part is not None]
    if body.data == "range":
        lower, upper, log, default = body.children
        bounds = {"lower": _number(lower), "upper": _number(upper), "default": _number(default)}
        return Number(**named, **bounds, log=log is not None)
    if body.data == "levels":
        *values, default = body.children
        return Levels(**named, values=tuple(map(_number, values)), default=_number(default))
    if body.data == "subset":
        return Subset(**named, alternatives=_alternatives(parts))
    return Choice(**named, alternatives=_alternatives(parts), depth=_number(depth))


def _number(token: Any, where: str = "") -> Any:
    if token is None:
        return None
    try:
        return int(token) if token.lstrip("-").isdigit() else float(token)
    except ValueError as error:  # thousands of digits
        raise SpaceError(
            f"{where or _place(token.line, token.column)}: a number has {len(token):,} digits",
            value=shown(token),
            allowed="numbers of some digits",
            hint="correct it",
        ) from error


def _alternatives(trees: Iterable[Any]) -> tuple[Alternative, ...]:
    labels: set[str] = set()
    found: list[Alternative] = []
    for tree in trees:
        label, body = tree.children
        if body.type == "NAME":
            parts: Template = (Hole(str(body), where=_place(body.line, body.column)),)
        else:
            parts = _template(body)
        name = str(label or label_of(parts, len(found) + 1, labels))
        labels.add(name)
        found.append(Alternative(name, parts))
    return tuple(found)


def _template(token: Any) -> Template:
    """The template in a text's quotes; its holes know their place in the file."""
    quote = 3 if token[:3] in ('"""', "'''") else 1
    text = token[quote:-quote]

    def read_hole(inside: str, at: int) -> Hole:
        before = token[: at + quote]
        row = before.count("\n")
        column = len(before.rpartition("\n")[2]) + (token.column if row == 0 else 1)
        return _hole(inside, token.line + row, column)

    try:
        return template(text, read_hole)
    except SpaceError as error:
        if error.message.startswith("line "):
            raise
        where = _place(token.line, token.column)
        raise SpaceError(
            f"{where}: {error.message}", value=error.value, allowed=error.allowed, hint=error.hint
        ) from error


def _hole(inside: str, line: int, column: int) -> Hole:
    name, kind, low, high, default, separator = _parse(inside, "hole", line, column).children
    where = _place(line, column)
    least, most = (1 if token is None else _number(token, where) for token in (low, high))
    return Hole(
        str(name),
        None if kind is None else str(kind),
        least,
        most,
        default=least if default is None else _number(default, where),
        separator="" if separator is None else str(separator)[1:-1],
        where=where,
    )
