"""scikit-learn's and XGBoost's estimators fitted to the end: hundreds of trees and rounds, linear models to tolerance.

A builder is given a configuration in the estimators' own words (`notation.Param.key`), the data set and the length of
training, and returns an estimator. What a configuration does not name is at its library's default.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from airtune.models.pocket.training.corpus import networks
from airtune.models.pocket.training.corpus.networks import Length, Outcome
from airtune.models.pocket.training.corpus.problems import Problem

Build = Callable[[dict[str, Any], Problem, Length], Any]
_STEPS = 300_000  # of a support vector machine's solver; nearly all converge before


def _svm(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.svm import SVC, SVR

    return SVC(max_iter=_STEPS, **c) if p.classes else SVR(max_iter=_STEPS, **c)


def _linear_svm(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(max_iter=length.limit, random_state=0, **c)


def _logistic(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=length.limit, random_state=0, **c)


def _net_penalty(c: dict[str, Any], p: Problem, length: Length) -> Any:
    """Glmnet's model: a penalty of strength `lambda_`, mixed by `l1_ratio`."""
    from sklearn.linear_model import ElasticNet, LogisticRegression

    strength, ratio = c["lambda_"], c["l1_ratio"]
    if not p.classes:
        return ElasticNet(alpha=strength, l1_ratio=ratio, max_iter=length.limit)
    inverse = 1 / (strength * len(p.y[0]))  # scikit-learn sums over rows where glmnet takes the mean
    return LogisticRegression(
        C=inverse, l1_ratio=ratio, solver="saga", max_iter=min(length.limit, 300), random_state=0
    )


