"""Logits after many beginnings of one answer, in one forward pass: a tree of tokens packed into one sequence.

The prompt is read once. Every pass then takes one sequence that holds each distinct token of the beginnings once, with
the position it would have in its own answer, and a mask by which it sees the prompt, its own ancestors, and nothing
else. No key or value is copied per beginning: fifty answers of five tokens cost what one text of 250 tokens costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from airtune.models.decoding.heads import Head
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
    """

    def __init__(self, model: Any, prompt: Sequence[int], device: torch.device) -> None:
        from transformers import DynamicCache

        self._model, self._device = model, device
        self._window = _window(model)
        # The prompt's last token is the tree's root: what follows it is what an answer may start with.
        self._past, self._root = len(prompt) - 1, int(prompt[-1])
        self._cache = DynamicCache()
        self._head = Head(model)
        self._nodes = min(NODES, max(16, NODES_BY_VOCABULARY // self._head.width))
        if self._past:
            ids = torch.tensor([list(prompt[:-1])], device=device)
            with torch.inference_mode():
                model(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)

    def __call__(
        self, prefixes: Sequence[Tokens], columns: Sequence[NDArray[np.intp]]
    ) -> list[NDArray[np.floating]]:
        """Logits of the columns asked for after each prefix: one array per prefix, as long as its columns."""
        lines: list[NDArray[np.floating] | None] = [None] * len(prefixes)
        order = sorted(
            range(len(prefixes)), key=prefixes.__getitem__
        )  # neighbours share most of their ancestors
        start = 0
        with torch.inference_mode():
            while start < len(order):
                tree = _Tree(self._root)
                stop = start
                while stop < len(order) and (
                    stop == start or tree.size_with(prefixes[order[stop]]) <= self._nodes
                ):
                    tree.add(prefixes[order[stop]])
                    stop += 1
                part = order[start:stop]
                at = [tree.node(prefixes[i]) for i in part]
                for i, line in zip(part, self._read(tree, at, [columns[i] for i in part]), strict=True):
                    lines[i] = line
                start = stop
        return [line for line in lines if line is not None]

    def _read(
        self, tree: _Tree, at: Sequence[int], columns: Sequence[NDArray[np.intp]]
    ) -> list[NDArray[np.floating]]:
        if self._window is not None and self._past + 1 + max(tree.depths) > self._window:
            raise ModelError(
                f"the model attends to the last {self._window} tokens only, and the prompt has {self._past + 1}",
                value=self._past + 1,
                allowed=f"prompt and answer within {self._window} tokens",
                hint="show fewer trials, or use a model without sliding-window attention",
            )
        positions = torch.tensor([tree.depths], device=self._device) + self._past
        arguments = {
            "input_ids": torch.tensor([tree.tokens], device=self._device),
            "attention_mask": self._mask(tree),
            "position_ids": positions,
            "past_key_values": self._cache,
            "use_cache": True,
        }
        states = self._head.states(torch.tensor(at, device=self._device), **arguments)
        lines = self._head.logits(states[0], columns)
        self._cache.crop(-len(tree.tokens))
        return lines

    def _mask(self, tree: _Tree) -> torch.Tensor:
        """(1, 1, nodes, prompt + nodes): 0 where a node sees, the dtype's lowest number where it does not."""
        dtype = self._model.dtype
        sees = torch.from_numpy(tree.ancestors()).to(self._device)
        mask = torch.zeros((1, 1, len(sees), self._past + len(sees)), dtype=dtype, device=self._device)
        mask[0, 0, :, self._past :].masked_fill_(~sees, torch.finfo(dtype).min)
        return mask


class _Tree:
    """Distinct tokens of some prefixes; a parent comes before its children. Node 0 is the root."""

    def __init__(self, root: int) -> None:
        self.tokens, self.depths, self.parents = [root], [0], [0]
        self._children: list[dict[int, int]] = [{}]

    def _walk(self, prefix: Tokens) -> tuple[int, int]:
        """The deepest node there is on the way of a prefix, and how many of its tokens that covers."""
        node = 0
        for n, token in enumerate(prefix):
            child = self._children[node].get(token)
            if child is None:
                return node, n
            node = child
        return node, len(prefix)

    def size_with(self, prefix: Tokens) -> int:
        return len(self.tokens) + len(prefix) - self._walk(prefix)[1]

    def node(self, prefix: Tokens) -> int:
        return self._walk(prefix)[0]

    def add(self, prefix: Tokens) -> None:
        node, known = self._walk(prefix)
        for token in prefix[known:]:
            self._children[node][token] = len(self.tokens)
            self._children.append({})
            self.parents.append(node)
            self.depths.append(self.depths[node] + 1)
            node = len(self.tokens)
            self.tokens.append(token)

    def ancestors(self) -> NDArray[np.bool_]:
        """(nodes, nodes): whether the second is the first or an ancestor of it."""
        sees = np.eye(len(self.tokens), dtype=np.bool_)
        for i in range(1, len(self.tokens)):
            sees[i, : self.parents[i] + 1] |= sees[self.parents[i], : self.parents[i] + 1]
        return sees


def _window(model: Any) -> int | None:
    """The sliding window of a model's attention, if it has one.

    Raises:
        ModelError: If the model's layers are not plain attention: then one token would see what it must not.
    """
    config = model.config.get_text_config()
    attention = getattr(config, "_attn_implementation", None)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    strange = kinds - {"full_attention", "sliding_attention"}
    if attention not in ("sdpa", "eager") or strange:
        raise ModelError(
            f"the distribution of {type(model).__name__} cannot be shown: it needs plain attention",
            value=sorted(strange) or attention,
            allowed="models whose layers are all attention, implemented as sdpa or eager",
            hint="use a Llama-like model",
        )
    window = getattr(config, "sliding_window", None)
    sliding = "sliding_attention" in kinds if getattr(config, "layer_types", None) else True
    return int(window) if window and sliding and getattr(config, "use_sliding_window", True) else None
