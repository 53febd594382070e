"""The learning algorithms that `pocket`'s tables are made of, and the hyperparameters they are tuned by.

Roles are named as users name them; ranges and defaults are those in common use. Three algorithms are held out whole:
no table of theirs is ever trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.training import estimators, networks
from airtune.models.pocket.training.datasets import Dataset
from airtune.models.pocket.training.estimators import Values


@dataclass(frozen=True, slots=True)
class Param:
    """A hyperparameter of a table.

    Attributes:
        role: Its name.
        kind: `F` float, `L` log float, `I` integer, `J` log integer, `C` categorical.
        lower: The lowest value; 0 for a categorical.
        upper: The highest value; the number of choices for a categorical.
        default: The library's default, or a common one; the number of the choice for a categorical.
        spread: Decades (log kinds) by which each end of the range may move from table to table.
        choices: A categorical's choices.
        only: Active only where the categorical of this role has one of these choices, or None.
    """

    role: str
    kind: str
    lower: float
    upper: float
    default: float
    spread: float = 1.0
    choices: tuple[Any, ...] = ()
    only: tuple[str, tuple[Any, ...]] | None = None


def choice(role: str, *choices: Any, only: tuple[str, tuple[Any, ...]] | None = None) -> Param:
    """A categorical whose default is its first choice."""
    return Param(role, "C", 0, len(choices), 0, 0.0, choices, only)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A learning algorithm.

    Attributes:
        params: Its hyperparameters.
        run: (data, configurations) -> validation errors, 1 - balanced accuracy.
        tables: How many data sets it is run on.
        fewest: A table tunes any `fewest` or more of the parameters, the others being at their default; 0: always all.
        added: On how many more: what the earlier versions of `pocket` were not trained on.
    """

    params: tuple[Param, ...]
    run: Callable[[Dataset, Sequence[Values]], NDArray[np.float64]]
    tables: int
    fewest: int = 0
    added: int = 0


_TREE = (
    Param("max_depth", "J", 1, 50, 10, 0.3),
    Param("min_samples_split", "J", 2, 128, 2, 0.3),
    Param("max_features", "F", 0.0, 1.0, 0.5, 0.0),
    Param("min_samples_leaf", "I", 1, 20, 1, 0.2),
)
_WEIGHT = choice("class_weight", None, "balanced")
_KERNELS = ("rbf", "poly", "sigmoid", "linear")

