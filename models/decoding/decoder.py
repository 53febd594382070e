"""The batched mask loop: answers to many prompts, one forward pass per round for all rows that are still open.

A row brings the token it drew last and whatever the grammar forces after it, so forced tokens cost no round of their
own; rows with fewer tokens are padded on the left, and every position that is padding is masked for good. Prompts that
are equal are read once; with a cache of prefixes, what it reads of them comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airtune.models.decoding.heads import Attention, Head
from airtune.models.decoding.prefix_cache import PrefixCache
from airtune.models.decoding.row import Row, draw_next
from airtune.models.decoding.shared_prefix import ANSWERS, Branches


class Decoder:
    """See the module's docstring.

    Args:
        model: A decoder of transformers.
        fast_forward: Whether tokens that are forced as bytes are taken in the tokenizer's own spelling.
        max_batch_tokens: Prompt tokens (padding included) in one forward pass of the prefill.
        prefixes: Reads the beginnings of prompts; None reads prompts whole.

    Attributes:
        sliding: Whether a layer's attention is a sliding window. It counts places in the cache, padding included, so
            rows that bring different numbers of tokens to a step would see fewer: such a model's rows go alone.
        branching: Whether the model takes masks of our own, in every layer, so that answers can share a prompt.
    """

    def __init__(
        self, model: Any, *, fast_forward: bool, max_batch_tokens: int, prefixes: PrefixCache | None = None
    ) -> None:
        self._model, self._device = model, model.device
        self._head = Head(model)
        self._fast_forward, self._max_batch_tokens = fast_forward, max_batch_tokens
        self._prefixes = prefixes
        attention = Attention.of(model)
        self.sliding = attention.window is not None
        self.branching = attention.plain and not self.sliding

    def complete(self, rows: Sequence[Row], alone: bool = False) -> None:
        """Fill in the answers of open rows, in one batch or, asked or where a batch would change them, one by one."""
        batches = [[row] for row in rows] if alone or self.sliding else [list(rows)] if rows else []
        for batch in batches:
            prefixes = [row.prefix() for row in batch]
            if self.branching and len(set(prefixes)) < len(batch):
                self._branches(batch, prefixes)
            else:
                self._copies(batch, prefixes)

    def _draw(self, rows: Sequence[Row], states: Tensor) -> list[int]:
        """Take what is drawn, and what it forces, in each row; which of them are still open."""
        for mine, allowed, logits in self._head.groups(states, [row.matcher.allowed() for row in rows]):
            draw_next([rows[i] for i in mine], allowed, logits)
        for row in rows:
            row.take_forced(self._fast_forward)
        return [i for i, row in enumerate(rows) if not row.done]

    def _copies(self, rows: list[Row], prefixes: list[tuple[int, ...]]) -> None:
        """Every row has its own keys and values."""
        states, cache, seen = self._prefill(prefixes)
        while keep := self._draw(rows, states):
            if len(keep) < len(rows):
                index = torch.tensor(keep, device=self._device)
                cache.batch_select_indices(index)
                seen = seen[index]
                rows = [rows[i] for i in keep]
            states, seen = self._step(rows, cache, seen)

    def _branches(self, rows: list[Row], prefixes: list[tuple[int, ...]]) -> None:
        """The same where rows share prompts, which are then kept once: see `airtune.models.decoding.shared_prefix`."""
        count: Counter[tuple[int, ...]] = Counter()
        places: list[tuple[tuple[int, ...], int]] = []
        for prefix in prefixes:
            places.append((prefix, count[prefix] // ANSWERS))
            count[prefix] += 1
        line_of = {place: i for i, place in enumerate(dict.fromkeys(places))}
        lines = [line_of[place] for place in places]
        states, cache, seen = self._prefill([prefix for prefix, _ in line_of])
        branches = Branches(self._head, cache, seen, self._model.dtype)
        states = states[torch.tensor(lines, device=self._device)]
        left = list(range(len(rows)))
        while keep := self._draw([rows[i] for i in left], states):
            left = [left[i] for i in keep]
            states = branches.read([rows[i].read(lines[i], i) for i in left])

    def _step(self, rows: Sequence[Row], cache: Any, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Read every row's new tokens: states (rows, width) after the last, and the grown attention mask."""
        new = [row.read(i, i) for i, row in enumerate(rows)]
        width = max(len(branch.tokens) for branch in new)
        return self._forward([(branch.tokens, branch.position) for branch in new], width, cache, seen)

    def _forward(
        self, new: Sequence[tuple[Sequence[int], int]], width: int, cache: Any, seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Read each line's new tokens, at most `width`, of which the first one's position is given; see `_step`."""
        ids = np.zeros((len(new), width), dtype=np.int64)
        real, positions = np.zeros_like(ids), np.zeros_like(ids)
        for i, (tokens, position) in enumerate(new):
            n = len(tokens)
            ids[i, width - n :] = tokens
            real[i, width - n :] = 1
            positions[i, width - n :] = np.arange(position, position + n)
        seen = torch.cat([seen, torch.from_numpy(real).to(self._device)], dim=1)
        states = self._head.states(
            1,
            input_ids=torch.from_numpy(ids).to(self._device),
            attention_mask=seen,
            position_ids=torch.from_numpy(positions).to(self._device),
            past_key_values=cache,
            use_cache=True,
        )
        return states[:, -1], seen

    def _prefill(self, prefixes: Sequence[tuple[int, ...]]) -> tuple[Tensor, Any, Tensor]:
        """Read every row's prompt and forced start, equal ones once.

        Returns:
            States (rows, width) after each prefix, the key-value cache, the attention mask (rows, longest).
        """
        from transformers import DynamicCache

        from airtune.models.decoding.kv_cache import stacked

        unique = list(dict.fromkeys(prefixes))
        before = [self._prefixes.whole(prefix) if self._prefixes else 0 for prefix in unique]
        rest = max(len(prefix) - n for prefix, n in zip(unique, before, strict=True))
        chunk = max(1, self._max_batch_tokens // rest)
        states, masks, caches = [], [], []
        for start in range(0, len(unique), chunk):
            part, lengths = unique[start : start + chunk], np.array(before[start : start + chunk])
            cache = self._prefixes.read(part) if self._prefixes else DynamicCache(config=self._model.config)
            most = lengths.max()
            seen = torch.from_numpy((np.arange(most) >= most - lengths[:, None]).astype(np.int64))
            new = [(prefix[n:], n) for prefix, n in zip(part, lengths.tolist(), strict=True)]
            last, mask = self._forward(new, rest, cache, seen.to(self._device))
            states.append(last)
            masks.append(mask)
            caches.append(cache)
        cache, seen = caches[0], masks[0]
        if len(caches) > 1:
            cache.layers = [stacked(layers) for layers in zip(*(c.layers for c in caches), strict=True)]
            most = max(mask.shape[1] for mask in masks)
            seen = torch.cat([nn.functional.pad(mask, (most - mask.shape[1], 0)) for mask in masks])
        if len(unique) == len(prefixes):
            return torch.cat(states), cache, seen
        line_of = {prefix: i for i, prefix in enumerate(unique)}
        index = torch.tensor([line_of[prefix] for prefix in prefixes], device=self._device)
        cache.batch_select_indices(index)
        return torch.cat(states)[index], cache, seen[index]
