"""The tables of `corpus` as episodes read them: what is trained on, and what is held out and why."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from airtune.models.dialects.pocket.codec import is_log, number_kind
from airtune.models.pocket.training.algorithms import Param
from airtune.models.pocket.training.corpus import building, drawing, notation, shards
from airtune.models.pocket.training.tables import Table, to_unit

SHARDS = Path(__file__).parent / "corpus" / "made"
REASONS = ("table", "space", "family", "algorithm")  # why a table is held out, see `corpus.building.held_out`
_FEWEST = 16  # rows that were fitted, of a table that is read
# What the length of a training counts, by algorithm. Nobody writes down the iterations of the others.
_COUNTED = {
    **dict.fromkeys(("network", "small_net", "sgd"), "epochs"),
    **dict.fromkeys(("forest", "gradient_boosting", "histogram_boosting", "xgboost"), "n_estimators"),
}


def param_of(p: notation.Param) -> Param:
    """A hyperparameter as the tables of the earlier versions have it.

    A list of numbers is told as the number, and where the space does not hold the library's default there is
    ConfigSpace's: the middle of the range, the first choice.
    """
    kind, lower, upper, default = p.kind, p.lower, p.upper, p.default
    if kind == "O":
        numbers = tuple(map(float, p.choices))
        kind = number_kind(all(v.is_integer() for v in numbers), is_log(numbers))
        lower, upper = numbers[0], numbers[-1]
        default = numbers[int(default) if math.isfinite(default) else len(numbers) // 2]
    if math.isnan(default):
        default = math.sqrt(lower * upper) if kind in "LJ" else (lower + upper) / 2
    if kind in "IJ":
        default = float(round(default))
    return Param(p.name, kind, lower, upper, default, 0.0, p.choices, p.only)


def compressed(loss: NDArray[np.floating]) -> NDArray[np.float32]:
    """Losses with 0 the best, 1 the median, and beyond it their logarithm; a failed training's stays infinite.

    A history's scores do not change under this but for the far end, and a process can follow it.
    """
    loss = loss.astype(np.float64)
    finite = loss[np.isfinite(loss)]
    best, middle = finite.min(), np.median(finite)
    scale = middle - best if middle > best else (np.mean(finite) - best or 1.0)
    z = (loss - best) / scale
    with np.errstate(invalid="ignore"):
        z = np.where(z > 1, 1 + np.log(np.maximum(z, 1)), z)
    return np.asarray(z, dtype=np.float32)


def table_of(made: shards.Table) -> Table | None:
    """A table of a shard, or None: there is nothing to learn from it."""
    finite = np.isfinite(made.valid)
    if finite.sum() < _FEWEST or len(np.unique(made.valid[finite])) < 4:
        return None
    params = tuple(map(param_of, made.params))
    unit = np.full(made.codes.shape, np.nan, dtype=np.float32)
    first = drawing.has_default(made.params)
    for i, codes in enumerate(made.codes):
        config = drawing.config_of(made.params, codes, default=first and i == 0)
        for j, p in enumerate(params):
            if p.role in config:
                unit[i, j] = min(max(to_unit(p, config[p.role]), 0.0), 1.0)
    counted, short = _COUNTED.get(made.algorithm), made.length.kind == "short"
    budget = (counted, float(made.length.limit)) if counted else None
    return Table(params, unit, compressed(made.valid), budget, short)


def read_all(folder: Path = SHARDS) -> Iterator[tuple[str | None, str, int, Table]]:
    """The tables of all shards in a folder, and of finished tables in its `parts`.

    Yields:
        Why a table is held out (None: it is not), its family, its number in the family, and itself.
    """
    for file in sorted([*folder.glob("*.npz"), *folder.glob("parts/*.npz")]):
        for made in shards.read(file):
            table = table_of(made)
            if table is not None:
                yield (
                    building.held_out(made.family, made.algorithm, made.index),
                    made.family,
                    made.index,
                    table,
                )


def load(
    folder: Path = SHARDS, mixed: bool = True
) -> tuple[dict[str, list[Table]], dict[str, dict[str, list[Table]]]]:
    """The tables of `read_all`.

    Args:
        folder: Where the shards are.
        mixed: Whether those of spaces that nobody wrote are among them.

    Returns:
        By family what is trained on; and what is held out, by the reason and the family.
    """
    training: dict[str, list[Table]] = {}
    kept: dict[str, dict[str, list[Table]]] = {reason: {} for reason in REASONS}
    for reason, family, _, table in read_all(folder):
        if family in building.MIXED and not mixed:
            continue
        (training if reason is None else kept[reason]).setdefault(family, []).append(table)
    return training, kept
