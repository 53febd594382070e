"""The network: an ordinary Llama whose embeddings are trained in factors and written out as plain rows.

A value token's embedding is letter + position, a position being smooth (Fourier) features of the place on the
scale; the output row of a value token depends on the place alone, because the grammar already fixes which
hyperparameter comes next. So 24,000 product tokens are learnt from a few thousand numbers.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from airtune.models.dialects.pocket.codec import (
    BINS,
    CHOICE0,
    CHOICES,
    FIRST_SIZE,
    HEAD_ID,
    KINDS,
    LETTERS,
    SCORE0,
    UNKNOWN_ROLE,
    VALUE0,
)
from airtune.models.dialects.pocket.words import MORE_ROLES, MORE_TOKENS

COMPUTED = (
    "model.embed_tokens.weight",
    "lm_head.weight",
)  # rows of all tokens: from the factors, never trained
# Frequencies up to 24 half-waves resolve about 1/25 of a scale finely; the geometric ones tell neighbours apart.
_FREQUENCIES = (*range(1, 25), 32, 48, 64, 96, 128, 192, 256)


def position_features() -> Tensor:
    """(BINS, 2 + 2 * frequencies) smooth features of every bin's place on [0, 1]."""
    x = torch.linspace(0, 1, BINS, dtype=torch.float64)[:, None]
    angle = x * math.pi * torch.tensor(_FREQUENCIES, dtype=torch.float64)
    scale = 1 / torch.tensor(_FREQUENCIES, dtype=torch.float64).sqrt()  # smooth functions first
    return torch.cat([torch.ones_like(x), 2 * x - 1, angle.cos() * scale, angle.sin() * scale], dim=1).float()


class _HalfProduct(torch.autograd.Function):
    """x @ w.T with factors rounded to bfloat16 and 32-bit sums: twice as fast where the processor can."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x, weight = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x, weight)
        return nn.functional.linear(x, weight).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = grads[0].bfloat16()
        flat = gradient.flatten(0, -2)
        return (gradient @ weight).float(), (flat.T @ x.flatten(0, -2)).float()


class HalfLinear(nn.Linear):
    """A linear layer without bias that multiplies in bfloat16; its weights stay in 32 bits."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        product: Tensor = _HalfProduct.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return product


