"""Tables as response surfaces: continuous, and never the same twice.

A model that sees the rows of a table often enough learns them by heart, and knows nothing of the next table
(docs/log/pocket.md). So a table is read as a function: the mean of a Gaussian process through its rows, which can be
asked anywhere. Every episode then gets a surface of its own: of two tables of one algorithm mixed, a random function
added, ranges cut to a part, choices in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from airtune.models.pocket.training.algorithms import Param
from airtune.models.pocket.training.functions import Bools, Floats
from airtune.models.pocket.training.tables import Table, default_value, to_unit, to_value

_DRAWS, _ROWS = 32, 64  # length scales tried per table and round, and rows that they are judged by
_LENGTH, _SPREAD = 0.5, 0.8  # prior of a length scale: log-normal
_NOISES = (1e-3, 1e-2, 1e-1)  # noise variances tried, of losses of variance 1
MIXED, CUT, MOVED = 0.6, 0.5, 0.5  # shares of the episodes: two tables, cut ranges, a random function added
_NARROWEST = 0.4  # part of a scale that a cut range has at least
AMPLITUDE = (0.1, 0.6)  # of the random function, in standard deviations of the surface


@dataclass(frozen=True, slots=True)
class PosteriorMean:
    """A Gaussian process's mean through the rows of a table.

    Attributes:
        rows: (rows, columns) points divided by the length scales.
        weights: (rows,) what each row adds.
        length: (columns,) length scales.
    """

    rows: Floats
    weights: Floats
    length: Floats

    def __call__(self, points: Floats) -> Floats:
        """Values (m,) at points (m, columns); the table's losses have mean 0 and variance 1."""
        return np.asarray(_matern(points.astype(np.float32) / self.length, self.rows) @ self.weights)


def _matern(a: Floats, b: Floats) -> Floats:
    """Matern 5/2 correlations (..., n, m) of points (..., n, d) and (..., m, d), already divided by their lengths."""
    square = (a**2).sum(-1)[..., :, None] + (b**2).sum(-1)[..., None, :] - 2 * a @ b.swapaxes(-1, -2)
    r = np.sqrt(5 * np.maximum(square, 0), dtype=square.dtype)
    return np.asarray((1 + r + r * r / 3) * np.exp(-r))


def features(params: Sequence[Param], unit: Floats, active: Bools) -> Floats:
    """Points (m, columns) of positions (m, p): a number's position, a column per choice, one for "active"."""
    columns = []
    for j, param in enumerate(params):
        if param.kind == "C":
            k = len(param.choices)
            choice = np.minimum((unit[:, j] * k).astype(int), k - 1)
            columns += [np.where(active[:, j], choice == i, 0.0) / math.sqrt(2) for i in range(k)]
        else:
            columns.append(np.where(active[:, j], unit[:, j], 0.5))
        if param.only is not None:
            columns.append(active[:, j].astype(float))
    return np.stack(columns, axis=1)


def fit(table: Table) -> PosteriorMean:
    """The likeliest process of a few dozen, by some of the rows; then through all of them."""
    active = ~np.isnan(table.unit)
    x = features(table.params, np.where(active, table.unit, 0.5).astype(np.float64), active)
    y = table.loss.astype(np.float64)
    y = np.where(np.isfinite(y), y, y[np.isfinite(y)].max())
    y = (y - y.mean()) / (float(y.std()) or 1.0)
    rng = np.random.default_rng(0)
    d = x.shape[1]
    centre = math.log(_LENGTH * d**0.25)
    best, length, noise = -np.inf, np.exp(np.full(d, centre)), _NOISES[1]
    for spread in (_SPREAD, _SPREAD / 3):
        lengths = np.exp(
            (centre if spread == _SPREAD else np.log(length)) + spread * rng.standard_normal((_DRAWS, d))
        )
        noises = rng.choice(_NOISES, size=_DRAWS)
        some = x[None, :_ROWS] / lengths[:, None]
        factor = np.linalg.cholesky(
            _matern(some, some) + (noises + 1e-6)[:, None, None] * np.eye(some.shape[1])
        )
        white = np.linalg.solve(factor, np.broadcast_to(y[:_ROWS, None], (_DRAWS, some.shape[1], 1)))[..., 0]
        score = -0.5 * (white**2).sum(1) - np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
        score -= 0.5 * (((np.log(lengths) - centre) / _SPREAD) ** 2).sum(1)
        if score.max() > best:
            winner = int(score.argmax())
            best, length, noise = float(score[winner]), lengths[winner], float(noises[winner])
    scaled = x / length
    weights = np.linalg.solve(_matern(scaled, scaled) + (noise + 1e-6) * np.eye(len(x)), y)
    return PosteriorMean(scaled.astype(np.float32), weights.astype(np.float32), length.astype(np.float32))


