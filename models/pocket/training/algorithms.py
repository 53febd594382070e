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
        run: (data, configurations) -> validation errors, 1 - balanced accuracy.
        tables: How many data sets it is run on.
        params: Its hyperparameters.
        fewest: A table tunes any `fewest` or more of the parameters, the others being at their default; 0: always all.
        added: On how many more: what the earlier versions of `pocket` were not trained on.
        budget: How long its trainings are, as a role and a number, where that is shorter than people have it; a table
            that tunes this role has none.
    """

    run: Callable[[Dataset, Sequence[Values]], NDArray[np.float64]]
    tables: int
    params: tuple[Param, ...]
    fewest: int = 0
    added: int = 0
    budget: tuple[str, int] | None = None


_TREE = (
    Param("max_depth", "J", 1, 50, 10, 0.3),
    Param("min_samples_split", "J", 2, 128, 2, 0.3),
    Param("max_features", "F", 0.0, 1.0, 0.5, 0.0),
    Param("min_samples_leaf", "I", 1, 20, 1, 0.2),
)
_WEIGHT = choice("class_weight", None, "balanced")
_KERNELS = ("rbf", "poly", "sigmoid", "linear")

# fmt: off
ALGORITHMS: dict[str, Algorithm] = {
    "svm": Algorithm(estimators.svm, 220, added=304, params=(
        Param("C", "L", 2**-10, 2**10, 1.0),
        Param("gamma", "L", 2**-10, 2**10, 0.1),
    )),
    "sgd": Algorithm(estimators.sgd, 220, added=199, budget=("epochs", 30), params=(
        Param("alpha", "L", 1e-5, 1.0, 1e-3),
        Param("learning_rate", "L", 1e-5, 1.0, 1e-2),
    )),
    "forest": Algorithm(estimators.forest, 120, added=46, budget=("n_estimators", 16), params=(
        _TREE[0],
        replace(_TREE[1], default=32),
        *_TREE[2:],
    )),
    "mlp": Algorithm(estimators.mlp, 110, added=13, budget=("epochs", 8), params=(
        Param("depth", "I", 1, 3, 3, 0.0),
        Param("width", "J", 8, 256, 64, 0.5),
        Param("batch_size", "J", 8, 256, 32, 0.3),
        Param("alpha", "L", 1e-8, 1.0, 1e-3),
        Param("learning_rate", "L", 1e-5, 1.0, 1e-3),
    )),
    "boosting": Algorithm(estimators.boosting, 30, params=(
        Param("learning_rate", "L", 1e-3, 1.0, 0.1, 0.5),
        Param("max_depth", "I", 1, 10, 3, 0.1),
        Param("n_estimators", "J", 4, 32, 16, 0.2),
        Param("subsample", "F", 0.1, 1.0, 1.0, 0.0),
    )),
    "tree": Algorithm(estimators.tree, 100, added=162, params=(
        *_TREE[:2],
        replace(_TREE[2], default=1.0),
        _TREE[3],
    )),
    "logistic": Algorithm(estimators.logistic, 100, added=180, params=(
        Param("C", "L", 1e-5, 1e5, 1.0),
        Param("tol", "L", 1e-6, 1e-1, 1e-4),
    )),
    "kernel_svm": Algorithm(estimators.kernel_svm, 120, added=125, params=(
        choice("kernel", *_KERNELS),
        Param("C", "L", 2**-10, 2**10, 1.0),
        Param("gamma", "L", 2**-10, 2**10, 0.1, only=("kernel", _KERNELS[:3])),
        Param("degree", "I", 2, 5, 3, 0.0, only=("kernel", ("poly",))),
        Param("coef0", "F", 0.0, 2.0, 0.0, 0.0, only=("kernel", ("poly", "sigmoid"))),
    )),
    "linear_svm": Algorithm(estimators.linear_svm, 120, fewest=2, added=125, params=(
        Param("C", "L", 1e-4, 1e4, 1.0),
        choice("loss", "squared_hinge", "hinge"),
        _WEIGHT,
        Param("tol", "L", 1e-6, 1e-1, 1e-4),
    )),
    "elastic_net": Algorithm(estimators.elastic_net, 120, fewest=2, added=125, budget=("epochs", 20), params=(
        Param("alpha", "L", 1e-6, 1.0, 1e-4),
        Param("l1_ratio", "F", 0.0, 1.0, 0.15, 0.0),
        Param("learning_rate", "L", 1e-5, 1.0, 1e-2),
        choice("loss", "log_loss", "hinge", "modified_huber"),
    )),
    "components": Algorithm(estimators.components, 100, fewest=2, added=93, params=(
        Param("n_components", "I", 1, 30, 10, 0.2),
        choice("whiten", False, True),
        Param("C", "L", 1e-5, 1e5, 1.0),
        _WEIGHT,
    )),
    "neighbours": Algorithm(estimators.neighbours, 80, fewest=2, added=95, params=(
        Param("n_neighbors", "J", 1, 64, 5, 0.2),
        choice("weights", "uniform", "distance"),
        choice("metric", "euclidean", "manhattan", "chebyshev"),
    )),
    "extra_trees": Algorithm(estimators.extra_trees, 80, fewest=3, added=25, budget=("n_estimators", 12), params=(
        *_TREE,
        choice("criterion", "gini", "entropy"),
        choice("bootstrap", False, True),
    )),
    "histogram_boosting": Algorithm(estimators.histogram_boosting, 50, fewest=3, budget=("n_estimators", 12), params=(
        Param("learning_rate", "L", 1e-3, 1.0, 0.1, 0.5),
        Param("max_leaf_nodes", "J", 2, 128, 31, 0.2),
        Param("min_samples_leaf", "J", 1, 100, 20, 0.2),
        Param("reg_lambda", "L", 1e-6, 1e2, 1e-6),
        Param("colsample_bytree", "F", 0.1, 1.0, 1.0, 0.0),
    )),
    "xgboost": Algorithm(estimators.xgboost, 120, fewest=2, added=142, budget=("n_estimators", 20), params=(
        Param("learning_rate", "L", 2**-10, 1.0, 0.3, 0.5),
        Param("max_depth", "J", 1, 50, 6, 0.2),
        Param("colsample_bytree", "F", 0.1, 1.0, 1.0, 0.0),
        Param("reg_lambda", "L", 2**-10, 2**10, 1.0),
        Param("subsample", "F", 0.1, 1.0, 1.0, 0.0),
        Param("min_child_weight", "L", 1.0, 128.0, 1.0, 0.3),
        Param("min_split_loss", "L", 1e-4, 1e2, 1e-4),
    )),
    "momentum_net": Algorithm(networks.run, 120, fewest=2, added=20, budget=("epochs", 10), params=(
        Param("learning_rate", "L", 1e-4, 10.0, 1e-2),
        Param("momentum", "F", 0.0, 0.99, 0.9, 0.0),
        Param("weight_decay", "L", 1e-7, 1e-1, 1e-4),
        Param("dropout", "F", 0.0, 0.8, 0.0, 0.0),
        Param("width", "J", 4, 32, 32, 0.0),
        Param("batch_size", "J", 8, 64, 32, 0.0),
    )),
    "schedule_net": Algorithm(networks.run, 120, fewest=2, added=160, budget=("epochs", 10), params=(
        Param("learning_rate", "L", 1e-5, 1.0, 1e-3),
        choice("schedule", "constant", "linear", "cosine"),
        Param("warmup", "F", 0.0, 0.5, 0.0, 0.0),
        Param("label_smoothing", "F", 0.0, 0.4, 0.0, 0.0),
        Param("weight_decay", "L", 1e-7, 1e-1, 1e-4),
        Param("epochs", "J", 3, 16, 10, 0.0),
    )),
    "optimizer_net": Algorithm(networks.run, 120, added=160, budget=("epochs", 10), params=(
        choice("optimizer", "adam", "sgd", "rmsprop"),
        Param("learning_rate", "L", 1e-5, 1.0, 1e-3),
        Param("momentum", "F", 0.0, 0.99, 0.9, 0.0, only=("optimizer", ("sgd",))),
        Param("beta1", "F", 0.5, 0.99, 0.9, 0.0, only=("optimizer", ("adam",))),
        choice("activation", "relu", "tanh"),
        Param("dropout", "F", 0.0, 0.8, 0.0, 0.0),
        Param("init_scale", "L", 1e-2, 10.0, 1.0, 0.0),
    )),
    # Held out whole.
    "adaboost": Algorithm(estimators.adaboost, 24, params=(
        Param("n_estimators", "J", 4, 32, 16, 0.2),
        Param("learning_rate", "L", 1e-2, 10.0, 1.0, 0.3),
        Param("max_depth", "I", 1, 6, 1, 0.0),
    )),
    "bagging": Algorithm(estimators.bagging, 24, params=(
        Param("n_estimators", "J", 2, 32, 10, 0.2),
        Param("subsample", "F", 0.05, 1.0, 1.0, 0.0),
        Param("colsample_bytree", "F", 0.1, 1.0, 1.0, 0.0),
        Param("max_depth", "J", 1, 50, 10, 0.2),
    )),
    "kernel_map": Algorithm(estimators.kernel_map, 40, params=(
        Param("gamma", "L", 1e-4, 1e2, 1.0),
        Param("n_components", "J", 10, 300, 100, 0.2),
        Param("alpha", "L", 1e-6, 1e3, 1.0),
    )),
}
# fmt: on
HELD_OUT = ("adaboost", "bagging", "kernel_map")
