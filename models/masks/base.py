"""Token masks from grammars: one small protocol, three interchangeable engines, and one for values that are tokens.

An engine is built once per vocabulary, compiles grammars into matchers, and a matcher follows one answer: it
says which tokens may come next, and which must. Everything fails closed: a matcher that is in trouble raises,
it never lets a step go unmasked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from airtune.grammars import Grammar
from airtune.grammars.emit import topological
from airtune.grammars.pattern import to_regex
from airtune.models.masks.vocabulary import Vocabulary
from airtune.models.types import Dialect, ModelError

Bits = NDArray[np.int32]


class Backend(Protocol):
    """What an engine must do for one answer; `Matcher` adds what is common to all."""

    def fill(self, row: Bits, address: int) -> None:
        """Write the next token's mask into `row` (at `address`): bit 1 for allowed, lowest bit first."""

    def consume(self, token: int) -> bool:
        """Take one token; False if it is not allowed."""

    def forced_bytes(self) -> bytes:
        """Bytes that every continuation starts with (may be fewer than there are)."""


class MaskEngine(Protocol):
    """Compiles grammars for one vocabulary."""

    @property
    def name(self) -> str:
        """The engine's name."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary it was built for."""

    def compile(self, grammar: Grammar) -> Matcher:
        """A fresh matcher for one answer.

        Raises:
            ModelError: If the grammar is empty, or the engine or the tokenizer cannot take it.
        """


