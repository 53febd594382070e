"""Masks by xgrammar, from the grammar's EBNF."""

from __future__ import annotations

import xgrammar

from airtune.grammars import Grammar
from airtune.models.masks.base import Bits, Matcher, require_spellable
from airtune.models.masks.vocabulary import Vocabulary
from airtune.models.types import ModelError


class _XGrammar:
    def __init__(self, matcher: xgrammar.GrammarMatcher) -> None:
        self._matcher = matcher

    def fill(self, row: Bits, address: int) -> None:
        # False would mean "all tokens allowed": the mask is filled in either case.
        self._matcher.fill_next_token_bitmask(row.reshape(1, -1))

    def consume(self, token: int) -> bool:
        return bool(self._matcher.accept_token(token))

    def forced_bytes(self) -> bytes:
        try:
            return str(self._matcher.find_jump_forward_string()).encode("utf-8")
        except UnicodeDecodeError:  # the forced bytes begin or end within a character: it cannot say them
            return b""


class Engine:
    """xgrammar for one vocabulary. The last grammar is kept: samples of one batch share it."""

    name = "xgrammar"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        info = xgrammar.TokenizerInfo(
            list(vocabulary.tokens),
            vocab_type=xgrammar.VocabType.RAW,
            stop_token_ids=list(vocabulary.eos_ids),
        )
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self._last: tuple[str, xgrammar.CompiledGrammar] | None = None

    def compile(self, grammar: Grammar) -> Matcher:
        """See `MaskEngine.compile`."""
        if self._last is None or self._last[0] != grammar.hash:
            require_spellable(grammar, self.vocabulary)
            try:
                self._last = (grammar.hash, self._compiler.compile_grammar(grammar.gbnf()))
            except RuntimeError as error:
                raise ModelError(
                    f"xgrammar cannot compile this grammar: {error}",
                    hint="try mask_engine='llguidance', and report it",
                ) from error
        return Matcher(_XGrammar(xgrammar.GrammarMatcher(self._last[1])), self.vocabulary)
