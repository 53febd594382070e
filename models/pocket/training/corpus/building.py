"""Which tables there are, which are held out, in what order they are made; and their making, which may be stopped.

Rounds of tables, each with every family; a round has up to three shards, cheapest first, and more tables of a family
the cheaper it is. The first tables of dear families are of few rows and configurations: many data sets teach more than
large ones. Everything about a table follows from its family and its number, so that a run that was stopped and resumed
writes the bytes of one that was not.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airtune.models.pocket.training.corpus import fits, shards
from airtune.models.pocket.training.corpus.drawing import (
    config_of,
    draw_codes,
    estimator_words,
    has_default,
    space_of,
)
from airtune.models.pocket.training.corpus.families_networks import NETWORKS
from airtune.models.pocket.training.corpus.families_others import OTHERS
from airtune.models.pocket.training.corpus.families_trees import TREES
from airtune.models.pocket.training.corpus.mixing import mixed, mixed_families
from airtune.models.pocket.training.corpus.networks import Length
from airtune.models.pocket.training.corpus.notation import Family
from airtune.models.pocket.training.corpus.problems import losses, make_problem

FAMILIES: dict[str, Family] = {**OTHERS, **TREES, **NETWORKS}
HELD_OUT_ALGORITHMS = ("adaboost", "bagging", "kernel_map", "kernel_ridge", "gaussian_process")
SHORT = 0.25  # share of the tables with trainings cut short, where an algorithm has such
_TIERS = {"cheap": 0.1, "medium": 0.35, "dear": float("inf")}  # below how many seconds a configuration
_TABLES = {"cheap": 4, "medium": 1, "dear": 1}  # of a family in a round
CONFIGURATIONS = 96  # of a table at most; of networks two thirds
_SMALL, _SMALL_ROWS = (
    16,
    700,
)  # how many of a dear family's tables are small, and how many rows they have at most


def hashed(text: str) -> int:
    """A number that a text always has."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def held_out_whole(name: str, algorithm: str) -> str | None:
    """Why a family is never trained on, or None: it may be; see `held_out`."""
    if algorithm in HELD_OUT_ALGORITHMS:
        return "algorithm"
    return "family" if hashed(f"family {name}") % 8 == 0 else None


MIXED: dict[str, Family] = mixed_families(
    {name: family for name, family in FAMILIES.items() if held_out_whole(name, family.algorithm) is None}
)


def held_out(name: str, algorithm: str, index: int) -> str | None:
    """Why a table is never trained on, or None: it may be.

    Args:
        name: Its family.
        algorithm: Its algorithm.
        index: Its number in the family.

    Returns:
        `algorithm` (held out whole, the three of the earlier tables among them), `family` (by hash, one in eight),
        `table` (by hash, one in seven), and of spaces that nobody wrote `space` (by hash, one in eight).
    """
    if name in MIXED:
        return "space" if hashed(f"space {name} {index // 2}") % 8 == 0 else None
    if (whole := held_out_whole(name, algorithm)) is not None:
        return whole
    return "table" if hashed(f"table {name} {index}") % 7 == 0 else None


@dataclass(frozen=True, slots=True)
class Batch:
    """The tables of a shard.

    Attributes:
        name: The shard's file name, without its ending.
        tables: Families and numbers, cheapest first.
        estimate_s: Processor seconds, by the families' rough costs.
    """

    name: str
    tables: tuple[tuple[str, int], ...]
    estimate_s: float


def is_small(family: Family, index: int) -> bool:
    """Whether a table has few rows and half of the configurations: the first ones of families that are dear."""
    return index < _SMALL and family.cost >= _TIERS["medium"]


def rows_of(family: Family, index: int) -> tuple[int, int]:
    """Least and most rows of a table's data set."""
    fewest, most = family.rows
    return (fewest, min(most, _SMALL_ROWS)) if is_small(family, index) else family.rows


