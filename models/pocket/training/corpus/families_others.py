"""Spaces of linear models, kernels, neighbours, pipelines and choices among algorithms, as users write them."""

from __future__ import annotations

from typing import Any

from airtune.models.pocket.training.corpus.networks import Length
from airtune.models.pocket.training.corpus.notation import Family, Only, choice, number, ordinal

_SMALL = (300, 1600)
_NAN = float("nan")  # of a default that is no value of the range


def _where(parent: str, *values: Any) -> Only:
    return (parent, values)


# fmt: off
OTHERS: dict[str, Family] = {
    "logistic": Family("logistic", (
        number("L", "C", 1e-5, 1e5, 1.0),
        choice("class_weight", None, "balanced"),
        choice("fit_intercept", True, False),
        number("L", "tol", 1e-6, 1e-2, 1e-4),
    ), tasks="c", fewest=2, cost=0.02),
    "r_glmnet": Family("net_penalty", (
        number("F", "alpha", 0.0, 1.0, 1.0, "l1_ratio"),
        number("L", "lambda", 1e-4, 10.0, _NAN, "lambda_"),
    ), cost=0.1, rows=_SMALL),
    "ridge": Family("ridge", (
        number("L", "alpha", 1e-4, 1e4, 1.0),
        choice("fit_intercept", True, False),
    ), cost=0.005, proba=False),
    "sgd": Family("sgd", (
        choice("loss", "hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron"),
        choice("penalty", "l2", "l1", "elasticnet"),
        number("L", "alpha", 1e-7, 1e-1, 1e-4),
        number("F", "l1_ratio", 0.0, 1.0, 0.15, only=_where("penalty", "elasticnet")),
        choice("learning_rate", "optimal", "invscaling", "constant", "adaptive"),
        number("L", "eta0", 1e-6, 1.0, 1e-2, only=_where("learning_rate", "invscaling", "constant", "adaptive")),
        number("F", "power_t", 0.1, 0.9, 0.5, only=_where("learning_rate", "invscaling")),
        choice("average", False, True),
    ), tasks="c", length=Length("plateau", 1000), short=Length("short", 5), cost=0.05, proba=False),
    "sgd_log": Family("sgd", (
        number("L", "alpha", 1e-6, 1.0, 1e-4),
        number("L", "eta0", 1e-5, 1.0, 1e-2),
        number("F", "l1_ratio", 0.0, 1.0, 0.15),
        ordinal("n_iter_no_change", 3, 5, 10, default=5),
    ), tasks="c", length=Length("plateau", 1000), short=Length("short", 5), fewest=2,
        fixed={"loss": "log_loss", "penalty": "elasticnet", "learning_rate": "adaptive", "eta0": 0.01}, cost=0.05),
    "linear_svc": Family("linear_svm", (
        number("L", "C", 2**-5, 2**15, 1.0),
        choice("loss", "squared_hinge", "hinge"),
        number("L", "tol", 1e-5, 1e-1, 1e-4),
        choice("class_weight", None, "balanced"),
    ), tasks="c", fewest=2, cost=0.04, rows=_SMALL, proba=False),
    "svc": Family("svm", (
        number("L", "C", 2**-5, 2**15, 1.0),
        number("L", "gamma", 2**-15, 2**3, _NAN),
    ), tasks="c", cost=0.1, rows=_SMALL, proba=False),
    "svc_kernels": Family("svm", (
        number("L", "C", 1e-3, 1e3, 1.0),
        choice("kernel", "rbf", "poly", "sigmoid", "linear"),
        number("L", "gamma", 1e-5, 10.0, _NAN, only=_where("kernel", "rbf", "poly", "sigmoid")),
        number("I", "degree", 2, 5, 3, only=_where("kernel", "poly")),
        number("F", "coef0", -1.0, 1.0, 0.0, only=_where("kernel", "poly", "sigmoid")),
        choice("shrinking", True, False),
    ), tasks="c", cost=0.2, rows=_SMALL, proba=False),
    "r_svm": Family("svm", (
        number("L", "cost", 1e-4, 1e4, 1.0, "C"),
        choice("kernel", "rbf", "poly"),
        number("I", "degree", 2, 5, 3, only=_where("kernel", "poly")),
        number("L", "gamma", 1e-4, 1e4, _NAN, only=_where("kernel", "rbf")),
    ), tasks="c", cost=0.2, rows=_SMALL, proba=False),
    "svr": Family("svm", (
        number("L", "C", 1e-2, 1e3, 1.0),
        number("L", "epsilon", 1e-3, 1.0, 0.1),
        number("L", "gamma", 1e-4, 10.0, _NAN),
    ), tasks="r", fewest=2, cost=0.15, rows=_SMALL),
    "neighbours": Family("neighbours", (
        number("J", "n_neighbors", 1, 100, 5),
        choice("weights", "uniform", "distance"),
        choice("p", 2, 1),
    ), fewest=2, cost=0.02, rows=(300, 3000)),
    "r_kknn": Family("neighbours", (
        number("J", "k", 1, 50, 7, "n_neighbors"),
        number("F", "distance", 1.0, 5.0, 2.0, "p"),
    ), fixed={"weights": "distance"}, cost=0.05, rows=_SMALL),
    "discriminant": Family("discriminant", (
        choice("kind", "linear", "quadratic"),
        number("F", "shrinkage", 0.0, 1.0, _NAN, only=_where("kind", "linear")),
        number("F", "reg_param", 0.0, 1.0, 0.0, only=_where("kind", "quadratic")),
    ), tasks="c", cost=0.01),
    "bayes": Family("bayes", (number("L", "var_smoothing", 1e-12, 1.0, 1e-9),), tasks="c", cost=0.005),
    "pca_logistic": Family("components", (
        number("F", "n_components", 0.3, 0.999, _NAN),
        choice("whiten", False, True),
        number("L", "C", 1e-5, 1e5, 1.0),
    ), tasks="c", fewest=2, cost=0.02),
    "kernel_ridge": Family("kernel_ridge", (
        number("L", "alpha", 1e-4, 1e2, 1.0),
        choice("kernel", "rbf", "laplacian", "polynomial"),
        number("L", "gamma", 1e-4, 10.0, _NAN),
    ), tasks="r", cost=0.1, rows=(300, 1200)),
    "gaussian_process": Family("gaussian_process", (
        number("L", "length_scale", 0.1, 100.0, 1.0),
        number("L", "alpha", 1e-6, 1.0, _NAN),
        choice("nu", 1.5, 0.5, 2.5),
    ), tasks="r", cost=0.1, rows=(300, 900)),
    "kernel_map": Family("kernel_map", (
        number("L", "gamma", 1e-4, 1e2, 1.0),
        number("J", "n_components", 10, 500, 100),
        number("L", "alpha", 1e-6, 1e3, 1.0),
    ), cost=0.04, proba=False),
    # Which algorithm is a hyperparameter, too.
    "choice_of_model": Family("any", (
        choice("model", "forest", "svm", "neighbours", "logistic", "tree"),
        number("J", "n_estimators", 20, 200, 100, "forest.n_estimators", _where("model", "forest")),
        number("F", "max_features", 0.1, 1.0, _NAN, "forest.max_features", _where("model", "forest")),
        number("J", "min_samples_leaf", 1, 20, 1, "forest.min_samples_leaf", _where("model", "forest")),
        number("L", "svm_C", 1e-3, 1e3, 1.0, "svm.C", _where("model", "svm")),
        number("L", "svm_gamma", 1e-4, 10.0, _NAN, "svm.gamma", _where("model", "svm")),
        number("J", "n_neighbors", 1, 50, 5, "neighbours.n_neighbors", _where("model", "neighbours")),
        choice("weights", "uniform", "distance", key="neighbours.weights", only=_where("model", "neighbours")),
        number("L", "logreg_C", 1e-4, 1e4, 1.0, "logistic.C", _where("model", "logistic")),
        number("J", "max_depth", 1, 30, 30, "tree.max_depth", _where("model", "tree")),
        number("L", "ccp_alpha", 1e-5, 1e-1, 1e-5, "tree.ccp_alpha", _where("model", "tree")),
    ), tasks="c", cost=0.15, rows=_SMALL, proba=False),
    "boosting_or_linear": Family("any", (
        choice("classifier", "xgboost", "logistic", "histogram_boosting", key="model"),
        number("L", "xgb_eta", 1e-2, 0.5, 0.3, "xgboost.learning_rate", _where("classifier", "xgboost")),
        number("I", "xgb_max_depth", 2, 10, 6, "xgboost.max_depth", _where("classifier", "xgboost")),
        number("F", "xgb_subsample", 0.4, 1.0, 1.0, "xgboost.subsample", _where("classifier", "xgboost")),
        number("L", "xgb_lambda", 1e-3, 1e2, 1.0, "xgboost.reg_lambda", _where("classifier", "xgboost")),
        number("J", "xgb_rounds", 50, 400, 100, "xgboost.n_estimators", _where("classifier", "xgboost")),
        number("L", "lr_C", 1e-4, 1e4, 1.0, "logistic.C", _where("classifier", "logistic")),
        choice("lr_class_weight", None, "balanced", key="logistic.class_weight", only=_where("classifier", "logistic")),
        number("L", "hgb_learning_rate", 1e-2, 1.0, 0.1, "histogram_boosting.learning_rate",
            _where("classifier", "histogram_boosting")),
        number("J", "hgb_max_leaf_nodes", 3, 128, 31, "histogram_boosting.max_leaf_nodes",
            _where("classifier", "histogram_boosting")),
    ), tasks="c", length=Length("fixed", 200), cost=0.5, rows=_SMALL),
}
# fmt: on
