"""Episodes to learn from: a search space, a history, and what would have been good to try next.

Two sources, mixed: functions drawn from a prior over response surfaces (`prior.py`), and tables of real algorithms on
generated data sets (`table_episodes.py`). An episode is a history plus "branches" that all continue from it:
configurations worth proposing and configurations whose score is to be predicted. What a branch should propose is drawn
from the function itself: its (approximate) minimiser, or a point drawn in proportion to its squared improvement.
Averaged over all functions that fit a history, that teaches the posterior of the minimiser (amortised Thompson
sampling) mixed with a posterior expected improvement.

Shapes: B episodes, N trials at most, P hyperparameters, M candidate points, Q branches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from airtune.models.dialects.pocket.codec import HEAD_ID, ROLES, UNKNOWN_ROLE
from airtune.models.dialects.pocket.words import ALL_ROLES, TOKEN_ID, WORDS, budget_tokens
from airtune.models.pocket.training.functions import Bools, Floats, Ints

# (function, activity, snap) -> what a search tried of B functions, (B, N, P).
Trials: TypeAlias = Callable[
    [Callable[[Floats, Bools], Floats], Callable[[Floats], Bools], Callable[[Floats], Floats]], Floats
]
POOL = 320  # uniform candidates per function
REFINED = 2 * 64  # further candidates around the best ones, in two rounds
PROPOSALS, QUERIES = 3, 3  # branches per episode
CHOICES_CALLED = 8  # most choices of a hyperparameter whose words an episode tells
# Shares of the episodes whose names are borrowed: roles of other algorithms, that say nothing about this one. They
# teach that names in an unfamiliar combination may mislead, and that the history counts.
BORROWED_FUNCTIONS, BORROWED_TABLES = 0.3, 0.08


@dataclass(slots=True)
class Episodes:
    """A batch of episodes over P hyperparameters.

    Attributes:
        header: (B, P, 4) ids of role, kind, lower and upper tokens.
        levels: (B, P) number of values: 0 continuous, k > 1 discrete, -k of uneven steps.
        categorical: (B, P) whether a choice rather than a position.
        default: (B, P) position of the default in [0, 1].
        points: (B, N, P) positions; categoricals as (choice + 0.5) / levels.
        active: (B, N, P) whether the hyperparameter is active in that trial.
        losses: (B, N) observed losses; NaN beyond a history's end, inf for a failed trial.
        proposals: (B, PROPOSALS, P) positions worth proposing, and their `proposal_active`.
        queries: (B, QUERIES, P) positions to predict, their `query_active`, and their noise-free `query_losses`.
        words: (B, P, W) ids of what each choice is called; -1: nothing that the model knows, or no choice.
        budget: (B, 3) ids that say how long a training is; -1: nothing is said.
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
    words: Ints
    budget: Ints


def pick(rng: np.random.Generator, weight: Floats, k: int) -> Ints:
    """Draw k different columns (B, k) with probability in proportion to weight (B, M) (Gumbel top-k)."""
    with np.errstate(divide="ignore"):
        key = np.log(weight) + rng.gumbel(size=weight.shape)
    return np.argpartition(-key, k - 1, axis=1)[:, :k]


def targets(rng: np.random.Generator, value: Floats, best_seen: Floats) -> Ints:
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
    draws = [pick(rng, gain.astype(np.float32), 1) for _ in range(PROPOSALS - 1)]
    # Ties (plateaus, discrete metrics) are broken at random, or the first row of a table would be taught.
    first = np.where(best, rng.uniform(size=value.shape), -1.0).argmax(1)
    return np.concatenate([first[:, None], *draws], axis=1)


def gather(x: NDArray[Any], index: Ints) -> NDArray[Any]:
    """The columns (B, k) or (B, k, P) of x at index (B, k)."""
    return (
        np.take_along_axis(x, index[:, :, None], axis=1)
        if x.ndim == 3
        else np.take_along_axis(x, index, axis=1)
    )


def random_roles(rng: np.random.Generator, p: int, alphabet: int = 1) -> Ints:
    """Ids (p,) of roles drawn at random, no role twice, a quarter of them unknown."""
    roles = ROLES if alphabet == 1 else ALL_ROLES
    ids = np.array([TOKEN_ID[f"<{role}>"] for role in rng.permutation(np.array(roles))[:p]])
    return np.where(rng.uniform(size=p) < 0.25, HEAD_ID[UNKNOWN_ROLE], ids)


def random_words(rng: np.random.Generator, count: int) -> Ints:
    """Ids (count,) of words drawn at random."""
    return np.array(
        [TOKEN_ID[f"{{{word}}}"] for word in rng.choice(np.array(WORDS), size=count)], dtype=np.int64
    )


def budget_ids(role: str, amount: float) -> list[int]:
    """Ids of what a header says of the length of a training."""
    return [TOKEN_ID[token] for token in budget_tokens(role, amount)]


