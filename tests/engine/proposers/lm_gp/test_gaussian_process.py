"""The Gaussian process behind `lm+gp`, against scikit-learn's, importance sampling and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airtune.engine.proposers.lm_gp import gaussian_process as module
from airtune.engine.proposers.lm_gp.gaussian_process import (
    GaussianProcess,
    log_h,
    sample_kernels,
    standardised,
)


def bowl(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).uniform(size=(n, d))
    return x, ((x - 0.3) ** 2).sum(1)


def test_expected_improvement_is_that_of_scikit_learns_process() -> None:
    """Also next to a point told, where the improvement is a matter of the normal distribution's far tail."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    x, raw = bowl(0, 12, 3)
    y = standardised(raw)
    candidates = np.concatenate([np.random.default_rng(1).uniform(size=(40, 3)), x + 1e-3])
    length, noise = np.array([0.4, 0.7, 1.3]), 1e-4
    theta = np.log([*length, noise])[None]
    process = GaussianProcess(x, y, theta, np.zeros(1))
    theirs = GaussianProcessRegressor(Matern(length, nu=2.5), alpha=noise + 1e-6, optimizer=None).fit(x, y)
    mean, deviation = theirs.predict(candidates, return_std=True)
    np.testing.assert_allclose(process.predict(candidates)[0][0], mean, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(process.predict(candidates)[1][0], deviation, rtol=1e-6)
    z = (theirs.predict(x).min() - mean) / deviation
    assert z.min() < -40 < -1 < z.max()
    expected = np.log(deviation) + [exact_log_h(value) for value in z]
    np.testing.assert_allclose(process.log_expected_improvement(candidates), expected, rtol=1e-6)


def exact_log_h(z: float) -> float:
    """log(phi(z) + z Phi(z)) by arithmetic with as many digits as the cancellation needs."""
    import mpmath

    with mpmath.workdps(60):
        value = mpmath.mpf(z)
        density = mpmath.exp(-(value**2) / 2) / mpmath.sqrt(2 * mpmath.pi)
        return float(mpmath.log(density + value * mpmath.erfc(-value / mpmath.sqrt(2)) / 2))


TAIL = [-5.9, -6 + 1e-9, -6, -6 - 1e-9, -6.1, -8, -12.5, -20, -26.6, -30, -37.5, -38.6, -40]


@pytest.mark.parametrize("z", [0.0, 1e-9, 0.5, 1, 3, 8, 37, 39, 1e3, 1e6, -1e-9, -0.5, -1, -3, *TAIL])
def test_log_h_is_exact(z: float) -> None:
    assert float(log_h(np.float64(z))) == pytest.approx(exact_log_h(z), rel=1e-14, abs=1e-12)


@pytest.mark.parametrize("z", [-100, -1e3, -1e4, -1e5, -1e6, -1e8])
def test_log_h_far_in_the_tail_is_its_expansion(z: float) -> None:
    """phi(z) (1 / z^2 - 3 / z^4 + 15 / z^6 - ...): what is left of it is less than its last term."""
    series = math.log1p(-3 / z**2 + 15 / z**4) - 2 * math.log(-z)
    # The square of a large z alone has more digits than a number holds.
    allowed = 2e-8 + 105 / z**6 + 2 * np.finfo(float).eps * z**2
    assert float(log_h(np.float64(z))) == pytest.approx(
        -(z**2) / 2 - math.log(2 * math.pi) / 2 + series, rel=0, abs=allowed
    )


def test_log_h_rises_everywhere() -> None:
    """No jump where one formula would hand over to the next: neither down, nor up by more than its slope allows."""
    for z in (np.arange(-41, 9, 1e-4), -np.logspace(6, -6, 20001), np.logspace(-6, 6, 20001)):
        values = log_h(z)
        assert (np.diff(values) > 0).all()
        # phi / h, the slope, is below -z + 2 / -z and below 1.3 from -1 on
        steepest = np.maximum(-z[:-1], 0) + 2
        assert (np.diff(values) < steepest * np.diff(z) + 1e-9 * np.abs(values[:-1])).all()


def test_on_a_plateau_half_a_step_is_the_least_improvement() -> None:
    """Two trials tie for the best: the improvement expected is that on the lowest expected value less half a step."""
    x, raw = bowl(0, 12, 3)
    y = standardised(np.floor(raw / np.sort(raw)[2]))  # in steps, and the best two or three alike
    assert (y == y.min()).sum() > 1
    step = np.unique(y)[1] - y.min()
    candidates = np.random.default_rng(1).uniform(size=(40, 3))
    process = GaussianProcess(x, y, np.log([[0.4, 0.7, 1.3, 0.01]]), np.zeros(1))
    mean, deviation = (values[0] for values in process.predict(candidates))
    expected = np.log(deviation) + log_h((process.predict(x)[0].min() - step / 2 - mean) / deviation)
    np.testing.assert_allclose(process.log_expected_improvement(candidates), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("values", "least"),
    [
        ([0, 0, 3, 1, 5, 6, 7, 8, 9, 9], 0.5),
        ([2, 2, 2, 2, 2, 2, 2, 2, 6, 9], 2.0),
        ([0, 0, 3, 1, 5, 6, 7, 8, 9], 0.0),  # nine losses may be alike by chance
        ([0, 2, 2, 1, 5, 6, 7, 8, 9, 9], 0.0),  # the best stands alone
        ([4] * 10, 0.0),  # there is no step
    ],
)
def test_the_least_improvement(values: list[float], least: float) -> None:
    assert module._least_improvement(np.array(values, dtype=float)) == least


def test_a_plateau_is_left_for_what_may_be_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Error rates come in steps: a search that ranks by improvement must not spend its trials on one of them."""
    candidates = np.random.default_rng(5).uniform(size=(1000, 2))
    losses = np.floor(8 * np.abs(candidates - 0.3).sum(1)) / 8  # a wide plateau around (0.3, 0.3)

    def trials_on_it(seed: int) -> int:
        tried = [0, 1, 2, 3]
        for turn in range(26):
            x, y = candidates[tried], standardised(losses[tried])
            process = GaussianProcess(x, y, *sample_kernels(x, y, np.random.default_rng([seed, turn])))
            gain = process.log_expected_improvement(candidates)
            gain[tried] = -np.inf
            tried.append(int(gain.argmax()))
        return int((losses[tried] == losses.min()).sum())

    with_it = [trials_on_it(seed) for seed in range(3)]
    monkeypatch.setattr(module, "_least_improvement", lambda values: 0.0)
    assert 3 < sum(with_it) < sum(trials_on_it(seed) for seed in range(3)) - 9


def test_kernels_are_averaged_by_weight() -> None:
    x, raw = bowl(2, 8, 2)
    y = standardised(raw)
    candidates = np.random.default_rng(3).uniform(size=(5, 2))
    theta = np.log([[0.3, 0.3, 0.01], [1.0, 0.2, 0.1]])
    both = GaussianProcess(x, y, theta, np.log([0.25, 0.75])).log_expected_improvement(candidates)
    alone = [
        GaussianProcess(x, y, theta[[i]], np.zeros(1)).log_expected_improvement(candidates) for i in (0, 1)
    ]
    np.testing.assert_allclose(np.exp(both), 0.25 * np.exp(alone[0]) + 0.75 * np.exp(alone[1]), rtol=1e-9)


def test_it_finds_the_bottom_of_a_bowl() -> None:
    """Twenty steps from four random points come far nearer than the best of 400 random points would be."""
    x, y = bowl(6, 4, 3)
    rng = np.random.default_rng(7)
    for _ in range(20):
        candidates = np.concatenate(
            [rng.uniform(size=(200, 3)), x[y.argmin()] + rng.normal(size=(50, 3)) / 20]
        )
        level = standardised(y)
        process = GaussianProcess(x, level, *sample_kernels(x, level, rng))
        chosen = candidates[process.log_expected_improvement(candidates).argmax()]
        x, y = np.vstack([x, chosen]), np.append(y, ((chosen - 0.3) ** 2).sum())
    assert y.min() < bowl(8, 400, 3)[1].min() / 2


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=20),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_standardising_keeps_the_order_and_the_worst_is_a_failure(
    losses: list[int], scale: float, shift: float
) -> None:
    values = np.array([*losses, np.inf])
    level = standardised(values)
    assert np.isfinite(level).all()
    assert level[-1] == level.max()
    order = np.argsort(values, kind="stable")
    assert (np.diff(level[order]) >= -1e-12).all()
    if np.ptp(losses):  # an affine change of the losses changes nothing
        np.testing.assert_allclose(standardised(values * scale + shift), level, atol=1e-6)


def z_scores(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def test_few_losses_standardised_by_hand() -> None:
    """Best 1, median 3: in units of their distance 0, 1, 5 and 25, of which 25 beyond ten by its logarithm.

    The failure is as bad as the worst on that scale, and 1 on the bounded one, where the median is a half.
    """
    losses = np.array([3.0, 1.0, 11.0, np.inf, 51.0, 1.5, 2.0])  # the median of those told is 2.5
    z = np.array([4 / 3, 0, 20 / 3, np.nan, 100 / 3, 1 / 3, 2 / 3])
    plain = np.where(z > 10, 10 * (1 + np.log(np.maximum(z, 10) / 10)), z)
    plain[3] = plain[4]
    bounded = z / (1 + z)
    bounded[3] = 1.0
    np.testing.assert_allclose(
        standardised(losses), z_scores(z_scores(plain) + z_scores(bounded)), rtol=1e-12
    )


def test_many_losses_standardised_by_hand() -> None:
    """From ten on by the plain scale alone, a failure as bad as the worst."""
    losses = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, np.inf, 80.0])  # median 4
    z = np.array([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, np.nan, 10 * (1 + np.log(2))])
    z[8] = z[9]
    np.testing.assert_allclose(standardised(losses), z_scores(z), rtol=1e-12)


def test_losses_of_which_most_tie_for_the_best() -> None:
    """The median is the best: a hundredth of the mean's distance is the scale, and what lies far above is drawn in."""
    losses = np.array([2.0] * 8 + [4.0, 3.0])  # mean 2.3
    z = np.array([0.0] * 8 + [2 / 0.003, 1 / 0.003])
    drawn_in = np.where(z > 10, 10 * (1 + np.log(np.maximum(z, 10) / 10)), z)
    np.testing.assert_allclose(standardised(losses), z_scores(drawn_in), rtol=1e-12)


@pytest.mark.parametrize("losses", [[0.0, 0.0], [3.0] * 12, [-5.0], [0.0, np.inf], [1.0, np.inf]])
def test_losses_that_are_all_alike(losses: list[float]) -> None:
    """Nothing is divided by zero; a failure is still worse than what was told."""
    level = standardised(np.array(losses))
    assert np.isfinite(level).all()
    assert (np.ptp(level) > 0) == (np.inf in losses)


def test_huge_losses_do_not_overflow() -> None:
    with np.errstate(all="raise"):
        level = standardised(np.array([-1.7e308, 1.7e308, 0.0]))
    assert level[0] < level[2] < level[1]


def test_what_is_pending_counts_as_the_kernel_expects_it_to_come_out() -> None:
    """As if told with the process's own mean; so the place next to it is no longer worth a trial."""
    x, raw = bowl(6, 10, 2)
    y = standardised(raw)
    candidates = np.random.default_rng(7).uniform(size=(30, 2))
    theta, log_weight = np.log([[0.5, 0.6, 0.01]]), np.zeros(1)
    alone = GaussianProcess(x, y, theta, log_weight).log_expected_improvement(candidates)
    pending = candidates[[alone.argmax()]]
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    kernel = Matern(np.exp(theta[0, :-1]), nu=2.5)
    mean = GaussianProcessRegressor(kernel, alpha=0.01 + 1e-6, optimizer=None).fit(x, y).predict(pending)
    more = np.concatenate([x, pending]), np.concatenate([y, mean])
    told = GaussianProcess(*more, theta, log_weight).log_expected_improvement(candidates)
    expected = GaussianProcess(x, y, theta, log_weight, pending).log_expected_improvement(candidates)
    np.testing.assert_allclose(expected, told, rtol=1e-6)
    assert expected.argmax() != alone.argmax()
    nothing = GaussianProcess(x, y, theta, log_weight, x[:0])
    np.testing.assert_array_equal(nothing.log_expected_improvement(candidates), alone)