class Pocket(nn.Module):
    """A Llama body with factored embeddings.

    Args:
        width: Model width d.
        layers: Number of decoder layers.
        heads: Attention heads (head size is width / heads).
        hidden: Width of the gated feed-forward layers.
        half: Multiply in bfloat16 while training.
    """

    def __init__(self, width: int, layers: int, heads: int, hidden: int, half: bool = False) -> None:
        super().__init__()
        from transformers import LlamaConfig, LlamaForCausalLM

        self.config = LlamaConfig(
            vocab_size=FIRST_SIZE + len(MORE_TOKENS), hidden_size=width, intermediate_size=hidden,
            num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads,
            max_position_embeddings=4096, tie_word_embeddings=False, rms_norm_eps=1e-5, attn_implementation="sdpa",
            pad_token_id=HEAD_ID["<pad>"], eos_token_id=HEAD_ID["<eos>"], bos_token_id=None,
        )  # fmt: skip
        self.llama: Any = LlamaForCausalLM(self.config)
        if half:
            for module in self.llama.model.modules():
                if isinstance(module, nn.Linear):
                    module.__class__ = HalfLinear
        # The rows are computed from the factors below, never trained themselves.
        self.llama.model.embed_tokens.weight.requires_grad_(False)
        self.llama.lm_head.weight.requires_grad_(False)
        features = position_features()
        self.features: Tensor
        self.register_buffer("features", features, persistent=False)
        f = features.shape[1]

        def table(rows: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, width) * 0.5)

        self.head_in, self.letter_in, self.choice_in = table(SCORE0), table(len(LETTERS)), table(len(CHOICES))
        self.score_mark = table(1)
        self.value_in = nn.Parameter(torch.randn(f, width) * 0.3)
        self.score_in = nn.Parameter(torch.randn(f, width) * 0.3)
        self.value_out = nn.Parameter(torch.zeros(f, width))
        self.score_out = nn.Parameter(torch.zeros(f, width))
        self.choice_out = nn.Parameter(torch.zeros(len(CHOICES), width))
        self.more_in = table(len(MORE_TOKENS))

    def input_rows(self) -> Tensor:
        """(vocabulary, d) embeddings of all tokens, in the order of their ids."""
        position = self.features @ self.value_in
        return torch.cat(
            [
                self.head_in,
                self.score_mark + self.features @ self.score_in,
                (self.letter_in[:, None] + self.choice_in[None]).flatten(0, 1),
                (self.letter_in[:, None] + position[None]).flatten(0, 1),
                self.more_in,
            ]
        )

    @torch.no_grad()
    def load_release(self, folder: Path) -> None:
        """Take over released weights; the factors are those whose rows are nearest to the released rows.

        Weights of the first alphabet read a new role as an unknown one; what words mean is still to be learnt.
        """
        from safetensors.torch import load_file

        released = load_file(folder / "model.safetensors")
        body = {name: values for name, values in released.items() if name not in COMPUTED}
        self.llama.load_state_dict(body, strict=False)
        rows, out = (released[name].double() for name in COMPUTED)
        if json.loads((folder / "training.json").read_text(encoding="utf-8")).get("alphabet", 1) == 1:
            rows = rows[:FIRST_SIZE]
            kinds = rows[[HEAD_ID[kind] for kind in KINDS]].mean(0, keepdim=True)
            unknown = rows[HEAD_ID[UNKNOWN_ROLE]].expand(len(MORE_ROLES), -1)
            rows = torch.cat([rows, kinds, unknown, self.more_in[1 + len(MORE_ROLES) :].double()])
        letters, choices, features = len(LETTERS), len(CHOICES), self.features.double()

        def smooth(rows: Tensor) -> Tensor:  # of many solutions that fit as well, the smallest
            solution: Tensor = torch.linalg.lstsq(features, rows, rcond=1e-3, driver="gelsd").solution
            return solution

        value = rows[VALUE0:FIRST_SIZE].view(letters, BINS, -1)
        position = smooth(value.mean(0))
        letter = (value - features @ position).mean(1)
        choice = rows[CHOICE0:VALUE0].view(letters, choices, -1)
        found = {
            "head_in": rows[:SCORE0], "letter_in": letter, "choice_in": (choice - letter[:, None]).mean(0),
            "score_mark": torch.zeros_like(rows[:1]), "value_in": position, "score_in": smooth(rows[SCORE0:CHOICE0]),
            "value_out": smooth(out[VALUE0 : VALUE0 + BINS]), "score_out": smooth(out[SCORE0:CHOICE0]),
            "choice_out": out[CHOICE0 : CHOICE0 + choices], "more_in": rows[FIRST_SIZE:],
        }  # fmt: skip
        for name, values in found.items():
            getattr(self, name).copy_(values)

    def output_rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Output rows of positions (BINS, d), choices (CHOICES, d) and scores (BINS, d)."""
        return self.features @ self.value_out, self.choice_out, self.features @ self.score_out

    def states(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Last hidden states (R, L, d) of tokens (R, L) under an attention mask (R, 1, L, L)."""
        embedded = nn.functional.embedding(tokens, self.input_rows())
        output: Any = self.llama.model(
            inputs_embeds=embedded, attention_mask=mask, position_ids=positions, use_cache=False
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    @torch.no_grad()
    def export(self, dtype: torch.dtype = torch.bfloat16) -> Any:
        """A plain `LlamaForCausalLM` in `dtype` that computes what this model computes."""
        from transformers import LlamaForCausalLM

        value, choice, score = self.output_rows()
        letters = len(LETTERS)
        head = torch.cat(
            [
                torch.zeros_like(self.head_in), score, choice.repeat(letters, 1), value.repeat(letters, 1),
                torch.zeros_like(self.more_in),
            ]
        )  # fmt: skip
        plain = LlamaForCausalLM(self.config)
        plain.load_state_dict(self.llama.state_dict())
        plain.model.embed_tokens.weight.copy_(self.input_rows())
        plain.lm_head.weight.copy_(head)
        return plain.to(dtype).eval()
