"""Runs as arrays: the stated rules for failures, early ends and tables, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from airtune.benchmarks.analysis import comparison
from airtune.benchmarks.analysis.comparison import Comparison, Run
from airtune.benchmarks.analysis.order_statistics import random_search
from airtune.benchmarks.running.suites import get_suite
from airtune.benchmarks.tasks.clusters import task_cluster
from airtune.engine.types import Trial


def told(*losses: float | None) -> list[Trial]:
    return [
        Trial(i, {}, "failed", reason="no")
        if loss is None
        else Trial(i, {}, "told", loss, info={"test_loss": 10 * loss})
        for i, loss in enumerate(losses)
    ]


def runs(**methods: list[list[Trial]]) -> dict[tuple[str, str, int], Run]:
    return {
        (m, "t", s): Run(m, "t", s, trials) for m, seeds in methods.items() for s, trials in enumerate(seeds)
    }


def compare_runs(made: dict[tuple[str, str, int], Run], methods: tuple[str, ...], budget: int) -> Comparison:
    """Of one task, with as many seeds as there are."""
    task = next(iter(made))[1]
    seeds = 1 + max(seed for _, _, seed in made)
    return comparison.compare_runs(made, methods, [task], seeds, budget)


def test_failures_early_ends_and_test_errors() -> None:
    both = runs(random=[told(0.8, 0.5, 0.9, 0.6)], a=[told(None, 0.7, 0.7)])
    made = compare_runs(both, ("random", "a"), 4)
    assert made.best[0, 0, 0].tolist() == [0.8, 0.5, 0.5, 0.5]
    assert made.best[1, 0, 0].tolist() == [0.9, 0.7, 0.7, 0.7]  # the worst anyone saw; then kept to the end
    # the worst that anyone had chosen by then
    np.testing.assert_allclose(made.test[1, 0, 0], [8.0, 7.0, 7.0, 7.0])
    assert made.known[0] == 0.5
    assert made.reference[0] == pytest.approx((0.6 + 0.8) / 2)  # the median
    np.testing.assert_allclose(made.regret[0, 0, 0], [1.0, 0, 0, 0])  # 1.5 counts as 1
    assert made.budgets == (2, 4)


def test_a_search_without_any_loss_counts_in_the_mean_of_test_errors() -> None:
    """Bug: that mean was over the seeds that had one: a method looked the better the more of its searches failed."""
    both = runs(random=[told(0.5), told(0.9)], a=[told(0.6), told(None)], b=[told(None), told(None)])
    made = compare_runs(both, ("random", "a", "b"), 1)
    assert made.test[:, 0, :, 0].tolist() == [[5.0, 9.0], [6.0, 9.0], [9.0, 9.0]]
    without = {key: Run(*key, [Trial(0, {}, "told", 0.5)]) for key in both}
    assert np.isnan(compare_runs(without, ("random", "a", "b"), 1).test).all()


def test_toy_losses_are_regrets() -> None:
    run = Run("random", "toy/branin", 0, told(0.39788735772973816 + 1.0, 0.39788735772973816 - 1e-9))
    made = compare_runs({("random", "toy/branin", 0): run}, ("random",), 2)
    np.testing.assert_allclose(made.best[0, 0, 0], [1.0, 0.0])
    assert made.known[0] == 0.0


def test_on_a_table_random_search_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    table = (np.array([0.1, 0.2, 0.4, 0.9]), np.array([0.3, 0.2, 0.5, 0.8]))
    monkeypatch.setattr(comparison, "_table", lambda task: table)
    lm = [told(0.4, 0.2, 0.1), told(None, 0.4, 0.9)]
    made = compare_runs(runs(lm=lm, random=[told(0.9, 0.9, 0.9)] * 2), ("lm", "random"), 3)
    expected = random_search(*table, 3)
    for seed in range(2):
        np.testing.assert_allclose(made.best[1, 0, seed], expected[0])
        np.testing.assert_allclose(made.test[1, 0, seed], expected[1])
    np.testing.assert_allclose(made.sampled[1, 0, 0], [0.9, 0.9, 0.9])
    assert (made.known[0], made.reference[0]) == (0.1, pytest.approx(0.3))
    np.testing.assert_allclose(
        made.capped[1, 0, 0], random_search(np.array([0.1, 0.2, 0.3, 0.3]), table[1], 3)[0]
    )
    np.testing.assert_allclose(made.capped[0, 0, 0], [0.3, 0.2, 0.1])
    assert made.best[0, 0, 1].tolist() == [0.9, 0.4, 0.4]  # a failure first: the worst of the table
    assert made.exact.all()
    without = compare_runs(runs(lm=lm), ("lm",), 3)
    assert without.methods == ("lm", "random")  # it need not even have been run
    np.testing.assert_allclose(without.best[1], made.best[1])
    assert np.isnan(without.sampled[1]).all()


def test_a_task_that_is_flat_has_no_regret() -> None:
    made = compare_runs(runs(random=[told(0.5, 0.5)]), ("random",), 2)
    assert (made.regret == 0.0).all()


def test_what_is_missing_from_the_reference_is_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: left out of the median, a failure of random search, or a point without a loss, made random look good."""
    studies = runs(random=[told(0.8, None, 0.5)], a=[told(1.2, 0.7, 0.7)])
    made = compare_runs(studies, ("random", "a"), 3)
    assert made.reference[0] == 0.8
    only = compare_runs(runs(random=[told(None, None)], a=[told(0.6, 0.2)]), ("random", "a"), 2)
    assert only.reference[0] == 0.6
    table = (np.array([0.1, np.nan, 0.4, np.inf]), np.array([0.3, 0.2, 0.5, 0.8]))
    monkeypatch.setattr(comparison, "_table", lambda task: table)
    made = compare_runs(studies, ("random", "a"), 3)
    assert made.reference[0] == 0.4
    assert made.regret[0, 0, 0, 0] == pytest.approx(3 / 4)  # random's first evaluation, by the same rule


