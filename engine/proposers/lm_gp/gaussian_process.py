"""A Gaussian process averaged over its kernel's parameters, for ranking a finite set of candidates.

Matern 5/2 with one length scale per dimension and a noise level. After a handful of trials one maximum of the
marginal likelihood says more than is known, so the expected improvement is averaged over the posterior of the
kernel's parameters instead (Snoek et al., "Practical Bayesian Optimization of Machine Learning Algorithms", 2012,
eq. 6), by importance sampling. All kernels are handled at once as stacked matrices, so this takes milliseconds.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[Any]

ROUNDS = 3
# Kernels drawn per round, and resampled to average over: of few losses, and of many, which take longer.
KERNELS, LATE_KERNELS = (96, 12), (64, 8)
_LENGTH, _LENGTH_DEVIATION = 0.5, 0.8  # prior of a length scale in one dimension: log-normal
_LOG_BEYOND = 10.0  # medians above the best: from there on losses count by their logarithm
_MANY_LOSSES = 10  # losses that speak for themselves
_NOISE, _NOISE_DEVIATION = 3e-3, 1.5  # prior of the noise variance, of losses of variance 1: log-normal
_PRIOR_DRAWS = 3  # so many effective draws weigh as much as the prior's variance
# More than losses (n,) of variance 1 can explain under a noise of 1e-6, which is n * 1e6.
_AUGMENTED_VARIANCE = 1e12


class _Normal:
    """A normal distribution of kernel parameters, independent in each of them.

    Args:
        mean: (parameters,).
        deviation: (parameters,) standard deviations.
    """

    def __init__(self, mean: Floats, deviation: Floats) -> None:
        self.mean, self.deviation = mean, deviation

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        """(count, parameters) draws."""
        return np.asarray(self.mean + self.deviation * rng.standard_normal((count, len(self.mean))))

    def log_density(self, theta: Floats) -> Floats:
        """(kernels,) log densities of theta (kernels, parameters), up to a constant that all of them share."""
        squared = (((theta - self.mean) / self.deviation) ** 2).sum(-1)
        return np.asarray(-0.5 * squared - np.log(self.deviation).sum())


def _prior(d: int) -> _Normal:
    """The prior of d log length scales, longer in more dimensions, and of the log noise variance."""
    return _Normal(
        np.array([math.log(_LENGTH * d**0.25)] * d + [math.log(_NOISE)]),
        np.array([_LENGTH_DEVIATION] * d + [_NOISE_DEVIATION]),
    )


def standardised(losses: Floats) -> Floats:
    """Losses (n,) with mean 0 and variance 1, the far worst drawn in; infinity, a failure, is as bad as the worst.

    While there are few of them, a scale on which the best is 0, the median 1/2 and infinity 1 has an equal say:
    then it matters most which of them are good. Chosen on development tasks (docs/log/proposers.md).
    """
    losses = losses / (np.abs(losses[np.isfinite(losses)]).max() or 1.0)  # their differences do not overflow
    finite = losses[np.isfinite(losses)]
    best = finite.min()
    # The mean has a say where half of the losses (nearly) tie with the best.
    scale = max(float(np.median(finite) - best), float(finite.mean() - best) / 100) or 1.0
    z = (np.where(np.isfinite(losses), losses, finite.max()) - best) / scale
    plain = _z_scores(
        np.where(z > _LOG_BEYOND, _LOG_BEYOND * (1 + np.log(np.maximum(z, _LOG_BEYOND) / _LOG_BEYOND)), z)
    )
    if len(losses) >= _MANY_LOSSES:
        return plain
    return _z_scores(plain + _z_scores(np.where(np.isfinite(losses), z / (1 + z), 1.0)))


def _least_improvement(values: Floats) -> float:
    """What an improvement has to be at least: half the step to the second best, where several trials tie for the best.

    Such losses come in steps, as error rates do, and the best is a plateau: without this the improvement expected
    there, however small, is larger than elsewhere, and trial after trial is spent on the same spot. Two of a few
    losses may be alike by chance.
    """
    distinct = np.unique(values)
    if len(values) < _MANY_LOSSES or len(distinct) < 2 or (values == distinct[0]).sum() < 2:
        return 0.0
    return float(distinct[1] - distinct[0]) / 2


def _z_scores(values: Floats) -> Floats:
    """Values moved and scaled to mean 0 and variance 1; all 0 where they are all the same."""
    return np.asarray((values - values.mean()) / (float(values.std()) or 1.0))


def _matern(distance: Floats) -> Floats:
    r = math.sqrt(5) * distance
    value = r / 3  # (1 + r + r^2 / 3) exp(-r), in place: most of the time here goes into fresh memory
    value += 1
    value *= r
    value += 1
    value *= np.exp(np.negative(r, out=r), out=r)
    return np.asarray(value)


def _squares(a: Floats, b: Floats) -> Floats:
    """(d, n, m) squared differences of points a (n, d) and b (m, d) in every dimension."""
    return np.asarray((a.T[:, :, None] - b.T[:, None, :]) ** 2)


def _correlations(squares: Floats, length: Floats) -> Floats:
    """(kernels, n, m) correlations of points whose squared differences are given, under length scales (kernels, d)."""
    d, n, m = squares.shape  # one matrix product for all kernels: most of the time went into distances
    return _matern(np.sqrt(length**-2 @ squares.reshape(d, n * m))).reshape(-1, n, m)


def _log_posterior(squares: Floats, y: Floats, theta: Floats, prior: _Normal) -> Floats:
    """Log marginal likelihood of the losses plus log prior, up to a constant.

    Args:
        squares: (d, n, n) squared differences of the points tried.
        y: (n,) their values.
        theta: (kernels, d + 1) kernel parameters.
        prior: Of the kernel parameters.

    Returns:
        (kernels,) logarithms.
    """
    n = len(y)
    # With the losses as one more row, the factor's last row is what solving for them would give, in less time.
    augmented = np.empty((len(theta), n + 1, n + 1))
    augmented[:, :n, :n] = _covariances(squares, theta)
    augmented[:, n, :n] = augmented[:, :n, n] = y
    augmented[:, n, n] = _AUGMENTED_VARIANCE
    factor = np.linalg.cholesky(augmented)
    whitened, scale = factor[:, n, :n], np.diagonal(factor[:, :n, :n], axis1=1, axis2=2)
    log_likelihood = -0.5 * (whitened**2).sum(-1) - np.log(scale).sum(-1)
    return np.asarray(log_likelihood + prior.log_density(theta))


def _covariances(squares: Floats, theta: Floats) -> Floats:
    """Covariances (kernels, n, n) of the losses, noise included."""
    noise = (np.exp(theta[:, -1]) + 1e-6)[:, None, None] * np.eye(squares.shape[1])
    return np.asarray(_correlations(squares, np.exp(theta[:, :-1])) + noise)


def sample_kernels(x: Floats, y: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Kernel parameters drawn from their posterior, by adaptive multiple importance sampling.

    Each round draws from a normal distribution: the prior first, then one with the mean and the deviations of the
    posterior as all draws so far estimate them. A draw's weight is its posterior density over that of the mixture of
    all rounds' distributions (Cornuet et al., "Adaptive Multiple Importance Sampling", 2012, eq. 3), so that the
    weighted draws estimate any average over the posterior; at last a few are resampled by weight.

    Args:
        x: (n, d) points tried, n >= 1.
        y: (n,) their values, of variance about 1.
        rng: Draws the kernels.

    Returns:
        (kernels, d + 1) parameters, log length scales and log noise variance, all different, and (kernels,) log
        weights, which sum to 1 when exponentiated.
    """
    draws, kept = KERNELS if len(y) < _MANY_LOSSES else LATE_KERNELS
    squares = _squares(x, x)
    prior = _prior(x.shape[1])
    proposals = [prior]
    theta, log_posterior = np.empty((0, len(prior.mean))), np.empty(0)
    for _ in range(ROUNDS):
        fresh = proposals[-1].sample(draws, rng)
        theta = np.concatenate([theta, fresh])
        log_posterior = np.concatenate([log_posterior, _log_posterior(squares, y, fresh, prior)])
        log_mixture = np.logaddexp.reduce([proposal.log_density(theta) for proposal in proposals])
        log_weight = log_posterior - log_mixture
        weight = np.exp(log_weight - np.logaddexp.reduce(log_weight))
        proposals.append(_fitted(theta, weight, prior))
    chosen, copies = np.unique(_resampled(weight, kept, rng), return_counts=True)
    return theta[chosen], np.log(copies / kept)


