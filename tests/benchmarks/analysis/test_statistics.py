"""The statistics of a comparison, against figures worked out by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from airtune.benchmarks.analysis import statistics
from airtune.benchmarks.analysis.shares import exact_interval
from airtune.benchmarks.analysis.statistics import (
    NEAR_ZERO,
    RESAMPLES,
    TIE,
    Array,
    Estimate,
    Row,
    bootstrap_means,
    change,
    curve_bands,
    estimate_of,
    interval,
    outcomes,
    pairwise,
    ranks,
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


def each(tasks: int) -> list[str]:
    """A cluster for every task."""
    return [f"t{i}" for i in range(tasks)]


def compare(best: Array, clusters: Sequence[str] | None = None) -> list[Row]:
    """All methods against the first one."""
    methods = METHODS[: len(best)]
    return statistics.compare(best, methods, "random", 10, clusters or each(best.shape[1]))


def test_figures_by_hand() -> None:
    random, a, b = compare(BEST)
    assert (a.method, a.reference, a.budget) == ("a", "random", 10)
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


def test_one_method_against_each_other() -> None:
    """A pair's figures are those of `compare` with the other as the reference; the rank stays among all."""
    against_random, against_a = pairwise(BEST, METHODS, "b", 10, each(5))
    assert (against_random.method, against_random.reference) == ("b", "random")
    assert against_random == compare(BEST)[2]
    assert (against_a.reference, against_a.wins, against_a.ties, against_a.losses) == ("a", 3, 0, 2)
    assert against_a == statistics.compare(BEST, METHODS, "a", 10, each(5))[2]
    given = bootstrap_means(BEST, each(5), seed=1)
    assert pairwise(BEST, METHODS, "b", 10, each(5), given)[0].beats.low == pytest.approx(
        interval(100.0 * (given[:, 2] < given[:, 0]).mean(axis=1))[0]
    )
    assert statistics.compare(BEST, METHODS, "random", 10, each(5), given)[2] == against_given(given)


def against_given(means: Array) -> Row:
    return pairwise(BEST, METHODS, "b", 10, each(5), means)[0]


def test_seeds_are_averaged_before_tasks_are_compared() -> None:
    """A method that is better on two seeds of three, and far worse on the third, loses the task."""
    best = np.array([[[0.3, 0.3, 0.3]], [[0.2, 0.2, 0.9]]])
    row = compare(best)[1]
    assert (row.wins, row.losses) == (0, 1)
    assert row.median_change.value == pytest.approx(100 * (0.3 - 1.3 / 3) / 0.3)


def test_ties_survive_the_order_of_summation() -> None:
    first, second = np.array([[0.1, 0.2, 0.3]]), np.array([[0.3, 0.2, 0.1]])
    assert first.mean(axis=1) != second.mean(axis=1) or sum(first[0]) != sum(second[0])  # the control
    means = np.array([[sum(first[0]) / 3], [sum(second[0]) / 3]])
    assert outcomes(means[0], means[1]).tolist() == [0]
    assert ranks(means).tolist() == [[1.5], [1.5]]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6, -1e6])
def test_a_tie_is_a_share_of_the_larger_one(scale: float) -> None:
    """A difference of half TIE of the values is none, of twice TIE is one, whatever their size and sign."""
    base = np.array([scale, scale, scale, scale])
    other = base + abs(scale) * TIE * np.array([0.5, -0.5, 2.0, -2.0])
    assert outcomes(base, other).tolist() == [0, 0, 1, -1]
    assert outcomes(other, base).tolist() == [0, 0, -1, 1]
    assert ranks(np.stack([base, other])).tolist() == [[1.5, 1.5, 1.0, 2.0], [1.5, 1.5, 2.0, 1.0]]
    assert (
        outcomes(np.array([np.nan, 1.0]), np.array([1.0, np.nan])).tolist()
        == [pytest.approx(math.nan, nan_ok=True)] * 2
    )


def test_ranks_agree_with_scipy() -> None:
    from scipy.stats import rankdata

    means = np.random.default_rng(0).integers(0, 4, size=(6, 50)).astype(float)
    np.testing.assert_array_equal(ranks(means), rankdata(means, axis=0))
    means[:, 7] = np.nan
    assert np.isnan(ranks(means)[:, 7]).all()


