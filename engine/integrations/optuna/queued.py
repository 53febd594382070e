"""Queued trials: what the user has fixed, and parameters beside it that no other trial has had with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from airtune.engine.integrations.optuna.space import OptunaSpace, from_distributions
from airtune.engine.proposers.base import REDRAWS, propose_one, sample_value
from airtune.engine.proposers.random import RandomProposer
from airtune.engine.types import Task, Trial
from airtune.grammars.axes import plain

# What the proposer says so often in vain, given what is fixed, is drawn at random from what is left.
GUESSES = 4


def completed(space: OptunaSpace, params: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What will be evaluated where `params` are proposed and `given` is fixed; without what that makes inactive."""
    whole = {**params, **given}
    config = space.config(whole)
    return whole if config is None else {name: whole[name] for name in config if name in whole}


def draw(
    space: OptunaSpace, given: Mapping[str, Any], taken: Sequence[Mapping[str, Any]], seed: int
) -> dict[str, Any] | None:
    """Parameters, `given` among them, that are not among the taken ones; None if nothing is left (or was found)."""
    if space.space.conditions or space.space.forbidden_clauses:
        return _search(space, given, taken, seed)
    free = from_distributions(
        {name: distribution for name, distribution in space.distributions.items() if name not in given}
    )
    fixed = given.items()
    configs = [free.config(one) for one in taken if fixed <= one.items()]
    trials = [Trial(number, config) for number, config in enumerate(configs) if config is not None]
    drawn = propose_one(RandomProposer(), Task("free", free.space, _unused), (), trials, seed)
    return None if drawn is None else {**free.params(drawn.config), **given}


def _search(
    space: OptunaSpace, given: Mapping[str, Any], taken: Sequence[Mapping[str, Any]], seed: int
) -> dict[str, Any] | None:
    """Uniform draws, completed by what is fixed, until one is valid and new."""
    rng = np.random.RandomState(seed % 2**32)
    for _ in range(REDRAWS**2):
        values = {name: plain(sample_value(hp, rng)) for name, hp in space.space.items()}
        params = {**space.params(values), **given}
        if space.config(params) is not None:
            whole = completed(space, params, {})
            if whole not in taken:
                return whole
    return None


def _unused(config: dict[str, Any]) -> float:
    raise AssertionError("Optuna evaluates")
