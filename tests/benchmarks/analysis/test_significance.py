"""Tests of significance: against scipy where it is exact, and against textbook figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from airtune.benchmarks.analysis.significance import (
    LEVEL,
    critical_difference,
    holm,
    over_seeds,
    over_tasks,
    wilcoxon,
)


def test_wilcoxon_agrees_with_scipys_exact_distribution() -> None:
    from scipy.stats import wilcoxon as scipys

    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 10, 32):
        differences = rng.normal(0.3, 1.0, n)
        assert wilcoxon(differences) == pytest.approx(scipys(differences, method="exact").pvalue)


def test_wilcoxon_with_ties_and_zeros_agrees_with_scipys_permutations() -> None:
    from scipy.stats import PermutationMethod
    from scipy.stats import wilcoxon as scipys

    rng = np.random.default_rng(1)
    for _ in range(5):
        differences = rng.integers(-2, 4, 8).astype(float)
        expected = scipys(differences, zero_method="zsplit", method=PermutationMethod(n_resamples=np.inf))
        assert wilcoxon(differences) == pytest.approx(expected.pvalue)
    assert wilcoxon(np.zeros(6)) == 1.0
    assert wilcoxon(np.empty(0)) == 1.0


def test_holm_by_hand() -> None:
    """Holm (1979): sorted p times the number left, never falling."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_verdicts_over_seeds() -> None:
    rng = np.random.default_rng(2)
    reference = rng.random((3, 12))
    method = reference + np.array([[-1.0], [1.0], [0.0]])  # better, worse, the same
    found = over_seeds(method, reference)
    assert (found.better, found.worse, found.better_holm, found.worse_holm) == (1, 1, 1, 1)
    assert (found.tasks, found.seeds) == (3, 12)
    assert found.least_p == pytest.approx(2 / 2**12)
    assert found.holm_possible
    few = over_seeds(method[:, :4], reference[:, :4])
    assert (few.better, few.worse) == (0, 0)  # four pairs cannot be significant, whatever they are
    assert not few.holm_possible


def test_tasks_without_runs_are_not_tested() -> None:
    method = np.array([[0.1, 0.2], [np.nan, np.nan]])
    assert over_seeds(method, method + 0.1).tasks == 1
    assert over_seeds(method[1:], method[1:]).tasks == 0


def test_identical_methods_are_rarely_told_apart() -> None:
    """Of 400 tests at 5 %, at most 40 reject: chance of more, were each a true 5 %, is below 1e-4."""
    rng = np.random.default_rng(3)
    found = over_seeds(rng.random((400, 10)), rng.random((400, 10)))
    assert found.better + found.worse <= 40
    assert found.better_holm + found.worse_holm <= 1


def test_over_tasks_ignores_rounding() -> None:
    figures = np.linspace(0.1, 0.9, 9)
    assert over_tasks(figures, figures + 1e-15) == 1.0
    assert over_tasks(figures, figures + 0.1) == pytest.approx(2 / 2**9)


def test_the_critical_difference_is_the_published_one() -> None:
    """Demsar (2006): q is 2.850 for six methods; CD = q sqrt(k (k + 1) / 6N)."""
    assert critical_difference(6, 32) == pytest.approx(2.850 * math.sqrt(6 * 7 / (6 * 32)), rel=1e-3)
    assert math.isnan(critical_difference(1, 32))
    assert LEVEL == 0.05
