"""Episodes to learn from: a search space, a history, and what would have been good to try next.

Two sources, mixed: functions drawn from a prior over response surfaces, and tables of real algorithms on generated
data sets. An episode is a history plus "branches" that all continue from it: configurations worth proposing and
configurations whose score is to be predicted. What a branch should propose is drawn from the function itself: its
(approximate) minimiser, or a point drawn in proportion to its squared improvement. Averaged over all functions
that fit a history, that teaches the posterior of the minimiser (amortised Thompson sampling) mixed with a
posterior expected improvement.

Shapes: B episodes, N trials at most, P hyperparameters, M candidate points, Q branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.codec import CHOICES, HEAD_ID, KINDS, ROLES, UNKNOWN_ROLE, range_token
from airtune.models.pocket.tables import Table, default_value, to_unit

# numpy's stubs lose the element type in most of what is done here; these names say it to the reader.
Floats: TypeAlias = NDArray[Any]
Ints: TypeAlias = NDArray[Any]
Bools: TypeAlias = NDArray[Any]

FEATURES = 96  # random Fourier features per function
POOL = 320  # uniform candidates per function
REFINED = 2 * 64  # further candidates around the best ones, in two rounds
PROPOSALS, QUERIES = 3, 3  # branches per episode
# Shares of the episodes whose names are borrowed: roles of other algorithms, that say nothing about this one. They
# teach that names in a company they were never met in may mislead, and that the history is to be believed.
BORROWED_FUNCTIONS, BORROWED_TABLES = 0.3, 0.08


@dataclass(slots=True)
class Episodes:
    """A batch of episodes over P hyperparameters.

    Attributes:
        header: (B, P, 4) ids of role, kind, lower and upper tokens.
        levels: (B, P) number of values: 0 continuous, k > 1 discrete.
        categorical: (B, P) whether a choice rather than a position.
        default: (B, P) position of the default in [0, 1].
        points: (B, N, P) positions; categoricals as (choice + 0.5) / levels.
        active: (B, N, P) whether the hyperparameter is active in that trial.
        losses: (B, N) observed losses; NaN beyond a history's end, inf for a failed trial.
        proposals: (B, PROPOSALS, P) positions worth proposing, and their `proposal_active`.
        queries: (B, QUERIES, P) positions to predict, their `query_active`, and their noise-free `query_losses`.
    """

    header: Ints
    levels: Ints
    categorical: Bools
    default: Floats
    points: Floats
    active: Bools
    losses: Floats
    proposals: Floats
    proposal_active: Bools
    queries: Floats
    query_active: Bools
    query_losses: Floats


def _snap(u: Floats, levels: Ints, categorical: Bools) -> Floats:
    """Move positions (B, M, P) onto the values that exist."""
    k = np.maximum(levels, 2)[:, None, :]
    as_choice = (np.minimum(np.floor(u * k), k - 1) + 0.5) / k
    as_level = np.rint(u * (k - 1)) / (k - 1)
    snapped = np.where(categorical[:, None, :], as_choice, np.where(levels[:, None, :] > 0, as_level, u))
    return snapped.astype(np.float32)


class _Functions:
    """B random functions on the unit cube: smooth part, bowl, valley, cliff, plateau, and an output warp."""

    def __init__(self, rng: np.random.Generator, b: int, p: int, levels: Ints, categorical: Bools):
        f32 = np.float32
        relevant = rng.uniform(size=(b, p)) < rng.choice([0.5, 0.8, 1.0], size=(b, 1))
        relevant[np.arange(b), rng.integers(p, size=b)] = True
        self.relevant = relevant
        length = np.exp(rng.normal(np.log(0.35), 0.6, size=(b, p))) * np.sqrt(p) ** 0.5
        tails = np.sqrt(
            rng.chisquare(4, size=(b, 1, FEATURES)) / 4
        )  # Student-t frequencies: Matern-like roughness
        frequency = rng.normal(size=(b, p, FEATURES)) / length[:, :, None]
        frequency = np.where(rng.uniform(size=(b, 1, 1)) < 0.5, frequency / tails, frequency)
        self.frequency = (frequency * relevant[:, :, None]).astype(f32)
        self.phase = rng.uniform(0, 2 * np.pi, size=(b, 1, FEATURES)).astype(f32)
        self.weight = (rng.normal(size=(b, 1, FEATURES)) * np.sqrt(2 / FEATURES)).astype(f32)
        self.centre = rng.beta(1.3, 1.3, size=(b, 1, p)).astype(f32)
        self.curvature = (np.exp(rng.normal(0, 0.8, size=(b, 1, p))) * relevant[:, None, :]).astype(f32)
        self.power = rng.uniform(0.6, 2.5, size=(b, 1, 1)).astype(f32)
        direction = rng.normal(size=(b, p, 1)) * relevant[:, :, None] * (rng.uniform(size=(b, p, 1)) < 0.6)
        self.direction = direction.astype(f32)
        mix = rng.dirichlet([1.0, 1.0, 0.5], size=b)[:, :, None].astype(f32)
        only = rng.uniform(size=(b, 1, 1))
        self.smooth, self.bowl, self.valley = (mix[:, i : i + 1] for i in range(3))
        self.smooth = np.where(only < 0.2, 1.0, self.smooth).astype(f32)
        self.bowl = np.where(only < 0.2, 0.0, self.bowl).astype(f32)
        self.cliff_at = rng.uniform(0.3, 0.95, size=(b, 1, 1)).astype(f32)
        self.cliff_dim = rng.integers(p, size=b)
        self.cliff_up = rng.uniform(size=(b, 1)) < 0.75
        self.cliff = (rng.uniform(size=(b, 1)) < 0.3) * rng.uniform(0.5, 4.0, size=(b, 1))
        self.plateau = np.where(rng.uniform(size=(b, 1)) < 0.3, rng.uniform(0.2, 1.0, size=(b, 1)), 1e9)
        self.warp = np.where(rng.uniform(size=(b, 1)) < 0.4, rng.uniform(0.3, 3.0, size=(b, 1)), 0.0)
        # A categorical's choices lie at random places of a hidden axis: neighbours mean nothing.
        self.hidden = rng.uniform(size=(b, p, len(CHOICES))).astype(f32)
        self.levels, self.categorical = levels, categorical

    def __call__(self, u: Floats, active: Bools) -> Floats:
        """Values (B, M) at positions (B, M, P); an inactive hyperparameter has no effect."""
        if self.categorical.any():
            choice = np.minimum(
                (u * np.maximum(self.levels, 1)[:, None, :]).astype(np.int64), len(CHOICES) - 1
            )
            latent = np.take_along_axis(self.hidden.transpose(0, 2, 1), choice.clip(0), axis=1)
            u = np.where(self.categorical[:, None, :], latent, u)
        u = np.where(active, u, np.float32(0.5)).astype(np.float32)
        smooth = (np.cos(u @ self.frequency + self.phase) * self.weight).sum(-1)
        delta = np.abs(u - self.centre)
        bowl = (self.curvature * (2 * delta) ** self.power).sum(-1) / np.sqrt(
            self.relevant.sum(-1, keepdims=True)
        )
        valley = ((u - self.centre) @ self.direction)[..., 0]
        y = self.smooth[:, 0] * smooth + self.bowl[:, 0] * bowl + 2 * self.valley[:, 0] * valley**2
        y = np.minimum(y, y.min(1, keepdims=True) + self.plateau * np.ptp(y, axis=1, keepdims=True))
        edge = np.take_along_axis(u, self.cliff_dim[:, None, None], axis=2)[..., 0] - self.cliff_at[:, 0]
        y = y + self.cliff * np.where(self.cliff_up, edge > 0, -edge > self.cliff_at[:, 0] * 0.7)
        warped = np.expm1(np.minimum(self.warp * y, 40.0)) / np.maximum(
            self.warp, 1e-9
        )  # 40: e^40 fits in 32 bits
        return np.asarray(np.where(self.warp > 0, warped, y), dtype=np.float32)


def _pick(rng: np.random.Generator, weight: Floats, k: int) -> Ints:
    """Draw k different columns (B, k) with probability in proportion to weight (B, M) (Gumbel top-k)."""
    with np.errstate(divide="ignore"):
        key = np.log(weight) + rng.gumbel(size=weight.shape)
    return np.argpartition(-key, k - 1, axis=1)[:, :k]


def _targets(rng: np.random.Generator, value: Floats, best_seen: Floats) -> Ints:
    """Columns (B, PROPOSALS) worth proposing: the minimiser, then draws by squared improvement.

    The reference for an improvement is the best loss seen, or the candidates' 5 % quantile where that is
    higher, so that a lucky history still teaches something; their 30 % quantile where nothing was seen.
    """
    low, middle = np.quantile(value, [0.05, 0.3], axis=1)
    reference = np.where(np.isfinite(best_seen), np.maximum(best_seen, low), middle)[:, None]
    gain = np.maximum(reference - value, 0).astype(np.float64) ** 2
    best = value <= value.min(1, keepdims=True)
    gain = np.where(best | (gain > 0), np.maximum(gain, 1e-30), 0.0)  # where nothing improves, the minimiser
    gain = gain / gain.max(1, keepdims=True)
    draws = [_pick(rng, gain.astype(np.float32), 1) for _ in range(PROPOSALS - 1)]
    # Ties (plateaus, discrete metrics) are broken at random, or the first row of a table would be taught.
    first = np.where(best, rng.uniform(size=value.shape), -1.0).argmax(1)
    return np.concatenate([first[:, None], *draws], axis=1)


def _gather(x: NDArray[Any], index: Ints) -> NDArray[Any]:
    return (
        np.take_along_axis(x, index[:, :, None], axis=1)
        if x.ndim == 3
        else np.take_along_axis(x, index, axis=1)
    )


def _borrowed_roles(rng: np.random.Generator, p: int) -> Ints:
    """Ids (p,) of roles drawn at random, no role twice, a quarter of them unknown."""
    ids = np.array([HEAD_ID[f"<{role}>"] for role in rng.permutation(np.array(ROLES))[:p]])
    return np.where(rng.uniform(size=p) < 0.25, HEAD_ID[UNKNOWN_ROLE], ids)


def synthetic(
    rng: np.random.Generator, b: int, p: int, n: int, length: Ints, *, borrow: bool = False
) -> Episodes:
    """Episodes on functions drawn from the prior.

    Args:
        rng: The only source of randomness.
        b: Episodes.
        p: Hyperparameters.
        n: Room for trials.
        length: (b,), trials of each history, <= n.
        borrow: Whether some of them have borrowed names; all are unknown otherwise.
    """
    kind = rng.choice(6, size=(b, p), p=[0.3, 0.3, 0.12, 0.1, 0.04, 0.14])  # order of KINDS
    plain = rng.uniform(size=(b, 1)) < 0.5
    kind = np.where(plain, rng.integers(2, size=(b, p)), kind)  # half of the spaces: floats only
    categorical = kind == KINDS.index("C")
    few = np.minimum(np.exp(rng.uniform(np.log(2), np.log(12), size=(b, p))).astype(np.int64), len(CHOICES))
    many = np.exp(rng.uniform(np.log(2), np.log(64), size=(b, p))).astype(np.int64)
    levels = np.where(kind >= 4, few, np.where(kind == 2, many, 0))
    function = _Functions(rng, b, p, levels, categorical)

    # Conditional spaces: a discrete parent switches some later hyperparameters off below half of its values.
    parent = np.where((levels[:, 0] > 0) & (rng.uniform(size=b) < 0.8), 0, -1)
    child = (rng.uniform(size=(b, p)) < 0.4) & (np.arange(p) > 0) & (parent[:, None] == 0)

    def activity(u: Floats) -> Bools:
        return np.asarray(~(child[:, None, :] & (u[:, :, :1] < 0.5)))

    def around(centre: Floats, m: int, sigma: Floats | float) -> Floats:
        moved = (centre + rng.normal(size=(b, m, p)) * sigma).astype(np.float32)
        moved = np.abs(moved)
        moved = np.where(moved > 1, 2 - moved, moved).clip(0, 1)
        jump = categorical[:, None, :] & (rng.uniform(size=(b, m, p)) < 0.25)
        moved = np.where(categorical[:, None, :], centre, moved)
        return _snap(
            np.where(jump, rng.uniform(size=(b, m, p)), moved).astype(np.float32), levels, categorical
        )

    pool = _snap(rng.uniform(size=(b, POOL, p)).astype(np.float32), levels, categorical)
    # The history: uniform trials, then a share of trials around the best of the first ones, as searches have.
    sigma = np.exp(rng.uniform(np.log(0.02), np.log(0.3), size=(b, 1, 1))).astype(np.float32)
    start = pool[:, :n]
    default = start[:, 0]
    cut = max(1, n // 2)
    # One function evaluates everything at once: a plateau is relative to all its values.
    probe = function(pool, activity(pool))
    lead = start[np.arange(b), probe[:, :cut].argmin(1)][:, None, :]
    guided = rng.uniform(size=(b, n, 1)) < rng.uniform(0, 0.9, size=(b, 1, 1))
    guided[:, :cut] = False
    trials = np.where(guided, around(lead, n, sigma), start)
    best = pool[np.arange(b), probe.argmin(1)][:, None, :]
    fine = around(best, REFINED // 2, 0.08)
    value = function(fine, activity(fine))
    best = np.where(
        (value.min(1) < probe.min(1))[:, None, None], fine[np.arange(b), value.argmin(1)][:, None, :], best
    )
    finer = around(best, REFINED // 2, 0.02)
    # Half of the spaces whose default means something: it lies somewhere near the minimiser.
    hint = around(best, 1, 0.25)
    trials[:, :1] = np.where(rng.uniform(size=(b, 1, 1)) < 0.4, hint, trials[:, :1])
    default = trials[:, 0]
    everything = np.concatenate([trials, pool[:, n:], fine, finer], axis=1)
    active = activity(everything)
    value = function(everything, active)

    spread = value.std(1, keepdims=True)
    noise = np.where(rng.uniform(size=(b, 1)) < 0.3, rng.uniform(0.02, 0.3, size=(b, 1)), 0.0) * spread
    # Noise of one size, or in a third of the noisy ones growing with the loss, as that of unstable runs does.
    badness = (value[:, :n] - value.min(1, keepdims=True)) / (np.ptp(value, axis=1, keepdims=True) + 1e-9)
    noise = noise * np.where(rng.uniform(size=(b, 1)) < 0.33, 2 * badness, 1.0)
    observed = value[:, :n] + noise * rng.normal(size=(b, n))
    broken = (rng.uniform(size=(b, 1)) < 0.1) & (observed > np.quantile(value, 0.8, axis=1, keepdims=True))
    observed = np.where(broken, np.inf, observed)
    # Shuffle, so that a short history has guided trials too; the default stays first in half of the episodes.
    key = rng.uniform(size=(b, n))
    key[:, 0] = np.where(rng.uniform(size=b) < 0.5, -1.0, key[:, 0])
    order = key.argsort(1)
    trials, history_active, observed = (
        _gather(trials, order), _gather(active[:, :n], order), np.take_along_axis(observed, order, 1)
    )  # fmt: skip
    observed = np.where(np.arange(n) < length[:, None], observed, np.nan)
    seen = np.where(np.isfinite(observed), observed, np.inf).min(1)

    chosen = _targets(rng, value, seen)
    goodness = np.exp(-2 * (value - value.min(1, keepdims=True)) / (spread + 1e-9))
    asked = np.concatenate(
        [rng.integers(value.shape[1], size=(b, 1)), _pick(rng, goodness, QUERIES - 1)], axis=1
    )
    header = np.empty((b, p, 4), dtype=np.int64)
    header[:, :, 0] = HEAD_ID[UNKNOWN_ROLE]
    if borrow:
        for i in np.flatnonzero(rng.uniform(size=b) < BORROWED_FUNCTIONS):
            header[i, :, 0] = _borrowed_roles(rng, p)
    header[:, :, 1] = np.array([HEAD_ID[k] for k in KINDS])[kind]
    header[:, :, 2:] = _range_ids(rng, kind, levels)
    return Episodes(
        header, levels, categorical, default, trials, history_active, observed.astype(np.float32),
        _gather(everything, chosen), _gather(active, chosen),
        _gather(everything, asked), _gather(active, asked), _gather(value, asked),
    )  # fmt: skip


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


def _spoken_order(rng: np.random.Generator, table: Table) -> list[int]:
    """The table's columns in random order, but a hyperparameter after the one that switches it on."""
    place = dict(
        zip((p.role for p in table.params), rng.permutation(len(table.params)).tolist(), strict=True)
    )

    def key(column: int) -> tuple[int, int]:
        param = table.params[column]
        mine = place[param.role]
        return (mine, 0) if param.only is None else (max(mine, place[param.only[0]]), 1 + mine)

    return sorted(range(len(table.params)), key=key)


