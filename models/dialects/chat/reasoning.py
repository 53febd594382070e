"""Chain of thought in two phases: free text, capped in tokens, then the answer under the grammar.

Any backend that can write free text (`TextWriter`) can do it: `load_model` puts a `ReasoningModel` around it where
the dialect says reasoning=on. Proposers see one request and one completion. What was thought, and the prompt that
the answer was given to, are kept in the completion's details, and so in transcripts and recordings: a replay of
those asks for no thought again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from airtune.grammars import Grammar
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.types import (
    AnswerDistribution,
    Completion,
    LanguageModel,
    ModelError,
    Request,
    TextRequest,
    TextWriter,
)


def with_reasoning(model: LanguageModel) -> ReasoningModel:
    """A model whose dialect says reasoning=on, made to think before it answers.

    Raises:
        ModelError: If it cannot write free text.
    """
    dialect: Any = model.dialect
    if not isinstance(model, TextWriter):
        raise ModelError(
            f"model {model.name!r} cannot write free text, which reasoning=on needs",
            value=dialect.name,
            allowed="reasoning=off",
            hint="leave +reasoning=on out of the dialect",
        )
    return ReasoningModel(model, dialect)


class ReasoningModel:
    """Lets a model think in free text before every answer.

    Args:
        model: The model; also a `TextWriter`.
        dialect: Its dialect.
    """

    def __init__(self, model: Any, dialect: ChatDialect) -> None:
        self._model = model
        self.dialect = dialect

    @property
    def name(self) -> str:
        """The name of the model that thinks and answers."""
        return str(self._model.name)

    def manifest(self) -> dict[str, Any]:
        """Its manifest; the dialect's name in it says that it thinks, and how long."""
        found: dict[str, Any] = self._model.manifest()
        return found

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """See `LanguageModel.generate`: two calls of the model, each with all the requests.

        A completion's details have under "thought" what was thought (text, seed, tokens, log-probabilities) and
        under "answer_prompt" the prompt of the second phase; `prompt_tokens` are those of that one.
        """
        if not requests:
            return []
        longest, stops = self.dialect.reasoning_tokens, self.dialect.format.stops
        asked = [
            TextRequest(r.prompt, _thought_seed(r.seed), r.temperature, longest, stops) for r in requests
        ]
        thoughts: list[Completion] = self._model.write(asked)
        prompts = [
            self.dialect.conclude(request.prompt, self._cut(thought.text), request.grammar.max_length + 1)
            for request, thought in zip(requests, thoughts, strict=True)
        ]
        answers: list[Completion] = self._model.generate(
            [replace(request, prompt=prompt) for request, prompt in zip(requests, prompts, strict=True)]
        )
        return [
            replace(
                answer, details={**answer.details, "thought": _record(text, thought), "answer_prompt": prompt}
            )
            for answer, text, thought, prompt in zip(answers, asked, thoughts, prompts, strict=True)
        ]

    def answer_distribution(
        self, prompt: str, grammar: Grammar, temperature: float = 1.0
    ) -> AnswerDistribution:
        """See `TransparentModel.answer_distribution`. The prompt has the thought in it."""
        from airtune.models.inspection.distribution import answer_distribution

        return answer_distribution(self._model, prompt, grammar, temperature)

    def _cut(self, text: str) -> str:
        """The thought up to the first text that ends it, should a backend have gone beyond."""
        for stop in self.dialect.format.stops:
            text = text.lstrip().partition(stop)[0]
        return text.strip() or "-"


def _thought_seed(seed: int) -> int:
    """The thought's own seed: not the answer's, or both would draw the same numbers."""
    return int.from_bytes(hashlib.sha256(f"thought {seed}".encode()).digest()[:8], "big") >> 1


def _record(request: TextRequest, thought: Completion) -> dict[str, Any]:
    kept = asdict(thought)
    for key in ("token_ids", "logprobs"):
        kept[key] = None if kept[key] is None else list(kept[key])
    if not kept["details"]:
        del kept["details"]
    return {"seed": request.seed, "max_tokens": request.max_tokens, **kept}
