"""What backends with a mask loop of our own have in common: requests become rows, and rows completions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from airtune.grammars import Grammar
from airtune.models.backends.determinism import SelfTest, require_deterministic
from airtune.models.backends.prompts import answer_limit
from airtune.models.decoding.free_text import FreeMatcher
from airtune.models.decoding.row import Row
from airtune.models.masks.base import MaskEngine, Matcher, make_engine
from airtune.models.masks.vocabulary import Vocabulary
from airtune.models.types import AnswerDistribution, Completion, Dialect, Request, TextRequest

if TYPE_CHECKING:  # few commands need it
    from airtune.models.inspection.distribution import Logits


class MaskLoopModel(ABC):
    """A model whose rows are filled in by a loop of ours. `_start` is the end of its `__init__`.

    Attributes:
        name: What the user called it.
        prompts: Encodes prompts, and knows what ends a turn.
        vocabulary: What every token writes.
        context: Tokens of a prompt and its answer, at most.
        fast_forward: Whether tokens that are forced as bytes are taken in the tokenizer's own spelling.
        deterministic: "strict", "warn" or "off".
        settings: Those of the manifest.
    """

    backend: str
    name: str
    prompts: Any
    vocabulary: Vocabulary
    context: int
    fast_forward: bool
    deterministic: str
    settings: dict[str, Any]

    def _start(self, dialect: Dialect, mask_engine: str) -> None:
        self.engine: MaskEngine = make_engine(mask_engine, self.vocabulary)
        self._ends = frozenset([*self.vocabulary.eos_ids, *self.prompts.turn_ends])
        # one place is for an answer's end
        self.dialect: Dialect = self.prompts.bind(dialect, self.context - 1)
        self.self_test: SelfTest | None = require_deterministic(self, self.deterministic)

    @abstractmethod
    def _pinned(self) -> dict[str, Any]:
        """Hashes of the model's files, its size, and versions of what runs it, as in `checkpoint_manifest`."""

    @abstractmethod
    def _complete(self, rows: Sequence[Row]) -> None:
        """Fill in the answers of open rows."""

    @abstractmethod
    def _after(self, prompt: list[int]) -> Logits:
        """Read a prompt, once, for the logits after beginnings of its answers."""

    def manifest(self) -> dict[str, Any]:
        """Hashes of the model's files; versions; settings, threads among them; the self-test."""
        tested = {} if self.self_test is None else {"self_test": self.self_test.json()}
        return {
            "model": self.name,
            "backend": self.backend,
            "dialect": self.dialect.name,
            **self._pinned(),
            "settings": dict(self.settings),
            **tested,
        }

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`. One call is one batch, where there is room for it."""
        encoded = self.prompts.encode_all(request.prompt for request in requests)
        rows = [self._open(request, encoded[request.prompt]) for request in requests]
        for row in rows:  # an answer may start with forced tokens, or consist of them
            row.take_forced(self.fast_forward)
        self._complete([row for row in rows if not row.done])
        return [self._completion(row) for row in rows]

    def write(self, requests: Sequence[TextRequest]) -> list[Completion]:
        """See `TextWriter.write`. One call is one batch, where there is room for it."""
        encoded = self.prompts.encode_all(request.prompt for request in requests)
        matchers = [FreeMatcher(self.vocabulary, self._ends, request.stop) for request in requests]
        rows = [
            self._row(request, matcher, encoded[request.prompt])
            for request, matcher in zip(requests, matchers, strict=True)
        ]
        self._complete(rows)
        return [
            replace(self._completion(row), text=matcher.text)
            for row, matcher in zip(rows, matchers, strict=True)
        ]

    def answer_distribution(
        self, prompt: str, grammar: Grammar, temperature: float = 1.0
    ) -> AnswerDistribution:
        """See `TransparentModel.answer_distribution`. The prompt is read here, once."""
        from airtune.models.inspection.distribution import TokenDistribution

        ids = self.prompts.encode(prompt)
        self._open(Request(prompt, grammar, 0, temperature), ids)  # raises as `generate` would
        return TokenDistribution(grammar, temperature, self.engine, self.fast_forward, self._after(ids))

    def _open(self, request: Request, prompt: list[int]) -> Row:
        return self._row(request, self.engine.compile(request.grammar), prompt)

    def _row(self, request: Request | TextRequest, matcher: Matcher | FreeMatcher, prompt: list[int]) -> Row:
        """An open row, once it is certain that it can be answered."""
        limit = answer_limit(request, len(prompt), self.context)
        return Row(request, prompt, matcher, torch.Generator(device="cpu").manual_seed(request.seed), limit)

    def _completion(self, row: Row) -> Completion:
        return Completion(
            text=self.vocabulary.text(row.token_ids),
            token_ids=tuple(row.token_ids),
            logprobs=tuple(row.logprobs),
            finish_reason="stop" if row.matcher.finished else "length",
            prompt_tokens=len(row.prompt),
            decode_steps=row.steps,
        )
