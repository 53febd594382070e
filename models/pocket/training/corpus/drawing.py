"""From a family of spaces to the space of one table: what is tuned, part ranges, grids; and its configurations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.training.corpus.notation import Family, Param
from airtune.models.pocket.training.corpus.problems import Problem

LEVELS, INACTIVE = 254, 255  # a position on a scale is one of 255; the last code says that there is none
AS_WRITTEN, GRID = (
    0.4,
    0.15,
)  # shares of the tables whose ranges are the family's own, and whose numbers are lists
_BUDGETS = ("epochs", "n_estimators", "early_stopping_rounds", "patience")  # a short training has its own


def value_of(p: Param, code: int) -> Any:
    """The value at a code: 0 to `LEVELS` along a number's scale, or the number of the choice."""
    if p.kind in "CO":
        return p.choices[code]
    return _at(p, code / LEVELS)


def _at(p: Param, u: float) -> float | int:
    if p.kind in "LJ":
        v = math.exp(math.log(p.lower) + u * (math.log(p.upper) - math.log(p.lower)))
    else:
        v = p.lower + u * (p.upper - p.lower)
    v = min(max(v, p.lower), p.upper)
    return round(v) if p.kind in "IJ" else float(f"{v:.6g}")


def code_of(p: Param, value: float) -> int:
    """The code nearest to a number, or a choice's own."""
    if p.kind in "CO":
        return int(value)
    ends = (
        (math.log(p.lower), math.log(p.upper), math.log(value))
        if p.kind in "LJ"
        else (p.lower, p.upper, value)
    )
    return round(LEVELS * (ends[2] - ends[0]) / (ends[1] - ends[0]))


def _ranged(p: Param, lower: float, upper: float) -> Param:
    lower, upper = float(f"{lower:.2g}"), float(f"{upper:.2g}")  # round numbers, as people write them
    if p.kind in "IJ":
        lower, upper = round(lower), max(round(upper), round(lower) + 2)
    inside = lower <= p.default <= upper
    return replace(p, lower=lower, upper=upper, default=p.default if inside else float("nan"))


def _part(p: Param, rng: np.random.Generator) -> Param:
    """A range that someone else might have written: a part of it, other ends, or no logarithm."""
    if p.kind == "C" or (p.kind == "O" and len(p.choices) < 4):
        return p
    width = float(rng.uniform(0.4, 1))
    start = float(rng.uniform(0, 1 - width))
    if p.kind == "O":
        first, last = round(start * (len(p.choices) - 3)), len(p.choices) - round((1 - start - width) * 2)
        default = p.default - first
        inside = 0 <= default < last - first
        kept = p.choices[first:last]
        return replace(p, choices=kept, upper=len(kept), default=default if inside else float("nan"))
    u = rng.uniform()
    if p.kind == "L" and u < 0.35:
        return _ranged(p, p.lower * 10 ** rng.uniform(-0.7, 0.7), p.upper * 10 ** rng.uniform(-0.7, 0.3))
    if p.kind == "L" and u < 0.42 and p.upper / p.lower <= 1e4:
        return replace(p, kind="F")
    if p.kind == "I" and p.upper - p.lower < 4:
        return p
    return _ranged(p, float(_at(p, start)), float(_at(p, start + width)))


def _grid(p: Param, rng: np.random.Generator) -> Param:
    """A list of three to seven round values along the range, the default among them where it can be."""
    if p.kind in "CO":
        return p
    digits = 1 if rng.uniform() < 0.7 else 2
    values = [float(f"{_at(p, u):.{digits}g}") for u in np.linspace(0, 1, rng.integers(3, 8))]
    if math.isfinite(p.default):
        values.append(p.default)
    inside = sorted({round(v) if p.kind in "IJ" else v for v in values if p.lower <= v <= p.upper})
    if len(inside) < 2:
        return p
    default = float(inside.index(p.default)) if p.default in inside else float("nan")
    return replace(p, kind="O", lower=0, upper=len(inside), choices=tuple(inside), default=default)


