"""Beginnings of prompts that were read before: of a search's next prompt only the new end is read.

A prompt's whole blocks, of a fixed size and at fixed positions, are read one by one, alone, each in a forward pass over
the keys and values of those before it. So a block that is kept has the bits that reading it again would give: what is
answered depends on neither what was asked before nor the room there is, and a search that was killed and goes on
with nothing kept is the one that was not. The rest of a prompt, at most a block, is read with its batch.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from airtune.models.decoding.heads import Attention, Head
from airtune.models.types import ModelError

BLOCK = 64  # tokens: half of it is read twice on average, and blocks of half the size are read a fifth slower
ROOM = 1 << 30  # bytes
WHOLE = 100_000_000  # weights up to which prompts are read whole: that takes few milliseconds
_UNITS = {"": 0, "KiB": 10, "MiB": 20, "GiB": 30}

Block = list[tuple[Tensor, Tensor]]  # of each layer: keys and values, (1, heads, block, width)


class PrefixCache:
    """See the module's docstring.

    Args:
        model: A decoder of transformers whose layers are all plain attention.
        block: Tokens of a block.
        max_bytes: Room for the keys and values of blocks, which those used longest ago make. 0 keeps none.
    """

    def __init__(self, model: Any, block: int, max_bytes: int) -> None:
        self._model, self._head = model, Head(model)
        self.block, self._max_bytes = block, max_bytes
        self._kept: OrderedDict[tuple[int, ...], Block] = OrderedDict()  # by all tokens up to a block's end

    @classmethod
    def of(cls, model: Any, block: int | None, room: int | str | None) -> PrefixCache | None:
        """The cache for a model; None where its prompts are read whole.

        Args:
            model: A decoder of transformers.
            block: As above; 0 reads prompts whole. None: 64, or 0 for models of up to 100 million weights and for
                those with layers that are not plain attention.
            room: As `max_bytes`, or as "256MiB". None: 1 GiB.

        Raises:
            ModelError: If a setting cannot be what it is, or the model's prompts cannot be read in blocks.
        """
        attention = Attention.of(model)
        able = attention.plain and attention.window is None
        if block is not None:
            check_tokens("prefix_block", block, 0, "leave it out, or use 0 to read prompts whole")
        max_bytes = read_room(room)
        if block and not able:
            raise ModelError(
                f"{type(model).__name__} cannot read its prompts in blocks",
                value=block,
                allowed="prefix_block=0 for models whose layers are not all full attention, as sdpa or eager",
                hint="leave prefix_block out",
            )
        if block is None:
            block = BLOCK if able and model.num_parameters() > WHOLE else 0
        if block:
            return cls(model, block, max_bytes)
        if room is not None and max_bytes:
            raise ModelError(
                "prefix_cache needs prompts that are read in blocks, and this model's are read whole",
                value=room,
                allowed="prefix_cache=0",
                hint=f"give prefix_block={BLOCK}, too" if able else "leave prefix_cache out",
            )
        return None

    @property
    def bytes(self) -> int:
        """Of the keys and values that are kept."""
        return len(self._kept) * _bytes(next(iter(self._kept.values()))) if self._kept else 0

    def whole(self, prefix: Sequence[int]) -> int:
        """How many of a prefix's tokens are read in blocks: never the last, after which an answer starts."""
        return (len(prefix) - 1) // self.block * self.block

    def read(self, prefixes: Sequence[tuple[int, ...]]) -> Any:
        """A cache of transformers with the whole blocks of each prefix, and room for what comes after.

        Those of shorter ones have zeros on their left.
        """
        from airtune.models.decoding.kv_cache import stacked  # imports transformers

        lines = [self._read(prefix) for prefix in prefixes]
        cache = lines[0]
        # Taken from the lines layer by layer: there are no two copies of all of them at a time.
        left = [line.layers for line in lines]
        cache.layers = [stacked([layers.pop(0) for layers in left]) for _ in range(len(left[0]))]
        return cache

    def _read(self, prefix: tuple[int, ...]) -> Any:
        from transformers import DynamicCache

        from airtune.models.decoding.kv_cache import PreallocatedLayer

        cache = DynamicCache(config=self._model.config)
        # The same tensors whether or not anything is kept: how they lie in memory might show in the last bits.
        cache.layers = [PreallocatedLayer(len(prefix) + self.block) for _ in cache.layers]
        blocks: OrderedDict[tuple[int, ...], Block] = OrderedDict()
        for end in range(self.block, self.whole(prefix) + 1, self.block):
            key = prefix[:end]
            if (known := self._kept.get(key)) is not None:
                for layer, (keys, values) in zip(cache.layers, known, strict=True):
                    layer.update(keys, values)
            else:
                self._head.states(
                    1,
                    input_ids=torch.tensor([key[-self.block :]], device=self._model.device),
                    past_key_values=cache,
                    use_cache=True,
                )
                known = [self._last(layer) for layer in cache.layers]
            blocks[key] = known
        self._keep(blocks)
        return cache

    def _last(self, layer: Any) -> tuple[Tensor, Tensor]:
        """Copies of the last block's columns."""
        return layer.keys[..., -self.block :, :].clone(), layer.values[..., -self.block :, :].clone()

    def _keep(self, blocks: OrderedDict[tuple[int, ...], Block]) -> None:
        """Remember blocks of a prompt: its first ones longest, without which the others are of no use."""
        for key, block in reversed(blocks.items()):
            self._kept.pop(key, None)
            self._kept[key] = block
        while self.bytes > self._max_bytes:
            self._kept.popitem(last=False)


def _bytes(block: Block) -> int:
    return sum(part.numel() * part.element_size() for layer in block for part in layer)


def check_tokens(setting: str, number: object, least: int, hint: str = "leave it out") -> None:
    """Refuse a setting that is no number of tokens.

    Raises:
        ModelError: Unless it is an integer, `least` or more.
    """
    if type(number) is not int or number < least:
        raise ModelError(
            f"{setting} must be a number of tokens, not {number!r}", value=number,
            allowed=f"{least}, {least + 1}, ...", hint=hint,
        )  # fmt: skip


def read_room(room: int | str | None) -> int:
    """Bytes of 268435456 or "256MiB"; 1 GiB where nothing is said.

    Raises:
        ModelError: If it is no size.
    """
    if room is None:
        return ROOM
    found = re.fullmatch(r"(\d+) ?([KMG]iB)?", str(room), re.ASCII)
    if found is None or isinstance(room, bool):
        raise ModelError(
            f"prefix_cache must be a size, not {room!r}",
            value=room,
            allowed="0, 256MiB, 2GiB, a number of bytes",
        )
    return int(found[1]) << _UNITS[found[2] or ""]
