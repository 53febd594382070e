"""A cache of keys and values with room for more: transformers' own copies all of them at every step.

Imports transformers, so it is itself imported only where a model is there: the switches of `offline` come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values are the first columns of larger tensors, which a step writes its own columns into.

    Args:
        room: Columns that there is room for once something is read; more is made where it is needed.
    """

    def __init__(self, room: int = 0) -> None:
        super().__init__()
        self.room = room
        self._whole: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, columns: int) -> PreallocatedLayer:
        """A layer that has read so many columns of these tensors, and writes into the others."""
        layer = cls()
        layer.lazy_initialization(keys, values)
        layer._hold((keys, values), columns)
        return layer

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Add the columns of new tokens; see `DynamicLayer.update`."""
        new = key_states, value_states
        if not self.is_initialized:
            self.lazy_initialization(*new)
            self._hold(tuple(part[..., :0, :] for part in new), 0)
        before = self.keys.shape[-2]
        after = before + key_states.shape[-2]
        if after > self._whole[0].shape[-2]:
            room = self.room if after <= self.room else after + after // 2
            self._whole = tuple(_copy(part, room) for part in (self.keys, self.values))
        for whole, part in zip(self._whole, new, strict=True):
            whole[..., before:after, :] = part
        self._hold(self._whole, after)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some of the lines; see `DynamicLayer.batch_select_indices`."""
        if self.is_initialized:
            self._hold(tuple(whole[indices] for whole in self._whole), self.keys.shape[-2])

    def _hold(self, whole: tuple[Tensor, ...], columns: int) -> None:
        self._whole = whole
        self.keys, self.values = (part[..., :columns, :] for part in whole)


def preallocated(layer: Any) -> Any:
    """The layer with room, where it is an ordinary one. What it has read is not written into."""
    if type(layer) is not DynamicLayer:
        return layer
    return PreallocatedLayer.of(layer.keys, layer.values, layer.keys.shape[-2])


def stacked(layers: Sequence[Any]) -> Any:
    """One layer of the lines of several: zeros on the left of those that have read less.

    Args:
        layers: Ordinary ones that have read as much, or layers with room, of one line where nothing is read yet.
    """
    first, *others = sorted(layers, key=lambda layer: -layer.get_seq_length())
    columns = first.get_seq_length()
    if not isinstance(first, PreallocatedLayer):
        for name in ("keys", "values"):
            setattr(layers[0], name, torch.cat([getattr(layer, name) for layer in layers]))
        return layers[0]
    if not columns or not others:
        return first

    def joined(name: str) -> Tensor:
        nothing = getattr(first, name)[:1, :, :0]
        parts = [getattr(layer, name) if layer.is_initialized else nothing for layer in layers]
        pad = nn.functional.pad
        lines = torch.cat([pad(part, (0, 0, columns - part.shape[-2], 0)) for part in parts])
        return _copy(lines, max(columns, *(layer.room for layer in layers)))

    return PreallocatedLayer.of(joined("keys"), joined("values"), columns)


def _copy(part: Tensor, columns: int) -> Tensor:
    """Some columns in a tensor that has more."""
    whole = torch.empty((*part.shape[:-2], columns, part.shape[-1]), dtype=part.dtype, device=part.device)
    whole[..., : part.shape[-2], :] = part
    return whole