def test_change_of_a_negative_reference() -> None:
    """Bug: below zero there was no change; divided by the reference itself, lower losses would look worse."""
    method, reference = np.array([-3.0, -1.0, 1.0, 0.5]), np.array([-2.0, -2.0, -2.0, 1.0])
    assert change(method, reference).tolist() == [50.0, -50.0, -150.0, 50.0]
    row = compare(np.stack([reference, method])[:, :, None])[1]
    assert (row.wins, row.tasks_far) == (2, 4)
    assert row.mean_change_far.value == row.mean_change.value == pytest.approx(-25.0)
    assert row.median_change.value == pytest.approx(0.0)
    near = np.array([[-0.5 * NEAR_ZERO, -NEAR_ZERO, NEAR_ZERO, 0.5 * NEAR_ZERO], [-2.0, 0.0, 0.0, 0.0]])
    row = compare(near[:, :, None])[1]
    assert row.tasks_far == 2
    assert row.mean_change_far.value == pytest.approx((-100.0 + 100.0) / 2)


def test_where_the_reference_is_zero_nothing_is_relative() -> None:
    assert np.isnan(change(np.array([0.0, 0.1]), np.zeros(2))).all()
    best = np.zeros((2, 3, 2))
    best[1] = 0.1
    row = compare(best)[1]
    assert math.isnan(row.median_change.value)
    assert row.json()["median_change"] == {"value": None, "low": None, "high": None}
    assert (row.losses, row.tasks_far) == (3, 0)


def test_rows_as_json() -> None:
    row = compare(BEST)[1]
    stated = row.json()
    assert set(stated) == set(Row.__slots__)
    assert stated["beats"] == {"value": row.beats.value, "low": row.beats.low, "high": row.beats.high}
    assert (stated["method"], stated["wins"]) == ("a", 1)


def test_intervals_hold_the_value_and_shrink_with_seeds() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for seeds in (4, 64):
        best = np.stack([0.3 + 0.1 * rng.random((20, seeds)), 0.2 + 0.1 * rng.random((20, seeds))])
        row = compare(best)[1]
        assert row.median_change.low <= row.median_change.value <= row.median_change.high
        widths.append(row.median_change.high - row.median_change.low)
    assert widths[1] < widths[0]


def test_the_interval_is_of_95_percent_from_both_ends() -> None:
    low, high = interval(np.arange(1001.0)[:, None])
    assert (low[0], high[0]) == pytest.approx((25.0, 975.0))


def test_the_spread_of_one_tasks_mean_is_the_textbook_one() -> None:
    """One task: the spread of a seed mean is s / sqrt(n), to 10 % at 2000 resamples."""
    best = np.random.default_rng(1).normal(10.0, 1.0, size=(2, 1, 25))
    means = bootstrap_means(best, each(1))
    assert means.shape == (RESAMPLES, 2, 1) == (2000, 2, 1)
    np.testing.assert_allclose(means.std(axis=0), best.std(axis=2) / 5.0, rtol=0.1)
    np.testing.assert_allclose(means.mean(axis=0), best.mean(axis=2), atol=0.05)


def test_of_one_data_set_a_point_is_no_interval() -> None:
    """One seed, or seeds that agree, say nothing of other data sets; of several data sets that agree it is one."""
    best = np.array([[[0.5, 0.6], [0.7, 0.8]], [[0.9, 1.1], [1.2, 1.3]]])  # methods, tasks, seeds
    for clusters, seeds, shown in ((["a", "a"], 1, False), (["a", "a"], 2, True), (["a", "b"], 1, True)):
        row = statistics.compare(best[..., :seeds], ["lm", "random"], "random", 5, clusters)[0]
        again = pairwise(best[..., :seeds], ["lm", "random"], "lm", 5, clusters)[0]
        assert not math.isnan(row.mean_change.low) == shown
        assert again == row
        assert math.isnan(row.beats.low) == math.isnan(row.rank.low) == (clusters == ["a", "a"])
        assert (row.beats.value, row.rank.value) == (100.0, 1.0)


