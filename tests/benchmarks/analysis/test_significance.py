"""Tests of significance: against scipy where it is exact, against every sign, and against textbook figures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from airtune.benchmarks.analysis import significance
from airtune.benchmarks.analysis.significance import (
    LEVEL,
    critical_difference,
    holm,
    over_seeds,
    over_tasks,
    wilcoxon,
)
from airtune.benchmarks.analysis.statistics import TIE, Array


def of(differences: Array) -> tuple[float, int]:
    """The test of differences from zero."""
    return wilcoxon(differences, np.zeros(len(differences)))


def by_every_sign(differences: Array) -> float:
    """The share of all 2^n signs whose sum of signed ranks is at least as far from zero; Pratt's zeros."""
    from scipy.stats import rankdata

    ranks = rankdata(np.abs(differences))[differences != 0]
    found = abs(float(np.sign(differences[differences != 0]) @ ranks))
    sums = [abs(float(np.dot(signs, ranks))) for signs in itertools.product([-1, 1], repeat=len(ranks))]
    return float(np.mean([value >= found for value in sums]))


def test_wilcoxon_agrees_with_scipys_exact_distribution() -> None:
    from scipy.stats import wilcoxon as scipys

    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 10, 32):
        differences = rng.normal(0.3, 1.0, n)
        assert of(differences)[0] == pytest.approx(scipys(differences, method="exact").pvalue)


def test_wilcoxon_with_ties_and_zeros_agrees_with_every_sign() -> None:
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 4, 8, 8, 8):
        differences = rng.integers(-2, 4, n).astype(float)
        assert of(differences)[0] == pytest.approx(by_every_sign(differences))
    assert of(np.zeros(6)) == (1.0, 0)
    assert of(np.empty(0)) == (1.0, 0)


def test_wilcoxon_with_ties_and_zeros_agrees_with_scipys_permutations() -> None:
    from scipy.stats import PermutationMethod
    from scipy.stats import wilcoxon as scipys

    differences = np.array([0.0, 2.0, -1.0, 3.0, 2.0, -2.0, 0.0, 1.0])
    expected = scipys(differences, zero_method="zsplit", method=PermutationMethod(n_resamples=np.inf))
    assert of(differences)[0] == pytest.approx(expected.pvalue)


def test_the_direction_is_that_of_the_signed_ranks() -> None:
    assert of(np.array([-1.0, -2.0, 5.0]))[1] == 0
    assert of(np.array([-1.0, -2.0, 2.5, -3.0]))[1] == -1  # though its mean is above zero without the last
    assert of(np.array([9.0, -1.0, -2.0, -3.5]))[1] == -1  # though its mean is above zero
    assert of(np.array([1.0, -2.0, 3.0]))[1] == 1


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_nearly_equal_values_are_zeros(scale: float) -> None:
    """Bug: without rounding, a difference in the last bit had a rank and a sign of its own."""
    reference = scale * np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    rounded = reference * (1.0 + 0.5 * TIE * np.array([1, 1, 1, 1, 1, 1]))
    assert wilcoxon(rounded, reference) == (1.0, 0)
    assert wilcoxon(reference, rounded) == (1.0, 0)
    apart = reference * (1.0 + 2.0 * TIE * np.array([1, 1, 1, 1, 1, 1]))
    assert wilcoxon(apart, reference) == (pytest.approx(2 / 2**6), 1)
    assert wilcoxon(reference, apart) == (pytest.approx(2 / 2**6), -1)


def test_nearly_equal_differences_are_ties() -> None:
    """Bug: 0.3 - 0.2 and 0.2 - 0.1 differ in the last bit, and so had ranks of their own."""
    method, reference = np.array([0.3, 0.1, 0.5, 0.9, 0.7]), np.array([0.2, 0.2, 0.4, 0.8, 0.3])
    sizes = np.abs(method - reference)
    assert len(np.unique(sizes)) > 2  # the control: as bits they are not equal
    assert wilcoxon(method, reference)[0] == pytest.approx(by_every_sign(np.array([1.0, -1, 1, 1, 4])))
    for order in itertools.permutations(range(5)):
        at = list(order)
        assert wilcoxon(method[at], reference[at])[0] == wilcoxon(method, reference)[0]


