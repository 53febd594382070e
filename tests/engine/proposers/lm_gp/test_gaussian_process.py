"""The averaged Gaussian process behind `lm+gp`, against scikit-learn's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, OrdinalHyperparameter
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from airtune.engine.proposers.lm_gp import gaussian_process as module
from airtune.engine.proposers.lm_gp.gaussian_process import (
    Process,
    Vectors,
    posterior_kernels,
    standardised,
)


def _bowl(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).uniform(size=(n, d))
    return x, ((x - 0.3) ** 2).sum(1)


def test_expected_improvement_is_that_of_scikit_learns_process() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    x, raw = _bowl(0, 12, 3)
    y = (raw - raw.mean()) / raw.std()
    candidates = np.random.default_rng(1).uniform(size=(40, 3))
    length, noise = np.array([0.4, 0.7, 1.3]), 0.01
    theta = np.log([*length, noise])[None]
    mine = Process(x, y, theta, np.zeros(1)).log_expected_improvement(candidates)
    process = GaussianProcessRegressor(Matern(length, nu=2.5), alpha=noise + 1e-6, optimizer=None).fit(x, y)
    mean, deviation = process.predict(candidates, return_std=True)
    z = (process.predict(x).min() - mean) / deviation
    theirs = np.log(deviation * (norm.pdf(z) + z * norm.cdf(z)))
    far = z < -6  # there the closed form cancels, and mine is an expansion
    np.testing.assert_allclose(mine[~far], theirs[~far], rtol=1e-6)
    assert np.isfinite(mine).all()


def test_on_a_plateau_half_a_step_is_the_least_improvement() -> None:
    """Two trials tie for the best: the improvement expected is that on the lowest expected value less half a step."""
    x, raw = _bowl(0, 12, 3)
    y = standardised(np.floor(raw / np.sort(raw)[2]))  # in steps, and the best two or three alike
    assert (y == y.min()).sum() > 1
    step = np.unique(y)[1] - y.min()
    candidates = np.random.default_rng(1).uniform(size=(40, 3))
    process = Process(x, y, np.log([[0.4, 0.7, 1.3, 0.01]]), np.zeros(1))
    mean, deviation = (values[0] for values in process.predict(candidates))
    z = (process.predict(x)[0].min() - step / 2 - mean) / deviation
    theirs = np.log(deviation * (norm.pdf(z) + z * norm.cdf(z)))
    near = z > -6
    np.testing.assert_allclose(process.log_expected_improvement(candidates)[near], theirs[near], rtol=1e-6)


def test_a_plateau_is_left_for_what_may_be_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Error rates come in steps: a search that ranks by improvement must not spend its trials on one of them."""
    candidates = np.random.default_rng(5).uniform(size=(4000, 2))
    losses = np.floor(8 * np.abs(candidates - 0.3).sum(1)) / 8  # a wide plateau around (0.3, 0.3)

    def trials_on_it() -> int:
        tried = [0, 1, 2, 3]
        for turn in range(26):
            x, y = candidates[tried], standardised(losses[tried])
            process = Process(x, y, *posterior_kernels(x, y, np.random.default_rng(turn)))
            gain = process.log_expected_improvement(candidates)
            gain[tried] = -np.inf
            tried.append(int(gain.argmax()))
        return int((losses[tried] == losses.min()).sum())

    with_it = trials_on_it()
    monkeypatch.setattr(module, "_least_gain", lambda values: 0.0)
    assert 1 < with_it < trials_on_it() - 4


