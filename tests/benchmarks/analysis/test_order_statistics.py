"""Random search on a table, exactly: against every possible draw, and against simulated ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from airtune.benchmarks.analysis.order_statistics import least_weights, random_search


@pytest.mark.parametrize("seed", range(5))
def test_small_tables_agree_with_every_ordered_draw(seed: int) -> None:
    """Seven points with many ties: all 7! orders, the earliest of equal losses chosen as a study does."""
    rng = np.random.default_rng(seed)
    loss, test = rng.integers(0, 3, 7).astype(float), rng.random(7)
    best, chosen = random_search(loss, test, budget=7)
    for n in range(1, 8):
        orders = list(itertools.permutations(range(7), n))
        firsts = [min(order, key=lambda i: loss[i]) for order in orders]  # min keeps the earliest of equals
        assert best[n - 1] == pytest.approx(np.mean([loss[i] for i in firsts]), abs=1e-12)
        assert chosen[n - 1] == pytest.approx(np.mean([test[i] for i in firsts]), abs=1e-12)


def test_a_table_of_real_size_agrees_with_simulation() -> None:
    """Twelve means of 20,000 draws each, all within 4.9 standard errors: false alarm 12 x 1e-6 for exact code."""
    rng = np.random.default_rng(0)
    loss = np.round(0.2 + 0.3 * rng.random(441), 2)  # 31 values on 441 points: ties everywhere
    test = loss + 0.05 * rng.standard_normal(441)
    best, chosen = random_search(loss, test, budget=60)
    draws = np.argsort(rng.random((20_000, 441)), axis=1)[:, :60]
    for n in (1, 2, 5, 10, 30, 60):
        at = np.take_along_axis(draws, loss[draws[:, :n]].argmin(axis=1)[:, None], axis=1)[:, 0]
        for exact, seen in ((best[n - 1], loss[at]), (chosen[n - 1], test[at])):
            assert abs(exact - seen.mean()) <= 4.9 * seen.std() / math.sqrt(len(seen))


def test_weights_are_the_binomial_ratios() -> None:
    for points, draws in ((1, 1), (5, 2), (441, 60), (625, 10)):
        weights = least_weights(points, draws)
        expected = [math.comb(points - k, draws - 1) / math.comb(points, draws) for k in range(1, points + 1)]
        np.testing.assert_allclose(weights, expected, rtol=1e-9, atol=1e-300)
        assert weights.sum() == pytest.approx(1.0)


def test_one_draw_is_the_mean_and_all_of_them_the_minimum() -> None:
    loss = np.array([0.5, 0.1, 0.1, 0.4])
    best, chosen = random_search(loss, np.array([0.6, 0.2, 0.4, 0.5]), budget=6)
    assert best[0] == pytest.approx(loss.mean())
    assert best[3:] == pytest.approx([0.1, 0.1, 0.1])  # more draws than points are all points
    assert chosen[3:] == pytest.approx([0.3, 0.3, 0.3])  # both of the tied ones are as likely
    assert (np.diff(best) <= 1e-15).all()


def test_points_without_a_loss_count_as_the_worst() -> None:
    best, _ = random_search(np.array([0.1, np.nan, 0.5]), np.zeros(3), budget=1)
    assert best[0] == pytest.approx(np.mean([0.1, 0.5, 0.5]))
    with pytest.raises(ValueError, match=r"^no point of the table has a loss$"):
        random_search(np.array([np.nan]), np.zeros(1), budget=1)


@pytest.mark.parametrize(("points", "draws"), [(0, 1), (3, 0)])
def test_no_draws_are_refused(points: int, draws: int) -> None:
    with pytest.raises(ValueError, match=f"^{draws} draws of {points} points$"):
        least_weights(points, draws)
