"""The root of Airtune's errors: each names the offending value, what was allowed, and the fix."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Self


class AirtuneError(Exception):
    """An error a user can act on.

    Attributes:
        message: What is wrong, in one sentence.
        value: The offending value, or None.
        allowed: What would have been accepted (already shortened for display), or None.
        hint: What to do about it, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        value: object = None,
        allowed: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.value = value
        self.allowed = allowed
        self.hint = hint
        super().__init__(message)

    @classmethod
    def unknown(cls, kind: str, name: object, known: Iterable[str], where: str = "") -> Self:
        """An error about a name that is none of the known ones, with the nearest of them in its hint."""
        message, allowed, hint = unknown_name(kind, str(name), known)
        return cls(f"{where}: {message}" if where else message, value=name, allowed=allowed, hint=hint)

    @classmethod
    def unwritable(
        cls,
        path: object,
        error: OSError,
        hint: str,
        allowed: str = "a file in a folder that exists and can be written to",
    ) -> Self:
        """An error about a path that a user has named and that cannot be written to."""
        message = f"{str(path)!r} cannot be written: {error.strerror or error}"
        return cls(message, value=str(path), allowed=allowed, hint=hint)

    def __str__(self) -> str:
        parts = [self.message]
        if self.allowed is not None:
            parts.append(f"  allowed: {self.allowed}")
        if self.hint is not None:
            parts.append(f"  fix: {self.hint}")
        return "\n".join(parts)


class SpaceError(AirtuneError):
    """A search space that is malformed, empty or not supported."""


class GrammarError(AirtuneError):
    """A grammar that cannot be built or emitted as asked."""


class DecodeError(AirtuneError):
    """A text that is not in the grammar's language, or a configuration that has no text in it."""


def shown(value: object) -> str:
    """A value as it goes into a message: shortened if it is long.

    >>> shown("a" * 1000), shown(10**300)
    ("'aaaaaaaaaaaa...aaaaaaaaaaaaa'", '100000000000000000...0000000000000000000')
    """
    return reprlib.repr(value)


def counted(number: int, what: str) -> str:
    """So many of something.

    >>> counted(1, "trial"), counted(2, "trial"), counted(0, "study")
    ('1 trial', '2 trials', '0 studies')
    """
    return f"{number} {what if number == 1 else _plural(what)}"


def _plural(what: str) -> str:
    what, of, more = what.partition(" of ")
    return (f"{what[:-1]}ies" if what.endswith("y") else f"{what}s") + of + more


def unknown_name(kind: str, name: str, known: Iterable[str]) -> tuple[str, str, str]:
    """Describe an unknown name: (message, allowed, hint), with the nearest known names in the hint.

    >>> unknown_name("proposer", "tpee", ["tpe", "gp"])[2]
    "did you mean 'tpe'?"
    >>> unknown_name("study", "mine", ["toy/branin/random"])[2]
    'choose one of the studies listed'
    >>> unknown_name("part of the paper", "mine", ["toy"])[2]
    'choose one of the parts of the paper listed'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(repr(n) for n in near)}?"
    hint = meant if near else f"choose one of the {_plural(kind)} listed"
    shown = ", ".join(names[:40]) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
    return f"unknown {kind} {name!r}", shown, hint
