"""Masks by llguidance (the default): regular expressions, and Lark with `& ~` where something is excluded."""

from __future__ import annotations

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from airtune.grammars import Grammar
from airtune.models.masks.base import Bits, Matcher, require_spellable
from airtune.models.masks.vocabulary import Vocabulary
from airtune.models.types import ModelError

# llguidance would narrow the mask to one tokenisation of bytes that must come; what is forced is our decision
# (`Matcher.forced`), and vocabularies without single characters cannot take its way.
PLAIN_MASKS = '%llguidance {"no_forcing": true}\n'

# The default fuel of one step (200,000) was not enough for a space of seven hyperparameters less 400 trials.
# A hundred times that is about a second at worst; what still exceeds it raises.
_LIMITS = LLParserLimits(
    initial_lexer_fuel=100_000_000,
    step_lexer_fuel=20_000_000,
    max_lexer_states=5_000_000,
    verbose_errors=False,
)


class _Tokens:
    """A vocabulary in the form `TokenizerWrapper` takes; forced tokens are ours: it never encodes text."""

    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.eos_token_id = vocabulary.eos_ids[0]
        silent = [i for i, token in enumerate(vocabulary.tokens) if not token]
        self.special_token_ids = silent
        self.tokens = list(vocabulary.tokens)
        for i in silent:  # every id needs bytes of its own; llguidance keeps special ones out of text
            self.tokens[i] = f"<special_{i}>".encode()
        self._encode = vocabulary.encode

    def __call__(self, text: str) -> list[int]:
        return self._encode(text)


class _LLGuidance:
    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def check(self) -> None:
        if self._matcher.is_error():
            raise ModelError(
                f"llguidance gave up: {self._matcher.get_error()}",
                hint="a fault of the grammar or of the engine: try mask_engine='xgrammar', and report it",
            )

    def copy(self) -> _LLGuidance:
        return _LLGuidance(self._matcher.deep_copy())

    def fill(self, row: Bits, address: int) -> None:
        self._matcher.unsafe_compute_mask_ptr(address, row.nbytes)
        self.check()

    def consume(self, token: int) -> bool:
        return bool(self._matcher.consume_token(token))

    def forced_bytes(self) -> bytes:
        forced = bytes(self._matcher.compute_ff_bytes())
        self.check()
        return forced


class Engine:
    """llguidance for one vocabulary. The last grammar is kept: samples of one batch share it."""

    name = "llguidance"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._tokenizer = LLTokenizer(
            TokenizerWrapper(_Tokens(vocabulary)), n_vocab=len(vocabulary.tokens), slices=[]
        )
        self._last: tuple[str, _LLGuidance] | None = None

    def compile(self, grammar: Grammar) -> Matcher:
        """See `MaskEngine.compile`."""
        if self._last is None or self._last[0] != grammar.hash:
            require_spellable(grammar, self.vocabulary)
            backend = _LLGuidance(LLMatcher(self._tokenizer, PLAIN_MASKS + grammar.lark(), limits=_LIMITS))
            backend.check()
            self._last = (grammar.hash, backend)
        return Matcher(self._last[1].copy(), self.vocabulary)
