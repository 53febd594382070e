"""Prompts as a checkpoint's tokenizer reads them, and what every backend with a tokenizer asks of a request."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airtune.models.backends.checkpoint import broken_checkpoint
from airtune.models.backends.gguf import alone
from airtune.models.types import Dialect, ModelError, Request, TextRequest


class PromptTokenizer:
    """The tokenizer of a checkpoint.

    Args:
        path: Its directory, or its GGUF file.

    Raises:
        ModelError: If the tokenizer cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        from transformers import AutoTokenizer, GenerationConfig

        try:
            self.tokenizer: Any
            if path.is_file():
                with alone(path) as folder:
                    self.tokenizer = AutoTokenizer.from_pretrained(
                        folder, local_files_only=True, gguf_file="model.gguf"
                    )
            else:
                self.tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
            has_ends = (path / "generation_config.json").is_file()
            generation = GenerationConfig.from_pretrained(path, local_files_only=True) if has_ends else None
        except Exception as error:  # the library raises half a dozen unrelated types for a broken checkpoint
            raise broken_checkpoint(path, error) from error
        # A tokenizer remembers how texts were cut and padded in its training; prompts are neither.
        self.tokenizer.backend_tokenizer.no_truncation()
        self.tokenizer.backend_tokenizer.no_padding()
        # A chat model may end its turn with another token than the tokenizer's end of sequence (Gemma does).
        ends = getattr(generation, "eos_token_id", None)
        self.turn_ends: tuple[int, ...] = (ends,) if isinstance(ends, int) else tuple(ends or ())
        # Special tokens that the tokenizer puts before a text, most often a beginning of sequence. What it puts after
        # one would say that all is over: an answer is to follow.
        sample = self.tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)
        added = zip(sample.ids, sample.special_tokens_mask, strict=True)
        self._lead = [token for token, _ in itertools.takewhile(lambda one: one[1], added)]

    def encode(self, prompt: str) -> list[int]:
        """A prompt's token ids: what the tokenizer puts before a text, once, though a chat template may write it too.

        They never end with the end of sequence.
        """
        ids = list(self.tokenizer.backend_tokenizer.encode(prompt, add_special_tokens=False).ids)
        ids = list(itertools.dropwhile(self._lead.__contains__, ids))
        while ids and ids[-1] == self.tokenizer.eos_token_id:
            ids.pop()
        return self._lead + ids

    def encode_all(self, prompts: Iterable[str]) -> dict[str, list[int]]:
        """The token ids of prompts; equal ones are encoded once."""
        return {prompt: self.encode(prompt) for prompt in dict.fromkeys(prompts)}

    def count(self, prompt: str) -> int:
        """Length of a prompt in tokens."""
        return len(self.encode(prompt))

    def bind(self, dialect: Dialect, context: int) -> Dialect:
        """The dialect, told of this tokenizer's chat format and the model's context if it cares."""
        if not hasattr(dialect, "bind"):
            return dialect
        from airtune.models.dialects.chat.format import format_of, special_texts

        bound: Dialect = dialect.bind(
            format=format_of(self.tokenizer), special=special_texts(self.tokenizer),
            count_tokens=self.count, max_tokens=context,
        )  # fmt: skip
        return bound


def check_request(request: Request | TextRequest) -> None:
    """Refuse a request that no model can answer, whatever its context.

    Raises:
        ModelError: Naming its temperature, its limit or its prompt.
    """
    if not request.temperature >= 0:
        raise ModelError(
            "temperature must be 0 or more", value=request.temperature, allowed="0 (greedy), 1.0, ..."
        )
    if request.max_tokens is not None and request.max_tokens < 1:
        raise ModelError("max_tokens must be 1 or more", value=request.max_tokens, allowed="None, 1, 2, ...")
    if not request.prompt:
        raise ModelError("the prompt is empty", value=request.prompt, hint="a dialect renders prompts")


def answer_limit(request: Request | TextRequest, prompt_tokens: int, context: int) -> int:
    """The most tokens that the answer to a request may have, the end of sequence included.

    Raises:
        ModelError: If the request cannot be answered: see `check_request`, or it is too long.
    """
    check_request(request)
    # No token is shorter than one byte; the end of sequence is one more.
    longest = None if isinstance(request, TextRequest) else request.grammar.max_length + 1
    limits = [limit for limit in (request.max_tokens, longest) if limit is not None]
    if prompt_tokens + min(limits) > context:
        raise ModelError(
            f"the prompt has {prompt_tokens} tokens and the answer up to {min(limits)}, more than the model's "
            f"context of {context}",
            value=prompt_tokens,
            allowed=f"{context} tokens in all",
            hint="show fewer trials (the dialect's max_trials), or use a model with a longer context",
        )
    return min(limits)
