"""What the second alphabet reads beyond the first: more roles, the words of choices, how long a training is.

Weights of the first alphabet have no rows for these tokens, and are told nothing of them (`PocketDialect.alphabet`).
All stand at the end of the vocabulary, so that the tokens of the first one keep their ids.

    header   [budget K amount] then of each hyperparameter:  <role> kind lower upper [choice word]... default
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

from airtune.grammars.space_check import is_finite_number
from airtune.models.dialects.pocket.codec import (
    FIRST_SIZE,
    HEAD_ID,
    ROLES,
    SYNONYMS,
    UNKNOWN_ROLE,
    range_token,
)

# A hyperparameter of these roles that is a constant says how long a training is: eight epochs have another optimum
# than two hundred. Nothing said: trained to the end.
BUDGETS = ("epochs", "n_estimators")
BUDGET_KIND = "K"
MORE_ROLES = (
    "fit_intercept", "penalty", "power_t", "average", "shrinking", "epsilon", "p", "kind", "shrinkage", "reg_param",
    "var_smoothing", "length_scale", "nu", "model", "ccp_alpha", "splitrule", "early_stopping", "validation_fraction",
    "patience", "reg_alpha", "colsample_bylevel", "booster", "grow_policy", "sample_type", "normalize_type",
    "rate_drop", "skip_drop", "beta2", "nesterov", "decay_rate", "clip",
)  # fmt: skip
_MORE_SYNONYMS = {
    "reg_alpha": "reg_alpha", "lambda_l1": "reg_alpha", "l1_regularization": "reg_alpha", "cp": "ccp_alpha",
    "n_iter_no_change": "patience", "early_stopping_rounds": "patience", "stopping_rounds": "patience",
    "distance": "p", "classifier": "model", "algorithm": "model", "estimator": "model", "model_type": "model",
    "minsplit": "min_samples_split", "minbucket": "min_samples_leaf", "min_node_size": "min_samples_leaf",
    "mtry_ratio": "max_features", "sample_fraction": "subsample", "replace": "bootstrap", "nrounds": "n_estimators",
    "n_rounds": "n_estimators", "rounds": "n_estimators", "num_boost_round": "n_estimators", "trees": "n_estimators",
    "min_sum_hessian_in_leaf": "min_child_weight", "min_gain_to_split": "min_split_loss",
    "hidden_layer_depth": "depth", "num_nodes_per_layer": "width", "hidden_layer_sizes": "width", "size": "width",
    "hidden_dim": "width", "max_units": "width", "beta_2": "beta2", "b2": "beta2", "grad_clip": "clip",
    "max_grad_norm": "clip", "clipnorm": "clip", "gradient_clip": "clip", "decay": "weight_decay", "maxit": "epochs",
    "max_iter": "epochs", "adam_beta1": "beta1", "adam_beta2": "beta2", "lr_gamma": "decay_rate",
}  # fmt: skip
# Too general to mean the same at the end of another name: ema_decay, kernel_size.
_WHOLE_NAMES = (
    "size",
    "kind",
    "average",
    "distance",
    "replace",
    "decay",
    "model",
    "trees",
    "penalty",
    "p",
    "k",
)
WORDS = (
    "true", "false", "none", "balanced",
    "rbf", "poly", "sigmoid", "linear", "laplacian", "hinge", "squared_hinge", "log_loss", "modified_huber",
    "perceptron", "squared_error", "absolute_error", "huber", "l1", "l2", "elasticnet", "optimal", "invscaling",
    "constant", "adaptive", "uniform", "distance", "euclidean", "manhattan", "chebyshev", "quadratic",
    "forest", "svm", "neighbours", "logistic", "tree", "xgboost", "histogram_boosting", "mlp", "gini", "entropy",
    "sqrt", "log2", "best", "random", "relu", "tanh", "gelu", "elu", "adam", "adamw", "sgd", "rmsprop",
    "cosine", "step", "exponential", "gbtree", "gblinear", "dart", "depthwise", "lossguide", "weighted",
    "1", "2", "3", "4", "5", "6", "7", "8",
)  # fmt: skip
_SAME_WORD = {
    "yes": "true", "on": "true", "no": "false", "off": "false", "null": "none", "radial": "rbf", "gaussian": "rbf",
    "polynomial": "poly", "log": "log_loss", "mse": "squared_error", "squared_loss": "squared_error",
    "mae": "absolute_error", "elastic_net": "elasticnet", "randomforest": "forest", "random_forest": "forest",
    "rf": "forest", "svc": "svm", "knn": "neighbours", "neighbors": "neighbours", "kneighbors": "neighbours",
    "logreg": "logistic", "logistic_regression": "logistic", "decision_tree": "tree", "xgb": "xgboost",
    "gbdt": "gbtree", "neural_network": "mlp", "silu": "gelu", "swish": "gelu", "nadam": "adam",
    "cosineannealing": "cosine", "cosine_annealing": "cosine", "l2_norm": "l2", "minkowski": "euclidean",
}  # fmt: skip
NUMBERED = tuple(str(i) for i in range(1, 9))

# In the order of their ids, which follow the first alphabet's.
MORE_TOKENS = (BUDGET_KIND, *(f"<{role}>" for role in MORE_ROLES), *(f"{{{word}}}" for word in WORDS))
ALL_ROLES = (*ROLES, *MORE_ROLES)
TOKEN_ID = {
    **HEAD_ID,
    **{token: FIRST_SIZE + i for i, token in enumerate(MORE_TOKENS)},
}  # of what stands in a header


def role_of(name: str) -> str | None:
    """The role that a name means, or None: the whole name, or the longest end of it that is one.

    >>> role_of("optimizer.lr"), role_of("svm_C"), role_of("n_units_l0"), role_of("batch size"), role_of("flux")
    ('learning_rate', 'C', 'width', 'batch_size', None)
    """
    name = re.sub(r"[^A-Za-z0-9]+", "_", name.strip()).strip("_")
    plain = re.sub(r"_l?\d+$", "", name)
    parts = plain.split("_")
    for end in (name, *("_".join(parts[i:]) for i in range(len(parts)))):
        key = end.lower()
        if end not in (name, plain) and (key in _WHOLE_NAMES or end == "c"):
            continue
        role = "C" if key == "c" else _MORE_SYNONYMS.get(key) or SYNONYMS.get(key, key)
        if role in ALL_ROLES:
            return role
    return None


def role_token(name: str) -> str:
    """The token for a hyperparameter's name in the second alphabet: its role if there is one, else `<?>`."""
    role = role_of(name)
    return f"<{role}>" if role else UNKNOWN_ROLE