def space_of(family: Family, problem: Problem, short: bool, rng: np.random.Generator) -> tuple[Param, ...]:
    """The hyperparameters that a table tunes, with its own ranges.

    Args:
        family: The family.
        problem: The data set, which some defaults depend on.
        short: Whether trainings are cut short: then their length is not tuned.
        rng: The only source of randomness.
    """
    params = [p for p in family.params if not (short and p.key in _BUDGETS)]
    if not problem.classes:  # what only classifiers have
        params = [p for p in params if p.key not in ("class_weight", "criterion", "label_smoothing")]
    if family.fewest and rng.uniform() < 0.6:
        count = int(rng.integers(min(family.fewest, len(params)), len(params) + 1))
        chosen = set(rng.permutation(len(params))[:count].tolist())
        params = [p for i, p in enumerate(params) if i in chosen]
    names = {p.name for p in params}
    params = [p for p in params if p.only is None or p.only[0] in names] or [family.params[0]]
    width = 1 / (problem.x[0].shape[1] * float(problem.x[0].var()))  # scikit-learn's gamma="scale"
    params = [
        replace(p, default=width) if p.key.endswith("gamma") and p.kind == "L" and p.lower < width < p.upper
        and math.isnan(p.default) else p
        for p in params
    ]  # fmt: skip
    u = rng.uniform()
    if u < AS_WRITTEN:
        return tuple(params)
    if u < AS_WRITTEN + GRID:
        return tuple(_grid(p, rng) for p in params)
    return tuple(_part(p, rng) if rng.uniform() < 0.6 else p for p in params)


def has_default(params: Sequence[Param]) -> bool:
    """Whether the space holds the library's default: it is the first configuration then."""
    return all(math.isfinite(p.default) for p in params)


def draw_codes(params: Sequence[Param], rows: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(rows, parameters) codes of configurations; the nearest to the default first, where there is one."""
    codes = np.stack(
        [rng.integers(len(p.choices) if p.kind in "CO" else LEVELS + 1, size=rows) for p in params], axis=1
    )
    if has_default(params):
        codes[0] = [code_of(p, p.default) for p in params]
    for row in codes:
        values: dict[str, Any] = {}
        for j, p in enumerate(params):
            if p.only is not None and values.get(p.only[0], INACTIVE) not in p.only[1]:
                row[j] = INACTIVE
            else:
                values[p.name] = value_of(p, int(row[j]))
    return codes.astype(np.uint8)


def config_of(params: Sequence[Param], codes: NDArray[np.uint8], default: bool = False) -> dict[str, Any]:
    """The configuration of a row of codes, by name; the default itself, not what is nearest to it, if so said."""
    config = {}
    for p, code in zip(params, codes.tolist(), strict=True):
        if code != INACTIVE:
            if default and p.kind not in "CO":
                config[p.name] = round(p.default) if p.kind in "IJ" else p.default
            else:
                config[p.name] = value_of(p, code)
    return config


def estimator_words(
    family: Family, params: Sequence[Param], config: Mapping[str, Any], short: bool
) -> dict[str, Any]:
    """A configuration as the estimator is told it: with what the family fixes and the defaults of what is not tuned."""
    tuned = {p.name for p in params}
    words = dict(family.fixed)
    for p in (*family.defaults, *family.params):
        kept = math.isfinite(p.default) and p.only is None and not (short and p.key in _BUDGETS)
        if (
            p.name not in tuned
            and kept
            and p.key not in ("clip", "class_weight", "criterion", "label_smoothing")
        ):
            exact = round(p.default) if p.kind in "IJ" else p.default
            words[p.key] = p.choices[int(p.default)] if p.kind in "CO" else exact
    return words | {p.key: config[p.name] for p in params if p.name in config}
