"""The learning algorithms that `pocket`'s tables are made of, and the hyperparameters they are tuned by.

Roles are named as users name them; ranges and defaults are those in common use. Three algorithms are held out whole:
no table of theirs is ever trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket import networks
from airtune.models.pocket.datasets import Dataset

Values: TypeAlias = Mapping[str, Any]


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


def _each(build: Callable[[Values, int], Any]) -> Callable[[Dataset, Sequence[Values]], NDArray[np.float64]]:
    """Fit one scikit-learn estimator per configuration; `build` is given its values and the number of features."""

    def run(data: Dataset, configs: Sequence[Values]) -> NDArray[np.float64]:
        from sklearn.metrics import balanced_accuracy_score

        errors = np.empty(len(configs))
        for i, config in enumerate(configs):
            model = build(config, data.x_train.shape[1])
            model.fit(data.x_train, data.y_train)
            errors[i] = 1.0 - float(balanced_accuracy_score(data.y_valid, model.predict(data.x_valid)))
        return errors

    return run


def _share(exponent: float, d: int) -> int:
    """How many of d features are looked at: d to the power of the exponent, at least one."""
    return max(1, int(np.rint(d**exponent)))


def _svm(c: Values, _: int) -> Any:
    from sklearn.svm import SVC

    return SVC(C=c["C"], gamma=c["gamma"], max_iter=20000)


def _kernel_svm(c: Values, _: int) -> Any:
    from sklearn.svm import SVC

    shape = {k: c[k] for k in ("gamma", "degree", "coef0") if k in c}
    return SVC(C=c["C"], kernel=c["kernel"], max_iter=20000, **shape)


def _linear_svm(c: Values, _: int) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(
        C=c["C"], loss=c["loss"], class_weight=c["class_weight"], tol=c["tol"], max_iter=200, random_state=0
    )


def _sgd(c: Values, _: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="log_loss", learning_rate="adaptive", tol=None, max_iter=30,
        alpha=c["alpha"], eta0=c["learning_rate"], random_state=0,
    )  # fmt: skip


def _elastic_net(c: Values, _: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss=c["loss"], penalty="elasticnet", learning_rate="invscaling", power_t=0.25, tol=None, max_iter=20,
        alpha=c["alpha"], l1_ratio=c["l1_ratio"], eta0=c["learning_rate"], random_state=0,
    )  # fmt: skip


def _logistic(c: Values, _: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c["C"], tol=c["tol"], max_iter=60)


def _components(c: Values, d: int) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        PCA(min(d, c["n_components"]), whiten=c["whiten"], random_state=0),
        LogisticRegression(C=c["C"], class_weight=c["class_weight"], max_iter=60),
    )


def _kernel_map(c: Values, _: int) -> Any:
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        RBFSampler(gamma=c["gamma"], n_components=c["n_components"], random_state=0),
        RidgeClassifier(alpha=c["alpha"]),
    )


def _neighbours(c: Values, _: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=c["n_neighbors"], weights=c["weights"], metric=c["metric"])


def _tree(c: Values, d: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(
        max_depth=c["max_depth"], min_samples_split=c["min_samples_split"],
        min_samples_leaf=c["min_samples_leaf"], max_features=_share(c["max_features"], d), random_state=0,
    )  # fmt: skip


def _forest(c: Values, d: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=16, max_depth=c["max_depth"], min_samples_split=c["min_samples_split"],
        max_features=_share(c["max_features"], d), min_samples_leaf=c["min_samples_leaf"], random_state=0,
    )  # fmt: skip


def _extra_trees(c: Values, d: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(
        n_estimators=12, max_depth=c["max_depth"], min_samples_split=c["min_samples_split"],
        max_features=_share(c["max_features"], d), min_samples_leaf=c["min_samples_leaf"],
        criterion=c["criterion"], bootstrap=c["bootstrap"], random_state=0,
    )  # fmt: skip


def _bagging(c: Values, _: int) -> Any:
    from sklearn.ensemble import BaggingClassifier
    from sklearn.tree import DecisionTreeClassifier

    return BaggingClassifier(
        DecisionTreeClassifier(max_depth=c["max_depth"]), n_estimators=c["n_estimators"],
        max_samples=c["subsample"], max_features=c["colsample_bytree"], random_state=0,
    )  # fmt: skip


def _boosting(c: Values, _: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=c["n_estimators"], learning_rate=c["learning_rate"], max_depth=c["max_depth"],
        subsample=c["subsample"], random_state=0,
    )  # fmt: skip


def _adaboost(c: Values, _: int) -> Any:
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    return AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=c["max_depth"]), n_estimators=c["n_estimators"],
        learning_rate=c["learning_rate"], random_state=0,
    )  # fmt: skip


def _histogram_boosting(c: Values, _: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=12, max_bins=63, learning_rate=c["learning_rate"], max_leaf_nodes=c["max_leaf_nodes"],
        min_samples_leaf=c["min_samples_leaf"], l2_regularization=c["reg_lambda"],
        max_features=c["colsample_bytree"], early_stopping=False, random_state=0,
    )  # fmt: skip


def _xgboost(c: Values, _: int) -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(
        n_estimators=20, learning_rate=c["learning_rate"], max_depth=c["max_depth"],
        colsample_bytree=c["colsample_bytree"], reg_lambda=c["reg_lambda"], subsample=c["subsample"],
        min_child_weight=c["min_child_weight"], gamma=c["min_split_loss"], max_bin=64, n_jobs=1, random_state=0,
    )  # fmt: skip


def _mlp(c: Values, _: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=[c["width"]] * c["depth"], batch_size=c["batch_size"], alpha=c["alpha"],
        learning_rate_init=c["learning_rate"], max_iter=8, random_state=0,
    )  # fmt: skip


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
        _each(_svm),
        220,
        added=304,
    ),
    "sgd": Algorithm(
        (Param("alpha", "L", 1e-5, 1.0, 1e-3), Param("learning_rate", "L", 1e-5, 1.0, 1e-2)),
        _each(_sgd),
        220,
        added=199,
    ),
    "forest": Algorithm(
        (_TREE[0], replace(_TREE[1], default=32), *_TREE[2:]),
        _each(_forest),
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
        _each(_mlp),
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
        _each(_boosting),
        30,
    ),
    "tree": Algorithm((*_TREE[:2], replace(_TREE[2], default=1.0), _TREE[3]), _each(_tree), 100, added=162),
    "logistic": Algorithm(
        (Param("C", "L", 1e-5, 1e5, 1.0), Param("tol", "L", 1e-6, 1e-1, 1e-4)),
        _each(_logistic),
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
        _each(_kernel_svm),
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
        _each(_linear_svm),
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
        _each(_elastic_net),
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
        _each(_components),
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
        _each(_neighbours),
        80,
        2,
        added=95,
    ),
    "extra_trees": Algorithm(
        (*_TREE, choice("criterion", "gini", "entropy"), choice("bootstrap", False, True)),
        _each(_extra_trees),
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
        _each(_histogram_boosting),
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
        _each(_xgboost),
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
        _each(_adaboost),
        24,
    ),
    "bagging": Algorithm(
        (
            Param("n_estimators", "J", 2, 32, 10, 0.2),
            Param("subsample", "F", 0.05, 1.0, 1.0, 0.0),
            Param("colsample_bytree", "F", 0.1, 1.0, 1.0, 0.0),
            Param("max_depth", "J", 1, 50, 10, 0.2),
        ),
        _each(_bagging),
        24,
    ),
    "kernel_map": Algorithm(
        (
            Param("gamma", "L", 1e-4, 1e2, 1.0),
            Param("n_components", "J", 10, 300, 100, 0.2),
            Param("alpha", "L", 1e-6, 1e3, 1.0),
        ),
        _each(_kernel_map),
        40,
    ),
}
HELD_OUT = ("adaboost", "bagging", "kernel_map")