def word_token(choice: Any) -> str | None:
    """The token for what a choice is called, or None: the model knows no such word. Numbers are read by half decades.

    >>> word_token("torch.optim.AdamW"), word_token(None), word_token(2), word_token("0.5"), word_token("banana")
    ('{adamw}', '{none}', '{2}', '[+e-0.5]', None)
    """
    text = str(choice).strip()
    try:
        number = float(text)
    except ValueError:
        key = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
        ends = list(accumulate(reversed(key.split("_")), lambda tail, part: f"{part}_{tail}"))
        for end in reversed(ends):
            word = _SAME_WORD.get(end, end)
            if word in WORDS and (word not in NUMBERED):
                return f"{{{word}}}"
        return None
    if not is_finite_number(number):
        return None
    small = f"{number:g}"
    return f"{{{small}}}" if small in NUMBERED else range_token(number)


def budget_tokens(name: str, value: Any) -> list[str]:
    """What a header says of a constant: how long a training is, or nothing.

    >>> budget_tokens("max_iter", 200), budget_tokens("verbose", 1), budget_tokens("epochs", "many")
    (['<epochs>', 'K', '[+e2.5]'], [], [])
    """
    role = role_of(name)
    if role not in BUDGETS or not is_finite_number(value) or value <= 0:
        return []
    return [f"<{role}>", BUDGET_KIND, range_token(float(value))]
