"""What `lm+gp` may choose among: all of a small space, the promising places of a large one."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    Integer,
    NotEqualsCondition,
    OrConjunction,
    OrdinalHyperparameter,
)
from hypothesis import given
from hypothesis import strategies as st

from airtune.engine.proposers.base import is_valid
from airtune.engine.proposers.lm_gp import candidates
from airtune.engine.proposers.lm_gp.candidates import Candidates, Encoder
from airtune.engine.proposers.lm_gp.gaussian_process import Floats
from airtune.grammars import space_grammar
from tests.grammars.strategies import small_spaces


def mixed(*, small: bool) -> ConfigurationSpace:
    """A choice with a conditional number, an ordinal, an integer and a constant; a clause forbids some of it."""
    space = ConfigurationSpace()
    kind = Categorical("kind", ["a", "b", "c"])
    rate = Integer("rate", (1, 5)) if small else Float("rate", (1e-4, 1.0), log=True)
    grid = OrdinalHyperparameter("grid", [1, 2, 4, 8])
    count = Integer("count", (1, 6 if small else 60))
    space.add(kind, rate, grid, count, Constant("fixed", 7), EqualsCondition(rate, kind, "b"))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(kind, "a"), ForbiddenEqualsClause(count, 3)))
    return space


def plane() -> ConfigurationSpace:
    return ConfigurationSpace({f"x{i}": (0.0, 1.0) for i in range(6)})


def nothing(points: Floats) -> Floats:
    return np.zeros(len(points))


def test_points_of_a_conditional_space() -> None:
    """Column by column: a zero, then what each hyperparameter has, and whether a conditional one is active."""
    space = mixed(small=False)
    encoder = Encoder(space)
    assert "fixed" not in encoder.varying
    configs = [{"kind": "b", "rate": 1e-3, "grid": 4, "count": 60}, {"kind": "a", "grid": 8, "count": 1}]
    chosen = 1 / math.sqrt(2)
    columns = {
        "kind": [[0, chosen, 0], [chosen, 0, 0]],
        "rate": [[0.25, 1], [0.5, 0]],
        "grid": [[2 / 3], [1]],
        "count": [[1], [0]],
    }
    for i, point in enumerate(encoder.points(encoder.vectors(configs))):
        expected = [0.0, *(value for name in encoder.varying for value in columns[name][i])]
        assert point == pytest.approx(expected, abs=0.01)  # ConfigSpace keeps integers off the border


def test_two_choices_are_as_far_apart_as_the_ends_of_a_range() -> None:
    encoder = Encoder(ConfigurationSpace({"a": ["x", "y", "z"], "b": (0.0, 1.0)}))
    points = encoder.points(
        encoder.vectors([{"a": "x", "b": 0.0}, {"a": "z", "b": 0.0}, {"a": "x", "b": 1.0}])
    )
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(1)
    assert np.linalg.norm(points[0] - points[2]) == pytest.approx(1)


def test_choices_of_different_types() -> None:
    space = ConfigurationSpace()
    space.add(Categorical("a", ["auto", 2, 0.5]), OrdinalHyperparameter("b", ["few", 10, 100]))
    made = Candidates(space)
    rows = made.encoder.vectors([{"a": 2, "b": "few"}, {"a": "auto", "b": 100}])
    assert rows.tolist() == [[1, 0], [0, 2]]
    assert [made.config(row) for row in rows] == [{"a": 2, "b": "few"}, {"a": "auto", "b": 100}]


def test_a_space_without_choice_has_points_too() -> None:
    encoder = Encoder(ConfigurationSpace({"only": Constant("only", 1)}))
    assert encoder.points(encoder.vectors([{"only": 1}] * 3)).tolist() == [[0.0]] * 3


def test_every_configuration_of_a_small_space_is_a_candidate_once() -> None:
    space = mixed(small=True)
    grammar, made = space_grammar(space), Candidates(space)
    rows, scores = made.search([], nothing, np.random.default_rng(0))
    texts = [grammar.encode(made.config(row)) for row in rows]
    assert len(scores) == len(texts) == len(set(texts)) == grammar.count()
    assert all(is_valid(space, made.config(row)) for row in rows)
    assert all(made.config(row)["fixed"] == 7 for row in rows)


@pytest.mark.parametrize(("count", "whole"), [(1000, True), (1001, False)])
def test_how_large_a_space_is_ranked_as_a_whole(count: int, whole: bool) -> None:
    made = Candidates(ConfigurationSpace({"n": (1, count)}))
    rows, _ = made.search([{"n": 1}], nothing, np.random.default_rng(0))
    assert (len(rows) == count) == whole


def test_candidates_are_ranked_by_their_points() -> None:
    """In a conditional space too, where the value of what is inactive counts for nothing."""
    for space in (mixed(small=True), mixed(small=False)):
        made = Candidates(space)
        rows, scores = made.search(
            [dict(space.get_default_configuration())],
            lambda points: points @ np.arange(points.shape[1]),
            np.random.default_rng(0),
        )
        configs = [made.config(row) for row in rows]
        points = made.encoder.points(made.encoder.vectors(configs))
        np.testing.assert_allclose(scores, points @ np.arange(points.shape[1]))


@given(small_spaces(), st.integers(0, 2**32 - 1))
def test_what_is_active_of_many_vectors_at_once(space: ConfigurationSpace, seed: int) -> None:
    """Equal to what ConfigSpace's conditions say of one configuration after the other, conjunctions and all."""
    made = Candidates(space)
    rows = made._uniform(np.random.default_rng(seed))[:24]
    one_by_one = [[name in made.config(row) for name in made.encoder.varying] for row in rows]
    assert made.active(rows).tolist() == one_by_one


