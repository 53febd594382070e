"""Spaces that nobody wrote: each table draws its hyperparameters from all that the families of its algorithm have.

A model that meets a few dozen spaces learns what each of them wants. Of spaces that are never the same twice it has to
learn what each hyperparameter wants, whichever others stand beside it and whatever its range is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from airtune.models.pocket.training.corpus.notation import Family, Param

_FEWEST, _MOST = 2, 10  # hyperparameters of a space
_WIDENED = 0.4  # share of the logarithmic ranges that end elsewhere than any family's do
_DECADES = 1.0  # how far elsewhere, at most
_BOOSTERS, _ROUNDS = "booster", "n_estimators"  # never both: DART takes the square of the rounds


def mixed_families(families: Mapping[str, Family]) -> dict[str, Family]:
    """A family beside each one, called `mixed_...`, that draws from all of the same algorithm and kind of problem.

    What is fixed and how long trainings are is the family's own. Left out are algorithms with one hyperparameter alone,
    and choices among algorithms: their hyperparameters belong to each.

    Args:
        families: Families by name, all of which may be trained on.
    """
    found = {}
    for name, family in families.items():
        alike = [
            other
            for other in families.values()
            if other.algorithm == family.algorithm and set(family.tasks) <= set(other.tasks)
        ]
        pool = tuple(p for other in alike for p in other.params)
        if family.algorithm != "any" and len({p.key for p in pool}) >= _FEWEST:
            proba = all(other.proba for other in alike)
            found[f"mixed_{name}"] = replace(family, pool=pool, proba=proba)
    return found


def _ends(variants: list[Param], rng: np.random.Generator) -> Param:
    """A number with one variant's name, and with ends that two of them or none of them have."""
    first, other = (variants[int(i)] for i in rng.integers(len(variants), size=2))
    lower, upper = (first.lower, other.upper) if first.lower < other.upper else (first.lower, first.upper)
    if first.kind == "L" and rng.uniform() < _WIDENED:
        moved = (float(v * 10 ** rng.uniform(-_DECADES, _DECADES)) for v in (lower, upper))
        lower, upper = sorted(float(f"{v:.1g}") for v in moved)
        if upper < 10 * lower:
            lower, upper = first.lower, first.upper
    default = other.default if lower <= other.default <= upper else float("nan")
    return replace(first, lower=lower, upper=upper, default=default)


def _one(variants: list[Param], rng: np.random.Generator) -> Param:
    """One of the ways in which a hyperparameter is written, with its name, kind and range."""
    chosen = variants[rng.integers(len(variants))]
    alike = [p for p in variants if p.kind == chosen.kind]
    return chosen if chosen.kind in "CO" else _ends(alike, rng)


def _conditions(family: Family, params: list[Param]) -> list[Param]:
    """Parents before children; without what a space switches on that does not have the switch, unless it is on."""
    by_key = {p.key: p for p in params}
    written = {p.name: p for p in family.pool}
    condition: dict[str, tuple[str, set[Any]]] = {}  # by all who write a hyperparameter
    for p in family.pool:
        if p.only is not None:
            name, values = condition.get(p.key, (p.only[0], set()))
            condition[p.key] = name, {*values, *p.only[1]}
    free = [p for p in params if p.key not in condition]
    for p in (p for p in params if p.key in condition):
        name, values = condition[p.key]
        usual, parent = written[name], by_key.get(written[name].key)
        if parent is None:
            if family.fixed.get(usual.key, usual.choices[int(usual.default)]) in values:
                free.append(replace(p, only=None))
        elif parent.kind == "C" and parent.key not in condition:
            on = tuple(v for v in parent.choices if v in values)
            if on:
                free.append(replace(p, only=None if on == parent.choices else (parent.name, on)))
    return free


def mixed(family: Family, rng: np.random.Generator) -> Family:
    """A family with hyperparameters drawn from its pool; what is not drawn stays where the family has it.

    A hyperparameter is drawn the sooner the more of the families have it.

    Args:
        family: A family with a pool.
        rng: The only source of randomness.
    """
    by_key: dict[str, list[Param]] = {}
    for p in family.pool:
        by_key.setdefault(p.key, []).append(p)
    weight = np.array([len(variants) for variants in by_key.values()]) / len(family.pool)
    count = min(len(by_key), int(rng.integers(_FEWEST, _MOST + 1)))
    chosen = set(rng.choice(len(by_key), size=count, replace=False, p=weight).tolist())
    params: dict[str, Param] = {}  # by name: two hyperparameters may be called the same
    keys = [key for i, key in enumerate(by_key) if i in chosen]
    for key, variants in by_key.items():
        if key in keys and not (key == _ROUNDS and _BOOSTERS in keys):
            p = _one(variants, rng)
            params.setdefault(p.name, p)
    drawn = _conditions(family, list(params.values())) or [replace(family.params[0], only=None)]
    there = {p.key for p in drawn}
    rest = [p for p in family.params if p.key not in there and p.only is None]
    return replace(family, params=tuple(drawn), defaults=tuple(rest), fewest=0, pool=())
