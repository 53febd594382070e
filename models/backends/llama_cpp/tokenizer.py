"""A GGUF file's tokenizer and chat template, as llama.cpp reads them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from itertools import dropwhile
from typing import Any

from airtune.models.backends.llama_cpp.library import Weights, library
from airtune.models.masks.vocabulary import Vocabulary
from airtune.models.types import Dialect

_SPECIAL = 1 << 3 | 1 << 4  # of a token's attributes: control, user-defined


class Tokenizer:
    """See the module's docstring.

    Args:
        weights: What was read of the file.

    Attributes:
        vocabulary: What every token writes.
        turn_ends: Ids that end a turn.
    """

    def __init__(self, weights: Weights) -> None:
        self._lib, self._of = library(), weights.vocabulary
        self._weights = weights  # whose end frees the vocabulary
        ids = range(weights.width)
        self.turn_ends = tuple(i for i in ids if self._lib.llama_vocab_is_eog(self._of, i))
        eos = self._lib.llama_vocab_eos(self._of)
        pieces = tuple(b"" if i in self.turn_ends else self._piece(i) for i in ids)
        self.vocabulary = Vocabulary(pieces, (eos,) if eos >= 0 else (), weights.width, self._plain)
        special = (i for i in ids if self._lib.llama_vocab_get_attr(self._of, i) & _SPECIAL)
        texts = {self._piece(i, special=True).decode("utf-8", errors="replace") for i in special}
        # Brackets as in `special_texts`: of tokens that are no control tokens, plain runs of blanks do not count.
        self._special = tuple(sorted(text for text in texts if text[:1] in ("<", "[")))
        self._template = weights.text_of("tokenizer.chat_template") or ""
        bos = self._lib.llama_vocab_bos(self._of)
        self._eos = eos
        self._lead = [bos] if bos >= 0 and self._lib.llama_vocab_get_add_bos(self._of) else []
        named = {"bos_token": bos, "eos_token": eos}
        self._named = {
            name: self._piece(i, special=True).decode("utf-8") for name, i in named.items() if i >= 0
        }

    def encode(self, prompt: str) -> list[int]:
        """A prompt's token ids: the beginning of sequence, where there is one, once; the template may write it, too.

        They never end with the end of sequence: see `PromptTokenizer.encode`.
        """
        ids = list(dropwhile(self._lead.__contains__, self._tokens(prompt, special=True)))
        while ids and ids[-1] == self._eos:
            ids.pop()
        return self._lead + ids

    def encode_all(self, prompts: Iterable[str]) -> dict[str, list[int]]:
        """The token ids of prompts; equal ones are encoded once."""
        return {prompt: self.encode(prompt) for prompt in dict.fromkeys(prompts)}

    def bind(self, dialect: Dialect, context: int) -> Dialect:
        """The dialect, told of this file's chat format and the model's context if it cares."""
        if not hasattr(dialect, "bind"):
            return dialect
        from airtune.models.dialects.chat.format import template_format

        bound: Dialect = dialect.bind(
            format=template_format(self._template, self._apply),
            special=self._special, count_tokens=lambda text: len(self.encode(text)), max_tokens=context,
        )  # fmt: skip
        return bound

    def _apply(self, messages: Sequence[dict[str, str]], **settings: Any) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, _ = render_jinja_template(conversations=[messages], **{**self._named, **settings})
        return str(texts[0])

    def _plain(self, text: str) -> list[int]:
        return self._tokens(text, special=False)

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        data = text.encode("utf-8")
        room = len(data) + 2  # no token is shorter than a byte; some tokenizers put a blank before a text
        ids = (ctypes.c_int32 * room)()
        count = self._lib.llama_tokenize(self._of, data, len(data), ids, room, False, special)
        if count < 0:  # a tokenizer that writes more than it reads
            room = -count
            ids = (ctypes.c_int32 * room)()
            count = self._lib.llama_tokenize(self._of, data, len(data), ids, room, False, special)
        return list(ids[:count])

    def _piece(self, token: int, *, special: bool = False) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        count = self._lib.llama_token_to_piece(self._of, token, buffer, len(buffer), 0, special)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = self._lib.llama_token_to_piece(self._of, token, buffer, len(buffer), 0, special)
        return buffer.raw[:count]
