"""scikit-learn's and XGBoost's estimators, run with configurations: validation errors of `pocket`'s tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.training.datasets import Dataset

Values: TypeAlias = Mapping[str, Any]


def each(build: Callable[[Values, int], Any]) -> Callable[[Dataset, Sequence[Values]], NDArray[np.float64]]:
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


@each
def svm(c: Values, _: int) -> Any:
    """Support vector machine with a Gaussian kernel."""
    from sklearn.svm import SVC

    return SVC(C=c["C"], gamma=c["gamma"], max_iter=20000)


@each
def kernel_svm(c: Values, _: int) -> Any:
    """Support vector machine whose kernel is tuned, too."""
    from sklearn.svm import SVC

    shape = {k: c[k] for k in ("gamma", "degree", "coef0") if k in c}
    return SVC(C=c["C"], kernel=c["kernel"], max_iter=20000, **shape)


@each
def linear_svm(c: Values, _: int) -> Any:
    """Linear support vector machine."""
    from sklearn.svm import LinearSVC

    return LinearSVC(
        C=c["C"], loss=c["loss"], class_weight=c["class_weight"], tol=c["tol"], max_iter=200, random_state=0
    )


@each
def sgd(c: Values, _: int) -> Any:
    """Logistic regression by stochastic gradient descent."""
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="log_loss", learning_rate="adaptive", tol=None, max_iter=30,
        alpha=c["alpha"], eta0=c["learning_rate"], random_state=0,
    )  # fmt: skip


@each
def elastic_net(c: Values, _: int) -> Any:
    """Linear model with an elastic-net penalty, by stochastic gradient descent."""
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss=c["loss"], penalty="elasticnet", learning_rate="invscaling", power_t=0.25, tol=None, max_iter=20,
        alpha=c["alpha"], l1_ratio=c["l1_ratio"], eta0=c["learning_rate"], random_state=0,
    )  # fmt: skip


@each
def logistic(c: Values, _: int) -> Any:
    """Logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c["C"], tol=c["tol"], max_iter=60)


@each
def components(c: Values, d: int) -> Any:
    """Principal components, then logistic regression."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        PCA(min(d, c["n_components"]), whiten=c["whiten"], random_state=0),
        LogisticRegression(C=c["C"], class_weight=c["class_weight"], max_iter=60),
    )


@each
def kernel_map(c: Values, _: int) -> Any:
    """Random Fourier features, then ridge regression."""
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        RBFSampler(gamma=c["gamma"], n_components=c["n_components"], random_state=0),
        RidgeClassifier(alpha=c["alpha"]),
    )


@each
def neighbours(c: Values, _: int) -> Any:
    """Nearest neighbours."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=c["n_neighbors"], weights=c["weights"], metric=c["metric"])


@each
def tree(c: Values, d: int) -> Any:
    """Decision tree."""
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(
        max_depth=c["max_depth"], min_samples_split=c["min_samples_split"],
        min_samples_leaf=c["min_samples_leaf"], max_features=_share(c["max_features"], d), random_state=0,
    )  # fmt: skip


@each
def forest(c: Values, d: int) -> Any:
    """Random forest."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=16, max_depth=c["max_depth"], min_samples_split=c["min_samples_split"],
        max_features=_share(c["max_features"], d), min_samples_leaf=c["min_samples_leaf"], random_state=0,
    )  # fmt: skip


@each
def extra_trees(c: Values, d: int) -> Any:
    """Extremely randomised trees."""
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(
        n_estimators=12, max_depth=c["max_depth"], min_samples_split=c["min_samples_split"],
        max_features=_share(c["max_features"], d), min_samples_leaf=c["min_samples_leaf"],
        criterion=c["criterion"], bootstrap=c["bootstrap"], random_state=0,
    )  # fmt: skip


@each
def bagging(c: Values, _: int) -> Any:
    """Bagged decision trees."""
    from sklearn.ensemble import BaggingClassifier
    from sklearn.tree import DecisionTreeClassifier

    return BaggingClassifier(
        DecisionTreeClassifier(max_depth=c["max_depth"]), n_estimators=c["n_estimators"],
        max_samples=c["subsample"], max_features=c["colsample_bytree"], random_state=0,
    )  # fmt: skip


@each
def boosting(c: Values, _: int) -> Any:
    """Gradient boosting."""
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=c["n_estimators"], learning_rate=c["learning_rate"], max_depth=c["max_depth"],
        subsample=c["subsample"], random_state=0,
    )  # fmt: skip


@each
def adaboost(c: Values, _: int) -> Any:
    """AdaBoost on decision trees."""
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    return AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=c["max_depth"]), n_estimators=c["n_estimators"],
        learning_rate=c["learning_rate"], random_state=0,
    )  # fmt: skip


@each
def histogram_boosting(c: Values, _: int) -> Any:
    """Gradient boosting on histograms."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=12, max_bins=63, learning_rate=c["learning_rate"], max_leaf_nodes=c["max_leaf_nodes"],
        min_samples_leaf=c["min_samples_leaf"], l2_regularization=c["reg_lambda"],
        max_features=c["colsample_bytree"], early_stopping=False, random_state=0,
    )  # fmt: skip


@each
def xgboost(c: Values, _: int) -> Any:
    """XGBoost."""
    from xgboost import XGBClassifier

    return XGBClassifier(
        n_estimators=20, learning_rate=c["learning_rate"], max_depth=c["max_depth"],
        colsample_bytree=c["colsample_bytree"], reg_lambda=c["reg_lambda"], subsample=c["subsample"],
        min_child_weight=c["min_child_weight"], gamma=c["min_split_loss"], max_bin=64, n_jobs=1, random_state=0,
    )  # fmt: skip


@each
def mlp(c: Values, _: int) -> Any:
    """Multilayer perceptron."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=[c["width"]] * c["depth"], batch_size=c["batch_size"], alpha=c["alpha"],
        learning_rate_init=c["learning_rate"], max_iter=8, random_state=0,
    )  # fmt: skip
