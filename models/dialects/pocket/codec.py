"""The alphabet `pocket` speaks: which token says what, and how a loss becomes a score.

One trial is one token per active hyperparameter and one for its score: `a372b110=083`. The letter names the
hyperparameter, the three digits its position on the unit interval of its (log) scale in thousandths; a
categorical's choice is one character (`bC`). Embeddings of these product tokens are trained in factors
(letter + position) and written out as plain rows, so the model is an ordinary Llama.

    prompt   header of each hyperparameter  ;  trials, worst first  >      -> the next configuration
    prompt   header of each hyperparameter  ;  trials, worst first  ?a..   -> the score of that configuration
    header   <role> kind [lower] [upper] default

Weights of the second alphabet read more (`words`): more roles, what choices are called, how long a training is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

LETTERS = "abcdefghijklmnopqrstuvwx"  # one per hyperparameter that is not a constant
CHOICES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ!%&@_~"  # one per choice of a categorical; no digit, or `a1` would begin `a123`
BINS = 1000  # positions on a scale: three digits
KINDS = "FLIJOC"  # float, log float, integer, log integer, ordinal, categorical
PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"
UNKNOWN_ROLE = "<?>"
# Roles the model has met in its tables. Any other name is shown as `<?>`: type and scale must do.
ROLES = (
    "C", "gamma", "alpha", "learning_rate", "max_depth", "min_samples_split", "max_features",
    "min_samples_leaf", "depth", "width", "batch_size", "n_estimators", "subsample", "tol",
    "kernel", "degree", "coef0", "loss", "class_weight", "l1_ratio", "n_components", "whiten", "n_neighbors", "weights",
    "metric", "criterion", "bootstrap", "max_leaf_nodes", "reg_lambda", "colsample_bytree", "min_child_weight",
    "min_split_loss", "momentum", "weight_decay", "dropout", "schedule", "warmup", "label_smoothing", "epochs",
    "optimizer", "beta1", "activation", "init_scale",
)  # fmt: skip
SYNONYMS = {
    "lr": "learning_rate", "eta": "learning_rate", "eta0": "learning_rate", "learning_rate_init": "learning_rate",
    "learningrate": "learning_rate", "step_size": "learning_rate", "init_lr": "learning_rate",
    "base_lr": "learning_rate",
    "c": "C", "cost": "C", "l2": "alpha", "reg_alpha": "alpha", "l2_penalty": "alpha", "wd": "weight_decay",
    "maxdepth": "max_depth", "tree_depth": "max_depth", "mtry": "max_features", "feature_fraction": "colsample_bytree",
    "colsample": "colsample_bytree", "min_child_samples": "min_samples_leaf", "min_data_in_leaf": "min_samples_leaf",
    "n_layers": "depth", "num_layers": "depth", "layers": "depth", "hidden_size": "width", "hidden_units": "width",
    "n_units": "width", "units": "width", "batchsize": "batch_size", "num_trees": "n_estimators",
    "n_trees": "n_estimators", "num_rounds": "n_estimators", "iterations": "n_estimators",
    "bagging_fraction": "subsample", "tolerance": "tol",
    "max_samples": "subsample", "lambda": "reg_lambda", "lambda_l2": "reg_lambda", "l2_regularization": "reg_lambda",
    "l2_leaf_reg": "reg_lambda", "num_leaves": "max_leaf_nodes", "max_leaves": "max_leaf_nodes", "k": "n_neighbors",
    "dropout_rate": "dropout", "drop_rate": "dropout", "p_dropout": "dropout", "hidden_dropout": "dropout",
    "lr_schedule": "schedule", "scheduler": "schedule", "lr_scheduler": "schedule", "lr_decay": "schedule",
    "warmup_ratio": "warmup", "warmup_fraction": "warmup", "warmup_steps": "warmup", "smoothing": "label_smoothing",
    "n_epochs": "epochs", "num_epochs": "epochs", "max_epochs": "epochs", "optimiser": "optimizer",
    "optim": "optimizer", "solver": "optimizer", "beta_1": "beta1", "b1": "beta1", "activation_function": "activation",
    "nonlinearity": "activation", "act": "activation", "num_components": "n_components",
    "penalty_ratio": "l1_ratio",
}  # fmt: skip

# Range ends are told in half decades: what matters is whether a learning rate may be 1e-5 or 1e-3.
_HALF_DECADES = [x / 2 for x in range(-20, 21)]
RANGES = ("[0]", *(f"[{s}e{d:g}]" for s in "+-" for d in _HALF_DECADES))

_MARKS = (";", ">", "?", "=!")
_HEAD = (PAD, EOS, UNK, *_MARKS, *KINDS, UNKNOWN_ROLE, *(f"<{r}>" for r in ROLES), *RANGES)
SCORE0 = len(_HEAD)
CHOICE0 = SCORE0 + BINS
VALUE0 = CHOICE0 + len(LETTERS) * len(CHOICES)
# of the first alphabet's vocabulary; the second's further tokens follow
FIRST_SIZE = VALUE0 + len(LETTERS) * BINS
HEAD_ID = {token: i for i, token in enumerate(_HEAD)}

# Splits any prompt or answer into tokens; the tokenizer file carries the same expression.
TOKEN_PATTERN = r"<[^>]*>|\[[^\]]*\]|\{[^}]*\}|=[0-9]{3}|=!|[a-x][0-9]{3}|[a-x][A-Z!%&@_~]|."


def vocabulary() -> list[str]:
    """All tokens of the first alphabet, in the order of their ids."""
    return [
        *_HEAD,
        *(f"={b:03d}" for b in range(BINS)),
        *(letter + choice for letter in LETTERS for choice in CHOICES),
        *(f"{letter}{b:03d}" for letter in LETTERS for b in range(BINS)),
    ]


def role_token(name: str) -> str:
    """The token for a hyperparameter's name: its role if the model knows one, else `<?>`.

    >>> role_token("optimizer.lr"), role_token("C"), role_token("flux")
    ('<learning_rate>', '<C>', '<?>')
    """
    last = re.split(r"[.:/\s]+", name.strip())[-1]
    key = re.sub(r"[^a-z0-9]+", "_", last.lower()).strip("_")
    role = SYNONYMS.get(key, key)
    return f"<{role}>" if role in ROLES else UNKNOWN_ROLE


def range_token(value: float) -> str:
    """The token for one end of a range.

    >>> range_token(1e-5), range_token(0), range_token(-3.0)
    ('[+e-5]', '[0]', '[-e0.5]')
    """
    if abs(value) < 1e-10:
        return "[0]"
    decade = min(max(round(2 * math.log10(abs(value))) / 2, -10.0), 10.0) + 0.0  # + 0.0: no negative zero
    return f"[{'+' if value > 0 else '-'}e{decade:g}]"


def is_log(values: Sequence[float]) -> bool:
    """Whether a grid's steps are nearer to equal ratios than to equal differences."""
    if values[0] <= 0 or len(values) < 3:
        return False
    steps = [math.log(b / a) for a, b in pairwise(values)]
    differences = [b - a for a, b in pairwise(values)]
    return max(steps) / min(steps) < max(differences) / min(differences)


