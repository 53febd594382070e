"""Open requests of a mask loop: the answer of each so far, and the draws of many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray

from airtune.models.decoding.free_text import FreeMatcher
from airtune.models.decoding.sampling import draw_batch
from airtune.models.decoding.shared_prefix import Branch
from airtune.models.masks.base import Matcher
from airtune.models.types import Request, TextRequest

_UNIFORMS = 16  # taken from a generator at once: the same numbers as one by one


@dataclass(slots=True)
class Row:
    """One open request.

    Attributes:
        request: What was asked.
        prompt: Its prompt's token ids.
        matcher: Follows the answer through the grammar.
        generator: The row's own random numbers.
        limit: Cap on generated tokens.
        position: Tokens the model has read (prompt included): the next position id.
        token_ids: The answer so far.
        logprobs: One per token.
        next_ids: Tokens taken since the last forward pass.
        steps: Forward passes after the prefill.
    """

    request: Request | TextRequest
    prompt: Sequence[int]
    matcher: Matcher | FreeMatcher
    generator: torch.Generator
    limit: int
    position: int = 0
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    next_ids: list[int] = field(default_factory=list)
    steps: int = 0
    _uniforms: list[float] = field(default_factory=list)

    def take(self, token: int, logprob: float) -> None:
        """Add a token to the answer."""
        self.matcher.advance(token)
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        self.next_ids.append(token)

    def take_forced(self, canonical: bool) -> None:
        """Take all tokens that the grammar forces from here."""
        while (room := self.limit - len(self.token_ids)) > 0 and (
            forced := self.matcher.forced(canonical=canonical)
        ):
            for token in forced[:room]:
                self.take(token, 0.0)

    def uniform(self) -> float:
        """The row's next random number in [0, 1)."""
        if not self._uniforms:
            drawn = torch.rand(_UNIFORMS, generator=self.generator, dtype=torch.float64)
            self._uniforms = drawn.tolist()[::-1]
        return self._uniforms.pop()

    def prefix(self) -> tuple[int, ...]:
        """The prompt and the answer so far, which count as read from here on."""
        self.position = len(self.prompt) + len(self.token_ids)
        self.next_ids = []
        return (*self.prompt, *self.token_ids)

    def read(self, line: int, answer: int) -> Branch:
        """What is new since the last forward pass, which counts as read from here on."""
        branch = Branch(line, answer, self.next_ids, self.position)
        self.position += len(self.next_ids)
        self.steps += 1
        self.next_ids = []
        return branch

    @property
    def done(self) -> bool:
        """Whether nothing is left to draw."""
        return self.matcher.finished or len(self.token_ids) >= self.limit


def draw_next(rows: Sequence[Row], allowed: NDArray[Any], logits: NDArray[Any]) -> None:
    """Take one token for each row, of which the same tokens are allowed.

    Args:
        rows: Each brings its own random number and temperature.
        allowed: (k,) token ids, ascending.
        logits: (rows, k) of those.

    Raises:
        ModelError: If the logits are not numbers.
    """
    temperatures = [row.request.temperature for row in rows]
    drawn = draw_batch(logits, allowed, temperatures, [row.uniform() for row in rows])
    for row, (token, logprob) in zip(rows, drawn, strict=True):
        row.take(token, logprob)
