"""Many answers to few prompts: every prompt is kept once, and its answers branch off it.

A forward pass has one line per prompt. The new tokens of all its answers stand side by side in it, each with the
position that it has in its own answer, and a mask by which it sees the prompt, what came before it in its own answer,
and nothing else. A copy of the prompt's keys and values for each answer, made again at every step, costs several times
what a small model itself does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from airtune.models.decoding.heads import Head

# Answers in one line: what a token may see, and so its work, grows with the tokens of the others.
ANSWERS = 64
PROMPT, PADDING = -1, -2  # owners of columns that no answer owns


@dataclass(frozen=True, slots=True)
class Branch:
    """What one answer brings to a forward pass.

    Attributes:
        line: Its prompt's line.
        answer: Which of the prompt's answers it is: 0, 1, 2, ...
        tokens: New token ids, at least one.
        position: The first one's position.
    """

    line: int
    answer: int
    tokens: Sequence[int]
    position: int


class Branches:
    """See the module's docstring.

    Args:
        head: Of a decoder of transformers whose layers are all plain attention.
        cache: Keys and values of the prompts, one line each.
        seen: (lines, longest) 1 where a prompt has a token, 0 where it has padding.
        dtype: The model's.
    """

    def __init__(self, head: Head, cache: Any, seen: torch.Tensor, dtype: torch.dtype) -> None:
        from airtune.models.decoding.kv_cache import (
            preallocated,  # imports transformers, which must come after `stay_offline`
        )

        self._head, self._cache, self._device, self._dtype = head, cache, seen.device, dtype
        cache.layers = [preallocated(layer) for layer in cache.layers]
        self._owner: NDArray[np.int64] = np.where(seen.cpu().numpy() > 0, PROMPT, PADDING)

    def read(self, branches: Sequence[Branch]) -> torch.Tensor:
        """States (branches, width) after the last new token of each: see `Head.states`."""
        width = max(len(branch.tokens) for branch in branches)
        place: list[int] = []  # of each branch among those of its line
        count = [0] * len(self._owner)
        for branch in branches:
            place.append(count[branch.line])
            count[branch.line] += 1
        shape = (len(self._owner), width * max(count))
        ids, positions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        owner = np.full(shape, PADDING)
        for branch, at in zip(branches, place, strict=True):
            end, n = width * (at + 1), len(branch.tokens)
            ids[branch.line, end - n : end] = branch.tokens
            positions[branch.line, end - n : end] = np.arange(branch.position, branch.position + n)
            owner[branch.line, end - n : end] = branch.answer
        mask = self._mask(owner)
        last = torch.arange(width - 1, shape[1], width, device=self._device)
        states = self._head.states(
            last,
            input_ids=torch.from_numpy(ids).to(self._device),
            attention_mask=mask,
            position_ids=torch.from_numpy(positions).to(self._device),
            past_key_values=self._cache,
            use_cache=True,
        )
        return states[[branch.line for branch in branches], place]

    def _mask(self, owner: NDArray[np.int64]) -> torch.Tensor:
        """(lines, 1, new, all columns): 0 where a token sees, the dtype's lowest number where it does not."""
        before = self._owner
        self._owner = np.concatenate([before, owner], axis=1)
        sees = (self._owner[:, None] == PROMPT) | (self._owner[:, None] == owner[:, :, None])
        new = owner.shape[1]
        sees[:, :, before.shape[1] :] &= np.tri(new, dtype=np.bool_)
        mask = torch.zeros(sees.shape, dtype=self._dtype, device=self._device)
        mask.masked_fill_(~torch.from_numpy(sees).to(self._device), torch.finfo(self._dtype).min)
        return mask[:, None]