def from_tables(
    rng: np.random.Generator, tables: Sequence[Table], n: int, length: Ints, *, borrow: bool = False
) -> Episodes:
    """Episodes on real tables; columns and choices shuffled, some roles hidden.

    Args:
        rng: The only source of randomness.
        tables: The table of each episode, all of the same number of hyperparameters.
        n: Room for trials.
        length: (b,), trials of each history, <= n.
        borrow: Whether some of them have borrowed names.
    """
    b, p = len(tables), len(tables[0].params)
    header = np.empty((b, p, 4), dtype=np.int64)
    levels = np.zeros((b, p), dtype=np.int64)
    categorical = np.zeros((b, p), dtype=bool)
    unit = np.empty((b, len(tables[0].loss), p), dtype=np.float32)
    value = np.empty(unit.shape[:2], dtype=np.float32)
    default = np.empty((b, p), dtype=np.float32)
    hide_all = rng.uniform(size=b) < 0.12
    for i, table in enumerate(tables):
        columns = _spoken_order(rng, table)
        unit[i], value[i] = table.unit[:, columns], table.loss
        for j, column in enumerate(columns):
            param = table.params[column]
            hidden = hide_all[i] or rng.uniform() < 0.06
            header[i, j] = [
                HEAD_ID[UNKNOWN_ROLE if hidden else f"<{param.role}>"], HEAD_ID[param.kind],
                HEAD_ID[range_token(param.lower)], HEAD_ID[range_token(param.upper)],
            ]  # fmt: skip
            if param.kind == "I":
                levels[i, j] = round(param.upper - param.lower) + 1
            default[i, j] = to_unit(param, default_value(param))
            if param.kind == "C":  # a choice's place in the list means nothing
                k = len(param.choices)
                levels[i, j], categorical[i, j] = k, True
                moved = (rng.permutation(k) + 0.5) / k
                default[i, j] = moved[int(default[i, j] * k)]
                old = unit[i, :, j]
                unit[i, :, j] = np.where(np.isnan(old), old, moved[np.nan_to_num(old * k).astype(int)])
    if borrow:
        for row in np.flatnonzero(rng.uniform(size=b) < BORROWED_TABLES):
            header[row, :, 0] = _borrowed_roles(rng, p)
    active = ~np.isnan(unit)
    unit = np.where(active, unit, np.float32(0.5))
    # The history: rows at random, leaning towards good ones by a different amount each time, as searches do.
    rank = value.argsort(1).argsort(1) / value.shape[1]
    lean = np.where(rng.uniform(size=(b, 1)) < 0.4, 0.0, rng.uniform(0, 6, size=(b, 1)))
    weight = np.exp(-lean * rank).astype(np.float32)
    weight[:, 0] *= np.where(rng.uniform(size=b) < 0.5, 1e6, 1.0)  # the default is a usual first trial
    rows = _pick(rng, weight, n)
    order = np.where(rows == 0, -1.0, rng.uniform(size=rows.shape)).argsort(1)  # and it is the first one
    rows = np.take_along_axis(rows, order, 1)
    observed = np.where(np.arange(n) < length[:, None], np.take_along_axis(value, rows, 1), np.nan)
    seen = np.where(np.isfinite(observed), observed, np.inf).min(1)
    fresh = value + 0.0
    used = np.where(np.arange(n) < length[:, None], rows, rows[:, :1])
    keep = (length > 0)[:, None]
    np.put_along_axis(
        fresh, used, np.where(keep, np.float32(9), np.take_along_axis(fresh, used, 1)), 1
    )  # not again
    chosen = _targets(rng, fresh, seen)
    asked = np.concatenate(
        [
            rng.integers(value.shape[1], size=(b, 1)),
            _pick(rng, np.exp(-4 * rank).astype(np.float32), QUERIES - 1),
        ],
        axis=1,
    )
    return Episodes(
        header, levels, categorical, default, _gather(unit, rows), _gather(active, rows),
        observed.astype(np.float32), _gather(unit, chosen), _gather(active, chosen),
        _gather(unit, asked), _gather(active, asked), np.take_along_axis(value, asked, 1),
    )  # fmt: skip
