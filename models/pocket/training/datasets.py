"""Classification data sets drawn from random generators: the only data that `pocket`'s tables come from.

Every data set is a pure function of its seed. Nothing is downloaded and nothing is read from disk, so none of
the benchmarks' data sets can be among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A generated classification problem, split and scaled.

    Attributes:
        x_train: (n_train, features), scaled by the training part's mean and standard deviation (or min-max).
        y_train: (n_train,), class indices.
        x_valid: (n_valid, features), scaled the same way.
        y_valid: (n_valid,).
    """

    x_train: Array
    y_train: NDArray[np.int64]
    x_valid: Array
    y_valid: NDArray[np.int64]


def features_of(rng: np.random.Generator, n: int, d: int) -> Array:
    """Inputs (n, d): correlated Gaussians, clusters, or uniform; some columns skewed or discretised."""
    kind = rng.integers(3)
    if kind == 0:
        mix = rng.normal(size=(d, d)) * rng.uniform(0.2, 1.0, size=(1, d))
        x = rng.normal(size=(n, d)) @ (np.eye(d) + rng.uniform(0, 1) * mix / np.sqrt(d))
    elif kind == 1:
        k = int(rng.integers(2, 12))
        centres = rng.normal(size=(k, d)) * rng.uniform(0.5, 2.5)
        x = centres[rng.integers(k, size=n)] + rng.normal(size=(n, d)) * rng.uniform(0.3, 1.0)
    else:
        x = rng.uniform(-1.7, 1.7, size=(n, d))
    for j in range(d):
        u = rng.uniform()
        if u < 0.12:  # heavy right tail, as amounts and counts have
            x[:, j] = np.exp(np.clip(x[:, j], -4, 4))
        elif u < 0.25:  # few levels, as ordinal codes have
            x[:, j] = np.round(x[:, j] * rng.uniform(0.5, 2.0))
        elif u < 0.32:  # indicator, as one-hot columns are
            x[:, j] = (x[:, j] > rng.normal()).astype(np.float64)
    return np.asarray(x)


def teacher_of(rng: np.random.Generator, x: Array, classes: int) -> Array:
    """Class scores (n, classes): linear, random network, random trees, or distances to prototypes."""
    n, d = x.shape
    relevant = rng.permutation(d)[: max(1, round(d * rng.uniform(0.2, 1.0)))]
    z = (x[:, relevant] - x[:, relevant].mean(0)) / (x[:, relevant].std(0) + 1e-9)
    m = z.shape[1]
    kind = rng.integers(4)
    if kind == 0:
        return np.asarray(z @ rng.normal(size=(m, classes)))
    if kind == 1:
        hidden = int(rng.integers(4, 33))
        gain = rng.uniform(0.5, 3.0)
        h = np.tanh(gain * (z @ rng.normal(size=(m, hidden)) / np.sqrt(m) + rng.normal(size=hidden)))
        return np.asarray(h @ rng.normal(size=(hidden, classes)))
    if kind == 2:
        scores = np.zeros((n, classes))
        for _ in range(int(rng.integers(1, 8))):
            depth = int(rng.integers(1, 5))
            leaf = np.zeros(n, dtype=np.int64)
            for level in range(depth):
                column = z[:, rng.integers(m)]
                leaf += (column > rng.normal() * 0.7).astype(np.int64) << level
            scores += rng.normal(size=(1 << depth, classes))[leaf]
        return scores
    prototypes = int(rng.integers(classes, 4 * classes + 1))
    centres = z[rng.integers(n, size=prototypes)] + 0.3 * rng.normal(size=(prototypes, m))
    owner = np.concatenate([np.arange(classes), rng.integers(classes, size=prototypes - classes)])
    distance = ((z[:, None, :] - centres[None]) ** 2).sum(-1) * rng.uniform(0.3, 3.0) / m
    nearness = np.exp(-distance)
    return np.stack([nearness[:, owner == c].max(1) for c in range(classes)], axis=1)


def make_dataset(seed: int) -> Dataset:
    """Draw a data set.

    Args:
        seed: The only source of randomness.

    Returns:
        A data set of 90 to 700 rows, 2 to 40 features and 2 to 8 classes, each class at least twice in the
        training part.
    """
    for attempt in range(100):
        rng = np.random.default_rng([seed, attempt])
        n = int(np.exp(rng.uniform(np.log(130), np.log(1000))))
        d = int(np.exp(rng.uniform(np.log(2), np.log(40))))
        classes = int(rng.choice([2, 2, 2, 3, 3, 4, 5, 8]))
        x = features_of(rng, n, d)
        scores = teacher_of(rng, x, classes)
        scores = (scores - scores.mean(0)) / (scores.std() + 1e-9)
        scores += rng.normal(size=(1, classes)) * rng.uniform(0, 0.8)  # imbalance
        scores += rng.gumbel(size=scores.shape) * rng.choice([0.0, 0.1, 0.3, 0.7])  # noise near the border
        y = scores.argmax(1)
        flipped = rng.uniform(size=n) < rng.choice([0.0, 0.0, 0.03, 0.1, 0.2])
        y = np.where(flipped, rng.integers(classes, size=n), y)
        order = rng.permutation(n)
        cut = round(n * 0.67)
        train, valid = order[:cut], order[cut:]
        counts = np.bincount(y[train], minlength=classes)
        if counts.min() < 2 or np.bincount(y[valid], minlength=classes).min() < 1:
            continue
        if rng.uniform() < 0.5:
            centre, scale = x[train].mean(0), x[train].std(0)
        else:
            centre, scale = x[train].min(0), np.ptp(x[train], axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        x = (x - centre) / scale
        return Dataset(x[train], y[train], x[valid], y[valid])
    raise RuntimeError(f"no usable data set from seed {seed} in 100 draws")  # pragma: no cover - never seen
