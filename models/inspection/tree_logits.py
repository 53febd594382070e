"""Logits after many prefixes of one answer, in one forward pass: a tree of tokens in one sequence.

The prompt is read once. Every pass then takes one sequence that holds each distinct token of the prefixes once, with
the position it would have in its own answer, and a mask by which it sees the prompt, its own ancestors, and nothing
else. No key or value is copied per prefix: fifty answers of five tokens cost what one text of 250 tokens costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from airtune.models.decoding.heads import Attention, Head
from airtune.models.decoding.prefix_cache import PrefixCache
from airtune.models.types import ModelError

Tokens = tuple[int, ...]
# Nodes of one pass: their mask has NODES x (prompt + NODES) entries, and the logits of a large vocabulary
# NODES_BY_VOCABULARY / vocabulary rows.
NODES = 2048
NODES_BY_VOCABULARY = 1 << 26


class TreeLogits:
    """See the module's docstring.

    Args:
        model: A decoder of transformers.
        prompt: Token ids, at least one.
        device: Where the model is.
        prefixes: Reads the prompt's beginning; None reads all of it here.

    Raises:
        ModelError: If the model's layers are not plain attention.
    """

    def __init__(
        self, model: Any, prompt: Sequence[int], device: torch.device, prefixes: PrefixCache | None = None
    ) -> None:
        from transformers import DynamicCache

        self._model, self._device = model, device
        attention = Attention.of(model)
        if not attention.plain:  # then one token would see what it must not
            raise ModelError(
                f"the distribution of {type(model).__name__} cannot be shown: it needs plain attention",
                value=type(model).__name__,
                allowed="models whose layers are all attention, implemented as sdpa or eager",
                hint="use a Llama-like model",
            )
        self._window = attention.window
        # The prompt's last token is the tree's root: what follows it is what an answer may start with.
        self._past, self._root = len(prompt) - 1, int(prompt[-1])
        self._head = Head(model)
        self._nodes = min(NODES, max(16, NODES_BY_VOCABULARY // self._head.width))
        with torch.inference_mode():
            self._cache = DynamicCache() if prefixes is None else prefixes.read([tuple(prompt)])
            rest = list(prompt[0 if prefixes is None else prefixes.whole(prompt) : -1])
            if rest:
                ids = torch.tensor([rest], device=device)
                model(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)

    def __call__(self, prefixes: Sequence[Tokens], columns: Sequence[NDArray[np.intp]]) -> list[NDArray[Any]]:
        """Logits of the columns asked for after each prefix: one array per prefix, as long as its columns."""
        found: dict[int, NDArray[Any]] = {}
        tree: dict[Tokens, int] = {(): 0}  # nodes by their path; a parent comes before its children
        part: list[int] = []
        for i in sorted(range(len(prefixes)), key=prefixes.__getitem__):  # neighbours share most ancestors
            paths = [prefixes[i][:n] for n in range(1, len(prefixes[i]) + 1)]
            if part and len(tree) + sum(path not in tree for path in paths) > self._nodes:
                found.update(self._read(tree, part, prefixes, columns))
                tree, part = {(): 0}, []
            for path in paths:
                tree.setdefault(path, len(tree))
            part.append(i)
        if part:
            found.update(self._read(tree, part, prefixes, columns))
        return [found[i] for i in range(len(prefixes))]

    def _read(
        self,
        tree: dict[Tokens, int],
        part: Sequence[int],
        prefixes: Sequence[Tokens],
        columns: Sequence[NDArray[np.intp]],
    ) -> dict[int, NDArray[Any]]:
        """One forward pass: the logits after some of the prefixes, by number."""
        depths = [len(path) for path in tree]
        if self._window is not None and self._past + 1 + max(depths) > self._window:
            raise ModelError(
                f"the model attends to the last {self._window} tokens only, and the prompt has {self._past + 1}",
                value=self._past + 1,
                allowed=f"prompt and answer within {self._window} tokens",
                hint="show fewer trials, or use a model without sliding-window attention",
            )
        tokens = [path[-1] if path else self._root for path in tree]
        with torch.inference_mode():
            states = self._head.states(
                torch.tensor([tree[prefixes[i]] for i in part], device=self._device),
                input_ids=torch.tensor([tokens], device=self._device),
                attention_mask=self._mask(tree),
                position_ids=torch.tensor([depths], device=self._device) + self._past,
                past_key_values=self._cache,
                use_cache=True,
            )
            lines = self._head.logits(states[0], [columns[i] for i in part])
            self._cache.crop(-len(tokens))
        return dict(zip(part, lines, strict=True))

    def _mask(self, tree: dict[Tokens, int]) -> torch.Tensor:
        """(1, 1, nodes, prompt + nodes): 0 where a node sees, the dtype's lowest number where it does not."""
        sees = np.eye(len(tree), dtype=np.bool_)
        for path, node in tree.items():
            if path:
                sees[node] |= sees[tree[path[:-1]]]
        dtype = self._model.dtype
        mask = torch.zeros((1, 1, len(sees), self._past + len(sees)), dtype=dtype, device=self._device)
        unseen = torch.from_numpy(~sees).to(self._device)
        mask[0, 0, :, self._past :].masked_fill_(unseen, torch.finfo(dtype).min)
        return mask