class Matcher:
    """Follows one answer through one grammar.

    An end-of-sequence token is offered only where the grammar may end and may also go on; where it must end,
    the matcher is `finished` and nothing needs to be decoded.

    Args:
        backend: The engine's own state for this answer.
        vocabulary: The vocabulary whose tokens it takes.
    """

    def __init__(self, backend: Backend, vocabulary: Vocabulary) -> None:
        self._backend = backend
        self._vocabulary = vocabulary
        self._row = np.zeros((len(vocabulary.tokens) + 31) // 32, dtype=np.int32)
        self._bytes = self._row.view(np.uint8)  # made once, as the address is: this is the inner loop
        self._address = self._row.ctypes.data
        self._allowed: NDArray[np.intp] | None = None
        self._written: list[int] = []
        self._accepting = False
        self._finished = False

    def allowed(self) -> NDArray[np.intp]:
        """Ids of the tokens that may come next, ascending; once finished, those that end the answer.

        Raises:
            ModelError: If no token may come although the answer is not complete.
        """
        if self._allowed is None:
            self._row[:] = 0
            self._backend.fill(self._row, self._address)
            # Masks are mostly empty: only the bytes that hold something are unpacked.
            some = self._bytes.nonzero()[0]
            byte, bit = np.unpackbits(self._bytes[some, None], axis=1, bitorder="little").nonzero()
            allowed = some[byte] * 8 + bit
            if len(allowed) and allowed[-1] >= len(self._vocabulary.tokens):
                allowed = allowed[allowed < len(self._vocabulary.tokens)]
            self._allowed = allowed
            if not len(allowed):
                raise ModelError(
                    f"after {self._vocabulary.text(self._written)!r} the grammar goes on, but no token of "
                    "this tokenizer can spell how",
                    hint="use a model whose tokenizer covers single characters, or its own dialect",
                )
            ends = sum(1 for eos in self._vocabulary.eos_ids if eos in allowed)
            self._accepting, self._finished = ends > 0, ends == len(allowed)
        return self._allowed

    @property
    def accepting(self) -> bool:
        """Whether what is written so far is a complete answer."""
        self.allowed()
        return self._accepting

    @property
    def finished(self) -> bool:
        """Whether the answer is complete and nothing can follow."""
        self.allowed()
        return self._finished

    def advance(self, token: int) -> None:
        """Take one token.

        Raises:
            ModelError: If the mask does not allow it.
        """
        if token in self._vocabulary.eos_ids:
            if self.accepting:
                self._finished = True
                self._allowed = np.array([token])
                return
        elif not self._finished and self._backend.consume(token):
            self._written.append(token)
            self._allowed = None
            return
        raise self._refusal(token)

    def _refusal(self, token: int) -> ModelError:
        return ModelError(
            f"token {token} is not allowed after {self._vocabulary.text(self._written)!r}",
            value=token,
            hint="this is a fault of the mask engine or of Airtune: please report it with the grammar",
        )

    def forced(self, *, canonical: bool = True) -> list[int]:
        """Tokens that must come next, not yet taken: call `advance` with each.

        Where one token alone is allowed, it is forced. Where bytes are forced but several ways to write them
        are allowed, the tokenizer's own way is forced if it is beyond doubt (`Vocabulary.canonical`).

        Args:
            canonical: False leaves out the second kind, so that sampling has exactly the plain masked distribution.
        """
        if canonical and not self._finished:  # asked first: a run of forced bytes needs no mask at all
            tokens = self._vocabulary.canonical(self._written, self._backend.forced_bytes())
            if tokens:
                return tokens
        if self.finished:
            return []
        allowed = self.allowed()
        return [int(allowed[0])] if len(allowed) == 1 else []


def _characters(grammar: Grammar) -> list[str]:
    """Characters that occur in the texts of a grammar's lattice, sorted.

    Taken from its nodes and axes one by one: the expression of a whole grammar may be too large to write.
    """
    if grammar.characters is not None:
        return list(grammar.characters)
    key = grammar.lattice.digest
    if key not in _KNOWN_CHARACTERS:
        if len(_KNOWN_CHARACTERS) >= 256:
            _KNOWN_CHARACTERS.clear()
        lattice = grammar.lattice
        found = set[str]().union(*(node.lead for node in topological(lattice.root)))
        for level, axis in enumerate(lattice.axes):
            if not lattice.is_silent(level):
                found.update(_regex_characters(to_regex(axis.pattern(((0, axis.size - 1),)))))
        _KNOWN_CHARACTERS[key] = sorted(found)
    return _KNOWN_CHARACTERS[key]


_KNOWN_CHARACTERS: dict[str, list[str]] = {}


def _regex_characters(regex: str) -> list[str]:
    r"""Characters that an expression of literals, classes, groups, alternation and option can match.

    >>> "".join(_regex_characters(r"a(?:b|[\-0-3])?\."))
    '-.0123ab'
    """
    found: set[str] = set()
    inside, previous, at = False, "", 0
    while at < len(regex):
        char = regex[at]
        if char == "\\":
            at += 1
            previous = "\n" if regex[at] == "n" else regex[at]
            found.add(previous)
        elif not inside and regex.startswith("(?:", at):
            at += 2
        elif inside and char == "-":
            at += 1
            last = regex[at + 1] if regex[at] == "\\" else regex[at]
            at += regex[at] == "\\"
            found.update(map(chr, range(ord(previous), ord(last) + 1)))
        elif char in "[]":
            inside = char == "["
        elif inside or char not in "()|?":
            previous = char
            found.add(char)
        at += 1
    return sorted(found)


def require_some(grammar: Grammar) -> None:
    """Refuse a grammar without any text.

    Raises:
        ModelError: If the grammar is empty.
    """
    if grammar.count() == 0:
        raise ModelError(
            "the grammar is empty: no configuration is left to propose",
            value=0,
            hint="the space is exhausted; check grammar.count() before asking the model",
        )


def require_spellable(grammar: Grammar, vocabulary: Vocabulary) -> None:
    """Refuse a grammar that needs characters which no token of the vocabulary can write.

    Raises:
        ModelError: If the grammar is empty, or naming the missing characters.
    """
    require_some(grammar)
    missing = [
        c for c in _characters(grammar) if any(b not in vocabulary.byte_values for b in c.encode("utf-8"))
    ]
    if missing:
        raise ModelError(
            f"the tokenizer cannot spell this grammar: it has no token for {', '.join(map(repr, missing))}",
            value=missing,
            hint="rename the hyperparameters or choices, or use a model with a byte-level tokenizer",
        )


_ENGINES = {
    "llguidance": "airtune.models.masks.llguidance",
    "xgrammar": "airtune.models.masks.xgrammar",
    "outlines_core": "airtune.models.masks.outlines",
    "direct": "airtune.models.masks.direct",
}
MASK_ENGINES = ("llguidance", "xgrammar", "outlines_core")  # those that take any grammar and any vocabulary


def engine_for(dialect: Dialect, vocabulary: Vocabulary) -> str:
    """The mask engine that suits a dialect and a vocabulary: "direct" where every value is one token, or "llguidance".

    A dialect whose values have a known set of texts names them in an attribute `value_texts`.
    """
    values = getattr(dialect, "value_texts", None)
    return "direct" if values and _are_tokens(values, vocabulary) else "llguidance"


def _are_tokens(texts: Iterable[str], vocabulary: Vocabulary) -> bool:
    """Whether each text is a token, and no part of it that could be written before the rest is one."""
    tokens = set(vocabulary.tokens)
    whole = {text.encode() for text in texts}
    return whole <= tokens and not any(text[:n] in tokens for text in whole for n in range(1, len(text)))


def make_engine(name: str, vocabulary: Vocabulary) -> MaskEngine:
    """Build the mask engine `name` for a vocabulary (seconds for vocabularies of 100,000 tokens: keep it).

    Raises:
        ModelError: If the name is unknown or its library is not installed.
    """
    if name not in _ENGINES:
        raise ModelError.unknown("mask engine", name, _ENGINES)
    try:
        module = import_module(_ENGINES[name])
    except ImportError as error:
        raise ModelError(
            f"mask engine {name!r} needs a library that is not installed ({error})",
            value=name,
            allowed=", ".join(_ENGINES),
            hint="pip install 'airtune[engines]'",
        ) from error
    build: Callable[[Vocabulary], MaskEngine] = module.Engine
    return build(vocabulary)
