"""Masks by outlines_core, from the regular expression: fast steps, slow compiles; for small vocabularies."""

from __future__ import annotations

import numpy as np
from outlines_core import Guide, Index
from outlines_core import Vocabulary as CoreVocabulary

from airtune.grammars import Grammar
from airtune.models.masks.base import Bits, Matcher, require_spellable
from airtune.models.masks.vocabulary import Vocabulary
from airtune.models.types import ModelError

# outlines_core gives an alternation's first branch priority and stops there: `1|12` would never yield 12.
# With an end mark no answer is a prefix of another; the mark stands for the end of sequence, and no other
# token may hold it.
_END = b"\x00"


class _Outlines:
    def __init__(self, guide: Guide, end: int, eos: int, words: int) -> None:
        self._guide = guide
        self._end, self._eos = end, eos
        self._row = np.zeros(words, dtype=np.int32)

    def fill(self, row: Bits, address: int) -> None:
        wide = self._row
        self._guide.write_mask_into(wide.ctypes.data, wide.size, wide.itemsize)
        bits = wide.view(np.uint8)
        row.view(np.uint8)[:] = bits[: row.nbytes]
        if bits[self._end // 8] >> (self._end % 8) & 1:
            row.view(np.uint8)[self._eos // 8] |= 1 << (self._eos % 8)

    def consume(self, token: int) -> bool:
        try:
            self._guide.advance(token, return_tokens=False)
        except ValueError:
            return False
        return True

    def forced_bytes(self) -> bytes:
        return b""  # it cannot say


class Engine:
    """outlines_core for one vocabulary. The last index is kept: samples of one batch share it."""

    name = "outlines_core"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        ids: dict[bytes, list[int]] = {_END: [len(vocabulary.tokens)]}
        for i, token in enumerate(vocabulary.tokens):
            if token and _END not in token:
                ids.setdefault(token, []).append(i)
        self._core = CoreVocabulary(vocabulary.eos_ids[0], ids)
        self._last: tuple[str, Index] | None = None

    def compile(self, grammar: Grammar) -> Matcher:
        """See `MaskEngine.compile`. Takes seconds where the grammar excludes many configurations."""
        if self._last is None or self._last[0] != grammar.hash:
            require_spellable(grammar, self.vocabulary)
            try:
                self._last = (grammar.hash, Index(f"(?:{grammar.regex()})\\x00", self._core))
            except ValueError as error:
                raise ModelError(
                    f"outlines_core cannot index this grammar with this tokenizer: {error}",
                    hint="use mask_engine='llguidance'",
                ) from error
        end = len(self.vocabulary.tokens)
        backend = _Outlines(Guide(self._last[1]), end, self.vocabulary.eos_ids[0], end // 32 + 1)
        return Matcher(backend, self.vocabulary)
