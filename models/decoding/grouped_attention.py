"""Attention in which the queries that share a head of keys are rows of one product.

Of models with fewer heads of keys and values than of queries (grouped-query attention, Ainslie et al. 2023),
transformers copies keys and values for every query head wherever there is a mask and more than one new token. With
forced tokens nearly every step of ours is one of these, and the copies take longer than the products.

Imports transformers, so it is itself imported only where a model is there: the switches of `offline` come first.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from airtune.models.decoding.heads import GROUPED, PLAIN

# Rows of a product, at most: of more, as where a prompt is read whole, the copies are a small part of the work.
_ROWS = 1024


def group_queries(model: Any) -> None:
    """Have a decoder of transformers attend so, if it is on a CPU, of a known kind, and shares heads of keys.

    Elsewhere nothing was measured.
    """
    config = model.config.get_text_config()
    known = type(model).__name__ in PLAIN and config._attn_implementation == "sdpa"
    if known and model.device.type == "cpu" and config.num_key_value_heads < config.num_attention_heads:
        model.set_attn_implementation(GROUPED)


def grouped_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """See the module's docstring; as transformers' `sdpa_attention_forward`.

    Args:
        module: The layer.
        query: (lines, heads, new tokens, width).
        key: (lines, heads of keys, tokens, width).
        value: The same shape.
        attention_mask: (lines, 1, new tokens, tokens), or None.
        settings: Among them `scaling`.

    Returns:
        (lines, new tokens, heads, width), and no attention weights.
    """
    lines, heads, new, width = query.shape
    groups = heads // key.shape[1]
    if groups == 1 or attention_mask is None or attention_mask.shape[1] != 1 or groups * new > _ROWS:
        copied: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **settings
        )
        return copied
    found = nn.functional.scaled_dot_product_attention(
        query.reshape(lines, key.shape[1], groups * new, width),
        key,
        value,
        attn_mask=attention_mask.repeat(1, 1, groups, 1),
        scale=settings.get("scaling"),
    )
    return found.reshape(lines, heads, new, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED, grouped_sdpa)
AttentionMaskInterface.register(GROUPED, sdpa_mask)
