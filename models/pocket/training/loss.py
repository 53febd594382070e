"""What training minimises, and the same on tables that are not trained on."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from airtune.models.dialects.pocket.codec import BINS, CHOICES
from airtune.models.pocket.training.batch import Batch, attention_mask, encode
from airtune.models.pocket.training.curriculum import by_size
from airtune.models.pocket.training.net import Pocket
from airtune.models.pocket.training.table_episodes import from_tables
from airtune.models.pocket.training.tables import Table

_MAX_LEVELS = 64
_SMOOTHING = 10.0  # bins: targets are Gaussian around the point that was good (a neighbour is nearly as good)
_SHARE = 0.4  # of the step between two of a few values: what a target among them is smoothed by
_SCORE_SMOOTHING = 15.0
_SCORE_WEIGHT = 0.3
_LARGEST = 6  # hyperparameters of the tables that it is measured on
_DEVELOPMENT_BATCHES = 8  # batches that the development loss is the mean of


def _level_masks() -> Tensor:
    """(_MAX_LEVELS + 1, BINS) booleans: the bins that k levels occupy; row 0 (continuous) has all."""
    masks = torch.zeros(_MAX_LEVELS + 1, BINS, dtype=torch.bool)
    masks[0] = True
    for k in range(1, _MAX_LEVELS + 1):
        masks[k, torch.linspace(0, BINS - 1, k).round().long()] = True
    return masks


class Loss(nn.Module):
    """Cross-entropy of smoothed targets: positions and choices to propose, scores to predict.

    Args:
        spread: A target among k values is spread over its share of the scale, and all positions count. Otherwise the k
            values are compared among themselves alone, which says nothing of what lies between them: a header does not
            tell 4 values from 10 or 1,000, so such weights prefer the places that many lists have, ends and thirds.
    """

    def __init__(self, spread: bool = True) -> None:
        super().__init__()
        self.spread = spread
        self.masks: Tensor
        self.bins: Tensor
        self.register_buffer("masks", _level_masks(), persistent=False)
        self.register_buffer("bins", torch.arange(BINS, dtype=torch.float32), persistent=False)

    def _smooth(self, logits: Tensor, target: Tensor, sigma: float, allowed: Tensor | None) -> Tensor:
        distance = (self.bins[None] - target[:, None].float()) / sigma
        weight = torch.exp(-0.5 * distance.square())
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -1e9)
            weight = weight * allowed
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-30)
        return -(weight * logits.log_softmax(1)).sum(1)

    def _density(self, logits: Tensor, target: Tensor, levels: Tensor) -> Tensor:
        """Cross-entropy with a bump that is as high everywhere: a target at an end, where half of it is, counts half.

        So that what is read off at the positions of k values is their probability, whatever k is.
        """
        step = (BINS - 1) / (levels.abs().float() - 1).clamp_min(1)
        sigma = torch.where(levels == 0, _SMOOTHING, (_SHARE * step).clamp_min(_SMOOTHING))[:, None]
        weight = torch.exp(-0.5 * ((self.bins[None] - target[:, None].float()) / sigma).square())
        return -(weight / (sigma * math.sqrt(2 * math.pi)) * logits.log_softmax(1)).sum(1)

    def forward(self, model: Pocket, batch: Batch, hidden: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss to minimise, and its parts in nats for the log."""
        h = hidden.flatten(0, 1)[batch.where].float()
        value_rows, choice_rows, score_rows = model.output_rows()
        total, parts = h.new_zeros(()), {}
        for kind, name in enumerate(("position", "choice", "score")):
            chosen = batch.kind == kind
            if not bool(chosen.any()):
                continue
            x, target, levels = h[chosen], batch.target[chosen], batch.levels[chosen]
            if kind == 0 and self.spread:
                each = self._density(x @ value_rows.T, target, levels)
            elif kind == 0:
                each = self._smooth(
                    x @ value_rows.T, target, _SMOOTHING, self.masks[levels.clamp(0, _MAX_LEVELS)]
                )
            elif kind == 1:
                beyond = torch.arange(len(CHOICES), device=x.device)[None] >= levels[:, None]
                logits = (x @ choice_rows.T).masked_fill(beyond, -1e9)
                each = nn.functional.cross_entropy(logits, target, reduction="none")
            else:
                each = self._smooth(x @ score_rows.T, target, _SCORE_SMOOTHING, None)
            total = total + each.sum() * (_SCORE_WEIGHT if kind == 2 else 1.0)
            parts[name] = float(each.detach().mean())
        return total / len(batch.where), parts


@torch.no_grad()
def development_loss(
    model: Pocket,
    loss_of: Loss,
    tables: dict[str, list[Table]],
    device: str,
    alphabet: int = 1,
    batches: int = _DEVELOPMENT_BATCHES,
    largest: int = _LARGEST,
) -> float:
    """Nats per proposed position on tables that are not trained on, row by row: the same batches at every call.

    They are the same in both alphabets, but for what the headers say.

    The training loss alone does not tell what was learnt from what was learnt by heart.
    """
    parts, sized = [], by_size(tables)
    for i in range(batches):
        rng = np.random.default_rng([2**20, i])
        size = int(rng.choice([p for p in sorted(sized) if p <= largest]))
        groups = [sized[size][i] for i in rng.integers(len(sized[size]), size=24)]
        some = [group[rng.integers(len(group))] for group in groups]
        batch = encode(rng, from_tables(rng, some, 12, rng.integers(0, 13, size=24), alphabet=alphabet))
        batch = batch.to(device)
        hidden = model.states(batch.tokens, batch.positions, attention_mask(batch.group))
        parts.append(loss_of(model, batch, hidden)[1].get("position", math.nan))
    return float(np.nanmean(parts))
