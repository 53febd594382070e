"""Spaces of trees, forests and boosting: as users of scikit-learn, XGBoost, LightGBM, Optuna and R write them."""

from __future__ import annotations

from airtune.models.pocket.training.corpus.networks import Length
from airtune.models.pocket.training.corpus.notation import Family, Only, choice, number, ordinal

_TREES, _ROUNDS, _EARLY = Length("fixed", 200), Length("fixed", 200), Length("early", 500)
_SHORT = Length("short", 12)
_ROWS = (300, 2500)
_BOOSTED: Only = ("booster", ("gbtree", "dart"))
_DART: Only = ("booster", ("dart",))
_FEATURES = number("F", "max_features", 0.1, 1.0, 1.0)
# fmt: off
TREES: dict[str, Family] = {
    "sklearn_tree": Family("tree", (
        number("J", "max_depth", 1, 50, 50),
        number("J", "min_samples_split", 2, 128, 2),
        number("J", "min_samples_leaf", 1, 64, 1),
        _FEATURES,
        number("L", "ccp_alpha", 1e-5, 1e-1, 1e-5),
    ), fewest=2, cost=0.02),
    "r_rpart": Family("tree", (
        number("L", "cp", 1e-4, 1e-1, 1e-2),
        number("J", "minsplit", 2, 128, 20, "min_samples_split"),
        number("J", "minbucket", 1, 64, 7, "min_samples_leaf"),
        number("I", "maxdepth", 2, 30, 30, "max_depth"),
    ), fewest=2, fixed={"cp": 0.01, "min_samples_split": 20, "min_samples_leaf": 7}, cost=0.02),
    "sklearn_forest": Family("forest", (
        number("J", "n_estimators", 50, 500, 100),
        number("J", "max_depth", 2, 64, 64),
        choice("max_features", "sqrt", "log2", 0.5, None),
        number("I", "min_samples_split", 2, 20, 2),
        number("I", "min_samples_leaf", 1, 20, 1),
        choice("criterion", "gini", "entropy"),
        choice("bootstrap", True, False),
        choice("class_weight", None, "balanced"),
    ), tasks="c", length=_TREES, short=_SHORT, fewest=3, cost=0.6, rows=_ROWS),
    "forest_regression": Family("forest", (
        number("J", "n_estimators", 50, 500, 100),
        _FEATURES,
        number("J", "min_samples_leaf", 1, 30, 1),
        number("J", "max_depth", 2, 40, 40),
        number("F", "max_samples", 0.2, 1.0, 1.0),
    ), tasks="r", length=_TREES, short=_SHORT, fewest=2, cost=0.8, rows=_ROWS),
    "r_ranger": Family("forest", (
        number("F", "mtry.ratio", 0.05, 1.0, 0.3, "max_features"),
        number("I", "min.node.size", 1, 30, 1, "min_samples_leaf"),
        number("F", "sample.fraction", 0.1, 1.0, 1.0, "max_samples"),
        choice("replace", True, False, key="bootstrap"),
        choice("splitrule", "best", "random", key="splits"),
        number("J", "num.trees", 50, 600, 500, "n_estimators"),
    ), length=Length("fixed", 300), short=_SHORT, fewest=3, cost=0.7, rows=_ROWS),
    "extra_trees": Family("forest", (
        _FEATURES,
        number("J", "min_samples_split", 2, 40, 2),
        number("J", "min_samples_leaf", 1, 20, 1),
        choice("bootstrap", False, True),
    ), length=_TREES, short=_SHORT, fewest=2, fixed={"splits": "random", "bootstrap": False}, cost=0.5, rows=_ROWS),
    "sklearn_boosting": Family("gradient_boosting", (
        number("L", "learning_rate", 5e-3, 1.0, 0.1),
        number("J", "n_estimators", 50, 500, 100),
        number("I", "max_depth", 1, 8, 3),
        number("F", "subsample", 0.3, 1.0, 1.0),
        number("I", "min_samples_leaf", 1, 30, 1),
        _FEATURES,
    ), length=_ROUNDS, short=_SHORT, fewest=3, cost=1.2, rows=(300, 1200)),
    "histogram_boosting": Family("histogram_boosting", (
        number("L", "learning_rate", 1e-2, 1.0, 0.1),
        number("J", "max_leaf_nodes", 3, 256, 31),
        number("J", "min_samples_leaf", 1, 200, 20),
        number("L", "l2_regularization", 1e-10, 10.0, 1e-10),
        choice("early_stopping", False, True),
        number("I", "n_iter_no_change", 1, 20, 10, only=("early_stopping", (True,))),
        number("F", "validation_fraction", 0.05, 0.4, 0.1, only=("early_stopping", (True,))),
    ), length=Length("fixed", 100), short=_SHORT, fewest=3, cost=0.6, rows=_ROWS),
    "xgboost": Family("xgboost", (
        number("J", "n_estimators", 50, 1000, 100),
        number("L", "learning_rate", 5e-3, 0.5, 0.3),
        number("I", "max_depth", 2, 12, 6),
        number("F", "subsample", 0.4, 1.0, 1.0),
        number("F", "colsample_bytree", 0.3, 1.0, 1.0),
        number("I", "min_child_weight", 1, 20, 1),
        number("F", "gamma", 0.0, 5.0, 0.0),
        number("L", "reg_alpha", 1e-6, 10.0, 1e-6),
        number("L", "reg_lambda", 1e-3, 100.0, 1.0),
    ), length=_ROUNDS, short=_SHORT, fewest=3, cost=0.5, rows=_ROWS),
    "xgboost_early": Family("xgboost", (
        number("L", "eta", 5e-3, 0.5, 0.3, "learning_rate"),
        number("I", "max_depth", 2, 12, 6),
        number("J", "min_child_weight", 1, 64, 1),
        number("F", "subsample", 0.4, 1.0, 1.0),
        number("F", "colsample_bytree", 0.3, 1.0, 1.0),
        number("L", "lambda", 1e-3, 1e3, 1.0, "reg_lambda"),
    ), length=_EARLY, short=_SHORT, fewest=3, cost=0.5, rows=_ROWS),
    "xgboost_r": Family("xgboost", (
        number("L", "eta", 1e-4, 1.0, 0.3, "learning_rate"),
        number("J", "nrounds", 20, 1000, 100, "n_estimators"),
        number("I", "max_depth", 1, 20, 6),
        number("F", "colsample_bytree", 0.1, 1.0, 1.0),
        number("F", "colsample_bylevel", 0.1, 1.0, 1.0),
        number("L", "lambda", 1e-3, 1e3, 1.0, "reg_lambda"),
        number("L", "alpha", 1e-3, 1e3, 1e-3, "reg_alpha"),
        number("F", "subsample", 0.1, 1.0, 1.0),
    ), length=_ROUNDS, short=_SHORT, cost=0.6, rows=_ROWS),
    "xgboost_boosters": Family("xgboost", (
        choice("booster", "gbtree", "gblinear", "dart"),
        number("L", "lambda", 1e-8, 10.0, 1.0, "reg_lambda"),
        number("L", "alpha", 1e-8, 1.0, 1e-8, "reg_alpha"),
        number("L", "eta", 1e-3, 1.0, 0.3, "learning_rate"),
        number("F", "subsample", 0.2, 1.0, 1.0, only=_BOOSTED),
        number("F", "colsample_bytree", 0.2, 1.0, 1.0, only=_BOOSTED),
        number("I", "max_depth", 2, 10, 6, only=_BOOSTED),
        number("I", "min_child_weight", 1, 10, 1, only=_BOOSTED),
        number("L", "gamma", 1e-8, 1.0, 1e-8, only=_BOOSTED),
        choice("grow_policy", "depthwise", "lossguide", only=_BOOSTED),
        choice("sample_type", "uniform", "weighted", only=_DART),
        choice("normalize_type", "tree", "forest", only=_DART),
        number("F", "rate_drop", 0.0, 0.5, 0.0, only=_DART),
        number("F", "skip_drop", 0.0, 0.9, 0.0, only=_DART),
    ), length=Length("fixed", 100), short=_SHORT, cost=0.6, rows=(300, 1500)),
    "lightgbm": Family("xgboost", (
        number("J", "num_leaves", 4, 256, 31, "max_leaves"),
        number("L", "learning_rate", 5e-3, 0.5, 0.1),
        number("J", "n_estimators", 50, 1000, 100),
        number("F", "feature_fraction", 0.4, 1.0, 1.0, "colsample_bytree"),
        number("F", "bagging_fraction", 0.4, 1.0, 1.0, "subsample"),
        number("L", "lambda_l1", 1e-8, 10.0, 1e-8, "reg_alpha"),
        number("L", "lambda_l2", 1e-8, 10.0, 1e-8, "reg_lambda"),
        number("L", "min_sum_hessian_in_leaf", 1e-3, 20.0, 1e-3, "min_child_weight"),
        number("F", "min_gain_to_split", 0.0, 2.0, 0.0, "gamma"),
    ), length=_ROUNDS, short=_SHORT, fewest=3, fixed={"learning_rate": 0.1, "max_leaves": 31, "reg_lambda": 0.0,
        "min_child_weight": 1e-3}, cost=0.6, rows=_ROWS),
    "lightgbm_early": Family("xgboost", (
        number("J", "num_leaves", 2, 128, 31, "max_leaves"),
        number("L", "learning_rate", 5e-3, 0.3, 0.1),
        number("F", "feature_fraction", 0.4, 1.0, 1.0, "colsample_bytree"),
        number("L", "lambda_l2", 1e-6, 100.0, 1e-6, "reg_lambda"),
        ordinal("early_stopping_rounds", 10, 20, 50, default=50),
    ), length=_EARLY, short=_SHORT, fewest=3, fixed={"learning_rate": 0.1, "max_leaves": 31, "reg_lambda": 0.0,
        "min_child_weight": 1e-3}, cost=0.5, rows=_ROWS),
    # Held out whole, as in the tables of the earlier versions.
    "adaboost": Family("adaboost", (
        number("J", "n_estimators", 20, 300, 50),
        number("L", "learning_rate", 1e-2, 2.0, 1.0),
        number("I", "max_depth", 1, 8, 1),
    ), tasks="c", length=_TREES, cost=1.5, rows=_ROWS),
    "bagging": Family("bagging", (
        number("J", "n_estimators", 10, 200, 10),
        number("F", "max_samples", 0.1, 1.0, 1.0),
        number("F", "max_features", 0.1, 1.0, 1.0),
        number("J", "max_depth", 2, 40, 40),
    ), length=_TREES, fewest=2, cost=1.5, rows=_ROWS),
}
# fmt: on
