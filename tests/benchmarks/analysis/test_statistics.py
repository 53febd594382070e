"""The statistics of a comparison, against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from airtune.benchmarks.analysis.statistics import (
    RESAMPLES,
    best_so_far,
    change,
    compare,
    outcomes,
    ranks,
    resampled_means,
)

# Two seeds that agree, so that a task's figure is the number itself. Tasks in columns.
BEST = np.repeat(
    np.array(
        [
            [0.50, 0.40, 0.20, 0.00, 0.005],  # random
            [0.25, 0.50, 0.20, 0.00, 0.010],  # a: +50 %, -25 %, 0 %, undefined, -100 %
            [0.40, 0.30, 0.10, 0.10, 0.000],  # b: +20 %, +25 %, +50 %, undefined, +100 %
        ]
    )[:, :, None],
    2,
    axis=2,
)
METHODS = ["random", "a", "b"]


def test_figures_by_hand() -> None:
    random, a, b = compare(BEST, METHODS, "random", budget=10)
    assert (a.wins, a.ties, a.losses) == (1, 2, 2)
    assert a.beats.value == pytest.approx(20.0)
    assert a.median_change.value == pytest.approx((-25.0 + 0.0) / 2)
    assert a.mean_change.value == pytest.approx((50.0 - 25.0 + 0.0 - 100.0) / 4)
    assert a.mean_change_far.value == pytest.approx((50.0 - 25.0 + 0.0) / 3)
    assert (a.tasks, a.tasks_far) == (5, 3)
    assert (b.wins, b.ties, b.losses) == (4, 0, 1)
    assert b.beats.value == pytest.approx(80.0)
    assert b.median_change.value == pytest.approx((25.0 + 50.0) / 2)
    assert b.mean_change.value == pytest.approx((20.0 + 25.0 + 50.0 + 100.0) / 4)
    assert b.mean_change_far.value == pytest.approx((20.0 + 25.0 + 50.0) / 3)
    assert (random.wins, random.ties, random.losses) == (0, 5, 0)
    assert random.mean_change.value == 0.0
    # ranks: task 1 3,1,2; task 2 2,3,1; task 3 2.5,2.5,1; task 4 1.5,1.5,3; task 5 2,3,1
    assert random.rank.value == pytest.approx((3 + 2 + 2.5 + 1.5 + 2) / 5)
    assert a.rank.value == pytest.approx((1 + 3 + 2.5 + 1.5 + 3) / 5)
    assert b.rank.value == pytest.approx((2 + 1 + 1 + 3 + 1) / 5)


def test_seeds_are_averaged_before_tasks_are_compared() -> None:
    """A method that is better on two seeds of three, and far worse on the third, loses the task."""
    best = np.array([[[0.3, 0.3, 0.3]], [[0.2, 0.2, 0.9]]])
    row = compare(best, ["random", "a"], "random", budget=5)[1]
    assert (row.wins, row.losses) == (0, 1)
    assert row.median_change.value == pytest.approx(100 * (0.3 - 1.3 / 3) / 0.3)


def test_ties_survive_the_order_of_summation() -> None:
    first, second = np.array([[0.1, 0.2, 0.3]]), np.array([[0.3, 0.2, 0.1]])
    assert first.mean(axis=1) != second.mean(axis=1) or sum(first[0]) != sum(second[0])  # the control
    means = np.array([[sum(first[0]) / 3], [sum(second[0]) / 3]])
    assert outcomes(means[0], means[1]).tolist() == [0]
    assert ranks(means).tolist() == [[1.5], [1.5]]


def test_ranks_agree_with_scipy() -> None:
    from scipy.stats import rankdata

    means = np.random.default_rng(0).integers(0, 4, size=(6, 50)).astype(float)
    np.testing.assert_array_equal(ranks(means), rankdata(means, axis=0))


def test_intervals_hold_the_value_and_shrink_with_seeds() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for seeds in (4, 64):
        best = np.stack([0.3 + 0.1 * rng.random((20, seeds)), 0.2 + 0.1 * rng.random((20, seeds))])
        row = compare(best, ["random", "a"], "random", budget=10)[1]
        assert row.median_change.low <= row.median_change.value <= row.median_change.high
        widths.append(row.median_change.high - row.median_change.low)
    assert widths[1] < widths[0]


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    """One task, two methods: the spread of a seed mean is s / sqrt(n), to 10 % at 2000 resamples."""
    best = np.random.default_rng(1).normal(10.0, 1.0, size=(2, 1, 25))
    drawn = resampled_means(best, seed=0)
    assert drawn.shape == (RESAMPLES, 2, 1)
    expected = best.std(axis=2) / 5.0
    np.testing.assert_allclose(drawn.std(axis=0), expected, rtol=0.1)
    assert abs(np.corrcoef(drawn[:, 0, 0], drawn[:, 1, 0])[0, 1]) < 0.1  # methods are resampled on their own


def test_the_bootstrap_is_reproducible() -> None:
    best = np.random.default_rng(2).random((3, 4, 5))
    assert compare(best, METHODS, "random", 10) == compare(best, METHODS, "random", 10)
    assert compare(best, METHODS, "random", 10, seed=1) != compare(best, METHODS, "random", 10)


def test_where_the_reference_is_zero_nothing_is_relative() -> None:
    assert np.isnan(change(np.array([0.0, 0.1]), np.zeros(2))).all()
    best = np.zeros((2, 3, 2))
    best[1] = 0.1
    row = compare(best, ["random", "a"], "random", budget=5)[1]
    assert math.isnan(row.median_change.value)
    assert row.json()["median_change"] == {"value": None, "low": None, "high": None}
    assert (row.losses, row.tasks_far) == (3, 0)


def test_best_so_far() -> None:
    losses = [None, 0.4, 0.6, None, 0.1]
    assert best_so_far(losses, 1, worst=0.9) == 0.9
    assert best_so_far(losses, 2, worst=0.9) == 0.4
    assert best_so_far(losses, 4, worst=0.9) == 0.4
    assert best_so_far(losses, 30, worst=0.9) == 0.1