def number_kind(integer: bool, log: bool) -> str:
    """The letter of a number's kind.

    >>> number_kind(integer=True, log=False)
    'I'
    """
    return "FLIJ"[2 * integer + log]


def to_bin(unit: float) -> int:
    """The bin of a position in [0, 1]; a middle between two goes up, whatever a logarithm's last bit says."""
    return round(min(max(unit, 0.0), 1.0) * (BINS - 1) + 1e-9)


def scores(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.int64]:
    """Losses as scores in thousandths, normalised by the losses of a history.

    The best loss of the history maps to 200, its median to 600, infinity to 999; what would be better than the
    best maps below 200. The map is monotone and unchanged by any affine change of the loss, and one diverged
    trial does not flatten the others.

    Args:
        losses: (..., k), the losses to map.
        reference: (..., n), finite losses of the history, n >= 1; NaN entries are padding and are passed over.

    Returns:
        (..., k) integers in [0, 999].
    """
    ordered = np.sort(reference, axis=-1)  # NaN sorts last
    count = np.maximum((~np.isnan(ordered)).sum(-1, keepdims=True), 1)
    best = ordered[..., :1]
    low, high = (np.take_along_axis(ordered, k, -1) for k in ((count - 1) // 2, count // 2))
    # when half of the history ties with the best
    spread = np.nansum(ordered - best, axis=-1, keepdims=True) / count
    scale = (low + high) / 2 - best
    scale = np.where(scale > 0, scale, spread)
    scale = np.where(scale > 0, scale, np.maximum(np.abs(best), 1e-12))  # when all of it does
    z = (losses - best) / scale
    with np.errstate(divide="ignore", invalid="ignore"):
        worse = 0.2 + 0.8 * np.where(np.isinf(z), 1.0, z / (1.0 + z))
        better = 0.2 / (1.0 - 4.0 * z)
    return np.asarray(np.rint(np.where(z >= 0, worse, better) * (BINS - 1)).clip(0, BINS - 1), dtype=np.int64)


def score_text(score: int) -> str:
    """The token of a score.

    >>> score_text(83)
    '=083'
    """
    return f"={score:03d}"


def trial_text(values: Sequence[str], score: int | None) -> str:
    """One trial as text: its value tokens and its score (None: it failed)."""
    return "".join(values) + ("=!" if score is None else score_text(score))
