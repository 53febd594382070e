"""What the shipped HPOBench tables hold: grids, fidelities, numbers of training seeds.

A published grid has n values per hyperparameter, evenly spaced over its range (see `hpobench/spaces.py`). `GRIDS` has
the whole of it for svm and lr, stated values of it for rf, mlp and xgb.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from airtune.benchmarks.tasks.hpobench.models import SEEDS
from airtune.benchmarks.tasks.hpobench.spaces import Grid


def _log(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` values from `low` to `high`, evenly spaced in the logarithm, to 6 significant digits."""
    step = math.log(high / low) / (count - 1)
    return tuple(_short(low * math.exp(i * step)) for i in range(count))


def _short(value: float) -> float:
    return float(f"{value:.6g}")


_POWERS = tuple(2.0**k for k in range(-10, 11))

GRIDS: Mapping[str, Grid] = {
    "svm": {"C": _POWERS, "gamma": _POWERS},
    "lr": {"alpha": _log(1e-5, 1.0, 25), "eta0": _log(1e-5, 1.0, 25)},
    "rf": {
        "max_depth": (1, 3, 8, 20, 50),
        "min_samples_split": (2, 8, 32, 128),
        "max_features": tuple(_short(k / 9) for k in (0, 2, 4, 7, 9)),
        "min_samples_leaf": (1, 5, 11, 20),
    },
    "mlp": {
        "depth": (1, 2, 3),
        "width": (16, 64, 161),
        "batch_size": (25, 64, 256),
        "alpha": tuple(_log(1e-8, 1.0, 10)[k] for k in (0, 6, 9)),
        "learning_rate_init": tuple(_log(1e-5, 1.0, 10)[k] for k in (0, 2, 4, 6, 8)),
    },
    "xgb": {
        "eta": tuple(_log(2**-10, 1.0, 10)[k] for k in (0, 2, 4, 6, 8, 9)),
        "max_depth": (1, 3, 8, 20),
        "colsample_bytree": (0.1, 0.4, 0.7, 1.0),
        "reg_lambda": tuple(_log(2**-10, 2**10, 10)[k] for k in (0, 3, 5, 9)),
    },
}


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What is tabulated of a model: at which fidelity (0: it has none), and with how many training seeds.

    The seeds are the first ones of `models.SEEDS`; a table may hold fewer.
    """

    fidelity: int
    seeds: int


# Chosen for about two hours on one core, all data sets and both protocols together; cheapest first.
TABLE_SPECS: Mapping[str, TableSpec] = {
    "svm": TableSpec(0, 3),
    "lr": TableSpec(100, 3),
    "rf": TableSpec(64, 3),
    "mlp": TableSpec(9, 3),
    "xgb": TableSpec(50, 3),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a table is built from.

    Attributes:
        model: A key of `GRIDS`.
        grid: Its grid.
        fidelity: The value of the model's fidelity; 0 where it has none.
        seeds: The training seeds, in order.
    """

    model: str
    grid: Grid
    fidelity: int
    seeds: tuple[int, ...]


def shipped_setting(model: str, seeds: int | None = None) -> Setting:
    """The setting of the shipped tables of a model, with its number of seeds or another one."""
    spec = TABLE_SPECS[model]
    return Setting(model, GRIDS[model], spec.fidelity, SEEDS[: spec.seeds if seeds is None else seeds])
