"""A Gaussian process averaged over its kernel's parameters, for ranking a finite set of candidates.

Matern 5/2 with one length scale per dimension and a noise level. After a handful of trials one maximum of the
likelihood says more than is known, so the expected improvement is averaged over many kernels instead (Snoek et
al., "Practical Bayesian Optimization of Machine Learning Algorithms", 2012, eq. 6): kernels are drawn from a
prior, drawn again around those that explain the losses best, and the best few of all are weighted by their
posterior. All kernels are handled at once as stacked matrices, so this takes milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Constant, OrdinalHyperparameter
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[Any]

ROUNDS = 3
# Kernels drawn per round, and kept to average over: of few losses, and of many, which leave less open and take longer.
KERNELS, LATE_KERNELS = (96, 12), (64, 8)
_LENGTH, _LENGTH_SPREAD = 0.5, 0.8  # prior of a length scale in one dimension: log-normal
_FAR = 10.0  # medians above the best: from there on losses count by their logarithm
_MANY = 10  # losses that speak for themselves
_NOISE, _NOISE_SPREAD = 3e-3, 1.5  # prior of the noise variance, of losses of variance 1
_BORDER = 1e12  # more than losses (n,) of variance 1 can explain under a noise of 1e-6, which is n * 1e6


class Vectors:
    """Configurations as points in the unit cube, by way of ConfigSpace's vector form.

    Numbers and ordinals lie on their own scale, a categorical has one column per choice, and a conditional
    hyperparameter has one more column that says whether it is active (0.5 in its place where it is not).

    Attributes:
        varying: The hyperparameters that are not constants, in the order of the columns of a vector.
    """

    def __init__(self, space: ConfigurationSpace) -> None:
        self.varying = {name: hp for name, hp in space.items() if not isinstance(hp, Constant)}
        self._conditional = frozenset(space.conditional_hyperparameters)

    def vectors(self, configs: Sequence[Mapping[str, Any]]) -> Floats:
        """ConfigSpace's vector values (configurations, hyperparameters), NaN where inactive."""
        values = np.full((len(configs), len(self.varying)), np.nan)
        for j, (name, hp) in enumerate(self.varying.items()):
            active = [i for i, config in enumerate(configs) if name in config]
            said = [configs[i][name] for i in active]
            if isinstance(hp, CategoricalHyperparameter | OrdinalHyperparameter):
                values[active, j] = [float(hp.to_vector(value)) for value in said]
            elif said:  # one call for all: it costs as much as for one
                values[active, j] = hp.to_vector(np.array(said))
        return values

    def points(self, vectors: Floats) -> Floats:
        """Points (m, columns) of vectors (m, hyperparameters)."""
        columns: list[Floats] = [np.zeros(len(vectors))]  # never none
        for (name, hp), value in zip(self.varying.items(), vectors.T, strict=True):
            active = ~np.isnan(value)
            if isinstance(hp, CategoricalHyperparameter):
                columns += [(value == i) / math.sqrt(2) for i in range(len(hp.choices))]
            else:
                last = max(1, len(hp.sequence) - 1) if isinstance(hp, OrdinalHyperparameter) else 1
                columns.append(np.where(active, value / last, 0.5))
            if name in self._conditional:
                columns.append(active.astype(float))
        return np.stack(columns, axis=1)


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
    plain = _unit(np.where(z > _FAR, _FAR * (1 + np.log(np.maximum(z, _FAR) / _FAR)), z))
    if len(losses) >= _MANY:
        return plain
    return _unit(plain + _unit(np.where(np.isfinite(losses), z / (1 + z), 1.0)))


def _least_gain(values: Floats) -> float:
    """What an improvement has to be at least: half the step to the second best, where several trials tie for the best.

    Such losses come in steps, as error rates do, and the best is a plateau: without this the improvement expected
    there, however small, is larger than elsewhere, and trial after trial is spent on the same spot. Two of a few
    losses may be alike by chance.
    """
    distinct = np.unique(values)
    if len(values) < _MANY or len(distinct) < 2 or (values == distinct[0]).sum() < 2:
        return 0.0
    return float(distinct[1] - distinct[0]) / 2


def _unit(values: Floats) -> Floats:
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


def _posterior(squares: Floats, y: Floats, theta: Floats, centre: Floats, spread: Floats) -> Floats:
    """Log posterior (kernels,) of kernel parameters theta (kernels, d + 1), up to a constant."""
    n = len(y)
    # With the losses as one more row, the factor's last row is what solving for them would give, in less time.
    bordered = np.empty((len(theta), n + 1, n + 1))
    bordered[:, :n, :n] = _covariances(squares, theta)
    bordered[:, n, :n] = bordered[:, :n, n] = y
    bordered[:, n, n] = _BORDER
    factor = np.linalg.cholesky(bordered)
    white, scale = factor[:, n, :n], np.diagonal(factor[:, :n, :n], axis1=1, axis2=2)
    fit = -0.5 * (white**2).sum(-1) - np.log(scale).sum(-1)
    return np.asarray(fit - 0.5 * (((theta - centre) / spread) ** 2).sum(-1))


