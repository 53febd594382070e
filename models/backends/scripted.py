"""The `scripted` backend: a model of bytes without weights or torch, for tests and dry runs.

At every step each byte has a score hashed from the prompt and what is written, and the seed gives the uniform
numbers of the draws: its answers look arbitrary, follow the grammar, and are the same everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.grammars import Grammar
from airtune.models.backends.checkpoint import versions
from airtune.models.backends.prompts import check_request
from airtune.models.decoding.free_text import FreeMatcher
from airtune.models.decoding.sampling import draw
from airtune.models.masks.base import Matcher, make_engine
from airtune.models.masks.vocabulary import byte_vocabulary
from airtune.models.types import AnswerDistribution, Completion, Dialect, ModelError, Request, TextRequest


class ScriptedModel:
    """Answers any request under its grammar, reproducibly, in well under a millisecond per byte.

    Args:
        dialect: The dialect it speaks.
        name: What the user called it.
        mask_engine: "llguidance" (default), "xgrammar" or "outlines_core".
        context: Longest prompt plus answer, in bytes.
    """

    backend = "scripted"

    def __init__(
        self,
        *,
        dialect: Dialect,
        name: str = "scripted",
        mask_engine: str = "llguidance",
        context: int = 1 << 20,
    ) -> None:
        self.name, self.dialect, self.context = name, dialect, context
        self.settings = {"mask_engine": mask_engine, "context": context}
        self.vocabulary = byte_vocabulary()
        kept = b" abcdefghijklmnopqrstuvwxyz"
        letters = tuple(token if token in kept else b"" for token in self.vocabulary.tokens)
        self._letters = replace(self.vocabulary, tokens=letters)  # of free text
        self.engine = make_engine(mask_engine, self.vocabulary)

    def manifest(self) -> dict[str, Any]:
        """See `LanguageModel.manifest`."""
        return {
            "model": self.name,
            "backend": self.backend,
            "dialect": self.dialect.name,
            "files": {},
            "weights": 0,
            "weights_bytes": 0,
            "versions": versions(),
            "settings": dict(self.settings),
        }

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`. Every request is answered on its own."""
        limits = [self._limit(request) for request in requests]
        return [
            self._complete(request, self.engine.compile(request.grammar), limit)
            for request, limit in zip(requests, limits, strict=True)
        ]

    def write(self, requests: Sequence[TextRequest]) -> list[Completion]:
        """See `TextWriter.write`: lower-case letters and blanks, for a sentence or so."""
        done = []
        for request in requests:
            matcher = FreeMatcher(self._letters, frozenset(self.vocabulary.eos_ids), request.stop)
            done.append(replace(self._complete(request, matcher, request.max_tokens), text=matcher.text))
        return done

    def logits(self, prompt: str, written: bytes) -> NDArray[np.float64]:
        """(257,) scores of the next byte and the end: standard normal, a pure function of the arguments."""
        digest = hashlib.shake_256(prompt.encode() + b"\0" + written).digest(2 * 4 * 257)
        first, second = np.frombuffer(digest, dtype="<u4").reshape(2, 257).astype(np.float64) / 2**32
        normal = np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * np.pi * second)  # Box-Muller
        return np.asarray(normal)

    def answer_distribution(
        self, prompt: str, grammar: Grammar, temperature: float = 1.0
    ) -> AnswerDistribution:
        """See `TransparentModel.answer_distribution`."""
        from airtune.models.inspection.distribution import TokenDistribution

        self._limit(Request(prompt, grammar, seed=0, temperature=temperature))

        def logits(
            prefixes: Sequence[tuple[int, ...]], columns: Sequence[NDArray[np.intp]]
        ) -> list[NDArray[np.float64]]:
            written = (b"".join(self.vocabulary.tokens[t] for t in prefix) for prefix in prefixes)
            return [self.logits(prompt, text)[wanted] for text, wanted in zip(written, columns, strict=True)]

        return TokenDistribution(grammar, temperature, self.engine, True, logits)

    def _limit(self, request: Request) -> int:
        """The most tokens of an answer, once it is certain that the request can be answered."""
        check_request(request)
        prompt_tokens = len(request.prompt.encode())
        if prompt_tokens + request.grammar.max_length > self.context:
            raise ModelError(
                f"the prompt has {prompt_tokens} bytes and the answer up to {request.grammar.max_length}, "
                f"more than the context of {self.context}",
                value=prompt_tokens,
                allowed=f"{self.context} bytes in all",
                hint="show fewer trials",
            )
        return request.max_tokens or request.grammar.max_length + 1  # no token is shorter than one byte

    def _complete(
        self, request: Request | TextRequest, matcher: Matcher | FreeMatcher, limit: int
    ) -> Completion:
        written = b""
        ids: list[int] = []
        logprobs: list[float] = []
        steps = 0
        uniforms = _uniforms(request.seed, limit)
        while not matcher.finished and len(ids) < limit:
            forced = matcher.forced()
            if forced:
                token, logprob = forced[0], 0.0
            else:
                scores = self.logits(request.prompt, written)
                token, logprob = draw(scores, matcher.allowed(), request.temperature, float(uniforms[steps]))
                steps += 1
            matcher.advance(token)
            ids.append(token)
            logprobs.append(logprob)
            written += self.vocabulary.tokens[token]
        return Completion(
            text=self.vocabulary.text(ids),
            token_ids=tuple(ids),
            logprobs=tuple(logprobs),
            finish_reason="stop" if matcher.finished else "length",
            prompt_tokens=len(request.prompt.encode()),
            decode_steps=steps,
        )


def _uniforms(seed: int, count: int) -> NDArray[np.float64]:
    """(count,) numbers in [0, 1), a pure function of the seed."""
    stream = hashlib.shake_256(str(seed).encode()).digest(8 * count)
    return np.asarray((np.frombuffer(stream, dtype="<u8") >> np.uint64(11)) * 2.0**-53)
