"""Runs as arrays: the stated rules for failures, early ends and tables, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from airtune.benchmarks.analysis import comparison
from airtune.benchmarks.analysis.comparison import compare_runs
from airtune.benchmarks.analysis.order_statistics import random_search
from airtune.benchmarks.analysis.statistics import curve_bands
from airtune.benchmarks.running.runner import Plan, Run
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


def test_failures_early_ends_and_test_errors() -> None:
    plan = Plan("toy", methods=("random", "a"), seeds=1, budget=4)
    made = compare_runs(plan, ["t"], runs(random=[told(0.8, 0.5, 0.9, 0.6)], a=[told(None, 0.7, 0.7)]))
    assert made.best[0, 0, 0].tolist() == [0.8, 0.5, 0.5, 0.5]
    assert made.best[1, 0, 0].tolist() == [0.9, 0.7, 0.7, 0.7]  # the worst anyone saw; then kept to the end
    np.testing.assert_allclose(made.test[1, 0, 0], [math.nan, 7.0, 7.0, 7.0])
    assert made.known[0] == 0.5
    assert made.reference[0] == pytest.approx((0.8 + 0.5 + 0.9 + 0.6) / 4)
    np.testing.assert_allclose(made.regret[0, 0, 0], [1.5, 0, 0, 0])
    assert made.budgets == (2, 4)


def test_toy_losses_are_regrets() -> None:
    plan = Plan("toy", methods=("random",), seeds=1, budget=2)
    run = Run("random", "toy/branin", 0, told(0.39788735772973816 + 1.0, 0.39788735772973816 - 1e-9))
    made = compare_runs(plan, ["toy/branin"], {("random", "toy/branin", 0): run})
    np.testing.assert_allclose(made.best[0, 0, 0], [1.0, 0.0])
    assert made.known[0] == 0.0


def test_on_a_table_random_search_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    table = (np.array([0.1, 0.2, 0.4, 0.9]), np.array([0.3, 0.2, 0.5, 0.8]))
    monkeypatch.setattr(comparison, "_table", lambda task: table)
    plan = Plan("toy", methods=("lm", "random"), seeds=2, budget=3)
    lm = [told(0.4, 0.2, 0.1), told(None, 0.4, 0.9)]
    made = compare_runs(plan, ["t"], runs(lm=lm, random=[told(0.9, 0.9, 0.9)] * 2))
    expected = random_search(*table, 3)
    for seed in range(2):
        np.testing.assert_allclose(made.best[1, 0, seed], expected[0])
        np.testing.assert_allclose(made.test[1, 0, seed], expected[1])
    np.testing.assert_allclose(made.sampled[1, 0, 0], [0.9, 0.9, 0.9])
    assert (made.known[0], made.reference[0]) == (0.1, pytest.approx(0.4))
    assert made.regret[1, 0, 0, 0] == pytest.approx(1.0)  # one random evaluation, by definition
    assert made.best[0, 0, 1].tolist() == [0.9, 0.4, 0.4]  # a failure first: the worst of the table
    assert made.exact.all()
    without = compare_runs(Plan("toy", methods=("lm",), seeds=2, budget=3), ["t"], runs(lm=lm))
    assert without.methods == ("lm", "random")  # it need not even have been run
    np.testing.assert_allclose(without.best[1], made.best[1])
    assert np.isnan(without.sampled[1]).all()


def test_a_task_that_is_flat_has_no_regret() -> None:
    plan = Plan("toy", methods=("random",), seeds=1, budget=2)
    made = compare_runs(plan, ["t"], runs(random=[told(0.5, 0.5)]))
    assert (made.regret == 0.0).all()


def test_bands_hold_the_mean_and_follow_the_tasks() -> None:
    """With one seed the spread of a mean over 25 tasks is that of the tasks over 5, to 10 %."""
    values = np.random.default_rng(0).normal(1.0, 0.2, size=(2, 25, 1, 3))
    mean, low, high = curve_bands(values)
    assert mean.shape == (2, 3)
    assert ((low < mean) & (mean < high)).all()
    expected = values.std(axis=(1, 2)) / 5.0
    np.testing.assert_allclose((high - low) / (2 * 1.96), expected, rtol=0.1)