def configurations(family: Family, parameters: int, index: int) -> int:
    """How many configurations a table has."""
    most = CONFIGURATIONS * 2 // 3 if family.algorithm == "network" else CONFIGURATIONS
    return min(most // 2 if is_small(family, index) else most, 16 + 24 * parameters)


def batches(families: Mapping[str, Family], rounds: int, prefix: str = "round") -> Iterator[Batch]:
    """All shards in the order in which they are made."""
    for number in range(rounds):
        lowest = 0.0
        for tier, highest in _TIERS.items():
            names = sorted(
                (n for n, f in families.items() if lowest <= f.cost < highest), key=lambda n: families[n].cost
            )
            first = number * _TABLES[tier]
            work = tuple((n, i) for i in range(first, first + _TABLES[tier]) for n in names)
            estimate = sum(families[n].cost * configurations(families[n], 4, i) for n, i in work)
            if work:
                yield Batch(f"{prefix}{number:02d}-{tier}", work, estimate)
            lowest = highest


def build_table(name: str, family: Family, index: int) -> shards.Table:
    """Train everything of one table; deterministic but for the seconds."""
    seed = hashed(f"seed {name} {index}")
    rng = np.random.default_rng(seed)
    if family.pool:  # two tables share a space, so that their surfaces can be mixed
        family = mixed(family, np.random.default_rng(hashed(f"space {name} {index // 2}")))
    regression = family.tasks == "r" or (family.tasks == "cr" and rng.uniform() < 0.35)
    problem = make_problem(int(rng.integers(2**31)), regression, rows_of(family, index))
    short, length = family.short is not None and rng.uniform() < SHORT, family.length
    if short and family.short is not None:
        length = Length("short", round(family.short.limit * 2 ** rng.uniform(-1, 1)))
    kinds = ["mse", "mse", "mae"] if regression else ["error", "balanced_error", *["log_loss"] * family.proba]
    metric = str(rng.choice(kinds))
    params = space_of(family, problem, short, rng)
    codes = draw_codes(params, configurations(family, len(params), index), rng)
    first = has_default(params)
    configs = [config_of(params, row, default=first and i == 0) for i, row in enumerate(codes)]
    words = [estimator_words(family, params, c, short) for c in configs]
    outcome = fits.run(family.algorithm, problem, words, length, seed)
    valid, test = (
        np.array([losses(metric, y, out) for out in predicted]).clip(max=6e4)
        for y, predicted in zip(problem.y[1:], (outcome.valid, outcome.test), strict=True)
    )
    failed = ~np.isfinite([losses(metric, problem.y[1], out) for out in outcome.valid])
    valid[failed] = test[failed] = np.inf
    return shards.Table(
        name, index, family.algorithm, length, metric, seed, problem.facts, params, codes,
        valid.astype(np.float16), test.astype(np.float16), outcome.seconds.astype(np.float16),
    )  # fmt: skip


def build(
    out: Path,
    hours: float = float("inf"),
    rounds: int = 24,
    families: Mapping[str, Family] = FAMILIES,
    prefix: str = "round",
) -> dict[str, float]:
    """Make what is missing in a folder: finished tables in `parts`, a shard once all of its tables are there.

    Args:
        out: The folder.
        hours: When to stop, by the clock; the table that is being made is finished.
        rounds: How many rounds there are.
        families: The spaces.
        prefix: What the names of the shards begin with.

    Returns:
        Processor hours that were spent, and those that all missing tables are estimated to take.
    """
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 3600 * hours
    spent, expected = 0.0, 0.0  # seconds, and what was estimated for the same
    missing = [b for b in batches(families, rounds, prefix) if not (out / f"{b.name}.npz").exists()]
    for batch in missing:
        files = [parts / f"{name}-{index:04d}.npz" for name, index in batch.tables]
        for (name, index), file in zip(batch.tables, files, strict=True):
            if file.exists():
                continue
            if time.monotonic() > end:
                return _hours(spent, expected, missing)
            begun = time.process_time()
            table = build_table(name, families[name], index)
            shards.write([table], file)
            took = time.process_time() - begun
            spent, expected = spent + took, expected + batch.estimate_s / len(batch.tables)
            report = {"shard": batch.name, "family": name, "index": index, "length": table.length.kind}
            print(json.dumps({**report, "rows": len(table.valid), "seconds": round(took, 1)}), flush=True)
        shards.write([table for file in files for table in shards.read(file)], out / f"{batch.name}.npz")
        for file in files:
            file.unlink()
            shards.seconds_file(file).unlink()
        missing = missing[1:]
    return _hours(spent, expected, missing)


def _hours(spent: float, expected: float, missing: list[Batch]) -> dict[str, float]:
    """Hours spent, and estimated for what is missing: by the rough costs, corrected by what was measured."""
    left = sum(batch.estimate_s for batch in missing) * (spent / expected if expected else 1.0)
    return {"spent_hours": round(spent / 3600, 3), "missing_hours": round(left / 3600, 1)}