@dataclass(slots=True)
class Simulation:
    """What was tried of B functions, and what would have been good to try next; see `Episodes`."""

    default: Floats
    points: Floats
    active: Bools
    losses: Floats
    candidates: Floats
    candidates_active: Bools
    value: Floats
    chosen: Ints
    asked: Ints


def simulate(
    rng: np.random.Generator,
    function: Callable[[Floats, Bools], Floats],
    activity: Callable[[Floats], Bools],
    snap: Callable[[Floats], Floats],
    categorical: Bools,
    n: int,
    length: Ints,
    default: Floats | None = None,
    played: Trials | None = None,
) -> Simulation:
    """Histories on functions, and candidates.

    Args:
        rng: The only source of randomness.
        function: Values (B, M) at positions (B, M, P) with their activity.
        activity: Which hyperparameters are active at positions.
        snap: Moves positions onto the values that exist.
        categorical: (B, P).
        n: Room for trials.
        length: (B,), trials of each history, <= n.
        default: (B, P) the defaults; None: drawn, some of them near the minimiser.
        played: What a search tried, in its order; None: uniform trials and some around the best of them.
    """
    b, p = categorical.shape

    def around(centre: Floats, m: int, sigma: Floats | float) -> Floats:
        moved = (centre + rng.normal(size=(b, m, p)) * sigma).astype(np.float32)
        moved = np.abs(moved)
        moved = np.where(moved > 1, 2 - moved, moved).clip(0, 1)
        jump = categorical[:, None, :] & (rng.uniform(size=(b, m, p)) < 0.25)
        moved = np.where(categorical[:, None, :], centre, moved)
        return snap(np.where(jump, rng.uniform(size=(b, m, p)), moved).astype(np.float32))

    pool = snap(rng.uniform(size=(b, POOL, p)).astype(np.float32))
    # The history: uniform trials, then a share of trials around the best of the first ones, as searches have.
    sigma = np.exp(rng.uniform(np.log(0.02), np.log(0.3), size=(b, 1, 1))).astype(np.float32)
    start = pool[:, :n]
    cut = max(1, n // 2)
    # All candidates of a function are evaluated at once: a plateau is relative to all its values.
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
    if default is None:
        # Half of the spaces whose default means something: it lies somewhere near the minimiser.
        hint = around(best, 1, 0.25)
        trials[:, :1] = np.where(rng.uniform(size=(b, 1, 1)) < 0.4, hint, trials[:, :1])
        default = trials[:, 0]
    elif played is None:
        trials[:, 0] = default
    if played is not None:
        trials = played(function, activity, snap)
    candidates = np.concatenate([trials, pool[:, n:], fine, finer], axis=1)
    active = activity(candidates)
    value = function(candidates, active)

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
    order = key.argsort(1) if played is None else np.tile(np.arange(n), (b, 1))
    trials, history_active, observed = (
        gather(trials, order), gather(active[:, :n], order), np.take_along_axis(observed, order, 1)
    )  # fmt: skip
    observed = np.where(np.arange(n) < length[:, None], observed, np.nan)
    seen = np.where(np.isfinite(observed), observed, np.inf).min(1)

    chosen = targets(rng, value, seen)
    goodness = np.exp(-2 * (value - value.min(1, keepdims=True)) / (spread + 1e-9))
    asked = np.concatenate(
        [rng.integers(value.shape[1], size=(b, 1)), pick(rng, goodness, QUERIES - 1)], axis=1
    )
    return Simulation(
        default, trials, history_active, observed.astype(np.float32), candidates, active, value, chosen, asked
    )


@dataclass(slots=True)
class Headers:
    """What the headers of B episodes say before the defaults: `header`, `words` and `budget` of `Episodes`."""

    header: Ints
    words: Ints
    budget: Ints

    @classmethod
    def empty(cls, b: int, p: int, choices: int) -> Headers:
        """Headers to be filled in, of spaces with at most so many choices that are called something."""
        header = np.full((b, p, 4), HEAD_ID[UNKNOWN_ROLE], dtype=np.int64)
        return cls(header, np.full((b, p, choices), -1, np.int64), np.full((b, 3), -1, np.int64))


def episodes_of(headers: Headers, levels: Ints, categorical: Bools, simulated: Simulation) -> Episodes:
    """Simulated histories as episodes, with the spaces' headers; see `Episodes`."""
    candidates, active = simulated.candidates, simulated.candidates_active
    return Episodes(
        headers.header, levels, categorical, simulated.default, simulated.points, simulated.active, simulated.losses,
        gather(candidates, simulated.chosen), gather(active, simulated.chosen),
        gather(candidates, simulated.asked), gather(active, simulated.asked), gather(simulated.value, simulated.asked),
        headers.words, headers.budget,
    )  # fmt: skip
