"""Episodes on real tables: row by row, or as surfaces that are never the same twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from airtune.models.pocket.training.episodes import (
    QUERIES,
    Episodes,
    Headers,
    Simulation,
    episodes_of,
    gather,
    pick,
    simulate,
    targets,
)
from airtune.models.pocket.training.functions import Bools, Floats, Functions, Ints
from airtune.models.pocket.training.searches import some_search
from airtune.models.pocket.training.surfaces import AMPLITUDE, MOVED, Surface, levels_of
from airtune.models.pocket.training.table_headers import borrow_names, header_of, most_choices
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


def used_at_most(table: Table) -> int:
    """How many hyperparameters a configuration of the table uses at most."""
    return int((~np.isnan(table.unit)).sum(1).max())


def slice_of(rng: np.random.Generator, table: Table, count: int) -> tuple[list[int], int]:
    """So many columns, in the order in which they are told, and the row that the others are set to as.

    What a dropped hyperparameter would switch off in that row is dropped, too, so the row uses as many.
    """
    rows = np.flatnonzero((~np.isnan(table.unit)).sum(1) >= count)
    row = int(rows[0] if rng.uniform() < 0.5 else rng.choice(rows))
    used = ~np.isnan(table.unit[row])
    place = {p.role: i for i, p in enumerate(table.params)}
    kept: set[int] = set()
    for column in rng.permutation(len(table.params)).tolist():
        parent = table.params[column].only
        if len(kept) < count and (used[column] or (parent is not None and place.get(parent[0]) in kept)):
            kept.add(column)
    return [column for column in column_order(rng, table) if column in kept], row


def from_tables(
    rng: np.random.Generator,
    tables: Sequence[Table],
    n: int,
    length: Ints,
    *,
    borrow: float = 0.0,
    alphabet: int = 1,
) -> Episodes:
    """Episodes on real tables; columns and choices shuffled, some roles hidden.

    Args:
        rng: The only source of randomness.
        tables: The table of each episode, all of the same number of hyperparameters.
        n: Room for trials.
        length: (b,), trials of each history, <= n; of a smaller table, it leaves a fifth of the rows to be proposed.
        borrow: Share of them whose names are borrowed.
        alphabet: In which the headers are written.
    """
    b, p, rows_each = len(tables), len(tables[0].params), min(len(t.loss) for t in tables)
    n = min(n, rows_each * 4 // 5)
    length = np.minimum(length, n)
    headers = Headers.empty(b, p, most_choices(tables) if alphabet == 2 else 0)
    naming = rng.spawn(1)[0]  # what is shown is the same in both alphabets
    levels = np.zeros((b, p), dtype=np.int64)
    categorical = np.zeros((b, p), dtype=bool)
    unit = np.empty((b, rows_each, p), dtype=np.float32)
    value = np.empty(unit.shape[:2], dtype=np.float32)
    default = np.empty((b, p), dtype=np.float32)
    for i, table in enumerate(tables):
        columns = column_order(rng, table)
        unit[i], value[i] = table.unit[:rows_each, columns], table.loss[:rows_each]
        params = [table.params[column] for column in columns]
        for j, param in enumerate(params):
            levels[i, j], categorical[i, j] = levels_of(param), param.kind == "C"
            default[i, j] = to_unit(param, default_value(param))
            if param.kind == "C":  # a choice's place in the list means nothing
                k = len(param.choices)
                place = rng.permutation(k)
                moved = (place + 0.5) / k
                default[i, j] = moved[int(default[i, j] * k)]
                old = unit[i, :, j]
                unit[i, :, j] = np.where(np.isnan(old), old, moved[np.nan_to_num(old * k).astype(int)])
                params[j] = replace(param, choices=tuple(param.choices[c] for c in np.argsort(place)))
        header_of(naming, headers, i, table, params, alphabet)
        if borrow:
            borrow_names(naming, headers, i, alphabet, borrow)
    active = ~np.isnan(unit)
    unit = np.where(active, unit, np.float32(0.5))
    failed = np.isinf(value)
    worst = np.where(failed, -np.inf, value).max(1, keepdims=True)
    value = np.where(failed, worst + 1, value)
    # The history: rows at random, leaning towards good ones by a different amount each time, as searches do.
    rank = value.argsort(1).argsort(1) / value.shape[1]
    lean = np.where(rng.uniform(size=(b, 1)) < 0.4, 0.0, rng.uniform(0, 6, size=(b, 1)))
    weight = np.exp(-lean * rank).astype(np.float32)
    weight[:, 0] *= np.where(rng.uniform(size=b) < 0.5, 1e6, 1.0)  # the default is a usual first trial
    rows = pick(rng, weight, n)
    order = np.where(rows == 0, -1.0, rng.uniform(size=rows.shape)).argsort(1)  # and it is the first one
    rows = np.take_along_axis(rows, order, 1)
    shown = np.where(failed, np.inf, value)
    observed = np.where(np.arange(n) < length[:, None], np.take_along_axis(shown, rows, 1), np.nan)
    seen = np.where(np.isfinite(observed), observed, np.inf).min(1)
    fresh = value + 0.0
    used = np.where(np.arange(n) < length[:, None], rows, rows[:, :1])
    keep = (length > 0)[:, None]
    np.put_along_axis(
        fresh, used, np.where(keep, worst + 9, np.take_along_axis(fresh, used, 1)), 1
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
        headers.header, levels, categorical, default, gather(unit, rows), gather(active, rows),
        observed.astype(np.float32), gather(unit, chosen), gather(active, chosen),
        gather(unit, asked), gather(active, asked), np.take_along_axis(value, asked, 1),
        headers.words, headers.budget,
    )  # fmt: skip


def simulate_surfaces(
    rng: np.random.Generator, surfaces: Sequence[Surface], n: int, length: Ints, searches: bool = False
) -> tuple[Simulation, Ints, Bools]:
    """Histories on surfaces, a random function added to some of them.

    Args:
        rng: The only source of randomness.
        surfaces: One of each episode, all of the same number of hyperparameters.
        n: Room for trials.
        length: (b,), trials of each history, <= n.
        searches: Whether some of the histories are those of searches.

    Returns:
        The histories; (b, p) how many values each hyperparameter has (below 0: in uneven steps), and whether it is a
        choice.
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
    played = some_search(rng, default, categorical, n) if searches else None
    simulated = simulate(rng, function, activity, snap, categorical, n, length, default, played)
    unevenly = np.array([[len(q.choices) for q in surface.params] for surface in surfaces])
    return simulated, np.where(levels == 0, -unevenly, levels), categorical