def test_every_pair_has_a_tolerance_of_its_own() -> None:
    """Bug: one scale for all. Values around 1e9 must not make those around 1 equal."""
    method, reference = (
        np.array([1e9, 1.0, 2.0, 3.0, 4.0, 5.0]),
        np.array([1e9, 1.1, 2.2, 3.3, 4.4, 5.5]),
    )
    expected = by_every_sign(np.array([0.0, -1, -2, -3, -4, -5]))
    assert wilcoxon(method, reference) == (pytest.approx(expected), -1)
    assert over_tasks(method, reference) == (pytest.approx(expected), -1)


def test_over_tasks_ignores_rounding() -> None:
    figures = np.linspace(0.1, 0.9, 9)
    assert over_tasks(figures, figures + 1e-15) == (1.0, 0)
    assert over_tasks(figures, figures + 0.1) == (pytest.approx(2 / 2**9), -1)


def test_regrets_of_nothing_are_as_rough_as_others() -> None:
    """A regret of 1e-16 against one of 0: a rounding of losses of about 1, though no share of the regret."""
    assert over_tasks(np.full(8, 1e-16), np.zeros(8)) == (1.0, 0)
    assert over_tasks(np.full(8, 2 * TIE), np.zeros(8)) == (pytest.approx(2 / 2**8), 1)
    assert over_tasks(np.full(8, 1e6), np.full(8, 1e6 + 1e-7)) == (1.0, 0)  # large ones, by their own size


