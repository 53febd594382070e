"""Episodes as token tensors: one shared history per row, and branches that continue it without seeing each other."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from airtune.models.dialects.pocket.codec import (
    BINS,
    CHOICE0,
    CHOICES,
    HEAD_ID,
    LETTERS,
    SCORE0,
    VALUE0,
    scores,
)
from airtune.models.pocket.training.episodes import PROPOSALS, QUERIES, Episodes

Ints: TypeAlias = NDArray[Any]


@dataclass(slots=True)
class Batch:
    """What one optimiser step reads. R rows, L positions, S supervised positions in all.

    Attributes:
        tokens: (R, L) token ids.
        positions: (R, L) position ids; every branch continues at its history's length.
        group: (R, L) 0 for the history, 1, 2, ... for branches, -1 for padding.
        where: (S,) indices into the flattened (R * L) positions whose next token is supervised.
        target: (S,) the bin (or choice) it should be.
        levels: (S,) 0 for a continuous target, k for one of k levels on the scale, -k if they are uneven.
        kind: (S,) 0 a position, 1 a choice, 2 a score.
    """

    tokens: Tensor
    positions: Tensor
    group: Tensor
    where: Tensor
    target: Tensor
    levels: Tensor
    kind: Tensor

    def to(self, device: str) -> Batch:
        """The batch on a device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def encode(rng: np.random.Generator, e: Episodes) -> Batch:
    """Turn episodes into a batch; letters are the first ones in half of the rows, any ascending ones in the rest."""
    b, n, p = e.points.shape
    letters = np.tile(np.arange(p), (b, 1))
    spread = np.sort(rng.permuted(np.tile(np.arange(len(LETTERS)), (b, 1)), axis=1)[:, :p], axis=1)
    letters = np.where(rng.uniform(size=(b, 1)) < 0.5, letters, spread)

    def bins(u: NDArray[Any]) -> Ints:  # (b, k, p) positions -> bins or choices
        choice = np.minimum(
            np.floor(u * np.maximum(e.levels, 1)[:, None]), np.maximum(e.levels, 1)[:, None] - 1
        )
        position = np.rint(u.clip(0, 1) * (BINS - 1))
        return np.asarray(np.where(e.categorical[:, None], choice, position), dtype=np.int64)

    def ids(code: Ints) -> Ints:
        choice = CHOICE0 + letters[:, None] * len(CHOICES) + code
        return np.asarray(np.where(e.categorical[:, None], choice, VALUE0 + letters[:, None] * BINS + code))

    # Trials are told worst first, failures before all: the best one stands next to the answer.
    present: NDArray[Any] = ~np.isnan(e.losses)
    finite = np.where(np.isfinite(e.losses), e.losses, np.nan).astype(np.float64)
    any_finite: NDArray[Any] = np.asarray((~np.isnan(finite)).any(1))
    reference = np.where(any_finite[:, None], finite, 0.0)
    with np.errstate(invalid="ignore"):
        score = scores(np.where(np.isfinite(e.losses), e.losses, 0.0).astype(np.float64), reference)
    score_ids = np.where(np.isinf(e.losses), HEAD_ID["=!"], SCORE0 + score)
    order = np.argsort(-np.where(present, e.losses, -np.inf), axis=1, kind="stable")
    present, score_ids = np.take_along_axis(present, order, 1), np.take_along_axis(score_ids, order, 1)
    points = np.take_along_axis(e.points, order[:, :, None], 1)
    active = np.take_along_axis(e.active, order[:, :, None], 1)

    header, header_keep = _headers(e, letters, ids(bins(e.default[:, None]))[:, 0])
    trials = np.concatenate([ids(bins(points)), score_ids[:, :, None]], axis=2).reshape(b, n * (p + 1))
    trials_keep = np.concatenate([active & present[:, :, None], present[:, :, None]], axis=2).reshape(
        b, n * (p + 1)
    )
    columns, keeps = [header, trials], [header_keep, trials_keep]
    groups = [np.zeros((b, header.shape[1] + n * (p + 1)), dtype=np.int64)]
    # Supervision is kept beside the token that precedes the target: (target, levels, kind), -1 for none.
    nothing = np.full((*groups[0].shape, 3), -1, dtype=np.int64)
    supervision = [nothing]

    proposals, queries = bins(e.proposals), bins(e.queries)
    for k in range(PROPOSALS):
        on = e.proposal_active[:, k]
        columns += [np.full((b, 1), HEAD_ID[">"]), ids(proposals[:, k : k + 1])[:, 0]]
        keeps.append(np.concatenate([np.ones((b, 1), dtype=bool), on], axis=1))
        groups.append(np.full((b, p + 1), 1 + k))
        facts = np.stack([proposals[:, k], e.levels, e.categorical.astype(np.int64)], axis=2)
        facts = np.where(on[:, :, None], facts, -1)
        # The next *active* hyperparameter's token is what each active token (or the mark) is followed by.
        following = np.full((b, p + 1, 3), -1, dtype=np.int64)
        upcoming = np.full((b, 3), -1, dtype=np.int64)
        for j in range(p, 0, -1):
            following[:, j] = upcoming
            upcoming = np.where(on[:, j - 1, None], facts[:, j - 1], upcoming)
        following[:, 0] = upcoming
        supervision.append(following)
    query_score = scores(e.query_losses.astype(np.float64), reference)
    for k in range(QUERIES):
        on = e.query_active[:, k]
        columns += [np.full((b, 1), HEAD_ID["?"]), ids(queries[:, k : k + 1])[:, 0]]
        keeps.append(np.concatenate([np.ones((b, 1), dtype=bool), on], axis=1))
        groups.append(np.full((b, p + 1), 1 + PROPOSALS + k))
        asked = np.full((b, p + 1, 3), -1, dtype=np.int64)
        last = p - on[:, ::-1].argmax(1)
        asked[np.arange(b), last] = np.stack(
            [query_score[:, k], np.zeros(b, np.int64), np.full(b, 2)], axis=1
        )
        supervision.append(np.where(any_finite[:, None, None], asked, -1))

    tokens, keep = np.concatenate(columns, 1), np.concatenate(keeps, 1)
    group, facts = np.concatenate(groups, 1), np.concatenate(supervision, 1)
    # Squeeze out what is absent: kept positions first, in order.
    index = np.argsort(~keep, axis=1, kind="stable")[:, : keep.sum(1).max()]
    tokens, keep, group = (np.take_along_axis(x, index, 1) for x in (tokens, keep, group))
    facts = np.take_along_axis(facts, index[:, :, None], 1)
    group, tokens = np.where(keep, group, -1), np.where(keep, tokens, HEAD_ID["<pad>"])
    history = (group == 0).sum(1, keepdims=True)
    start = np.zeros_like(group)
    for g in range(1, 1 + PROPOSALS + QUERIES):
        first = (group == g).argmax(1)[:, None]
        start = np.where(group == g, first, start)
    column = np.arange(tokens.shape[1])
    positions = np.where(group > 0, history + column - start, np.where(group == 0, column, 0))
    flat = facts.reshape(-1, 3)
    where = np.flatnonzero((flat[:, 0] >= 0) & keep.reshape(-1))
    chosen = flat[where]
    tensors = (tokens, positions, group, where, chosen[:, 0], chosen[:, 1], chosen[:, 2])
    return Batch(*(torch.from_numpy(np.ascontiguousarray(t)) for t in tensors))