@cache
def _fitted(table: Table) -> PosteriorMean:
    return fit(table)


def _ends(p: Param) -> tuple[float, float]:
    """The ends of the parameter's range on its own (log) scale."""
    return (math.log(p.lower), math.log(p.upper)) if p.kind in "LJ" else (float(p.lower), float(p.upper))


def cut(rng: np.random.Generator, p: Param) -> Param:
    """The parameter with a part of its range, the default moved into it; choices and short ranges stay."""
    if p.choices or (p.kind in "IJ" and p.upper - p.lower < 4):
        return p
    width = rng.uniform(_NARROWEST, 1)
    start = rng.uniform(0, 1 - width)
    lower, upper = float(to_value(p, start)), float(to_value(p, start + width))
    if p.kind in "IJ":
        upper = max(upper, lower + 2)
    return replace(p, lower=lower, upper=upper, default=float(np.clip(p.default, lower, upper)))


def grid_units(p: Param) -> Floats:
    """Positions of the values of a number that is a list of them."""
    return np.array([to_unit(p, v) for v in p.choices])


def levels_of(p: Param) -> int:
    """How many values, evenly spaced on its scale, a hyperparameter has; 0 where they count as continuous."""
    if p.kind == "C":
        return len(p.choices)
    if p.choices:
        steps = np.diff(grid_units(p))
        return len(p.choices) if np.ptp(steps) < 0.01 else 0
    return round(p.upper - p.lower) + 1 if p.kind == "I" else 0


