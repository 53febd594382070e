"""`airtune bench tokens`: what prompts of the chat dialect cost, variant by variant, and why numbers are written so.

Counted with byte-level BPE tokenizers of the two kinds that matter, trained here on Python's own library (no
tokenizer of a real model is shipped): Llama 3's, which takes up to three digits as one token, and Qwen's and
Gemma's, which take one. `--model DIR` counts with a checkpoint's own tokenizer instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from airtune.benchmarks import get_task
from airtune.benchmarks.analysis.table import Table
from airtune.grammars import space_grammar
from airtune.models.dialects.chat.description import LOSS_DIGITS, Guard, Words, loss_text
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.dialects.chat.format import format_of, special_texts
from airtune.models.registry import make_dialect
from airtune.models.types import Observation, Problem

VARIANTS = (
    "chat",
    "chat+detail=space",
    "chat+detail=none",
    "chat+history=turns",
    "chat+summary=on",
    "chat+budget=60",
    "chat+examples=1",
    "chat+examples=2",
    "chat+reasoning=on",
    "chat+history=turns+reasoning=on+examples=1",
)
TRIALS = (0, 10, 30)
_CORPUS_BYTES = 3_000_000
_SAMPLES = 500


def made_problem(task: str, trials: int) -> Problem:
    """The task with random trials and random losses: what counts is how long they are."""
    found = get_task(task)
    grammar, rng = space_grammar(found.space), np.random.default_rng(0)
    seen = [Observation(grammar.sample(rng), float(rng.random())) for _ in range(trials)]
    return Problem(found.name, found.description, found.space, found.metric, tuple(seen))


def variant_tokens(name: str, task: str, tokenizer: Any) -> dict[int, int]:
    """Prompt tokens of one proposal by the number of trials; with reasoning, those of both its prompts.

    The second prompt of those is counted without the thought.
    """
    dialect = make_dialect(name)
    assert isinstance(dialect, ChatDialect)
    dialect = dialect.bind(format=format_of(tokenizer), special=special_texts(tokenizer))
    counts = {}
    for trials in TRIALS:
        prompt = dialect.render(made_problem(task, trials))
        prompts = [prompt, dialect.conclude(prompt, "")] if dialect.reasoning == "on" else [prompt]
        counts[trials] = sum(len(_encode(tokenizer, text)) for text in prompts)
    return counts


def number_forms(tokenizer: Any) -> dict[str, float]:
    """Mean tokens of a number, or of a trial, by the way it is written; after a comma, as in a table."""
    rng = np.random.default_rng(1)
    small, losses = 10 ** rng.uniform(-5, -1, _SAMPLES), rng.random(_SAMPLES)
    forms: Mapping[str, Iterable[str]] = {
        "1e-5 .. 1e-1 as 1.23e-3 (as answers are)": (_short(f"{x:.2e}") for x in small),
        "1e-5 .. 1e-1 as 1.23e-03": (f"{x:.2e}" for x in small),
        "1e-5 .. 1e-1 as 0.00123": (np.format_float_positional(float(f"{x:.2e}"), trim="-") for x in small),
        **{f"loss, {d} digits": [f"{x:.{d}g}" for x in losses] for d in (3, 4, 5, 6)},
        f"loss, as written ({LOSS_DIGITS} digits)": (loss_text(x) for x in losses),
    }
    counts = {
        form: float(
            np.mean([len(_encode(tokenizer, f",{text},")) - len(_encode(tokenizer, ",,")) for text in texts])
        )
        for form, texts in forms.items()
    }
    problem = made_problem("sklearn/mlp/digits", 30)
    words = Words(problem, space_grammar(problem.space), Guard())
    for form, write in (("trial as a row", words.row), ("trial as JSON", lambda o: words.answer(o.config))):
        lines = [f"{write(o)} -> {words.result(o)}\n" for o in problem.observations]
        counts[form] = float(np.mean([len(_encode(tokenizer, line)) for line in lines]))
    return counts


def made_tokenizers() -> dict[str, Any]:
    """A tokenizer of Llama 3's kind and one of Qwen's, of 16,384 tokens each, trained on Python's library."""
    from airtune.models.tiny import chat_tokenizer

    corpus, size = [], 0
    for file in sorted(Path(os.__file__).parent.glob("*.py")):
        text = file.read_text(encoding="utf-8", errors="replace")
        corpus += text.splitlines(keepends=True)
        size += len(text)
        if size > _CORPUS_BYTES:
            break
    return {
        "Llama": chat_tokenizer("llama3", 16_384, corpus),
        "Qwen": chat_tokenizer("qwen", 16_384, corpus),
    }


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What prompts cost.

    Attributes:
        task: Whose prompts.
        prompt_tokens: By tokenizer, variant of the dialect and number of trials.
        numbers: Mean tokens of a number, by tokenizer and form.
    """

    task: str
    prompt_tokens: Mapping[str, Mapping[str, Mapping[int, int]]]
    numbers: Mapping[str, Mapping[str, float]]

    def tables(self) -> list[Table]:
        """Both as tables."""
        heads = [f"{kind} {trials}" for kind in self.prompt_tokens for trials in TRIALS]
        rows = tuple(
            (
                name,
                *(str(counts[name][trials]) for counts in self.prompt_tokens.values() for trials in TRIALS),
            )
            for name in VARIANTS
        )
        title = f"prompt tokens of a proposal after {', '.join(map(str, TRIALS))} trials, {self.task}"
        forms = tuple(
            (form, *(f"{found[form]:.2f}" for found in self.numbers.values()))
            for form in next(iter(self.numbers.values()))
        )
        return [
            Table.of_texts(title, ("variant", *heads), rows),
            Table.of_texts("mean tokens", ("written", *self.numbers), forms),
        ]


def count_tokens(task: str, model: str | None = None) -> TokenCounts:
    """Count the tokens of a proposal's prompt for every variant of the chat dialect, and of numbers by form.

    Args:
        task: Whose prompts.
        model: A checkpoint whose tokenizer counts; None for tokenizers made here.
    """
    tokenizers = made_tokenizers() if model is None else {model: _tokenizer_at(model)}
    prompts = {
        kind: {name: variant_tokens(name, task, one) for name in VARIANTS} for kind, one in tokenizers.items()
    }
    return TokenCounts(task, prompts, {kind: number_forms(one) for kind, one in tokenizers.items()})


def _tokenizer_at(name: str) -> Any:
    from airtune.models.backends.prompts import PromptTokenizer
    from airtune.models.names import locate

    return PromptTokenizer(locate(name)).tokenizer


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)


def _short(text: str) -> str:
    """Scientific notation as the grammar writes it: 1.50e-03 is 1.5e-3."""
    digits, _, power = text.partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
