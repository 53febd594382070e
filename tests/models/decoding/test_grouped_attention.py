"""Attention without copies of keys for each query head: the same numbers, and in use."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.integrations import sdpa_attention

from airtune.models import load_model
from airtune.models.backends.determinism import probes
from airtune.models.decoding import grouped_attention
from airtune.models.decoding.grouped_attention import grouped_sdpa
from airtune.models.decoding.heads import GROUPED
from airtune.models.tiny import chat_tokenizer, save_random_llama


def drawn(new: int, heads: int = 6, keys: int = 2) -> tuple[Any, Tensor, Tensor, Tensor, Tensor]:
    """A layer, queries, keys, values, and a mask whose lines are padded differently."""
    torch.manual_seed(new)
    tokens = 20 + new
    query = torch.randn(3, heads, new, 8)
    key, value = torch.randn(3, keys, tokens, 8), torch.randn(3, keys, tokens, 8)
    seen = torch.arange(tokens) >= torch.tensor([0, 4, 9])[:, None]
    before = torch.arange(tokens) <= 20 + torch.arange(new)[:, None]
    layer = SimpleNamespace(num_key_value_groups=heads // keys, is_causal=True)
    return layer, query, key, value, (seen[:, None, :] & before)[:, None]


@pytest.mark.parametrize("new", [1, 2, 7, 64])
@pytest.mark.parametrize("additive", [False, True])
def test_the_numbers_are_those_of_transformers(
    new: int, additive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new token has its own mask: one line of the mask for all of a group fails here."""
    layer, query, key, value, mask = drawn(new)
    if additive:
        mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    wanted, _ = sdpa_attention.sdpa_attention_forward(layer, query, key, value, mask, scaling=0.3)
    monkeypatch.setattr(sdpa_attention, "repeat_kv", None)
    found, weights = grouped_sdpa(layer, query, key, value, mask, scaling=0.3)
    assert found.shape == (3, new, 6, 8)
    assert weights is None
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("heads", "keys"), [(6, 6), (6, 2)])
def test_what_is_not_grouped_goes_to_transformers(
    heads: int, keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, query, key, value, mask = drawn(5, heads, keys)
    called = []
    monkeypatch.setattr(grouped_attention, "sdpa_attention_forward", lambda *a, **k: called.append(a[4]))
    grouped_sdpa(layer, query, key, value, None)
    grouped_sdpa(layer, query, key, value, mask.expand(3, heads, 5, 25))  # one for each head
    if heads == keys:
        grouped_sdpa(layer, query, key, value, mask)
    assert len(called) == 2 + (heads == keys)


def test_a_model_that_shares_keys_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step of a study copies keys and values, and its answers are those with copies."""
    checkpoint = save_random_llama(tmp_path / "m", chat_tokenizer("llama3"), width=64)
    model: Any = load_model(checkpoint, "transformers", prefix_block=32)
    copying: Any = load_model(checkpoint, "transformers", prefix_block=32)
    assert model.model.config._attn_implementation == GROUPED
    requests = probes(model)
    copying.model.set_attn_implementation("sdpa")
    copied = [answer.text for answer in copying.generate(requests)]
    monkeypatch.setattr(sdpa_attention, "repeat_kv", None)
    assert [answer.text for answer in model.generate(requests)] == copied


def test_pocket_is_left_as_it_is() -> None:
    model: Any = load_model("pocket")
    assert model.model.config._attn_implementation == "sdpa"
