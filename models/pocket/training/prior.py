"""Episodes on functions drawn from a prior over response surfaces."""

from __future__ import annotations

import numpy as np

from airtune.models.dialects.pocket.codec import CHOICES, HEAD_ID, KINDS, range_token
from airtune.models.dialects.pocket.words import BUDGETS
from airtune.models.pocket.training.episodes import (
    BORROWED_FUNCTIONS,
    CHOICES_CALLED,
    Episodes,
    Headers,
    budget_ids,
    episodes_of,
    random_roles,
    random_words,
    simulate,
)
from airtune.models.pocket.training.functions import Bools, Floats, Functions, Ints, snap_to_levels


def synthetic(
    rng: np.random.Generator, b: int, p: int, n: int, length: Ints, *, borrow: bool = False, alphabet: int = 1
) -> Episodes:
    """Episodes on functions drawn from the prior.

    Args:
        rng: The only source of randomness.
        b: Episodes.
        p: Hyperparameters.
        n: Room for trials.
        length: (b,), trials of each history, <= n.
        borrow: Whether some of them have borrowed names; all are unknown otherwise.
        alphabet: In which the headers are written; in the second one, borrowed choices and lengths of training, too.
    """
    kind = rng.choice(6, size=(b, p), p=[0.3, 0.3, 0.12, 0.1, 0.04, 0.14])  # order of KINDS
    plain = rng.uniform(size=(b, 1)) < 0.5
    kind = np.where(plain, rng.integers(2, size=(b, p)), kind)  # half of the spaces: floats only
    categorical = kind == KINDS.index("C")
    few = np.minimum(np.exp(rng.uniform(np.log(2), np.log(12), size=(b, p))).astype(np.int64), len(CHOICES))
    many = np.exp(rng.uniform(np.log(2), np.log(64), size=(b, p))).astype(np.int64)
    levels = np.where(kind >= 4, few, np.where(kind == 2, many, 0))
    function = Functions(rng, b, p, levels, categorical)

    # Conditional spaces: a discrete parent switches some later hyperparameters off below half of its values.
    parent = np.where((levels[:, 0] > 0) & (rng.uniform(size=b) < 0.8), 0, -1)
    child = (rng.uniform(size=(b, p)) < 0.4) & (np.arange(p) > 0) & (parent[:, None] == 0)

    def activity(u: Floats) -> Bools:
        return np.asarray(~(child[:, None, :] & (u[:, :, :1] < 0.5)))

    def snap(u: Floats) -> Floats:
        return snap_to_levels(u, levels, categorical)

    simulated = simulate(rng, function, activity, snap, categorical, n, length)
    headers = Headers.empty(b, p, CHOICES_CALLED if alphabet == 2 else 0)
    header = headers.header
    if borrow:
        for i in np.flatnonzero(rng.uniform(size=b) < BORROWED_FUNCTIONS):
            header[i, :, 0] = random_roles(rng, p, alphabet)
            if alphabet == 2:
                for j in np.flatnonzero(categorical[i] & (rng.uniform(size=p) < 0.5)):
                    if levels[i, j] <= CHOICES_CALLED:
                        headers.words[i, j, : levels[i, j]] = random_words(rng, int(levels[i, j]))
                if rng.uniform() < 0.3:
                    headers.budget[i] = budget_ids(str(rng.choice(BUDGETS)), 10 ** rng.uniform(0.5, 3))
    header[:, :, 1] = np.array([HEAD_ID[k] for k in KINDS])[kind]
    header[:, :, 2:] = _range_ids(rng, kind, levels)
    return episodes_of(headers, levels, categorical, simulated)


def _range_ids(rng: np.random.Generator, kind: Ints, levels: Ints) -> Ints:
    """Ids (B, P, 2) of plausible ends for the kinds (B, P)."""
    low = np.full(kind.shape, "[0]", dtype=object)
    high = np.full(kind.shape, "[+e0]", dtype=object)
    for index in np.ndindex(kind.shape):
        name = KINDS[kind[index]]
        if name == "L":
            a = rng.uniform(-8, 2)
            ends = 10**a, 10 ** (a + rng.uniform(1, 7))
        elif name == "F":
            ends = (
                (0.0, 1.0) if rng.uniform() < 0.5 else (-(10 ** rng.uniform(-1, 2)), 10 ** rng.uniform(-1, 2))
            )
        elif name == "J":
            ends = 10 ** rng.uniform(0, 1.5), 10 ** rng.uniform(2, 4)
        elif name == "I":
            ends = 1.0, float(levels[index])
        else:
            ends = 0.0, float(levels[index])
        low[index], high[index] = range_token(ends[0]), range_token(ends[1])
    ids = np.vectorize(HEAD_ID.__getitem__, otypes=[np.int64])
    return np.stack([ids(low), ids(high)], axis=-1)