def from_surfaces(
    rng: np.random.Generator,
    tables: Sequence[Sequence[Table]],
    n: int,
    length: Ints,
    *,
    borrow: float = 0.0,
    alphabet: int = 1,
    count: int | None = None,
    searches: bool = False,
) -> Episodes:
    """Episodes on surfaces made of real tables; columns and choices shuffled, some roles hidden.

    Args:
        rng: The only source of randomness.
        tables: The one table of each episode, or two of the same hyperparameters, which are mixed.
        n: Room for trials.
        length: (b,), trials of each history, <= n.
        borrow: Share of them whose names are borrowed.
        alphabet: In which the headers are written.
        count: How many hyperparameters an episode has, where tables have more, the others being set; None: all tables
            have the same number.
        searches: Whether some of the histories are those of searches.
    """
    surfaces = []
    for some in tables:
        whole = count is None or len(some[0].params) == count
        order, row = (column_order(rng, some[0]), 0) if whole else slice_of(rng, some[0], count or 0)
        surfaces.append(Surface(rng, some, order, row))
    simulated, levels, categorical = simulate_surfaces(rng, surfaces, n, length, searches)
    headers = Headers.empty(
        len(tables), levels.shape[1], most_choices([some[0] for some in tables]) if alphabet == 2 else 0
    )
    for i, (surface, some) in enumerate(zip(surfaces, tables, strict=True)):
        header_of(rng, headers, i, some[0], surface.params, alphabet)
        if borrow:
            borrow_names(rng, headers, i, alphabet, borrow)
    return episodes_of(headers, levels, categorical, simulated)
