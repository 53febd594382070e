r"""Small regular expressions as data: built once, written for Python `re`, the mask engines, or GBNF.

Only what every target reads the same way is used: literals, classes of characters, sequence, alternation and
option. No anchors, no look-around, no `\d` (Unicode digits), no counted repetition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_META = frozenset(r"\.^$|?*+()[]{}/-&~#")


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of those given, sorted and distinct."""

    chars: str


@dataclass(frozen=True, slots=True)
class Seq:
    """One after the other."""

    parts: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """One of these."""

    parts: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Opt:
    """This, or nothing."""

    part: Pattern


Pattern = Literal | Chars | Seq | Alt | Opt
EMPTY = Literal("")


def seq(*parts: Pattern) -> Pattern:
    """Concatenate, flattening and merging neighbouring literals.

    >>> seq(Literal("a"), seq(Literal("b"), EMPTY))
    Literal(text='ab')
    """
    flat: list[Pattern] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Seq) else (part,):
            if isinstance(piece, Literal) and not piece.text:
                continue
            if isinstance(piece, Literal) and flat and isinstance(flat[-1], Literal):
                flat[-1] = Literal(flat[-1].text + piece.text)
            else:
                flat.append(piece)
    if not flat:
        return EMPTY
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def alt(parts: Iterable[Pattern]) -> Pattern:
    """Choose between patterns; an empty one makes the rest optional. At least one is needed."""
    flat = (piece for part in parts for piece in (part.parts if isinstance(part, Alt) else (part,)))
    distinct = list(dict.fromkeys(flat))
    some = [part for part in distinct if part != EMPTY]
    if not some:
        return EMPTY
    single = [p for p in some if isinstance(p, Chars) or (isinstance(p, Literal) and len(p.text) == 1)]
    if len(single) > 1:
        merged = chars("".join(p.chars if isinstance(p, Chars) else p.text for p in single))
        some = [merged, *(p for p in some if p not in single)]
    body = some[0] if len(some) == 1 else Alt(tuple(some))
    return Opt(body) if len(some) < len(distinct) and EMPTY in distinct else body


def chars(members: str) -> Pattern:
    """One character out of `members`.

    >>> to_regex(chars("0123"))
    '[0-3]'
    """
    distinct = "".join(sorted(set(members)))
    return Literal(distinct) if len(distinct) == 1 else Chars(distinct)


def digits_between(low: int, high: int) -> Pattern:
    """One digit from low to high."""
    return chars("".join(str(d) for d in range(low, high + 1)))


def padded(low: int, high: int, width: int) -> Pattern:
    """The numbers low..high, written with exactly `width` digits (none at width 0).

    >>> to_regex(padded(7, 12, 3))
    '0(?:0[7-9]|1[0-2])'
    """
    return seq(*_padded(low, high, width))


@lru_cache(maxsize=4096)
def _padded(low: int, high: int, width: int) -> tuple[Pattern, ...]:
    if width == 0:
        return ()
    unit = 10 ** (width - 1)
    first, last = low // unit, high // unit
    if first == last:
        return (Literal(str(first)), *_padded(low % unit, high % unit, width - 1))
    full_low, full_high = low % unit == 0, high % unit == unit - 1
    branches: list[Pattern] = []
    if not full_low:
        branches.append(seq(Literal(str(first)), *_padded(low % unit, unit - 1, width - 1)))
    lo, hi = first + (not full_low), last - (not full_high)
    if lo <= hi:
        branches.append(seq(digits_between(lo, hi), *[digits_between(0, 9)] * (width - 1)))
    if not full_high:
        branches.append(seq(Literal(str(last)), *_padded(0, high % unit, width - 1)))
    return (alt(branches),)


def integers(low: int, high: int) -> Pattern:
    """The integers low..high in decimal, no leading zeros, a minus sign where negative.

    >>> to_regex(integers(-3, 12))
    '(?:-[1-3]|[0-9]|1[0-2])'
    """
    branches: list[Pattern] = []
    if low < 0:
        branches.append(seq(Literal("-"), integers(max(1, -high), -low)))
    low = max(low, 0)
    while low <= high:
        width = len(str(low))
        top = min(high, 10**width - 1)
        branches.append(padded(low, top, width))
        low = top + 1
    return alt(branches)