def _fitted(theta: Floats, weight: Floats, prior: _Normal) -> _Normal:
    """The normal distribution with the mean and variances of weighted draws (m, parameters), weights (m,) summing to 1.

    Of few effective draws the variances are too small by chance: they are shrunk towards the prior's.
    """
    mean = weight @ theta
    effective = 1 / float((weight**2).sum())
    trust = effective / (effective + _PRIOR_DRAWS)
    variance = trust * (weight @ (theta - mean) ** 2) + (1 - trust) * prior.deviation**2
    return _Normal(mean, np.sqrt(variance))


def _resampled(weight: Floats, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices (count,) drawn by weight (m,): systematic resampling, each as often as expected, rounded up or down."""
    cumulated = np.cumsum(weight)
    at = (np.arange(count) + rng.random()) / count * cumulated[-1]
    return np.asarray(np.minimum(np.searchsorted(cumulated, at, side="right"), len(weight) - 1))


def log_h(z: Floats) -> Floats:
    """Log of the expected improvement of a standard normal variable on z: log(phi(z) + z Phi(z)), elementwise.

    Ament et al., "Unexpected Improvements to Expected Improvement", 2023, eq. 9, without their cases: h(z) is
    h(-|z|) + max(z, 0), and h(-a) is phi(a) (1 - a R(a)) with Mills' ratio R(a) = sqrt(pi / 2) erfcx(a / sqrt 2).
    The difference cancels where a is large; there Gordon's bounds of R (1941) hold it between
    1 / (a^2 + 3) and 1 / (a^2 + 1), so that the relative error of h stays below 1e-7 for all z.
    """
    from scipy.special import erfcx

    a = np.abs(z)
    tail = np.clip(1 - math.sqrt(math.pi / 2) * a * erfcx(a / math.sqrt(2)), 1 / (a**2 + 3), 1 / (a**2 + 1))
    log_density = -0.5 * a**2 - 0.5 * math.log(2 * math.pi)
    with np.errstate(divide="ignore"):  # log 0 is -inf where z is not above 0
        return np.asarray(np.logaddexp(np.log(np.maximum(z, 0.0)), log_density + np.log(tail)))


class GaussianProcess:
    """A Gaussian process under several kernels at once, told what came out and what is being evaluated.

    What is pending counts as if it had come out as each kernel expects ("kriging believer", Ginsbourger et al.,
    "Kriging is well-suited to parallelize optimization", 2010), so that the trials of a batch differ.

    Args:
        x: (n, d) points tried.
        y: (n,) their values, lower is better, of mean 0 and variance about 1.
        theta: (kernels, d + 1) kernel parameters.
        log_weight: (kernels,) their log weights.
        pending: (q, d) points that are being evaluated.
        rows: Of the points tried, those that it is fitted to; by default all of them.
    """

    def __init__(
        self,
        x: Floats,
        y: Floats,
        theta: Floats,
        log_weight: Floats,
        pending: Floats | None = None,
        rows: NDArray[np.intp] | None = None,
    ) -> None:
        self._theta, self._log_weight = theta, log_weight
        least = _least_improvement(y)  # a matter of all losses
        if rows is not None:
            x, y = x[rows], y[rows]
        values = np.broadcast_to(y, (len(theta), len(y)))
        self._fit(x, values)
        if pending is not None and len(pending):
            expected, _ = self.predict(pending)
            self._fit(np.concatenate([x, pending]), np.concatenate([values, expected], axis=1))
        # The lowest of y itself would be a lucky one where y is noisy.
        self._incumbent = self.predict(self._x)[0].min(1, keepdims=True) - least

    def _fit(self, x: Floats, y: Floats) -> None:
        self._x = x
        # Takes the losses to independent ones of variance 1.
        self._whitening = np.linalg.inv(np.linalg.cholesky(_covariances(_squares(x, x), self._theta)))
        self._whitened = (self._whitening @ y[:, :, None])[:, None, :, 0]

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations (kernels, m) at points (m, d)."""
        cross = self._whitening @ _correlations(_squares(self._x, points), np.exp(self._theta[:, :-1]))
        mean = (self._whitened @ cross)[:, 0]
        return mean, np.sqrt(np.maximum(1.0 - (cross**2).sum(1), 1e-10))

    def log_expected_improvement(self, candidates: Floats) -> Floats:
        """Log of the expected improvement on the lowest expected value at a point told, averaged over kernels.

        On a plateau of losses that come in steps only what is half a step better counts as one.

        Args:
            candidates: (m, d) points to rank.

        Returns:
            (m,) logarithms, larger is better.
        """
        mean, deviation = self.predict(candidates)
        log_ei = log_h((self._incumbent - mean) / deviation) + np.log(deviation)
        return np.asarray(np.logaddexp.reduce(log_ei + self._log_weight[:, None]))
