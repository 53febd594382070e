"""Long histories: which trials the process is fitted to, and that nothing changes as long as it can be all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace
from hypothesis import given, settings
from hypothesis import strategies as st

from airtune.engine import Proposal, Task, Trial
from airtune.engine.proposers.base import propose_one
from airtune.engine.proposers.lm_gp import proposer as module
from airtune.engine.proposers.lm_gp.gaussian_process import Floats, GaussianProcess
from airtune.engine.proposers.lm_gp.proposer import LMGPProposer
from airtune.engine.proposers.lm_gp.subset import KERNEL_TRIALS, PROCESS_TRIALS, subset
from airtune.grammars import space_grammar
from airtune.models import load_model


def drawn(seed: int, n: int, d: int = 2) -> tuple[Floats, Floats]:
    """Points without equal distances, and values without equals."""
    rng = np.random.default_rng(seed)
    return rng.random((n, d)), rng.random(n)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=40
    ),
    size=st.integers(3, 45),
)
def test_it_is_so_many_ascending_and_none_twice(rows: list[tuple[int, int, int]], size: int) -> None:
    """Also where trials lie on each other, and have the same losses."""
    table = np.array(rows, dtype=float)
    chosen = subset(table[:, :2], table[:, 2], size)
    assert len(chosen) == min(size, len(rows))
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] <= chosen[-1] < len(rows)
    assert table[:, 2].argmin() in chosen  # the first of the best


@given(seed=st.integers(0, 2**32), n=st.integers(31, 120))
@settings(max_examples=30)
def test_the_best_and_those_around_the_best_one_are_in_it(seed: int, n: int) -> None:
    """Ten of thirty each: a trial that is both leaves its place to the next nearest."""
    x, y = drawn(seed, n)
    chosen = set(subset(x, y, 30))
    by_value = np.argsort(y)
    assert chosen >= set(by_value[:10])
    by_distance = np.argsort(((x - x[by_value[0]]) ** 2).sum(1))
    assert chosen >= set([i for i in by_distance if i not in by_value[:10]][:10])


def test_the_rest_are_where_nothing_else_is() -> None:
    """Bad trials far from all others are remembered, each region by one: three bad corners, one trial in each."""
    x, y = drawn(0, 200)
    x = 0.01 * x
    corners = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    x[[50, 51, 100, 101, 150, 151]] = np.repeat(corners, 2, axis=0)
    y[[50, 51, 100, 101, 150, 151]] = 9.0
    chosen = subset(x, y, 12)
    assert sorted(set(chosen) & {50, 51, 100, 101, 150, 151}) == [50, 100, 150]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20)
def test_it_is_the_same_points_in_any_order(seed: int) -> None:
    """A batch whose results came in another order is the same history but for the numbers."""
    x, y = drawn(seed, 60, 3)
    order = np.random.default_rng(seed + 1).permutation(60)
    assert set(order[subset(x[order], y[order], 20)]) == set(subset(x, y, 20))


def test_an_improvement_is_measured_on_all_losses() -> None:
    """Two trials tie for the best, and the second best is not among the rows: half a step is what it was."""
    x, _ = drawn(3, 40)
    y = np.array([0.0, 0.0, 0.01, *np.linspace(1, 2, 37)])
    rows = np.array([0, 1, *range(5, 40)])
    theta = np.log([[0.4, 0.4, 1e-3]])
    candidates = np.random.default_rng(4).random((5, 2))
    of_all = GaussianProcess(x, y, theta, np.zeros(1), rows=rows)
    of_rows = GaussianProcess(x[rows], y[rows], theta, np.zeros(1))
    np.testing.assert_array_equal(of_all.predict(candidates), of_rows.predict(candidates))
    assert (
        of_all.log_expected_improvement(candidates) > of_rows.log_expected_improvement(candidates) + 0.1
    ).all()


def task() -> Task:
    return Task("square", ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0)}), bowl)


def bowl(config: dict[str, Any]) -> float:
    return float((config["x"] - 0.3) ** 2 + (config["y"] - 0.7) ** 2)


def proposal_after(trials: int, proposer: LMGPProposer | None = None) -> Proposal:
    grammar, rng = space_grammar(task().space), np.random.default_rng(0)
    history = [Trial(i, (c := grammar.sample(rng)), "told", bowl(c)) for i in range(trials)]
    proposal = propose_one(proposer or LMGPProposer(load_model("scripted")), task(), history, (), 7)
    assert proposal is not None
    return proposal


def test_a_short_history_is_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit what a process of all trials proposes; from one trial more on it is another."""
    short, longer = proposal_after(KERNEL_TRIALS), proposal_after(KERNEL_TRIALS + 1)
    monkeypatch.setattr(module, "subset", lambda x, y, size: np.arange(len(y)))
    assert proposal_after(KERNEL_TRIALS) == short
    assert proposal_after(KERNEL_TRIALS + 1) != longer


def test_a_long_history_costs_no_more_than_a_shorter_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in rows of the matrices that are factored, not in seconds."""
    rows: list[int] = []
    cholesky = np.linalg.cholesky

    def watched(matrices: Floats) -> Floats:
        rows.append(matrices.shape[-1])
        return np.asarray(cholesky(matrices))

    monkeypatch.setattr(np.linalg, "cholesky", watched)
    proposal_after(2000)
    assert rows == [KERNEL_TRIALS + 1] * 3 + [PROCESS_TRIALS]  # the losses are one row more


def test_a_long_history_gets_the_same_proposal_whatever_came_before() -> None:
    """A resumed study goes on as if it had not been interrupted: nothing of an earlier proposal is kept."""
    used = LMGPProposer(load_model("scripted"))
    for trials in (5, PROCESS_TRIALS + 50):
        proposal_after(trials, used)
    assert proposal_after(PROCESS_TRIALS + 60, used) == proposal_after(PROCESS_TRIALS + 60)
