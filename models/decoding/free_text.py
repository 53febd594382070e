"""Free text where a grammar would be: everything a tokenizer can write, until the model ends it or a text does."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from airtune.models.masks.vocabulary import Vocabulary


@dataclass(slots=True)
class FreeMatcher:
    """Follows free text, with the methods of `airtune.models.masks.base.Matcher` that a mask loop uses.

    Attributes:
        vocabulary: Whose tokens it takes; those that write nothing (special ones) are never allowed.
        ends: Ids that end the text.
        stops: Texts that end it; they and what follows are no part of it.
    """

    vocabulary: Vocabulary
    ends: frozenset[int]
    stops: tuple[str, ...] = ()
    finished: bool = False
    _allowed: NDArray[np.intp] = field(init=False)
    _written: bytes = b""

    def __post_init__(self) -> None:
        writing = {i for i, token in enumerate(self.vocabulary.tokens) if token}
        self._allowed = np.array(sorted(writing | self.ends), dtype=np.intp)

    def allowed(self) -> NDArray[np.intp]:
        """Ids of the tokens that may come next, ascending."""
        return self._allowed

    def forced(self, *, canonical: bool = True) -> list[int]:
        """Tokens that must come next: none."""
        return []

    def advance(self, token: int) -> None:
        """Take one token."""
        self._written += self.vocabulary.tokens[token]
        self.finished = token in self.ends or any(stop.encode() in self._written for stop in self.stops)

    @property
    def text(self) -> str:
        """What was written, up to the text that ended it."""
        found = self._written.decode("utf-8", errors="replace")
        for stop in self.stops:
            found = found.partition(stop)[0]
        return found