def _headers(e: Episodes, letters: Ints, default: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Ids of the headers with their defaults (b, p) and the mark that ends them, and which of them are there."""
    b, p, called = e.words.shape
    choices = CHOICE0 + letters[:, :, None] * len(CHOICES) + np.arange(called)
    pairs = np.stack([choices, e.words], axis=3).reshape(b, p, 2 * called)  # each before what it is called
    ids = np.concatenate([e.header, pairs, default[:, :, None]], axis=2).reshape(b, -1)
    there = np.ones((b, p, 5 + 2 * called), dtype=bool)
    there[:, :, 4:-1] = np.repeat(e.words >= 0, 2, axis=2)
    mark = np.full((b, 1), HEAD_ID[";"])
    return (
        np.concatenate([e.budget, ids, mark], axis=1),
        np.concatenate([e.budget >= 0, there.reshape(b, -1), mark >= 0], axis=1),
    )


def attention_mask(group: Tensor) -> Tensor:
    """(R, 1, L, L) booleans: a position sees its history and its own branch up to itself."""
    length = group.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=group.device).tril()
    same = (group[:, None, :] == 0) | (group[:, None, :] == group[:, :, None])
    itself = torch.eye(length, dtype=torch.bool, device=group.device)  # padding must attend to something
    return ((same & causal) | itself)[:, None]