@pytest.mark.parametrize(("sets", "each_has"), [(8, 1), (8, 4), (3, 1)])
def test_data_sets_that_all_agree_prove_no_more_than_so_many_can(sets: int, each_has: int) -> None:
    """Bug: a method that won on all of eight data sets was better than 81 % by an interval of [100, 100].

    Had it a chance of p to win on a data set, it would win on all n with p to the n: at least 2.5 % from the lower end.
    """
    best = np.stack([np.full((sets * each_has, 2), 0.5), np.full((sets * each_has, 2), 0.4)])
    clusters = [f"t{i // each_has}" for i in range(sets * each_has)]
    end = 100 * 0.025 ** (1 / sets)
    won, lost = compare(best, clusters)[1].beats, compare(best[::-1], clusters)[1].beats
    assert (won.low, won.value, won.high) == (pytest.approx(end), 100.0, 100.0)
    assert (lost.low, lost.value, lost.high) == (0.0, 0.0, pytest.approx(100 - end))


def test_the_exact_interval_is_scipys_and_never_narrows_one() -> None:
    from scipy.stats import binomtest

    for won in range(9):
        exact = binomtest(won, 8).proportion_ci(0.95, "exact")
        assert exact_interval(100 * won / 8, 8) == pytest.approx((100 * exact.low, 100 * exact.high))
    wide = np.repeat([50.0, 100.0], [9, 91])  # all are won, but not in every resample of seeds
    assert estimate_of(100.0, wide, 8, share=True) == Estimate(100.0, 50.0, 100.0)
    narrow = np.repeat([87.5, 100.0], [9, 91])
    assert estimate_of(100.0, narrow, 8, share=True).low == pytest.approx(exact_interval(100.0, 8)[0])
    assert estimate_of(98.0, narrow, 8, share=True).low == 87.5
    half = estimate_of(50.0, np.full(9, 50.0), 4, share=True)  # one of two tasks, on each of four data sets
    assert (half.low, half.high) == pytest.approx(exact_interval(50.0, 4))
    # of a change nothing is known
    assert estimate_of(50.0, np.full(9, 50.0), 4) == Estimate(50.0, 50.0, 50.0)


def test_tasks_are_resampled() -> None:
    """Seeds that agree: all spread comes from which tasks are there, sqrt(variance over tasks / tasks), to 10 %.

    Bug: without resampling tasks every interval has no width here.
    """
    best = np.repeat(np.random.default_rng(3).normal(10.0, 2.0, size=(2, 16, 1)), 3, axis=2)
    means = bootstrap_means(best, each(16))
    np.testing.assert_allclose(means.mean(axis=2).std(axis=0), best[..., 0].std(axis=1) / 4.0, rtol=0.1)
    counts = {tuple(np.unique(row, return_counts=True)[1]) for row in means[:, 0]}
    assert len(counts) > 10  # drawn with replacement
    row = statistics.compare(best, ["random", "a"], "random", 1, each(16))[1]
    assert row.median_change.low < row.median_change.value < row.median_change.high


def test_whole_data_sets_are_resampled() -> None:
    """Bug: four tasks of a data set that agree counted as four, and intervals were half as wide as they are.

    Two data sets of four tasks: the mean is that of both, or of one of them, at chances 1/2, 1/4 and 1/4.
    """
    best = np.repeat(np.repeat(np.array([[1.0, 3.0], [0.0, 4.0]]), 4, axis=1)[:, :, None], 2, axis=2)
    means = bootstrap_means(best, ["a"] * 4 + ["b"] * 4)
    assert means.shape == (RESAMPLES, 2, 8)
    values, counts = np.unique(means.mean(axis=2)[:, 0], return_counts=True)
    assert values.tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(counts / RESAMPLES, [0.25, 0.5, 0.25], atol=0.05)  # 4.9 standard errors
    assert {tuple(sorted(row)) for row in means[:, 0]} == {(1.0,) * 8, (1.0,) * 4 + (3.0,) * 4, (3.0,) * 8}
    mixed = bootstrap_means(best[:, [0, 4, 1, 5]], ["a", "b", "a", "b"])  # in any order
    assert {tuple(sorted(row)) for row in mixed[:, 0]} == {(1.0,) * 4, (1.0, 1.0, 3.0, 3.0), (3.0,) * 4}