class Surface:
    """One episode's function, of one table or two of the same hyperparameters.

    Args:
        rng: Draws how the tables are varied.
        tables: One table, or two that tune the same hyperparameters.
        order: Which of the tables' hyperparameters come in which order.
        row: The first table's row that says what the others are set to; to their defaults where they are inactive.

    Attributes:
        params: The hyperparameters in that order, with this episode's ranges and order of choices.
    """

    def __init__(
        self, rng: np.random.Generator, tables: Sequence[Table], order: Sequence[int], row: int = 0
    ) -> None:
        mine = [tables[0].params[i] for i in order]
        if rng.uniform() < CUT:
            mine = [cut(rng, p) if rng.uniform() < 0.7 else p for p in mine]
        self._choice = [rng.permutation(len(p.choices)) if p.kind == "C" else None for p in mine]
        self.params = [
            p
            if new is None
            else replace(
                p,
                choices=tuple(p.choices[i] for i in new),
                default=float(np.flatnonzero(new == int(p.default))[0]),
            )
            for p, new in zip(mine, self._choice, strict=True)
        ]
        share = float(rng.uniform()) if len(tables) == 2 else 1.0
        self._parts = list(zip((share, 1 - share), tables, strict=False))
        self._column = {i: j for j, i in enumerate(order)}  # a table's column -> this surface's
        self._set = {
            i: default_value(p) if math.isnan(u) else to_value(p, u)
            for i, (p, u) in enumerate(zip(tables[0].params, tables[0].unit[row].tolist(), strict=True))
            if i not in self._column
        }

    def default(self) -> Floats:
        """(p,) the position of the default."""
        return np.array([to_unit(p, default_value(p)) for p in self.params], dtype=np.float32).clip(0, 1)

    def levels(self) -> list[int]:
        """How many values each hyperparameter has; 0 where they count as continuous."""
        return [levels_of(p) for p in self.params]

    def snap(self, unit: Floats) -> Floats:
        """Positions (m, p) moved onto the values that exist."""
        unit = unit.copy()
        for j, p in enumerate(self.params):
            if p.kind == "C":
                k = len(p.choices)
                unit[:, j] = (np.minimum(np.floor(unit[:, j] * k), k - 1) + 0.5) / k
            elif p.choices:
                grid = grid_units(p)
                unit[:, j] = grid[np.abs(unit[:, j, None] - grid).argmin(1)]
            elif p.kind in "IJ":
                low, high = _ends(p)
                value = low + unit[:, j] * (high - low)
                value = np.rint(np.exp(value) if p.kind == "J" else value).clip(p.lower, p.upper)
                unit[:, j] = ((np.log(value) if p.kind == "J" else value) - low) / (high - low)
        return unit.clip(0, 1)  # against rounding

    def active(self, unit: Floats) -> Bools:
        """(m, p) which hyperparameters the configurations at snapped positions (m, p) use."""
        on = np.ones(unit.shape, dtype=bool)
        column = {p.role: j for j, p in enumerate(self.params)}
        for j, p in enumerate(self.params):
            if p.only is not None and p.only[0] in column:
                parent = column[p.only[0]]
                choices = self.params[parent].choices
                allowed = np.array([c in p.only[1] for c in choices])
                on[:, j] = allowed[np.minimum((unit[:, parent] * len(choices)).astype(int), len(choices) - 1)]
        return on

    def value(self, unit: Floats, active: Bools) -> Floats:
        """Values (m,) at snapped positions (m, p)."""
        return np.asarray(sum(w * _fitted(t)(self._points(t, unit, active)) for w, t in self._parts))

    def _points(self, table: Table, unit: Floats, active: Bools) -> Floats:
        """Positions (m, p) of this surface as points of a table that has other ranges and another order."""
        shape = (len(unit), len(table.params))
        moved, uses = np.full(shape, 0.5), np.ones(shape, dtype=bool)
        place = {p.role: i for i, p in enumerate(table.params)}
        for i, theirs in enumerate(table.params):  # parents come first
            if i not in self._column:
                moved[:, i] = np.clip(to_unit(theirs, self._set[i]), 0, 1)
                if theirs.only is not None and theirs.only[0] in place:
                    parent = place[theirs.only[0]]
                    choices = table.params[parent].choices
                    allowed = np.array([c in theirs.only[1] for c in choices])
                    picked = np.minimum((moved[:, parent] * len(choices)).astype(int), len(choices) - 1)
                    uses[:, i] = uses[:, parent] & allowed[picked]
                continue
            j = self._column[i]
            mine, choice, column = self.params[j], self._choice[j], unit[:, j].astype(np.float64)
            if choice is not None:
                k = len(choice)
                column = (choice[np.minimum((column * k).astype(int), k - 1)] + 0.5) / k
            else:
                (low, high), (start, end) = _ends(mine), _ends(theirs)
                column = (low + column * (high - low) - start) / (end - start)
            moved[:, i], uses[:, i] = column, active[:, j]
        return features(table.params, moved, uses)


def tables_to_mix(rng: np.random.Generator, table: Table, others: Sequence[Table]) -> list[Table]:
    """The table, and in most cases one of `others`, itself perhaps, that tunes the same hyperparameters."""

    def tunes(one: Table) -> tuple[Any, ...]:
        return one.short, *((p.role, p.kind, p.choices if p.kind == "C" else ()) for p in one.params)

    mine = tunes(table)
    same = [t for t in others if tunes(t) == mine] if rng.uniform() < MIXED else []
    return [table, same[rng.integers(len(same))]] if same else [table]
