"""A tokenizer as the mask engines see it: what every token id writes, and which ids end an answer."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airtune.models.types import ModelError


@dataclass(frozen=True)
class Vocabulary:
    """What every token id writes.

    Attributes:
        tokens: Bytes per token id; `b""` for ids that write nothing (special, unused): never sampled.
        eos_ids: Ids that end an answer; the first one is used where only one can be.
        width: Width of the model's logits, at least `len(tokens)`; ids beyond are padding, always masked.
        encode: Text to ids, no special tokens added; the tokenizer's own way of writing a text.
    """

    tokens: tuple[bytes, ...]
    eos_ids: tuple[int, ...]
    width: int
    encode: Callable[[str], list[int]] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.eos_ids:
            raise ModelError(
                "the tokenizer has no end-of-sequence token",
                allowed="a tokenizer with an eos_token",
                hint="set eos_token in tokenizer_config.json",
            )
        if self.width < len(self.tokens):
            raise ModelError(
                f"the model's logits have {self.width} columns but its tokenizer has "
                f"{len(self.tokens)} tokens",
                value=self.width,
                hint="use the tokenizer that this checkpoint was trained with",
            )

    def text(self, token_ids: Iterable[int]) -> str:
        """What token ids write together; the end writes nothing, a character cut in two a mark."""
        return b"".join(self.tokens[i] for i in token_ids).decode("utf-8", errors="replace")

    @cached_property
    def _sorted_tokens(self) -> list[bytes]:
        return sorted(set(self.tokens))

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.tokens))

    @cached_property
    def byte_values(self) -> frozenset[int]:
        """The byte values that occur in any token: what this tokenizer can write at all."""
        return frozenset(byte for token in self.tokens for byte in token)

    @cached_property
    def _ids_of(self) -> dict[bytes, list[int]]:
        found: dict[bytes, list[int]] = {}
        for i, token in enumerate(self.tokens):
            if token:
                found.setdefault(token, []).append(i)
        return found

    def starts(self, data: bytes) -> list[int]:
        """Ids of the tokens that write a prefix of `data`, the shortest first."""
        longest = min(len(data), self._longest)
        return [i for n in range(1, longest + 1) for i in self._ids_of.get(data[:n], ())]

    def extends(self, prefix: bytes) -> bool:
        """Whether some token is strictly longer than `prefix` and starts with it."""
        at = bisect.bisect_right(self._sorted_tokens, prefix)
        return at < len(self._sorted_tokens) and self._sorted_tokens[at].startswith(prefix)

    def canonical(self, written: Sequence[int], forced: bytes) -> list[int]:
        """Tokens for bytes that must come next, if the tokenizer leaves no doubt how to write them.

        Forcing a token that the model would not have used shifts what follows, so tokens are given only where
        the tokenizer's own encoding of the whole answer starts with what is written already, and only up to
        the first byte at which some token could reach beyond the end (a later byte could change the split
        there).

        Args:
            written: Token ids of the answer so far.
            forced: Bytes that every continuation starts with.
        """
        if not forced:
            return []
        whole = b"".join(self.tokens[i] for i in written) + forced
        text = whole.decode("utf-8", errors="ignore")  # a character cut in two at the end is left for later
        data = text.encode("utf-8")
        ids = self.encode(text)
        if ids[: len(written)] != list(written) or b"".join(self.tokens[i] for i in ids) != data:
            return []
        start = max(0, len(data) - self._longest)
        safe = next((j for j in range(start, len(data)) if self.extends(data[j:])), len(data))
        result: list[int] = []
        end = len(whole) - len(forced)
        for token in ids[len(written) :]:
            end += len(self.tokens[token])
            if end > safe:
                break
            result.append(token)
        return result


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 byte values, in which byte-level vocabularies are written."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in set(plain)]
    return {**{chr(b): b for b in plain}, **{chr(256 + i): b for i, b in enumerate(rest)}}


def _decoder_types(state: Any) -> set[str]:
    """Names of all decoders in the JSON state of a tokenizer's decoder."""
    if isinstance(state, dict):
        own = {str(state["type"])} if "type" in state else set()
        return own.union(*(_decoder_types(v) for v in state.values()))
    return set().union(*map(_decoder_types, state)) if isinstance(state, list) else set()


def vocabulary_of(tokenizer: Any, width: int) -> Vocabulary:
    """The vocabulary of a Hugging Face fast tokenizer.

    Understood are byte-level BPE (GPT-2, Llama 3, Qwen), SentencePiece-like ones with byte fallback (Llama 2,
    Gemma), and plain ones whose tokens are the text itself (`pocket`).

    Args:
        tokenizer: A `transformers.PreTrainedTokenizerFast`.
        width: Width of the model's logits.

    Raises:
        ModelError: If it is no fast tokenizer, has no end-of-sequence token, or writes text in another way.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"{type(tokenizer).__name__} is not a fast tokenizer",
            allowed="a directory with tokenizer.json",
            hint="save the tokenizer with the tokenizers library",
        )
    decoder = backend.decoder
    types = _decoder_types(json.loads(decoder.__getstate__())) if decoder is not None else set()
    unknown = types - {"ByteLevel", "Sequence", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}
    if unknown:
        raise ModelError(
            f"cannot tell which bytes this tokenizer's tokens write (decoder {', '.join(sorted(unknown))})",
            allowed="byte-level BPE, SentencePiece-like, or plain-text tokens",
            hint="use a decoder model's tokenizer",
        )
    alphabet = _byte_alphabet()

    def written(piece: str) -> bytes:
        if "ByteLevel" in types:
            if all(c in alphabet for c in piece):
                return bytes(alphabet[c] for c in piece)
            return piece.encode("utf-8")  # an added token, stored as itself
        if "ByteFallback" in types and len(piece) == 6 and piece.startswith("<0x"):
            return bytes([int(piece[3:5], 16)])
        if types & {"Metaspace", "Replace"}:
            piece = piece.replace("\u2581", " ")
        return piece.encode("utf-8")

    pieces = backend.get_vocab(with_added_tokens=True)
    special = {i for i, token in backend.get_added_tokens_decoder().items() if token.special}
    special.update(tokenizer.all_special_ids)
    tokens = [b""] * (max(pieces.values()) + 1)
    for piece, i in pieces.items():
        if i not in special:
            tokens[i] = written(piece)
    eos = tokenizer.eos_token_id
    return Vocabulary(
        tokens=tuple(tokens),
        eos_ids=() if eos is None else (int(eos),),
        width=width,
        encode=lambda text: list(backend.encode(text, add_special_tokens=False).ids),
    )


def byte_vocabulary() -> Vocabulary:
    """One token per byte value, ids 0-255, and 256 for the end: what the `scripted` backend uses."""
    return Vocabulary(
        tokens=(*(bytes([b]) for b in range(256)), b""),
        eos_ids=(256,),
        width=257,
        encode=lambda text: list(text.encode("utf-8")),
    )