def _covariances(squares: Floats, theta: Floats) -> Floats:
    """Covariances (kernels, n, n) of the losses, noise included."""
    noise = (np.exp(theta[:, -1]) + 1e-6)[:, None, None] * np.eye(squares.shape[1])
    return np.asarray(_correlations(squares, np.exp(theta[:, :-1])) + noise)


def posterior_kernels(x: Floats, y: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Kernels that explain the losses.

    Args:
        x: (n, d) points tried, n >= 1.
        y: (n,) their values, of variance about 1.
        rng: Draws the kernels.

    Returns:
        (kernels, d + 1) parameters, log length scales and log noise variance, and (kernels,) log weights.
    """
    draws, kept = KERNELS if len(y) < _MANY else LATE_KERNELS
    d = x.shape[1]
    centre = np.array([math.log(_LENGTH * d**0.25)] * d + [math.log(_NOISE)])
    spread = np.array([_LENGTH_SPREAD] * d + [_NOISE_SPREAD])
    squares = _squares(x, x)
    theta = centre + spread * rng.standard_normal((draws, d + 1))
    score = _posterior(squares, y, theta, centre, spread)
    for turn in range(1, ROUNDS):
        weight = np.exp(score - np.logaddexp.reduce(score))
        around = theta[rng.choice(len(theta), size=draws, p=weight / weight.sum())]
        moved = around + spread * (0.5**turn) * rng.standard_normal(around.shape)
        theta = np.concatenate([theta, moved])
        score = np.concatenate([score, _posterior(squares, y, moved, centre, spread)])
    best = np.argsort(-score, kind="stable")[:kept]
    return theta[best], score[best] - np.logaddexp.reduce(score[best])


class Process:
    """A Gaussian process under several kernels at once, told what came out and what is being evaluated.

    What is pending counts as if it had come out as each kernel expects ("kriging believer", Ginsbourger et al.,
    "Kriging is well-suited to parallelize optimization", 2010), so that the trials of a batch differ.

    Args:
        x: (n, d) points tried.
        y: (n,) their values, lower is better, of mean 0 and variance about 1.
        theta: (kernels, d + 1) kernel parameters.
        weight: (kernels,) their log weights.
        pending: (q, d) points that are being evaluated.
    """

    def __init__(
        self, x: Floats, y: Floats, theta: Floats, weight: Floats, pending: Floats | None = None
    ) -> None:
        self._theta, self._weight = theta, weight
        values = np.broadcast_to(y, (len(theta), len(y)))
        self._tell(x, values)
        if pending is not None and len(pending):
            believed, _ = self.predict(pending)
            self._tell(np.concatenate([x, pending]), np.concatenate([values, believed], axis=1))
        # The lowest of y itself would be a lucky one where y is noisy.
        self._lowest = self.predict(self._x)[0].min(1, keepdims=True) - _least_gain(y)

    def _tell(self, x: Floats, y: Floats) -> None:
        self._x = x
        # Takes the losses to independent ones of variance 1.
        self._white = np.linalg.inv(np.linalg.cholesky(_covariances(_squares(x, x), self._theta)))
        self._known = (self._white @ y[:, :, None])[:, None, :, 0]

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations (kernels, m) at points (m, d)."""
        cross = self._white @ _correlations(_squares(self._x, points), np.exp(self._theta[:, :-1]))
        mean = (self._known @ cross)[:, 0]
        return mean, np.sqrt(np.maximum(1.0 - (cross**2).sum(1), 1e-10))

    def log_expected_improvement(self, candidates: Floats) -> Floats:
        """Log of the expected improvement on the lowest expected value at a point told, averaged over kernels.

        On a plateau of losses that come in steps only what is half a step better counts as one.

        Args:
            candidates: (m, d) points to rank.

        Returns:
            (m,) logarithms, larger is better.
        """
        from scipy.special import ndtr

        mean, deviation = self.predict(candidates)
        z = (self._lowest - mean) / deviation
        # log(phi(z) + z Phi(z)); where z is far below 0 the sum cancels, and its leading term is phi(z) / z^2.
        density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
        exact = np.log(np.maximum(np.exp(density) + z * ndtr(z), 1e-300))
        gain = np.where(z > -6, exact, density - 2 * np.log(np.maximum(-z, 1.0)))
        return np.asarray(np.logaddexp.reduce(gain + np.log(deviation) + self._weight[:, None]))