def _ridge(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.linear_model import Ridge, RidgeClassifier

    return RidgeClassifier(**c) if p.classes else Ridge(**c)


def _sgd(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.linear_model import SGDClassifier, SGDRegressor

    kind = SGDClassifier if p.classes else SGDRegressor
    tolerance = None if length.kind == "short" else 1e-3
    return kind(max_iter=length.limit, tol=tolerance, random_state=0, **c)


def _discriminant(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

    if c.get("kind", "linear") == "quadratic":
        return QuadraticDiscriminantAnalysis(reg_param=c.get("reg_param", 0.0))
    solver = "svd" if c.get("shrinkage") is None else "lsqr"
    return LinearDiscriminantAnalysis(solver=solver, shrinkage=c.get("shrinkage"))


def _bayes(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(**c)


def _neighbours(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    c = {**c, "n_neighbors": min(c.get("n_neighbors", 5), len(p.y[0]))}
    return (KNeighborsClassifier if p.classes else KNeighborsRegressor)(**c)


def _components(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline

    parts = PCA(c.pop("n_components", 0.99), whiten=c.pop("whiten", False), svd_solver="full")
    return make_pipeline(parts, _logistic(c, p, length))


def _tree(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if "cp" in c:  # rpart's: a share of the root's impurity
        root = 1 - ((np.bincount(p.y[0]) / len(p.y[0])) ** 2).sum() if p.classes else float(p.y[0].var())
        c = {**{k: v for k, v in c.items() if k != "cp"}, "ccp_alpha": c["cp"] * root}
    return (DecisionTreeClassifier if p.classes else DecisionTreeRegressor)(random_state=0, **c)


def _forest(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn import ensemble

    kind = ("ExtraTrees" if c.pop("splits", "best") == "random" else "RandomForest") + _suffix(p)
    if not c.get("bootstrap", True):
        c.pop("max_samples", None)
    return getattr(ensemble, kind)(**{"n_estimators": length.limit, "bootstrap": True, **c}, random_state=0)


def _suffix(p: Problem) -> str:
    return "Classifier" if p.classes else "Regressor"


def _gradient_boosting(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn import ensemble

    kind = getattr(ensemble, "GradientBoosting" + _suffix(p))
    if length.kind == "early":
        c = {"n_iter_no_change": 10, **c}
    return kind(**{"n_estimators": length.limit, **c}, random_state=0)


def _histogram_boosting(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn import ensemble

    kind = getattr(ensemble, "HistGradientBoosting" + _suffix(p))
    early = c.pop("early_stopping", length.kind == "early")
    return kind(**{"max_iter": length.limit, **c}, early_stopping=early, random_state=0)


def _xgboost(c: dict[str, Any], p: Problem, length: Length) -> Any:
    import xgboost

    kind = getattr(xgboost, "XGB" + _suffix(p))
    if length.kind == "early":
        c = {"early_stopping_rounds": 20, **c}
    if "max_leaves" in c:  # leaf by leaf, as LightGBM grows them
        c = {"grow_policy": "lossguide", "max_depth": 0, **c}
    return kind(
        **{"n_estimators": length.limit, "tree_method": "hist", "max_bin": 64, **c}, n_jobs=1, random_state=0
    )


def _small_net(c: dict[str, Any], p: Problem, length: Length) -> Any:
    """R's nnet: one hidden layer, trained by BFGS."""
    from sklearn import neural_network

    kind = getattr(neural_network, "MLP" + _suffix(p))
    size, decay, steps = c.get("width", 5), c.get("alpha", 0.0), c.get("epochs", length.limit)
    return kind(
        hidden_layer_sizes=(size,), activation="logistic", solver="lbfgs", alpha=decay, max_iter=steps, tol=1e-6,
        random_state=0,
    )  # fmt: skip


def _kernel_ridge(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.kernel_ridge import KernelRidge

    return KernelRidge(**c)


def _gaussian_process(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    kernel = Matern(c["length_scale"], "fixed", nu=c.get("nu", 2.5))
    return GaussianProcessRegressor(kernel, alpha=c["alpha"], optimizer=None)


def _adaboost(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    return AdaBoostClassifier(DecisionTreeClassifier(max_depth=c.pop("max_depth", 1)), random_state=0, **c)


def _bagging(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn import ensemble

    tree = _tree({"max_depth": c.pop("max_depth", None)}, p, length)
    return getattr(ensemble, "Bagging" + _suffix(p))(tree, random_state=0, **c)


def _kernel_map(c: dict[str, Any], p: Problem, length: Length) -> Any:
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.pipeline import make_pipeline

    ridge = _ridge({"alpha": c.pop("alpha", 1.0)}, p, length)
    return make_pipeline(RBFSampler(random_state=0, **c), ridge)


def _any(c: dict[str, Any], p: Problem, length: Length) -> Any:
    """A choice of algorithm: `model`, and its hyperparameters behind a dot."""
    model = c.pop("model")
    inside = {k.removeprefix(f"{model}."): v for k, v in c.items() if k.startswith(f"{model}.")}
    return BUILDERS[model](inside, p, length)


BUILDERS: dict[str, Build] = {
    "svm": _svm, "linear_svm": _linear_svm, "logistic": _logistic, "net_penalty": _net_penalty, "ridge": _ridge,
    "sgd": _sgd, "discriminant": _discriminant, "bayes": _bayes, "neighbours": _neighbours,
    "components": _components, "tree": _tree, "forest": _forest, "gradient_boosting": _gradient_boosting,
    "histogram_boosting": _histogram_boosting, "xgboost": _xgboost, "small_net": _small_net,
    "kernel_ridge": _kernel_ridge, "gaussian_process": _gaussian_process, "adaboost": _adaboost,
    "bagging": _bagging, "kernel_map": _kernel_map, "any": _any,
}  # fmt: skip


def run(
    algorithm: str, problem: Problem, configs: Sequence[Mapping[str, Any]], length: Length, seed: int
) -> Outcome:
    """Fit an algorithm with each configuration.

    Args:
        algorithm: `network`, or a key of `BUILDERS`.
        problem: The data set.
        configs: Configurations in the estimator's words.
        length: How long a training is.
        seed: Of networks; the other estimators have seed 0, as configurations that are compared share it.

    Returns:
        Predictions; those of a configuration that could not be fitted are not finite.
    """
    if algorithm == "network":
        return networks.train(problem, configs, length, seed)
    found = Outcome([], [], np.zeros(len(configs)))
    for i, config in enumerate(configs):
        begun = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence: what has not converged is as good as it is
            outputs = _fit(BUILDERS[algorithm](dict(config), problem, length), problem)
        found.valid.append(outputs[0])
        found.test.append(outputs[1])
        found.seconds[i] = time.process_time() - begun
    return found


def _fit(model: Any, p: Problem) -> list[Any]:
    try:
        if getattr(model, "early_stopping_rounds", None):
            model.fit(p.x[0], p.y[0], eval_set=[(p.x[1], p.y[1])], verbose=False)
        else:
            model.fit(p.x[0], p.y[0])
        if not p.classes:
            return [np.asarray(model.predict(x), dtype=float).reshape(len(x)) for x in p.x[1:]]
        if hasattr(model, "predict_proba"):
            return [np.asarray(model.predict_proba(x), dtype=float) for x in p.x[1:]]
        return [np.eye(p.classes)[model.predict(x)] for x in p.x[1:]]
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:  # diverged, or no such solution
        if isinstance(
            error, TypeError
        ):  # scikit-learn's InvalidParameterError: a space that is written wrongly
            raise
        return [np.full((len(x), max(1, p.classes)), np.nan) for x in p.x[1:]]
