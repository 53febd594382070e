"""Generated data sets in three parts: classification and regression, label noise, classes out of balance.

Every data set is a pure function of its seed: nothing is downloaded, nothing is read from disk or from a library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.training.datasets import Array, features_of, teacher_of

PARTS = (0.6, 0.2, 0.2)  # training, validation, test
_KINDS = ("additive", "products", "network", "mixed")  # of target function, beside those of `datasets`


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A generated data set.

    Attributes:
        x: (n, features) inputs of the three parts: training, validation, test.
        y: (n,) class indices, or targets with mean 0 and variance 1 over the training part.
        classes: How many classes; 0 for regression.
        facts: What a table says of it: seed, sizes, share of the rarest class, label noise, target, scale.
    """

    x: tuple[Array, Array, Array]
    y: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    classes: int
    facts: dict[str, Any]


def _standard(x: Array) -> Array:
    return np.asarray((x - x.mean(0)) / (x.std(0) + 1e-9))


def _target(rng: np.random.Generator, kind: str, x: Array, outputs: int) -> Array:
    """Scores (n, outputs): smooth sums and products of features, deep random networks, or what `datasets` draws."""
    if kind == "mixed":
        return np.asarray(
            _standard(teacher_of(rng, x, outputs)) + rng.uniform() * _standard(teacher_of(rng, x, outputs))
        )
    z = _standard(x)[:, rng.permutation(x.shape[1])[: max(1, round(x.shape[1] * rng.uniform(0.2, 1.0)))]]
    m = z.shape[1]
    if kind == "network":
        for _ in range(rng.integers(2, 5)):
            z = _standard(
                np.tanh(z @ rng.normal(size=(z.shape[1], 16)) * rng.uniform(0.5, 2) / np.sqrt(z.shape[1]))
            )
        return np.asarray(z @ rng.normal(size=(z.shape[1], outputs)))
    columns = [z, np.abs(z), z**2, np.sin(rng.uniform(1, 4) * z), z > rng.normal(size=m)]
    terms = np.stack([columns[rng.integers(len(columns))][:, j] for j in range(m)], axis=1).astype(float)
    if kind == "products":
        pairs = rng.integers(m, size=(m + 2, 2))
        terms = np.concatenate([terms, terms[:, pairs[:, 0]] * terms[:, pairs[:, 1]]], axis=1)
    return np.asarray(np.clip(_standard(terms), -8, 8) @ rng.normal(size=(terms.shape[1], outputs)))


def make_problem(seed: int, regression: bool, rows: tuple[int, int] = (300, 4000)) -> Problem:
    """Draw a data set.

    Args:
        seed: The only source of randomness.
        regression: Whether the target is a number.
        rows: Least and most rows of all parts together; drawn evenly on a log scale.

    Returns:
        2 to 60 features, 2 to 10 classes, each of them in all three parts.
    """
    for attempt in range(100):
        rng = np.random.default_rng([seed, attempt])
        n = int(np.exp(rng.uniform(*np.log(rows))))
        d = int(np.exp(rng.uniform(np.log(2), np.log(60))))
        classes = 0 if regression else int(rng.choice([2, 2, 2, 2, 3, 3, 4, 5, 7, 10]))
        x = features_of(rng, n, d)
        kind = str(rng.choice([*_KINDS, "plain"]))
        outputs = max(1, classes)
        scores = teacher_of(rng, x, outputs) if kind == "plain" else _target(rng, kind, x, outputs)
        scores = (scores - scores.mean(0)) / (scores.std() + 1e-9)
        noise = float(rng.choice([0.0, 0.0, 0.02, 0.05, 0.1, 0.2, 0.3]))
        cut = np.cumsum([round(n * part) for part in PARTS[:2]])
        if regression:
            y = scores[:, 0] + rng.choice([0.0, 0.1, 0.3, 0.7, 1.0]) * rng.standard_normal(n)
            y = np.where(rng.uniform(size=n) < noise, y + 2 * rng.standard_t(3, size=n), y)  # outliers
            y = (y - y[: cut[0]].mean()) / (y[: cut[0]].std() + 1e-9)
            rarest = 0.0
        else:
            scores += rng.normal(size=(1, classes)) * rng.choice([0.0, 0.3, 1.0, 2.0])  # out of balance
            scores += rng.gumbel(size=scores.shape) * rng.choice(
                [0.0, 0.1, 0.3, 0.7]
            )  # noise near the border
            y = scores.argmax(1)
            y = np.where(rng.uniform(size=n) < noise, rng.integers(classes, size=n), y)
            counts = [np.bincount(part, minlength=classes) for part in np.split(y, cut)]
            if counts[0].min() < 5 or min(c.min() for c in counts) < 2:
                continue
            rarest = float(counts[0].min() / cut[0])
        scale = str(rng.choice(["standard", "standard", "standard", "range", "none"]))
        if scale == "none":  # as many leave them: each column with a unit of its own
            x = x * 10 ** rng.uniform(-1, 1, size=d) + rng.normal(size=d)
        else:
            train = x[: cut[0]]
            centre, width = (
                (train.mean(0), train.std(0))
                if scale == "standard"
                else (train.min(0), np.ptp(train, axis=0))
            )
            x = (x - centre) / np.where(width > 0, width, 1.0)
        x = np.clip(x, -1e3, 1e3)
        facts = {
            "seed": seed, "rows": [int(c) for c in np.diff([0, *cut, n])], "features": d, "classes": classes,
            "rarest": round(rarest, 4), "noise": noise, "target": kind, "scale": scale,
        }  # fmt: skip
        a, b, c = np.split(x, cut)
        u, v, w = np.split(y, cut)
        return Problem((a, b, c), (u, v, w), classes, facts)
    raise RuntimeError(f"no usable data set from seed {seed} in 100 draws")  # pragma: no cover - never seen


def losses(metric: str, y: NDArray[np.int64] | Array, outputs: NDArray[np.float64]) -> float:
    """The loss of predictions.

    Args:
        metric: `error`, `balanced_error` or `log_loss` of (n, classes) probabilities or scores; `mse` or `mae` of
            (n,) numbers.
        y: (n,) the truth.
        outputs: What was predicted.

    Returns:
        The loss; infinity where a prediction is not finite.
    """
    if not np.isfinite(outputs).all():
        return float("inf")
    if metric in ("mse", "mae"):
        gap = np.abs(outputs - y)
        return float(np.mean(gap**2 if metric == "mse" else gap))
    if metric == "log_loss":
        of_truth = outputs[np.arange(len(y)), y.astype(int)]
        return float(-np.log(np.clip(of_truth, 1e-7, 1)).mean())
    wrong = outputs.argmax(1) != y
    if metric == "balanced_error":
        return float(np.mean([wrong[y == c].mean() for c in np.unique(y)]))
    return float(wrong.mean())
