"""Ancestry and loss by structure of programs: against brute force, and on studies made by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airtune.benchmarks.analysis.programs import (
    always_with,
    ancestors,
    choices_made,
    differing,
    lineage,
    rank_effect,
)
from airtune.engine import Trial

RIDGE, KNN = {"model": "ridge", "alpha": 1.0}, {"model": "knn", "n": 5, "p": 2}


def trial(number: int, config: dict[str, Any], loss: float | None) -> Trial:
    if loss is None:
        return Trial(number, config, "failed", reason="ValueError: no")
    return Trial(number, config, "told", loss)


def test_decisions_within_another_choice_count() -> None:
    """Another model is more of a difference than another number: its own numbers are new, too."""
    assert differing(RIDGE, KNN) == ["model", "n", "p", "alpha"]
    assert differing(RIDGE, {**RIDGE, "alpha": 2.0}) == ["alpha"]
    assert differing({"x": None}, {}) == ["x"]
    assert differing(KNN, dict(reversed(KNN.items()))) == []


def test_the_nearest_earlier_program() -> None:
    trials = [
        trial(0, RIDGE, 3.0),
        trial(1, KNN, 5.0),
        trial(2, {**KNN, "n": 6}, None),  # nearest to 1
        trial(3, {**KNN, "n": 7}, 1.0),  # as near to 1 as to 2, which failed
        trial(4, {**KNN, "n": 8}, 9.0),  # of 1, 2 and 3 the best
        trial(6, {**RIDGE, "alpha": 2.0}, 3.0),
        trial(7, {**RIDGE, "alpha": 4.0}, 8.0),  # 0 and 6 are as good: the later one
    ]
    parents = ancestors(trials)
    assert parents == {1: 0, 2: 1, 3: 1, 4: 3, 6: 0, 7: 6}
    assert lineage(4, parents) == [0, 1, 3, 4]
    assert lineage(0, parents) == [0]
    assert ancestors([]) == ancestors(trials[:1]) == {}


configs = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), max_size=3), min_size=2, max_size=12
)


@given(configs)
def test_nobody_is_nearer(some: list[dict[str, int]]) -> None:
    """Brute force: the number of differing pairs, each decision counted once."""
    trials = [trial(i, config, float(i % 3)) for i, config in enumerate(some)]
    for child, parent in ancestors(trials).items():
        distances = [
            len({key for key, _ in set(some[child].items()) ^ set(some[i].items())}) for i in range(child)
        ]
        assert parent < child
        assert distances[parent] == min(distances)


def epsilon(groups: list[list[float]]) -> float:
    """By its definition as the adjusted share of variance of the ranks."""
    values = [value for group in groups for value in group]
    ranks = {value: np.mean([i + 1 for i, v in enumerate(sorted(values)) if v == value]) for value in values}
    rows = [[float(ranks[value]) for value in group] for group in groups]
    flat = np.concatenate(rows)
    between = sum(len(row) * (np.mean(row) - flat.mean()) ** 2 for row in rows)
    total, n, k = ((flat - flat.mean()) ** 2).sum(), len(flat), len(rows)
    return float(1 - (1 - between / total) * (n - 1) / (n - k))


@given(st.lists(st.lists(st.integers(0, 5).map(float), min_size=2, max_size=6), min_size=2, max_size=4))
def test_the_share_of_ranks_that_a_choice_explains(groups: list[list[float]]) -> None:
    found = rank_effect(groups)
    if sum(map(len, groups)) < max(8, len(groups) + 5):
        assert found is None
    elif len(set(itertools.chain(*groups))) == 1:
        assert found == (0.0, 1.0)
    else:
        assert found is not None
        assert found[0] == pytest.approx(max(0.0, epsilon(groups)), abs=1e-9)
        stretched = [[np.exp(5 * value) for value in group] for group in groups]
        assert rank_effect(stretched) == pytest.approx(found)


def test_too_few_to_say() -> None:
    few, many = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0, 8.0]
    assert rank_effect([]) is rank_effect([few + many]) is rank_effect([few, many[:-1]]) is None
    assert rank_effect([[float(i)] for i in range(8)]) is None
    assert rank_effect([few, many]) == pytest.approx((2 / 3, 0.0253), abs=1e-4)


def test_choices_by_what_they_explain() -> None:
    """`kind` decides the loss, `order` does not; `depth` is looked at where it is; `same` was never varied."""
    trials = [
        trial(i, {"kind": kind, "order": order, "same": 1, **({"depth": i % 3} if kind == "tree" else {})}, loss)
        for i, (kind, order, loss) in enumerate(
            [("tree", "a", 1.0), ("tree", "b", 2.0), ("net", "a", 8.0), ("net", "b", 9.0), ("tree", "a", 3.0),
             ("net", "a", None), ("odd", "b", None), ("tree", "b", 1.5), ("net", "b", 7.0)]
        )
    ]  # fmt: skip
    trials += [trial(20 + i, {"kind": "tree", "order": "a", "same": 1}, 2.5) for i in range(2)]
    trials.append(Trial(99, {"kind": "new", "order": "c", "same": 1}))
    kind, *others = choices_made(trials, {"kind", "order", "same", "depth"})
    assert kind.name == "kind"
    assert kind.explains is not None
    assert kind.explains > 0.6
    assert [(one.value, one.losses, one.failed) for one in kind.alternatives] == [
        ("tree", (1.0, 2.0, 3.0, 1.5, 2.5, 2.5), 0),
        ("net", (8.0, 9.0, 7.0), 1),
        ("odd", (), 1),
    ]
    assert [one.median for one in kind.alternatives] == [2.25, 8.0, None]
    assert [(one.name, one.explains is None) for one in others] == [("order", False), ("depth", True)]
    assert sum(len(one.losses) for one in others[1].alternatives) == 4


def test_what_failures_have_in_common() -> None:
    """What some program with a loss has, too, is no explanation, and one failure is no pattern."""
    failed = [
        trial(0, {"kind": "net", "n": 4, "x": 1}, None),
        trial(1, {"kind": "net", "n": 4, "x": 2}, None),
    ]
    told = [trial(2, {"kind": "net", "n": 3, "x": 1}, 1.0), trial(3, {"kind": "tree"}, 1.0)]
    assert always_with(failed, told, {"kind", "n", "x"}) == [("n", 4)]
    assert always_with(failed, told, {"kind", "x"}) == []
    assert always_with(failed[:1], told, {"n"}) == []