def test_data_sets_of_different_sizes() -> None:
    """One of three tasks, one of one: a resample has two, four or six; each figure is over those it has."""
    values = np.array([[1.0, 1.0, 1.0, 5.0], [0.5, 0.5, 0.5, 6.0]])
    best = np.repeat(values[:, :, None], 2, axis=2)
    clusters = ["a", "a", "a", "b"]
    means = bootstrap_means(best, clusters)
    sizes = (~np.isnan(means[:, 0])).sum(axis=1)
    assert set(sizes) == {2, 4, 6}
    assert (np.isnan(means[:, 0]) == np.isnan(means[:, 1])).all()
    row = statistics.compare(best, ["random", "a"], "random", 1, clusters)[1]
    assert (row.beats.low, row.beats.value, row.beats.high) == (0.0, 75.0, 100.0)
    assert (row.median_change.low, row.median_change.high) == pytest.approx((-20.0, 50.0))
    assert (row.mean_change.low, row.mean_change.high) == pytest.approx((-20.0, 50.0))
    assert (row.rank.low, row.rank.value, row.rank.high) == (1.0, 1.25, 2.0)
    mean, low, high = curve_bands(best[..., None], clusters)
    assert (mean[0, 0], low[0, 0], high[0, 0]) == (2.0, 1.0, 5.0)


def test_methods_are_resampled_together() -> None:
    """Bug: drawn for each method on its own, seeds widened the interval of a difference that every seed has.

    Nine tenths of random's loss on every seed, whatever that is: the change is 10 % in every resample.
    """
    random = np.random.default_rng(4).random((6, 8)) + 0.5
    row = compare(np.stack([random, 0.9 * random]))[1]
    assert (row.mean_change.low, row.mean_change.high) == pytest.approx((10.0, 10.0))
    assert (row.rank.low, row.rank.high) == (1.0, 1.0)
    means = bootstrap_means(np.stack([random, random + 1.0]), each(6))
    np.testing.assert_allclose(means[:, 1], means[:, 0] + 1.0)


def test_seeds_are_resampled_for_every_task_by_itself() -> None:
    """Seed numbers of two tasks have nothing in common: all nine pairs of two tasks' means of two seeds occur."""
    best = np.array([[[0.0, 2.0], [10.0, 12.0]]])
    means = bootstrap_means(best, each(2))[:, 0]
    pairs = {tuple(row) for row in means.tolist()}
    assert set(itertools.product([0.0, 1.0, 2.0], [10.0, 11.0, 12.0])) <= pairs


def test_the_bootstrap_is_reproducible() -> None:
    best = np.random.default_rng(2).random((3, 4, 5))
    assert compare(best) == compare(best)
    same, other = bootstrap_means(best, each(4), seed=0), bootstrap_means(best, each(4), seed=1)
    np.testing.assert_array_equal(same, bootstrap_means(best, each(4)))
    assert (same != other).any()


def test_bands_hold_the_mean_and_follow_the_tasks() -> None:
    """With one seed the spread of a mean over 25 tasks is that of the tasks over 5, to 10 %."""
    values = np.random.default_rng(0).normal(1.0, 0.2, size=(2, 25, 1, 3))
    mean, low, high = curve_bands(values, each(25))
    np.testing.assert_allclose(mean, values.mean(axis=(1, 2)))
    assert ((low < mean) & (mean < high)).all()
    expected = values.std(axis=(1, 2)) / 5.0
    np.testing.assert_allclose((high - low) / (2 * 1.96), expected, rtol=0.1)
    again = curve_bands(values, each(25), seed=1)
    assert (again[1] != low).any()


def test_every_interval_is_that_of_the_figure_over_the_tasks_that_a_resample_has() -> None:
    """Data sets of one, two and four tasks, and a task without a change: each figure resample by resample."""
    rng = np.random.default_rng(8)
    best = rng.random((2, 7, 3))
    best[0, 3] = 0.0
    clusters = ["a", "b", "b", "c", "c", "c", "c"]
    row = statistics.compare(best, ["random", "a"], "random", 1, clusters)[1]
    figures: dict[str, list[float]] = {"beats": [], "median_change": [], "mean_change": [], "rank": []}
    for means in bootstrap_means(best, clusters):
        random, mine = (method[~np.isnan(method)] for method in means)
        moved = [100 * (r - m) / r for r, m in zip(random, mine, strict=True) if r]
        figures["beats"].append(100 * float(np.mean(mine < random)))
        figures["rank"].append(float(np.mean(1.0 + (mine > random))))
        figures["median_change"].append(float(np.median(moved)))
        figures["mean_change"].append(float(np.mean(moved)))
    for name, values in figures.items():
        estimate = getattr(row, name)
        assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5]))), name