ALGORITHMS: dict[str, Algorithm] = {
    "svm": Algorithm(
        (Param("C", "L", 2**-10, 2**10, 1.0), Param("gamma", "L", 2**-10, 2**10, 0.1)),
        estimators.svm,
        220,
        added=304,
    ),
    "sgd": Algorithm(
        (Param("alpha", "L", 1e-5, 1.0, 1e-3), Param("learning_rate", "L", 1e-5, 1.0, 1e-2)),
        estimators.sgd,
        220,
        added=199,
    ),
    "forest": Algorithm(
        (_TREE[0], replace(_TREE[1], default=32), *_TREE[2:]),
        estimators.forest,
        120,
        added=46,
    ),
    "mlp": Algorithm(
        (
            Param("depth", "I", 1, 3, 3, 0.0),
            Param("width", "J", 8, 256, 64, 0.5),
            Param("batch_size", "J", 8, 256, 32, 0.3),
            Param("alpha", "L", 1e-8, 1.0, 1e-3),
            Param("learning_rate", "L", 1e-5, 1.0, 1e-3),
        ),
        estimators.mlp,
        110,
        added=13,
    ),
    "boosting": Algorithm(
        (
            Param("learning_rate", "L", 1e-3, 1.0, 0.1, 0.5),
            Param("max_depth", "I", 1, 10, 3, 0.1),
            Param("n_estimators", "J", 4, 32, 16, 0.2),
            Param("subsample", "F", 0.1, 1.0, 1.0, 0.0),
        ),
        estimators.boosting,
        30,
    ),
    "tree": Algorithm(
        (*_TREE[:2], replace(_TREE[2], default=1.0), _TREE[3]), estimators.tree, 100, added=162
    ),
    "logistic": Algorithm(
        (Param("C", "L", 1e-5, 1e5, 1.0), Param("tol", "L", 1e-6, 1e-1, 1e-4)),
        estimators.logistic,
        100,
        added=180,
    ),
    "kernel_svm": Algorithm(
        (
            choice("kernel", *_KERNELS),
            Param("C", "L", 2**-10, 2**10, 1.0),
            Param("gamma", "L", 2**-10, 2**10, 0.1, only=("kernel", _KERNELS[:3])),
            Param("degree", "I", 2, 5, 3, 0.0, only=("kernel", ("poly",))),
            Param("coef0", "F", 0.0, 2.0, 0.0, 0.0, only=("kernel", ("poly", "sigmoid"))),
        ),
        estimators.kernel_svm,
        120,
        added=125,
    ),
    "linear_svm": Algorithm(
        (
            Param("C", "L", 1e-4, 1e4, 1.0),
            choice("loss", "squared_hinge", "hinge"),
            _WEIGHT,
            Param("tol", "L", 1e-6, 1e-1, 1e-4),
        ),
        estimators.linear_svm,
        120,
        2,
        added=125,
    ),
    "elastic_net": Algorithm(
        (
            Param("alpha", "L", 1e-6, 1.0, 1e-4),
            Param("l1_ratio", "F", 0.0, 1.0, 0.15, 0.0),
            Param("learning_rate", "L", 1e-5, 1.0, 1e-2),
            choice("loss", "log_loss", "hinge", "modified_huber"),
        ),
        estimators.elastic_net,
        120,
        2,
        added=125,
    ),
    "components": Algorithm(
        (
            Param("n_components", "I", 1, 30, 10, 0.2),
            choice("whiten", False, True),
            Param("C", "L", 1e-5, 1e5, 1.0),
            _WEIGHT,
        ),
        estimators.components,
        100,
        2,
        added=93,
    ),
    "neighbours": Algorithm(
        (
            Param("n_neighbors", "J", 1, 64, 5, 0.2),
            choice("weights", "uniform", "distance"),
            choice("metric", "euclidean", "manhattan", "chebyshev"),
        ),
        estimators.neighbours,
        80,
        2,
        added=95,
    ),
    "extra_trees": Algorithm(
        (*_TREE, choice("criterion", "gini", "entropy"), choice("bootstrap", False, True)),
        estimators.extra_trees,
        80,
        3,
        added=25,
    ),
    "histogram_boosting": Algorithm(
        (
            Param("learning_rate", "L", 1e-3, 1.0, 0.1, 0.5),
            Param("max_leaf_nodes", "J", 2, 128, 31, 0.2),
            Param("min_samples_leaf", "J", 1, 100, 20, 0.2),
            Param("reg_lambda", "L", 1e-6, 1e2, 1e-6),
            Param("colsample_bytree", "F", 0.1, 1.0, 1.0, 0.0),
        ),
        estimators.histogram_boosting,
        50,
        3,
    ),
    "xgboost": Algorithm(
        (
            Param("learning_rate", "L", 2**-10, 1.0, 0.3, 0.5),
            Param("max_depth", "J", 1, 50, 6, 0.2),
            Param("colsample_bytree", "F", 0.1, 1.0, 1.0, 0.0),
            Param("reg_lambda", "L", 2**-10, 2**10, 1.0),
            Param("subsample", "F", 0.1, 1.0, 1.0, 0.0),
            Param("min_child_weight", "L", 1.0, 128.0, 1.0, 0.3),
            Param("min_split_loss", "L", 1e-4, 1e2, 1e-4),
        ),
        estimators.xgboost,
        120,
        2,
        added=142,
    ),
    "momentum_net": Algorithm(
        (
            Param("learning_rate", "L", 1e-4, 10.0, 1e-2),
            Param("momentum", "F", 0.0, 0.99, 0.9, 0.0),
            Param("weight_decay", "L", 1e-7, 1e-1, 1e-4),
            Param("dropout", "F", 0.0, 0.8, 0.0, 0.0),
            Param("width", "J", 4, 32, 32, 0.0),
            Param("batch_size", "J", 8, 64, 32, 0.0),
        ),
        networks.run,
        120,
        2,
        added=20,
    ),
    "schedule_net": Algorithm(
        (
            Param("learning_rate", "L", 1e-5, 1.0, 1e-3),
            choice("schedule", "constant", "linear", "cosine"),
            Param("warmup", "F", 0.0, 0.5, 0.0, 0.0),
            Param("label_smoothing", "F", 0.0, 0.4, 0.0, 0.0),
            Param("weight_decay", "L", 1e-7, 1e-1, 1e-4),
            Param("epochs", "J", 3, 16, 10, 0.0),
        ),
        networks.run,
        120,
        2,
        added=160,
    ),
    "optimizer_net": Algorithm(
        (
            choice("optimizer", "adam", "sgd", "rmsprop"),
            Param("learning_rate", "L", 1e-5, 1.0, 1e-3),
            Param("momentum", "F", 0.0, 0.99, 0.9, 0.0, only=("optimizer", ("sgd",))),
            Param("beta1", "F", 0.5, 0.99, 0.9, 0.0, only=("optimizer", ("adam",))),
            choice("activation", "relu", "tanh"),
            Param("dropout", "F", 0.0, 0.8, 0.0, 0.0),
            Param("init_scale", "L", 1e-2, 10.0, 1.0, 0.0),
        ),
        networks.run,
        120,
        added=160,
    ),
    # Held out whole.
    "adaboost": Algorithm(
        (
            Param("n_estimators", "J", 4, 32, 16, 0.2),
            Param("learning_rate", "L", 1e-2, 10.0, 1.0, 0.3),
            Param("max_depth", "I", 1, 6, 1, 0.0),
        ),
        estimators.adaboost,
        24,
    ),
    "bagging": Algorithm(
        (
            Param("n_estimators", "J", 2, 32, 10, 0.2),
            Param("subsample", "F", 0.05, 1.0, 1.0, 0.0),
            Param("colsample_bytree", "F", 0.1, 1.0, 1.0, 0.0),
            Param("max_depth", "J", 1, 50, 10, 0.2),
        ),
        estimators.bagging,
        24,
    ),
    "kernel_map": Algorithm(
        (
            Param("gamma", "L", 1e-4, 1e2, 1.0),
            Param("n_components", "J", 10, 300, 100, 0.2),
            Param("alpha", "L", 1e-6, 1e3, 1.0),
        ),
        estimators.kernel_map,
        40,
    ),
}
HELD_OUT = ("adaboost", "bagging", "kernel_map")
