"""What a step of training is shown: which tables, spaces and histories of which sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from airtune.models.pocket.training import tables as table_module
from airtune.models.pocket.training.algorithms import ALGORITHMS, HELD_OUT
from airtune.models.pocket.training.episodes import BORROWED_TABLES, Episodes
from airtune.models.pocket.training.prior import synthetic
from airtune.models.pocket.training.surfaces import tables_to_mix
from airtune.models.pocket.training.table_episodes import from_surfaces, from_tables, used_at_most
from airtune.models.pocket.training.tables import Table

TABLES = Path(__file__).parent / "tables.npz"
DEVELOPMENT = 7  # every seventh table is kept, never trained on; and the algorithms held out whole

# Hyperparameters per space and trials per history. Small ones are the usual case and the cheap one.
_SIZES = {1: 6, 2: 28, 3: 12, 4: 20, 5: 16, 6: 6, 7: 3, 8: 4, 10: 2, 12: 2, 16: 1}
_HISTORY_LENGTHS = {3: 0.21, 6: 0.21, 12: 0.22, 24: 0.18, 40: 0.11, 100: 0.07}
# The same with more of the first trials, which are where a process around the model asks it.
_EARLY_LENGTHS = {1: 0.12, 2: 0.13, 3: 0.15, 6: 0.2, 12: 0.17, 24: 0.12, 40: 0.07, 100: 0.04}
_TABLE_SHARE = 0.55  # of the batches whose size some algorithm has
# The same where tables of full trainings are there: those, and of what is left, tables of short ones.
_LONG_SHARE, _SHORT_SHARE = 0.5, 0.35
_LONG_SIZES = {1: 2, 2: 15, 3: 15, 4: 15, 5: 15, 6: 12, 7: 8, 8: 6, 9: 4, 10: 3, 11: 2, 14: 2, 16: 2}


def split_tables(
    path: Path = TABLES, *, added: bool = True
) -> tuple[dict[str, list[Table]], dict[str, list[Table]]]:
    """The packed tables as (training, development), by algorithm; without those that were added later if so wished."""
    packed = table_module.load(path)
    if not added:
        packed = {k: v[: ALGORITHMS[k].tables] for k, v in packed.items()}
    train = {
        k: [t for i, t in enumerate(v) if i % DEVELOPMENT] for k, v in packed.items() if k not in HELD_OUT
    }
    kept = {
        k: v if k in HELD_OUT else [t for i, t in enumerate(v) if i % DEVELOPMENT == 0]
        for k, v in packed.items()
    }
    return train, kept


def by_size(tables: dict[str, list[Table]]) -> dict[int, list[list[Table]]]:
    """Number of hyperparameters -> the tables of each algorithm that tune so many."""
    sizes = sorted({len(t.params) for group in tables.values() for t in group})
    found = {p: [[t for t in group if len(t.params) == p] for group in tables.values()] for p in sizes}
    return {p: [group for group in groups if group] for p, groups in found.items()}


def _drawn(rng: np.random.Generator, shares: Mapping[int, float]) -> int:
    return int(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))


def _of_long(rng: np.random.Generator, tables: dict[str, list[Table]], p: int, b: int) -> list[list[Table]]:
    """Tables of full trainings with so many hyperparameters or more, each with another one like it in most cases.

    Every family as often as any other; in half of the batches only those with exactly so many.
    """
    exact = rng.uniform() < 0.5 and any(len(t.params) == p for group in tables.values() for t in group)
    groups = [
        [t for t in g if len(t.params) == p or (not exact and used_at_most(t) >= p)] for g in tables.values()
    ]
    groups = [group for group in groups if group]
    picked = [groups[i] for i in rng.integers(len(groups), size=b)]
    return [tables_to_mix(rng, group[rng.integers(len(group))], group) for group in picked]


def draw(
    rng: np.random.Generator,
    tables: dict[int, list[list[Table]]],
    batch_tokens: int,
    *,
    borrow: bool = False,
    borrow_long: float = BORROWED_TABLES,
    surfaces: bool = False,
    alphabet: int = 1,
    long: dict[str, list[Table]] | None = None,
    early: bool = False,
) -> Episodes:
    """Episodes of one size, enough for about `batch_tokens` tokens.

    Args:
        rng: The only source of randomness.
        tables: Number of hyperparameters -> the tables of each algorithm that tune so many.
        batch_tokens: About how many tokens.
        borrow: Whether some have borrowed names.
        borrow_long: The share that has, of the episodes on tables of full trainings.
        surfaces: Whether tables are read as surfaces, or row by row.
        alphabet: In which headers are written.
        long: By family, tables of full trainings, read as surfaces with histories of searches; None: there are none.
        early: Whether histories are mostly short.
    """
    from_long = bool(long) and rng.uniform() < _LONG_SHARE
    p = _drawn(rng, _LONG_SIZES if from_long else _SIZES)
    if from_long and long:
        p = min(p, max(used_at_most(t) for group in long.values() for t in group))
    n = _drawn(rng, _EARLY_LENGTHS if early else _HISTORY_LENGTHS)
    header = 5 * p if alphabet == 1 else 7 * p
    b = max(4, int(batch_tokens / (header + 1 + 0.75 * n * (p + 1) + 6 * (p + 1.5))))
    length = rng.integers(0 if n == 3 else n // 2, n + 1, size=b)
    if from_long and long:
        some = _of_long(rng, long, p, b)
        share = borrow_long if borrow else 0.0
        return from_surfaces(rng, some, n, length, borrow=share, alphabet=alphabet, count=p, searches=True)
    share = BORROWED_TABLES if borrow else 0.0
    if p in tables and rng.uniform() < (
        _SHORT_SHARE if long else _TABLE_SHARE
    ):  # every algorithm as often as any other
        groups = [tables[p][i] for i in rng.integers(len(tables[p]), size=b)]
        picked = [(group[rng.integers(len(group))], group) for group in groups]
        if surfaces:
            return from_surfaces(
                rng,
                [tables_to_mix(rng, t, group) for t, group in picked],
                n,
                length,
                borrow=share,
                alphabet=alphabet,
            )
        return from_tables(rng, [table for table, _ in picked], n, length, borrow=share, alphabet=alphabet)
    return synthetic(rng, b, p, n, length, borrow=borrow, alphabet=alphabet)
