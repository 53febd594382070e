"""Episodes as a chat model meets them: a problem with its trials so far, and answers that would have been good.

They come from the generators that train `pocket`: tables of real algorithms on generated data sets, read as surfaces
that are never the same twice, and functions drawn from a prior, whose hyperparameters' names say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import Any

import numpy as np

from airtune.models.pocket.training.algorithms import Param, choice
from airtune.models.pocket.training.episodes import Simulation, simulate
from airtune.models.pocket.training.functions import Bools, Floats, Functions, snap_to_levels
from airtune.models.pocket.training.surfaces import Surface, tables_to_mix
from airtune.models.pocket.training.table_episodes import column_order, simulate_surfaces
from airtune.models.pocket.training.table_spaces import space_of
from airtune.models.pocket.training.tables import Table, to_value
from airtune.models.types import Observation, Problem

TABLE_SHARE = 0.7  # of the episodes; the others are on functions
NAMES_HIDDEN = 0.15  # of those on tables: what the names say must not be all that is learnt
TRIALS = 16  # a history's most; a prompt's cost grows with it
HYPERPARAMETERS = 8  # likewise


@dataclass(frozen=True, slots=True)
class Episode:
    """One thing to learn.

    Attributes:
        problem: The task with its trials so far.
        answers: Configurations worth proposing next: near the minimiser, or better than the best so far.
    """

    problem: Problem
    answers: tuple[dict[str, Any], ...]


def draw_episode(rng: np.random.Generator, tables: Mapping[str, Sequence[Table]]) -> Episode:
    """One episode.

    Args:
        rng: The only source of randomness.
        tables: Tables by algorithm; empty for functions alone.
    """
    length = rng.integers(TRIALS + 1, size=1)
    if tables and rng.uniform() < TABLE_SHARE:
        algorithm, params, simulated = _on_table(rng, tables, length)
    else:
        algorithm, params, simulated = _on_function(rng, length)
    # Losses have a scale of their own in every task, and mostly lie above 0.
    scale = 10 ** rng.uniform(-2.5, 1.5)
    finite = simulated.losses[np.isfinite(simulated.losses)]
    low = float(finite.min()) if len(finite) else 0.0
    offset = scale * rng.uniform(0, 4)

    def trial(i: int) -> Observation:
        loss = float(simulated.losses[0, i])
        config = _config(params, simulated.points[0, i], simulated.active[0, i])
        if not np.isfinite(loss):
            return Observation(config, None, "failed", "the loss is not finite")
        return Observation(config, (loss - low) * scale + offset)

    metric = "error" if algorithm else "loss"
    problem = Problem(
        name=algorithm or "function",
        description="",
        space=space_of([_rounded(p) for p in params]),
        metric=metric,
        observations=tuple(trial(i) for i in range(int(length[0]))),
    )
    chosen = simulated.chosen[0]
    found = [_config(params, simulated.candidates[0, j], simulated.candidates_active[0, j]) for j in chosen]
    return Episode(problem, tuple(found))


def _on_table(
    rng: np.random.Generator, tables: Mapping[str, Sequence[Table]], length: Any
) -> tuple[str, list[Param], Simulation]:
    algorithms = sorted(tables)
    algorithm = algorithms[rng.integers(len(algorithms))]
    group = [table for table in tables[algorithm] if len(table.params) <= HYPERPARAMETERS]
    table = group[rng.integers(len(group))]
    surface = Surface(rng, tables_to_mix(rng, table, group), column_order(rng, table))
    simulated, _, _ = simulate_surfaces(rng, [surface], TRIALS, length)
    if rng.uniform() >= NAMES_HIDDEN:
        return algorithm, surface.params, simulated
    new = {p.role: f"x{i + 1}" for i, p in enumerate(surface.params)}
    hidden = [
        replace(p, role=new[p.role], only=None if p.only is None else (new[p.only[0]], p.only[1]))
        for p in surface.params
    ]
    return "", hidden, simulated


def _on_function(rng: np.random.Generator, length: Any) -> tuple[str, list[Param], Simulation]:
    count = int(rng.integers(1, HYPERPARAMETERS + 1))
    params = [_param(rng, f"x{i + 1}") for i in range(count)]
    levels = np.array([[_levels(p) for p in params]], dtype=np.int64)
    categorical = np.array([[p.kind == "C" for p in params]])
    function = Functions(rng, 1, count, levels, categorical)

    def activity(u: Floats) -> Bools:
        return np.ones(u.shape, dtype=bool)

    def snap(u: Floats) -> Floats:
        return snap_to_levels(u, levels, categorical)

    simulated = simulate(rng, function, activity, snap, categorical, TRIALS, length)
    defaults = simulated.default[0]
    params = [
        replace(
            p, default=min(int(u * len(p.choices)), len(p.choices) - 1) if p.kind == "C" else to_value(p, u)
        )
        for p, u in zip(params, defaults.tolist(), strict=True)
    ]
    return "", params, simulated


def _param(rng: np.random.Generator, name: str) -> Param:
    """A hyperparameter of a plausible kind and range."""
    kind = str(rng.choice(list("FLIJC"), p=[0.35, 0.3, 0.15, 0.1, 0.1]))
    if kind == "C":
        return choice(name, *(f"choice{i + 1}" for i in range(int(rng.integers(2, 6)))))
    if kind == "L":
        lower = 10.0 ** float(rng.integers(-8, 2))
        return Param(name, kind, lower, lower * 10.0 ** float(rng.integers(1, 7)), lower)
    if kind == "F":
        ends = (0.0, 1.0) if rng.uniform() < 0.5 else (0.0, float(rng.integers(1, 101)))
        return Param(name, kind, *ends, ends[0])
    lower = float(rng.integers(1, 5))
    upper = lower + float(rng.integers(2, 60)) if kind == "I" else lower * float(2 ** rng.integers(3, 11))
    return Param(name, kind, lower, upper, lower)


def _rounded(p: Param) -> Param:
    """The hyperparameter with ends as people write them, a little further out."""
    if p.kind not in "FL":
        return p
    lower, upper = (
        _two_digits(end, rounding) for end, rounding in ((p.lower, ROUND_FLOOR), (p.upper, ROUND_CEILING))
    )
    return replace(p, lower=lower, upper=upper, default=min(max(float(f"{p.default:.3g}"), lower), upper))


def _two_digits(value: float, rounding: str) -> float:
    return float(Context(prec=2, rounding=rounding).create_decimal_from_float(value))


def _levels(p: Param) -> int:
    return len(p.choices) if p.kind == "C" else round(p.upper - p.lower) + 1 if p.kind == "I" else 0


def _config(params: Sequence[Param], unit: Floats, active: Bools) -> dict[str, Any]:
    values = {p.role: to_value(p, float(u)) for p, u, on in zip(params, unit, active, strict=True) if on}
    return {role: str(v) if _is_choice(params, role) else v for role, v in values.items()}


def _is_choice(params: Sequence[Param], role: str) -> bool:
    return any(p.role == role and p.kind == "C" for p in params)
