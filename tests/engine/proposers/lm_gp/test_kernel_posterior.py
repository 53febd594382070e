"""The kernels that the Gaussian process averages over, against their posterior by other means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from airtune.engine.proposers.lm_gp import gaussian_process as module
from airtune.engine.proposers.lm_gp.gaussian_process import sample_kernels, standardised


def bowl(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).uniform(size=(n, d))
    return x, ((x - 0.3) ** 2).sum(1)


def exact_log_posterior(x: np.ndarray, y: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """SciPy's density of the losses, times the prior's."""
    d = x.shape[1]
    values = []
    for *length, noise in theta:
        r = np.sqrt(5 * (((x[:, None] - x[None]) / np.exp(length)) ** 2).sum(-1))
        covariance = (1 + r + r**2 / 3) * np.exp(-r) + (np.exp(noise) + 1e-6) * np.eye(len(x))
        prior = norm.logpdf(length, np.log(0.5 * d**0.25), 0.8).sum() + norm.logpdf(noise, np.log(3e-3), 1.5)
        values.append(multivariate_normal(np.zeros(len(x)), covariance).logpdf(y) + prior)
    return np.array(values)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_the_posterior_of_a_kernel_is_exact(n: int) -> None:
    """The marginal likelihood is read off the factor of an augmented matrix."""
    x, raw = bowl(3, n, 2)
    y, prior = standardised(raw), module._prior(2)
    theta = prior.sample(20, np.random.default_rng(0))
    mine = module._log_posterior(module._squares(x, x), y, theta, prior)
    exact = exact_log_posterior(x, y, theta)
    assert mine - mine[0] == pytest.approx(exact - exact[0], abs=1e-5)


def brute_force(x: np.ndarray, y: np.ndarray, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviations (parameters,) of the posterior: draws from the prior, weighted by likelihood."""
    prior = module._prior(x.shape[1])
    theta = prior.sample(draws, np.random.default_rng(100))
    squares = module._squares(x, x)
    log_posterior = np.concatenate(
        [module._log_posterior(squares, y, part, prior) for part in np.array_split(theta, draws // 2000)]
    )
    log_weight = log_posterior - prior.log_density(theta)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    # effective draws: a standard error of at most a twentieth of a deviation
    assert 1 / (weight**2).sum() > 400
    mean = weight @ theta
    return mean, np.sqrt(weight @ (theta - mean) ** 2)


@pytest.mark.parametrize(("n", "d", "draws"), [(5, 2, 4000), (20, 4, 60_000)])
def test_the_average_over_kernels_is_the_posteriors(n: int, d: int, draws: int) -> None:
    """Mean and spread of what is averaged over agree with brute force, over forty repetitions and within each.

    What it catches: draws kept by density alone (a cluster around the mode, a third to a sixth as wide), weights
    without the mixture that they were drawn from, or with one of its parts.
    """
    x, raw = bowl(9, n, d)
    y = standardised(raw + 0.02 * np.random.default_rng(10).standard_normal(n))
    mean, deviation = brute_force(x, y, draws)
    first, second, within = [], [], []
    for seed in range(40):
        theta, log_weight = sample_kernels(x, y, np.random.default_rng(seed))
        weight = np.exp(log_weight)
        assert weight.sum() == pytest.approx(1)
        first.append(weight @ theta)
        second.append(weight @ theta**2)
        within.append(np.sqrt(second[-1] - first[-1] ** 2))
    pooled = np.sqrt(np.mean(second, 0) - np.mean(first, 0) ** 2)
    assert np.mean(first, 0) == pytest.approx(mean, abs=0.2 * float(deviation.max()))
    np.testing.assert_allclose(pooled / deviation, 1, atol=0.2)
    assert (np.mean(within, 0) / deviation > 0.7).all()


def test_how_many_kernels_are_averaged_over() -> None:
    """At most twelve after nine losses, eight after ten; all different; their copies in the weights."""
    for n, kept in ((9, 12), (10, 8)):
        x, raw = bowl(11, n, 2)
        theta, log_weight = sample_kernels(x, standardised(raw), np.random.default_rng(0))
        copies = np.exp(log_weight) * kept
        assert copies.sum() == pytest.approx(kept)
        assert copies == pytest.approx(np.rint(copies))
        assert kept / 2 < len(theta) == len(np.unique(theta, axis=0)) <= kept


def test_resampling_is_systematic() -> None:
    """Every draw comes as often as its weight says, rounded up or down, and on average exactly."""
    weight = np.array([0.05, 0.4, 0.0, 0.25, 0.3])
    counts = np.array(
        [
            np.bincount(module._resampled(weight, 10, np.random.default_rng(seed)), minlength=5)
            for seed in range(400)
        ]
    )
    assert (counts.sum(1) == 10).all()
    assert set(counts[:, 0]) == {0, 1}
    assert (counts[:, [1, 2, 4]] == [4, 0, 3]).all()
    assert set(counts[:, 3]) == {2, 3}
    assert counts.mean(0) / 10 == pytest.approx(weight, abs=0.01)


def test_a_fit_of_few_draws_keeps_the_priors_spread() -> None:
    """By hand: weights 1/2 and 1/4 twice are 8/3 effective draws, so their variance counts 8/17."""
    prior = module._prior(1)
    theta, weight = np.array([[0.0, -4.0], [1.0, -8.0], [2.0, -6.0]]), np.array([0.5, 0.25, 0.25])
    fitted = module._fitted(theta, weight, prior)
    assert fitted.mean == pytest.approx([0.75, -5.5])
    variance = np.array([0.6875, 2.75])
    assert fitted.deviation**2 == pytest.approx(8 / 17 * variance + 9 / 17 * np.array([0.64, 2.25]))


def test_the_prior_and_its_density() -> None:
    prior = module._prior(4)
    expected = np.array([*[math.log(0.5 * math.sqrt(2))] * 4, math.log(3e-3)])
    assert prior.mean == pytest.approx(expected)
    assert prior.deviation == pytest.approx([0.8, 0.8, 0.8, 0.8, 1.5])
    theta = prior.sample(4000, np.random.default_rng(0))
    np.testing.assert_allclose(theta.mean(0), prior.mean, atol=0.1)
    np.testing.assert_allclose(theta.std(0), prior.deviation, rtol=0.05)
    density = norm.logpdf(theta[:9], prior.mean, prior.deviation).sum(1)
    assert prior.log_density(theta[:9]) == pytest.approx(density + 2.5 * math.log(2 * math.pi))


def test_an_irrelevant_dimension_gets_a_long_scale() -> None:
    x = np.random.default_rng(4).uniform(size=(40, 2))
    theta, log_weight = sample_kernels(x, standardised(np.sin(6 * x[:, 0])), np.random.default_rng(5))
    mean = np.exp(log_weight) @ theta
    assert mean[1] - mean[0] > np.log(3)
