"""A pattern read character by character: what a text may begin with, and what may follow."""

from __future__ import annotations

from .pattern import EMPTY, Alt, Chars, Literal, Opt, Pattern, Seq, seq


def may_end(pattern: Pattern) -> bool:
    """Whether the empty text matches."""
    match pattern:
        case Literal(text):
            return not text
        case Chars():
            return False
        case Seq(parts):
            return all(map(may_end, parts))
        case Alt(parts):
            return any(map(may_end, parts))
        case Opt():
            return True


def firsts(pattern: Pattern) -> frozenset[str]:
    """The characters that a text may begin with."""
    match pattern:
        case Literal(text):
            return frozenset(text[:1])
        case Chars(members):
            return frozenset(members)
        case Seq((head, *tail)):
            return firsts(head) | (firsts(seq(*tail)) if may_end(head) else frozenset())
        case Alt(parts):
            return frozenset[str]().union(*map(firsts, parts))
        case Opt(part):
            return firsts(part)
    return frozenset()


def after(pattern: Pattern, char: str) -> frozenset[Pattern]:
    """What may follow a first character: Antimirov's partial derivatives.

    >>> from airtune.grammars.pattern import integers, to_regex
    >>> sorted(map(to_regex, after(integers(1, 12), "1")))
    ['', '[0-2]']
    """
    match pattern:
        case Literal(text):
            return frozenset([Literal(text[1:])] if text[:1] == char else [])
        case Chars(members):
            return frozenset([EMPTY] if char in members else [])
        case Seq((head, *tail)):
            found = frozenset(seq(one, *tail) for one in after(head, char))
            return found | after(seq(*tail), char) if may_end(head) else found
        case Alt(parts):
            return frozenset[Pattern]().union(*(after(part, char) for part in parts))
        case Opt(part):
            return after(part, char)
    return frozenset()
