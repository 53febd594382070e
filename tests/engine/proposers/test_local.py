"""`local`: one hyperparameter of the incumbent drawn again, or two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    Integer,
)

from airtune.engine import Task, Trial
from airtune.engine.proposers.base import propose_one
from airtune.engine.proposers.local import LocalProposer
from airtune.grammars import space_grammar

INCUMBENT = {"rate": 1e-3, "width": 7, "drop": 0.25, "kind": "b", "fixed": 3}


def flat() -> ConfigurationSpace:
    space = ConfigurationSpace()
    space.add(
        Float("rate", (1e-6, 1.0), log=True),
        Integer("width", (1, 1000)),
        Float("drop", (0.0, 1.0)),
        Categorical("kind", list("abcd")),
        Constant("fixed", 3),
    )
    return space


def never(config: dict[str, Any]) -> float:
    raise AssertionError("a proposer called the objective")


def step(space: ConfigurationSpace, history: list[Trial], seed: int, pending: tuple[Trial, ...] = ()) -> Any:
    proposal = propose_one(LocalProposer(), Task("t", space, never), history, pending, seed)
    assert proposal is not None
    return proposal


def changed(config: Any, incumbent: dict[str, Any]) -> set[str]:
    return {name for name in {*config, *incumbent} if config.get(name) != incumbent.get(name)}


def test_one_hyperparameter_of_the_incumbent_changes_or_two() -> None:
    """Of the best trial told, the earliest of equals, wherever it stands: not of the first, the last or the worst."""
    others = [{**INCUMBENT, "rate": 0.1, "width": 900, "drop": 0.75, "kind": kind} for kind in "acd"]
    history = [
        Trial(0, others[0], "told", 2.0),
        Trial(1, INCUMBENT, "told", -1.0),
        Trial(2, others[1], "failed", reason="no"),
        Trial(3, others[2], "told", -1.0),
    ]
    space = flat()
    moved = [changed(step(space, history, seed).config, INCUMBENT) for seed in range(60)]
    assert {len(names) for names in moved} == {1, 2}
    assert set().union(*moved) == {"rate", "width", "drop", "kind"}
    assert step(space, history, 0).origin == "local"


def test_three_in_ten_steps_change_two() -> None:
    """Counted exactly: 297 of 1000 seeds, a fifth of a standard deviation below what is expected."""
    space = ConfigurationSpace({f"x{i}": (0.0, 1.0) for i in range(3)})
    incumbent = dict.fromkeys(space, 0.5)
    history = [Trial(0, incumbent, "told", 0.0)]
    counts = np.bincount(
        [len(changed(step(space, history, seed).config, incumbent)) for seed in range(1000)], minlength=4
    )
    assert counts.tolist() == [0, 703, 297, 0]


def test_a_step_is_uniform_on_the_hyperparameters_own_scale() -> None:
    """The median of a range of six decades is its middle decade; a uniform one would be a half."""
    history, space = [Trial(0, INCUMBENT, "told", 0.0)], flat()
    configs = [step(space, history, seed).config for seed in range(600)]

    def steps(name: str) -> np.ndarray:
        return np.array([c[name] for c in configs if c[name] != INCUMBENT[name]])

    for values, scale in (
        (np.log10(steps("rate")) / 6 + 1, 1.0),
        (steps("width"), 1000.0),
        (steps("drop"), 1.0),
    ):
        assert len(values) > 150
        for q in (0.1, 0.5, 0.9):
            assert np.quantile(values / scale, q) == pytest.approx(q, abs=0.09)
    kinds = steps("kind").tolist()
    assert set(kinds) == set("acd")
    assert min(kinds.count(kind) for kind in "acd") > 30


def test_before_any_result_all_is_drawn() -> None:
    space = flat()
    failed = [Trial(0, INCUMBENT, "failed", reason="no")]
    for history in ([], failed):
        configs = [step(space, history, seed).config for seed in range(20)]
        assert min(len(changed(config, INCUMBENT)) for config in configs) >= 3
        assert len({config["width"] for config in configs}) > 10


def conditional() -> ConfigurationSpace:
    space = ConfigurationSpace()
    model = Categorical("model", ["tree", "svm"])
    depth, C = Integer("depth", (1, 500)), Float("C", (1e-3, 1e3), log=True)
    kernel, degree = Categorical("kernel", ["rbf", "poly"]), Integer("degree", (2, 500))
    space.add(model, depth, C, kernel, degree)
    space.add(
        EqualsCondition(depth, model, "tree"),
        EqualsCondition(C, model, "svm"),
        EqualsCondition(kernel, model, "svm"),
        EqualsCondition(degree, kernel, "poly"),
    )
    return space


def test_what_becomes_active_is_drawn_and_what_becomes_inactive_is_dropped() -> None:
    """And only what is active is moved: there is nothing to see of a step of another."""
    space, incumbent = conditional(), {"model": "svm", "C": 1.0, "kernel": "rbf"}
    history, grammar = [Trial(0, incumbent, "told", 0.0)], space_grammar(conditional())
    depths, degrees = set(), set()
    for seed in range(60):
        config = step(space, history, seed).config
        assert grammar.accepts(grammar.encode(config))
        if config["model"] == "tree":
            assert set(config) == {"model", "depth"}
            depths.add(config["depth"])
        elif config["kernel"] == "poly":
            assert set(config) == {"model", "C", "kernel", "degree"}
            degrees.add(config["degree"])
        else:
            assert config["C"] != 1.0
    assert len(depths) > 8
    assert len(degrees) > 8


def test_what_has_been_tried_or_is_pending_is_drawn_again() -> None:
    """All steps of one but the last two are taken; the fourth choice is left where the third is being evaluated."""
    space = ConfigurationSpace({"a": ["w", "x", "y", "z"]})
    history = [Trial(0, {"a": "w"}, "told", 0.0), Trial(1, {"a": "x"}, "told", 1.0)]
    pending = (Trial(2, {"a": "y"}),)
    proposals = [step(space, history, seed, pending) for seed in range(8)]
    assert {proposal.config["a"] for proposal in proposals} == {"z"}
    assert {proposal.origin for proposal in proposals} == {"local"}
    assert (
        propose_one(LocalProposer(), Task("t", space, never), history, (*pending, Trial(3, {"a": "z"})))
        is None
    )


def test_where_no_step_is_left_what_is_left_is_drawn_uniformly() -> None:
    """Every neighbour within two steps has been tried; the origin says that the proposal is none."""
    space = ConfigurationSpace({name: ["0", "1"] for name in "abc"})
    grammar = space_grammar(space)
    configs = [grammar.nth(rank) for rank in range(grammar.count())]
    best = {"a": "0", "b": "0", "c": "0"}
    tried = [config for config in configs if len(changed(config, best)) < 3]
    history = [Trial(i, config, "told", float(config != best)) for i, config in enumerate(tried)]
    proposal = step(space, history, 0)
    assert proposal.config == {"a": "1", "b": "1", "c": "1"}
    assert proposal.origin == "local+uniform"


def test_the_proposal_is_the_seeds() -> None:
    space, history = flat(), [Trial(0, INCUMBENT, "told", 0.0)]
    assert step(space, history, 3) == step(space, history, 3)
    assert len({str(step(space, history, seed).config) for seed in range(20)}) > 15