def test_a_child_of_what_is_inactive_is_inactive() -> None:
    """Even where its own condition is that a value is *not* taken, and beside an alternative that holds."""
    space = ConfigurationSpace()
    a, b, c, d = (Categorical(name, ["x", "y"]) for name in "abcd")
    space.add(a, b, c, d, EqualsCondition(b, a, "x"), NotEqualsCondition(c, b, "x"))
    space.add(OrConjunction(NotEqualsCondition(d, b, "x"), EqualsCondition(d, a, "y")))
    made = Candidates(space)
    vectors = np.array([[i >> 3 & 1, i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(16)], dtype=float)
    for row, active in zip(vectors, made.active(vectors), strict=True):
        at = dict(zip(made.encoder.varying, row, strict=True))
        assert active.tolist() == [
            True,
            at["a"] == 0,
            at["a"] == 0 and at["b"] == 1,
            at["a"] == 1 or at["b"] == 1,
        ]


def test_what_is_drawn_in_a_large_space_lies_within_it() -> None:
    space = mixed(small=False)
    made, rng = Candidates(space), np.random.default_rng(1)
    best = [dict(space.get_default_configuration())]
    rows, scores = made.search(best, lambda points: rng.random(len(points)), rng)
    assert len(rows) == len(scores) == 256 + 128 + 2 * 128
    configs = [made.config(row) for row in rows]
    for config in configs:
        assert ("rate" in config) == (config["kind"] == "b")
        assert 1 <= config["count"] <= 60
        assert config["grid"] in (1, 2, 4, 8)
        if "rate" in config:
            assert 1e-4 <= config["rate"] <= 1.0
    vectors = made.encoder.vectors(configs)
    active = ~np.isnan(vectors)
    np.testing.assert_allclose(rows[active], vectors[active])  # each stands for exactly its configuration
    forbidden = sum(not is_valid(space, config) for config in configs)
    assert 0 < forbidden < len(rows) / 10  # `Remaining.admit` turns them down
    drawn = configs[256:384]  # uniformly, so all that there is is among them
    assert {config["kind"] for config in drawn} == {"a", "b", "c"}
    assert {config["grid"] for config in drawn} == {1, 2, 4, 8}
    assert min(config["count"] for config in drawn) < 5 < 56 < max(config["count"] for config in drawn)
    assert np.quantile([c["rate"] for c in drawn if "rate" in c], 0.5) == pytest.approx(1e-2, rel=1.5)


def first_round(best: list[dict[str, Any]], seed: int = 2) -> Floats:
    """The neighbours of the best trials among the candidates in a space of six numbers."""
    made = Candidates(plane())
    return made.search(best, nothing, np.random.default_rng(seed))[0][:256]


def moves(rows: Floats, centres: Floats) -> Floats:
    """Rows less their centres, which take turns."""
    return rows - centres[np.arange(len(rows)) % len(centres)]


def test_the_neighbours_are_those_of_the_best_trials() -> None:
    """The first four of those that are given, best first; of the worst, nothing is looked at."""
    best = [dict.fromkeys(plane(), value) for value in (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)]
    first = first_round(best)
    moved = moves(first, np.array([[0.2], [0.35], [0.5], [0.65]]))
    counts = (moved != 0).sum(1)
    assert set(counts) == {1, 2, 3}  # hyperparameters that move at once
    assert np.bincount(counts)[1:].min() > 256 / 3 - 30
    assert ((moved != 0).mean(0) > 0.2).all()  # each of them moves
    few = first_round(best[:1])
    assert ((few == 0.2).sum(1) >= 3).all()


def test_steps_of_four_sizes_take_turns() -> None:
    start = [dict.fromkeys(plane(), 0.5)]
    moved = np.stack([first_round(start, seed) - 0.5 for seed in range(12)])
    for turn, size in enumerate((0.3, 0.1, 0.03, 0.01)):
        steps = moved[:, turn::4]
        assert np.median(np.abs(steps[steps != 0])) == pytest.approx(0.67 * size, rel=0.1)
        assert 0.4 < (steps[steps != 0] > 0).mean() < 0.6


def test_further_rounds_search_around_the_best_candidates() -> None:
    """The six of highest value, with smaller steps from round to round."""
    made = Candidates(plane())
    # Of the first round the values rise, so its last are the best; the second is worse, but for one.
    second = np.full(128, -1.0)
    second[7] = 500.0
    steps: list[list[Floats]] = [[], []]
    for seed in range(12):
        rounds = Mock(side_effect=[np.arange(384.0), second, np.zeros(128)])
        rows, scores = made.search([dict.fromkeys(plane(), 0.5)], rounds, np.random.default_rng(seed))
        assert scores.tolist() == [*range(384), *second, *[0.0] * 128]
        steps[0].append(moves(rows[384:512], rows[[383, 382, 381, 380, 379, 378]]))
        steps[1].append(moves(rows[512:], rows[[384 + 7, 383, 382, 381, 380, 379]]))
    for moved, sizes in zip(np.array(steps), ((0.1, 0.03), (0.03, 0.01)), strict=True):
        assert ((moved == 0).sum(-1) >= 3).all()
        for turn, size in enumerate(sizes):
            some = moved[:, turn::2]
            # The centres lie anywhere, and a step out of the range ends at its border.
            assert np.median(np.abs(some[some != 0])) == pytest.approx(0.67 * size, rel=0.15)


def test_steps_of_what_is_not_a_number() -> None:
    """An ordinal moves by a level at least, either way, a choice to any, an integer to integers; all stay in range."""
    space = ConfigurationSpace()
    grid, kind = OrdinalHyperparameter("grid", list(range(21))), Categorical("kind", list("abcdefgh"))
    space.add(grid, kind, Integer("n", (0, 100)), Float("x", (0.0, 1.0)))
    made = Candidates(space)
    centre = {"grid": 10, "kind": "c", "n": 50, "x": 0.5}
    rows = made._neighbours(made.encoder.vectors([centre]), 2000, (0.3, 0.01), np.random.default_rng(3))
    configs = [made.config(row) for row in rows]
    for turn, (median, farthest) in enumerate([(4, 20), (1, 1)]):
        moved = [abs(c["grid"] - 10) for c in configs[turn::2] if c["grid"] != 10]
        assert np.median(moved) == median
        assert max(moved) == min(farthest, 10)
        assert min(moved) == 1
    assert 0.4 < np.mean([c["grid"] > 10 for c in configs if c["grid"] != 10]) < 0.6
    kinds = [c["kind"] for c in configs if c["kind"] != "c"]
    assert set(kinds) == set("abdefgh")
    assert all(150 / 8 < kinds.count(name) for name in set(kinds))
    assert {type(c["n"]) for c in configs} == {int}
    assert (0, 100) == (min(c["n"] for c in configs), max(c["n"] for c in configs))
    assert (0.0, 1.0) == (min(c["x"] for c in configs), max(c["x"] for c in configs))


def test_an_ordinal_of_one_value_stays_what_it_is() -> None:
    """A step of it once led out of its values."""
    space = ConfigurationSpace()
    space.add(OrdinalHyperparameter("grid", [5]), Float("x", (0.0, 1.0)))
    made = Candidates(space)
    rows, _ = made.search([{"grid": 5, "x": 0.5}], nothing, np.random.default_rng(0))
    assert {made.config(row)["grid"] for row in rows} == {5}


def test_two_hyperparameters_move_at_most_two_at_a_time() -> None:
    made = Candidates(ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0)}))
    rows = made._neighbours(np.array([[0.5, 0.5]]), 400, (0.1,), np.random.default_rng(0))
    counts = np.bincount((rows != 0.5).sum(1))
    assert counts[0] == 0
    assert counts[1:].min() > 150


def test_further_rounds_climb_to_a_narrow_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a control: the first round alone, over many more draws, comes less near."""
    peak = np.linspace(0.2, 0.8, 6)
    start = [dict.fromkeys(plane(), 0.5)]

    def best(seed: int) -> float:
        def nearness(points: Floats) -> Floats:
            return -np.abs(points[:, 1:] - peak).sum(1)

        return float(Candidates(plane()).search(start, nearness, np.random.default_rng(seed))[1].max())

    climbed = [best(seed) for seed in range(5)]
    monkeypatch.setattr(candidates, "_CLOSE_STEPS", ())
    monkeypatch.setattr(candidates, "NEIGHBOURS", 1024)
    assert np.median(climbed) > np.median([best(seed) for seed in range(5)])
