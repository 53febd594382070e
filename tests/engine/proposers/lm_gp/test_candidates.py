"""What `lm+gp` may choose among: all of a small space, the best places of a large one."""

from __future__ import annotations

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    Integer,
    OrdinalHyperparameter,
)

from airtune.engine.proposers.base import is_valid
from airtune.engine.proposers.lm_gp import candidates
from airtune.engine.proposers.lm_gp.candidates import Candidates
from airtune.engine.proposers.lm_gp.gaussian_process import Floats
from airtune.grammars import space_grammar


def mixed(*, small: bool) -> ConfigurationSpace:
    """A choice with a conditional number, an ordinal and an integer; a clause forbids some of it."""
    space = ConfigurationSpace()
    kind = Categorical("kind", ["a", "b", "c"])
    rate = Integer("rate", (1, 5)) if small else Float("rate", (1e-4, 1.0), log=True)
    grid = OrdinalHyperparameter("grid", [1, 2, 4, 8])
    space.add(kind, rate, grid, Integer("count", (1, 6 if small else 60)), EqualsCondition(rate, kind, "b"))
    space.add(
        ForbiddenAndConjunction(ForbiddenEqualsClause(kind, "a"), ForbiddenEqualsClause(space["count"], 3))
    )
    return space


def nothing(points: Floats) -> Floats:
    return np.zeros(len(points))


def test_all_of_a_small_space_is_ranked_each_configuration_once() -> None:
    space = mixed(small=True)
    grammar = space_grammar(space)
    made = Candidates(space)
    rows, ranks = made.search([], nothing, np.random.default_rng(0))
    texts = [grammar.encode(made.config(row)) for row in rows]
    assert len(ranks) == len(texts) == len(set(texts)) == grammar.count()
    assert all(is_valid(space, made.config(row)) for row in rows)


def test_what_is_drawn_in_a_large_space_lies_within_it() -> None:
    space = mixed(small=False)
    made, rng = Candidates(space), np.random.default_rng(1)
    best = [dict(space.get_default_configuration())]
    rows, ranks = made.search(best, lambda points: rng.random(len(points)), rng)
    assert len(rows) == len(ranks) > 500
    forbidden = 0
    for row in rows:
        config = made.config(row)
        assert ("rate" in config) == (config["kind"] == "b")
        assert 1 <= config["count"] <= 60
        assert config["grid"] in (1, 2, 4, 8)
        if "rate" in config:
            assert 1e-4 <= config["rate"] <= 1.0
        forbidden += not is_valid(space, config)
    assert 0 < forbidden < len(rows) / 10  # `Remaining.admit` turns them down


def test_further_rounds_climb_to_a_narrow_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a control: the first round alone, over many more draws, comes less near."""
    space = ConfigurationSpace({f"x{i}": (0.0, 1.0) for i in range(6)})
    peak = np.linspace(0.2, 0.8, 6)
    start = [dict.fromkeys(space, 0.5)]

    def best(seed: int) -> float:
        made = Candidates(space)

        def nearness(points: Floats) -> Floats:
            return -np.abs(points[:, 1:] - peak).sum(1)

        return float(made.search(start, nearness, np.random.default_rng(seed))[1].max())

    climbed = [best(seed) for seed in range(5)]
    monkeypatch.setattr(candidates, "_CLOSER", ())
    monkeypatch.setattr(candidates, "NEIGHBOURS", 1024)
    assert np.median(climbed) > np.median([best(seed) for seed in range(5)])
