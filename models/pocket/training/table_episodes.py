"""Episodes on real tables: row by row, or as surfaces that are never the same twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from airtune.models.dialects.pocket.codec import HEAD_ID, UNKNOWN_ROLE, range_token
from airtune.models.pocket.training.algorithms import Param
from airtune.models.pocket.training.episodes import (
    BORROWED_TABLES,
    QUERIES,
    Episodes,
    Simulation,
    episodes_of,
    gather,
    pick,
    random_roles,
    simulate,
    targets,
)
from airtune.models.pocket.training.functions import Bools, Floats, Functions, Ints
from airtune.models.pocket.training.surfaces import AMPLITUDE, MOVED, Surface
from airtune.models.pocket.training.tables import Table, default_value, to_unit


def column_order(rng: np.random.Generator, table: Table) -> list[int]:
    """The table's columns in random order, but a hyperparameter after the one that switches it on."""
    place = dict(
        zip((p.role for p in table.params), rng.permutation(len(table.params)).tolist(), strict=True)
    )

    def key(column: int) -> tuple[int, int]:
        param = table.params[column]
        mine = place[param.role]
        return (mine, 0) if param.only is None else (max(mine, place[param.only[0]]), 1 + mine)

    return sorted(range(len(table.params)), key=key)


def _header_ids(param: Param, hidden: bool) -> list[int]:
    """Ids of what a header says of a hyperparameter before its default."""
    role = UNKNOWN_ROLE if hidden else f"<{param.role}>"
    return [HEAD_ID[t] for t in (role, param.kind, range_token(param.lower), range_token(param.upper))]


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
        columns = column_order(rng, table)
        unit[i], value[i] = table.unit[:, columns], table.loss
        for j, column in enumerate(columns):
            param = table.params[column]
            hidden = hide_all[i] or rng.uniform() < 0.06
            header[i, j] = _header_ids(param, hidden)
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
            header[row, :, 0] = random_roles(rng, p)
    active = ~np.isnan(unit)
    unit = np.where(active, unit, np.float32(0.5))
    # The history: rows at random, leaning towards good ones by a different amount each time, as searches do.
    rank = value.argsort(1).argsort(1) / value.shape[1]
    lean = np.where(rng.uniform(size=(b, 1)) < 0.4, 0.0, rng.uniform(0, 6, size=(b, 1)))
    weight = np.exp(-lean * rank).astype(np.float32)
    weight[:, 0] *= np.where(rng.uniform(size=b) < 0.5, 1e6, 1.0)  # the default is a usual first trial
    rows = pick(rng, weight, n)
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
    chosen = targets(rng, fresh, seen)
    asked = np.concatenate(
        [
            rng.integers(value.shape[1], size=(b, 1)),
            pick(rng, np.exp(-4 * rank).astype(np.float32), QUERIES - 1),
        ],
        axis=1,
    )
    return Episodes(
        header, levels, categorical, default, gather(unit, rows), gather(active, rows),
        observed.astype(np.float32), gather(unit, chosen), gather(active, chosen),
        gather(unit, asked), gather(active, asked), np.take_along_axis(value, asked, 1),
    )  # fmt: skip


def simulate_surfaces(
    rng: np.random.Generator, surfaces: Sequence[Surface], n: int, length: Ints
) -> tuple[Simulation, Ints, Bools]:
    """Histories on surfaces, a random function added to some of them.

    Args:
        rng: The only source of randomness.
        surfaces: One of each episode, all of the same number of hyperparameters.
        n: Room for trials.
        length: (b,), trials of each history, <= n.

    Returns:
        The histories; (b, p) how many values each hyperparameter has, and whether it is a choice.
    """
    b, p = len(surfaces), len(surfaces[0].params)
    levels = np.array([surface.levels() for surface in surfaces], dtype=np.int64)
    categorical = np.array([[q.kind == "C" for q in surface.params] for surface in surfaces])
    moved = Functions(rng, b, p, levels, categorical)
    amplitude = np.where(rng.uniform(size=(b, 1)) < MOVED, rng.uniform(*AMPLITUDE, size=(b, 1)), 0.0)

    def activity(u: Floats) -> Bools:
        return np.stack([surface.active(x) for surface, x in zip(surfaces, u, strict=True)])

    def snap(u: Floats) -> Floats:
        return np.stack([surface.snap(x) for surface, x in zip(surfaces, u, strict=True)]).astype(np.float32)

    probe = snap(rng.uniform(size=(b, 64, p)).astype(np.float32))
    deviation = moved.trend(probe, activity(probe)).std(1, keepdims=True) + 1e-9

    def function(u: Floats, active: Bools) -> Floats:
        of_tables = [s.value(x, on) for s, x, on in zip(surfaces, u, active, strict=True)]
        return np.asarray(np.stack(of_tables) + amplitude * moved.trend(u, active) / deviation)

    default = np.stack([surface.default() for surface in surfaces])
    simulated = simulate(rng, function, activity, snap, categorical, n, length, default)
    return simulated, levels, categorical


def from_surfaces(
    rng: np.random.Generator,
    tables: Sequence[Sequence[Table]],
    n: int,
    length: Ints,
    *,
    borrow: bool = False,
) -> Episodes:
    """Episodes on surfaces made of real tables; columns and choices shuffled, some roles hidden.

    Args:
        rng: The only source of randomness.
        tables: The one table of each episode, or two of the same hyperparameters, which are mixed; all of the same
            number of hyperparameters.
        n: Room for trials.
        length: (b,), trials of each history, <= n.
        borrow: Whether some of them have borrowed names.
    """
    surfaces = [Surface(rng, some, column_order(rng, some[0])) for some in tables]
    simulated, levels, categorical = simulate_surfaces(rng, surfaces, n, length)
    b, p = levels.shape
    header = np.empty((b, p, 4), dtype=np.int64)
    for i, surface in enumerate(surfaces):
        hide_all = rng.uniform() < 0.12
        for j, q in enumerate(surface.params):
            hidden = hide_all or rng.uniform() < 0.06
            header[i, j] = _header_ids(q, hidden)
        if borrow and rng.uniform() < BORROWED_TABLES:
            header[i, :, 0] = random_roles(rng, p)
    return episodes_of(header, levels, categorical, simulated)