def test_kernels_are_averaged_by_weight() -> None:
    x, raw = _bowl(2, 8, 2)
    y = (raw - raw.mean()) / raw.std()
    candidates = np.random.default_rng(3).uniform(size=(5, 2))
    theta = np.log([[0.3, 0.3, 0.01], [1.0, 0.2, 0.1]])
    both = Process(x, y, theta, np.log([0.25, 0.75])).log_expected_improvement(candidates)
    alone = [Process(x, y, theta[[i]], np.zeros(1)).log_expected_improvement(candidates) for i in (0, 1)]
    np.testing.assert_allclose(np.exp(both), 0.25 * np.exp(alone[0]) + 0.75 * np.exp(alone[1]), rtol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_kernels_are_weighted_by_their_exact_posterior(n: int) -> None:
    """The likelihood is read off a bordered factor: against scipy's density of the losses, times the prior."""
    x, raw = _bowl(3, n, 2)
    y = standardised(raw)
    theta, weight = posterior_kernels(x, y, np.random.default_rng(0))
    expected = []
    for *length, noise in theta:
        r = np.sqrt(5 * (((x[:, None] - x[None]) / np.exp(length)) ** 2).sum(-1))
        covariance = (1 + r + r**2 / 3) * np.exp(-r) + (np.exp(noise) + 1e-6) * np.eye(n)
        prior = norm.logpdf(length, np.log(0.5 * 2**0.25), 0.8).sum() + norm.logpdf(noise, np.log(3e-3), 1.5)
        expected.append(multivariate_normal(np.zeros(n), covariance).logpdf(y) + prior)
    assert weight - weight[0] == pytest.approx(np.array(expected) - expected[0], abs=1e-5)


def test_an_irrelevant_dimension_gets_a_long_scale() -> None:
    x = np.random.default_rng(4).uniform(size=(40, 2))
    y = np.sin(6 * x[:, 0])
    theta, weight = posterior_kernels(x, (y - y.mean()) / y.std(), np.random.default_rng(5))
    mean = (np.exp(weight)[:, None] * theta).sum(0)
    assert mean[1] - mean[0] > np.log(3)


def test_it_finds_the_bottom_of_a_bowl() -> None:
    """Twenty steps from four random points come far nearer than the best of 400 random points would be."""
    x, y = _bowl(6, 4, 3)
    rng = np.random.default_rng(7)
    for _ in range(20):
        candidates = np.concatenate(
            [rng.uniform(size=(200, 3)), x[y.argmin()] + rng.normal(size=(50, 3)) / 20]
        )
        level = standardised(y)
        process = Process(x, level, *posterior_kernels(x, level, rng))
        chosen = candidates[process.log_expected_improvement(candidates).argmax()]
        x, y = np.vstack([x, chosen]), np.append(y, ((chosen - 0.3) ** 2).sum())
    assert y.min() < _bowl(8, 400, 3)[1].min() / 2


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=20),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_levels_keep_the_order_and_the_worst_is_a_failure(
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


def test_points_of_a_conditional_space() -> None:
    space = ConfigurationSpace()
    kind = Categorical("kind", ["a", "b", "c"])
    rate, grid = Float("rate", (1e-4, 1.0), log=True), OrdinalHyperparameter("grid", [1, 2, 4, 8, 16])
    space.add(kind, rate, grid, EqualsCondition(rate, kind, "b"))
    vectors = Vectors(space)
    configs = [{"kind": "b", "rate": 1e-2, "grid": 4}, {"kind": "a", "grid": 4}]
    on, off = vectors.points(vectors.vectors(configs))
    # nothing, the grid, three choices, the rate and whether it is active
    assert sorted(on) == pytest.approx(sorted([0, 0.5, 0, 2**-0.5, 0, 0.5, 1.0]))
    assert sorted(off) == pytest.approx(sorted([0, 0.5, 2**-0.5, 0, 0, 0.5, 0.0]))


def test_what_is_pending_counts_as_the_kernel_expects_it_to_come_out() -> None:
    """As if told with the process's own mean; so the place next to it is no longer worth a trial."""
    x, raw = _bowl(6, 10, 2)
    y = (raw - raw.mean()) / raw.std()
    candidates = np.random.default_rng(7).uniform(size=(30, 2))
    theta, weight = np.log([[0.5, 0.6, 0.01]]), np.zeros(1)
    alone = Process(x, y, theta, weight).log_expected_improvement(candidates)
    pending = candidates[[alone.argmax()]]
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    kernel = Matern(np.exp(theta[0, :-1]), nu=2.5)
    mean = GaussianProcessRegressor(kernel, alpha=0.01 + 1e-6, optimizer=None).fit(x, y).predict(pending)
    more = np.concatenate([x, pending]), np.concatenate([y, mean])
    told = Process(*more, theta, weight).log_expected_improvement(candidates)
    believed = Process(x, y, theta, weight, pending).log_expected_improvement(candidates)
    np.testing.assert_allclose(believed, told, rtol=1e-6)
    assert believed.argmax() != alone.argmax()
    nothing = Process(x, y, theta, weight, x[:0])
    np.testing.assert_array_equal(nothing.log_expected_improvement(candidates), alone)