def test_holm_by_hand() -> None:
    """Holm (1979): sorted p times the number left, never falling."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, 0.02, 0.015]) == pytest.approx([0.03, 0.03, 0.03])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_agrees_with_its_definition() -> None:
    """The adjusted p-value is the least level at which the step-down procedure rejects."""
    rng = np.random.default_rng(5)
    for n in (1, 2, 5, 9):
        p = rng.random(n) ** 3
        order = np.argsort(p)
        expected = np.empty(n)
        for step, i in enumerate(order):
            expected[i] = min(1.0, max((n - j) * p[order[j]] for j in range(step + 1)))
        assert holm(list(p)) == pytest.approx(list(expected))


def test_verdicts_over_seeds() -> None:
    rng = np.random.default_rng(2)
    reference = rng.random((3, 12))
    method = reference + np.array([[-1.0], [1.0], [0.0]])  # better, worse, the same
    (found,) = over_seeds([(method, reference)])
    assert (found.better, found.worse, found.better_holm, found.worse_holm) == (1, 1, 1, 1)
    assert (found.tasks, found.seeds, found.family) == (3, 12, 3)
    assert found.least_p == pytest.approx(2 / 2**12)
    assert found.holm_possible
    assert found.json()["better_holm"] == 1
    (few,) = over_seeds([(method[:, :4], reference[:, :4])])
    assert (few.better, few.worse) == (0, 0)  # four pairs cannot be significant, whatever they are
    assert not few.holm_possible
    assert over_seeds([]) == []


def test_all_tests_of_a_table_are_one_family() -> None:
    """Bug: corrected row by row, a table of four rows had four times its level.

    Seven pairs give p = 1/64: 0.047 among three, which is significant, and 0.094 among six, which is not.
    """
    reference = np.random.default_rng(6).random((3, 7))
    better = reference - 1.0
    (alone,) = over_seeds([(better, reference)])
    assert (alone.better, alone.better_holm, alone.holm_possible) == (3, 3, True)
    both = over_seeds([(better, reference), (reference, better)])
    assert [(v.better, v.worse, v.better_holm, v.worse_holm) for v in both] == [(3, 0, 0, 0), (0, 3, 0, 0)]
    assert [(v.family, v.holm_possible) for v in both] == [(6, False)] * 2


def test_a_p_value_at_the_level_is_significant() -> None:
    """Of 2^6 signs two: 1/32 is below 5 %; of 2^5 two: 1/16 is not."""
    reference = np.zeros((1, 6))
    assert over_seeds([(reference - 1.0, reference)])[0].better == 1
    assert over_seeds([(reference[:, :5] - 1.0, reference[:, :5])])[0].better == 0
    exact = over_seeds([(reference - 1.0, reference)])[0]
    assert exact.least_p == pytest.approx(1 / 32)


def test_tasks_without_runs_are_not_tested() -> None:
    method = np.array([[0.1, 0.2], [np.nan, np.nan], [0.1, np.nan]])
    (found,) = over_seeds([(method, method + 0.1)])
    assert (found.tasks, found.family, found.seeds, found.least_p) == (1, 1, 2, 0.5)
    (none,) = over_seeds([(method[1:], method[1:])])
    assert (none.tasks, none.holm_possible) == (0, False)
    (single,) = over_seeds([(np.zeros((1, 1)), np.ones((1, 1)))])
    assert single.least_p == 1.0
    (empty,) = over_seeds([(np.zeros((1, 0)), np.zeros((1, 0)))])
    assert empty.least_p == 1.0


def test_identical_methods_are_rarely_told_apart() -> None:
    """Of 400 tests at 5 %, at most 40 reject: chance of more, were each a true 5 %, is below 1e-4."""
    rng = np.random.default_rng(3)
    (found,) = over_seeds([(rng.random((400, 10)), rng.random((400, 10)))])
    assert 5 <= found.better + found.worse <= 40
    assert found.better_holm + found.worse_holm <= 1


def test_the_critical_difference_is_the_published_one() -> None:
    """Demsar (2006): q is 2.850 for six methods and 1.960 for two; CD = q sqrt(k (k + 1) / 6N)."""
    assert critical_difference(6, 32) == pytest.approx(2.850 * math.sqrt(6 * 7 / (6 * 32)), rel=1e-3)
    assert critical_difference(2, 1) == pytest.approx(1.960 * math.sqrt(2 * 3 / (6 * 1)), rel=1e-3)
    assert math.isnan(critical_difference(1, 32))
    assert math.isnan(critical_difference(6, 0))
    assert LEVEL == 0.05


@pytest.mark.parametrize("swapped", [False, True])
def test_ties_of_differences_between_values_of_any_size(swapped: bool) -> None:
    """What makes two differences equal is how rough their values are, the larger of the two, whichever it is."""
    for method, reference in (
        ([0.0, 1e6 + 1e-7, 7e6, 9e6], [1e6, 0.0, 0.0, 0.0]),  # large on one side only
        (
            [1e6, 6.0, 8.0, 10.0],
            [1e6 + 5.0 - 1e-7, 1.0, 1.0, 1.0],
        ),  # the rough one of two sizes is the smaller
        ([1.0, 1e6 + 5.0 + 1e-7, 8.0, 10.0], [6.0, 1e6, 1.0, 1.0]),  # and here the larger
    ):
        pair = np.array(method), np.array(reference)
        rough = np.round(pair[0] - pair[1])
        assert len(set(np.abs(rough))) == 3  # the control
        found = wilcoxon(*(pair[::-1] if swapped else pair))
        assert found == (pytest.approx(by_every_sign(rough)), -1 if swapped else 1)


def test_the_level_itself_is_significant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six pairs give p = 1/32, a number without rounding: as the level it still counts, after Holm's step too."""
    reference = np.zeros((1, 6))
    monkeypatch.setattr(significance, "LEVEL", 1 / 32)
    (better,), (worse,) = (
        over_seeds([(reference - 1.0, reference)]),
        over_seeds([(reference + 1.0, reference)]),
    )
    assert (better.better, better.worse, better.better_holm, better.worse_holm) == (1, 0, 1, 0)
    assert (worse.better, worse.worse, worse.better_holm, worse.worse_holm) == (0, 1, 0, 1)
    assert better.holm_possible
    monkeypatch.setattr(significance, "LEVEL", 1 / 33)
    assert over_seeds([(reference - 1.0, reference)])[0].better == 0
    assert not better.holm_possible


def test_better_and_worse_after_holms_correction_are_not_the_same() -> None:
    reference = np.random.default_rng(7).random((4, 14))
    method = reference + np.array([[-1.0], [-1.0], [-1.0], [1.0]])
    (found,) = over_seeds([(method, reference)])
    assert (found.better, found.worse, found.better_holm, found.worse_holm) == (3, 1, 3, 1)


def test_two_methods_have_the_same_tasks() -> None:
    with pytest.raises(ValueError, match="shorter"):
        over_seeds([(np.zeros((2, 3)), np.zeros((1, 3)))])


def test_a_difference_of_rough_values_ties_with_the_next_larger_one() -> None:
    """The tolerance is that of the two neighbours in size, not of the smallest difference of all."""
    rough = 1e6
    method = np.array([0.0, rough + 2.0, 0.0])
    reference = np.array([1.0, rough, 2.0 + 0.4 * TIE * rough])
    # Ranks 1, 2.5, 2.5 with signs -, +, -: any signs give a sum as far from zero. Without the tie it is 6 of 8.
    assert wilcoxon(method, reference) == (pytest.approx(1.0), -1)