def stripped(low: int, high: int, width: int) -> Pattern:
    r"""The decimals .low to .high of `width` digits, trailing zeros dropped; the point is part of the text.

    >>> to_regex(stripped(0, 99, 2))
    '(?:\\.(?:[1-9][1-9]?|0[1-9]))?'
    """
    tail = _stripped(low, high, width)
    if tail is None:
        return EMPTY
    dotted = seq(Literal("."), tail)
    return Opt(dotted) if low == 0 else dotted


@lru_cache(maxsize=4096)
def _stripped(low: int, high: int, width: int) -> Pattern | None:
    """Non-empty digit strings without trailing zero that stand for low..high of `width` digits, or None."""
    if width == 0 or high == 0:
        return None
    unit = 10 ** (width - 1)
    groups: dict[Pattern | None, list[int]] = {}
    branches: list[tuple[Pattern | None, str]] = []
    for digit in range(low // unit, high // unit + 1):
        sub_low = max(low - digit * unit, 0)
        sub_high = min(high - digit * unit, unit - 1)
        rest = _stripped(sub_low, sub_high, width - 1)
        if digit and sub_low == 0:
            rest = EMPTY if rest is None else Opt(rest)
        if rest is not None:
            groups.setdefault(rest, []).append(digit)
    branches = [(rest, "".join(map(str, found))) for rest, found in groups.items()]
    parts = [seq(chars(lead), rest) for rest, lead in branches if rest is not None]
    return alt(sorted(parts, key=lambda p: to_regex(p) >= "1", reverse=True)) if parts else None


def literals(texts: Sequence[str]) -> Pattern:
    """Exactly these texts, common prefixes shared and alike suffixes merged.

    >>> to_regex(literals(["a0", "a1", "b0", "b1", "c"]))
    '(?:[ab][01]|c)'
    """
    trie: dict[str, object] = {}
    for text in texts:
        node = trie
        for char in text:
            child = node.setdefault(char, {})
            node = child  # type: ignore[assignment]
        node[""] = {}
    # Bottom-up over the trie, without recursion: texts may be long.
    order: list[dict[str, object]] = [trie]
    for node in order:
        order.extend(child for char, child in node.items() if char)  # type: ignore[misc]
    done: dict[int, Pattern] = {}
    for node in reversed(order):
        groups: dict[Pattern, list[str]] = {}
        for char, child in node.items():
            if char:
                groups.setdefault(done[id(child)], []).append(char)
        branches = [seq(chars("".join(leads)), rest) for rest, leads in groups.items()]
        done[id(node)] = alt([*branches, EMPTY] if "" in node else branches)
    return done[id(trie)]


def escape(text: str) -> str:
    r"""Quote a literal for Python `re` and the Rust and C++ dialects of the mask engines.

    >>> escape("a.b/c")
    'a\\.b\\/c'
    """
    quoted = ("\\" + c if c in _META and c not in "-&~#" else c for c in text)
    return "".join(quoted).replace("\n", r"\n")  # llguidance's Lark has no line breaks within an expression


def to_regex(pattern: Pattern) -> str:
    """Write a pattern as a regular expression."""
    out: list[str] = []
    _regex(pattern, out)
    return "".join(out)


def _regex(pattern: Pattern, out: list[str]) -> None:
    match pattern:
        case Literal(text):
            out.append(escape(text))
        case Chars(members):
            out.append(char_class(members))
        case Seq(parts):
            for part in parts:
                _regex(part, out)
        case Alt(parts):
            out.append("(?:")
            for i, part in enumerate(parts):
                if i:
                    out.append("|")
                _regex(part, out)
            out.append(")")
        case Opt(part):
            bare = isinstance(part, Alt | Chars) or (isinstance(part, Literal) and len(part.text) == 1)
            out.append("" if bare else "(?:")
            _regex(part, out)
            out.append("?" if bare else ")?")


def char_class(members: str) -> str:
    r"""Write a class of characters, runs of three or more as ranges.

    >>> char_class("-0123x]")
    '[\\-0-3\\]x]'
    """
    runs: list[str] = []
    start = 0
    while start < len(members):
        end = start
        while end + 1 < len(members) and ord(members[end + 1]) == ord(members[end]) + 1:
            end += 1
        low, high = (("\\" + c if c in _META else c) for c in (members[start], members[end]))
        if end - start >= 2:
            runs.append(f"{low}-{high}")
        else:
            runs.extend("\\" + c if c in _META else c for c in members[start : end + 1])
        start = end + 1
    return "[" + "".join(sorted(runs, key=lambda r: r.lstrip("\\"))).replace("\n", r"\n") + "]"
