"""A cache of keys and values with room for more: transformers' own copies all of them at every step.

Imports transformers, so it is itself imported only where a model is there: the switches of `offline` come first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values are the first columns of larger tensors, which a step writes its own columns into.

    Args:
        layer: What has been read so far.
    """

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self.keys, self.values = layer.keys, layer.values
        self._whole = self.keys, self.values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Add the columns of new tokens; see `DynamicLayer.update`."""
        before = self.keys.shape[-2]
        after = before + key_states.shape[-2]
        if after > self._whole[0].shape[-2]:
            self._whole = _copy(self.keys, after), _copy(self.values, after)
        for whole, new in zip(self._whole, (key_states, value_states), strict=True):
            whole[..., before:after, :] = new
        self.keys, self.values = (whole[..., :after, :] for whole in self._whole)
        return self.keys, self.values


def preallocated(layer: Any) -> Any:
    """The layer with room, where it is an ordinary one; it must not be cropped or reordered afterwards."""
    return PreallocatedLayer(layer) if type(layer) is DynamicLayer else layer


def _copy(part: Tensor, columns: int) -> Tensor:
    """Some columns in a tensor that has half as many again as are needed."""
    shape = (*part.shape[:-2], columns + columns // 2, part.shape[-1])
    whole = torch.empty(shape, dtype=part.dtype, device=part.device)
    whole[..., : part.shape[-2], :] = part
    return whole