def test_one_diverged_loss_does_not_rule_the_regret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: at a mean that a loss of 4e7 had made, every method had a regret of zero."""
    table = (np.array([0.1, 0.2, 0.3, 0.4, 4e7]), np.full(5, np.nan))
    monkeypatch.setattr(comparison, "_table", lambda task: table)
    made = compare_runs(runs(lm=[told(4e7, 0.2, 0.1)]), ("lm",), 3)
    np.testing.assert_allclose(made.regret[0, 0, 0], [1.0, 0.5, 0.0])
    assert made.regret[1, 0, 0, 0] == pytest.approx((0 + 0.5 + 3 * 1) / 5)  # random search, exactly


def test_what_there_is_to_win_where_losses_are_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: only a reference above zero counted, and below it the sign was the other way round."""
    monkeypatch.setattr(comparison, "_table", lambda task: (np.array([-3.0, -1.0]), np.zeros(2)))
    made = compare_runs(runs(lm=[told(-1.0, -3.0)]), ("lm",), 2)
    assert made.ceilings() == {2: (0.0, 0.0)}
    assert compare_runs(runs(lm=[told(-1.0)]), ("lm",), 1).ceilings() == {1: pytest.approx((50.0, 50.0))}


def test_tasks_on_one_data_set_are_one_cluster() -> None:
    names = ["hpobench/svm/credit-g", "hpobench/mlp/credit-g@epochs=9", "hpobench/svm/car", "toy/branin"]
    assert list(map(task_cluster, names)) == ["hpobench/credit-g"] * 2 + ["hpobench/car", "toy/branin"]
    assert task_cluster("sklearn/rf/digits@trees=16") == task_cluster("sklearn/svm/digits")
    assert task_cluster("sklearn/program/digits-images") == task_cluster("moved/sklearn/program/digits")
    assert task_cluster("original/mlp/car") == "original/car"
    assert task_cluster("dev/svm/1") != task_cluster("dev/rf/1")
    suite = get_suite("hpobench").tasks
    assert (len(suite), len(set(map(task_cluster, suite)))) == (32, 8)
