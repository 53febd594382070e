"""Spaces of networks: as users of scikit-learn, PyTorch, Keras, Optuna and R write them."""

from __future__ import annotations

from airtune.models.pocket.training.corpus.networks import Length
from airtune.models.pocket.training.corpus.notation import Family, Only, Param, choice, number, ordinal

_ROWS = (300, 1500)
_PLATEAU, _EARLY, _FIXED, _SHORT = (
    Length("plateau", 200),
    Length("early", 200),
    Length("fixed", 100),
    Length("short", 8),
)
_ADAM: Only = ("optimizer", ("adam", "adamw"))
_SGD: Only = ("optimizer", ("sgd",))


def _batch(name: str = "batch_size", default: int = 32) -> Param:
    return ordinal(name, 16, 32, 64, 128, 256, default=default, key="batch_size")


def _units(name: str, only: Only = None, key: str = "") -> Param:
    return number("J", name, 8, 128, 64, key or "width", only)


# Optuna's example: a network whose layers have hyperparameters of their own.
_BY_LAYER = tuple(
    p
    for i in range(1, 4)
    for p in (
        number("J", f"n_units_l{i - 1}", 4, 128, 64, f"width{i}", ("n_layers", tuple(range(i, 4)))),
        number("F", f"dropout_l{i - 1}", 0.0, 0.5, 0.2, f"dropout{i}", ("n_layers", tuple(range(i, 4)))),
    )
)
# fmt: off
NETWORKS: dict[str, Family] = {
    "sklearn_mlp": Family("network", (
        ordinal("hidden_layer_depth", 1, 2, 3, default=1, key="depth"),
        number("J", "num_nodes_per_layer", 16, 256, 100, "width"),
        choice("activation", "relu", "tanh", "logistic"),
        number("L", "alpha", 1e-7, 1e-1, 1e-4),
        number("L", "learning_rate_init", 1e-4, 0.5, 1e-3, "learning_rate"),
        number("J", "batch_size", 16, 256, 200),
    ), length=_PLATEAU, short=_SHORT, fewest=3,
        fixed={"batch_size": 200, "width": 100, "depth": 1}, cost=1.2, rows=_ROWS),
    "sklearn_mlp_sgd": Family("network", (
        number("L", "learning_rate_init", 1e-4, 1.0, 1e-3, "learning_rate"),
        number("F", "momentum", 0.0, 0.99, 0.9),
        number("L", "alpha", 1e-6, 1.0, 1e-4),
        ordinal("hidden_layer_sizes", 25, 50, 100, 200, default=100, key="width"),
        _batch(default=0),
    ), length=_PLATEAU, short=_SHORT, fewest=3,
        fixed={"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "batch_size": 200, "width": 100, "depth": 1},
        cost=0.9, rows=_ROWS),
    "perceptron": Family("network", (
        number("I", "depth", 1, 3, 2),
        number("J", "width", 8, 256, 64),
        number("J", "batch_size", 8, 256, 32),
        number("L", "l2", 1e-8, 1.0, 1e-3, "alpha"),
        number("L", "lr", 1e-5, 1.0, 1e-3, "learning_rate"),
    ), length=_EARLY, short=_SHORT, cost=1.5, rows=_ROWS),
    "torch_sgd": Family("network", (
        number("L", "lr", 1e-4, 1.0, 1e-2, "learning_rate"),
        number("F", "momentum", 0.0, 0.99, 0.9),
        number("L", "weight_decay", 1e-6, 1e-2, 1e-4),
        _batch(),
        choice("lr_scheduler", "constant", "cosine", "step", key="schedule"),
        number("F", "dropout", 0.0, 0.6, 0.0),
    ), length=_FIXED, short=_SHORT, fewest=3, fixed={"optimizer": "sgd", "momentum": 0.9}, cost=0.9, rows=_ROWS),
    "torch_adam": Family("network", (
        number("L", "learning_rate", 1e-5, 1e-1, 1e-3),
        number("L", "weight_decay", 1e-6, 1e-1, 1e-2),
        number("I", "num_layers", 1, 4, 2, "depth"),
        _units("hidden_dim"),
        number("F", "dropout", 0.0, 0.5, 0.1),
        _batch(),
        number("F", "beta1", 0.8, 0.99, 0.9),
    ), length=_EARLY, short=_SHORT, fewest=3, fixed={"optimizer": "adamw", "weight_decay": 1e-2}, cost=1.2, rows=_ROWS),
    "torch_optimizer": Family("network", (
        choice("optimizer", "adam", "adamw", "sgd", "rmsprop"),
        number("L", "lr", 1e-5, 1.0, 1e-3, "learning_rate"),
        number("F", "momentum", 0.0, 0.99, 0.9, only=_SGD),
        choice("nesterov", False, True, only=_SGD),
        number("F", "beta1", 0.8, 0.99, 0.9, only=_ADAM),
        number("F", "beta2", 0.9, 0.9999, 0.999, only=_ADAM),
        number("L", "weight_decay", 1e-6, 1e-1, 1e-4),
        choice("scheduler", "constant", "cosine", "linear", "step", "exponential", key="schedule"),
        number("F", "gamma", 0.05, 0.9, 0.1, "decay_rate", ("scheduler", ("step", "exponential"))),
        number("F", "warmup_ratio", 0.0, 0.3, 0.0, "warmup", ("scheduler", ("cosine", "linear"))),
        number("I", "num_layers", 1, 3, 2, "depth"),
        _units("hidden_size"),
        choice("activation", "relu", "tanh", "gelu"),
        number("F", "dropout", 0.0, 0.5, 0.0),
        _batch(),
        number("F", "grad_clip", 0.1, 5.0, 1.0, "clip"),
    ), length=_FIXED, short=_SHORT, cost=1.4, rows=_ROWS),
    "keras": Family("network", (
        number("J", "units", 16, 128, 64, "width"),
        number("I", "layers", 1, 3, 2, "depth"),
        number("F", "dropout_rate", 0.0, 0.5, 0.2, "dropout"),
        number("L", "learning_rate", 1e-4, 1e-1, 1e-3),
        choice("optimizer", "adam", "rmsprop", "sgd"),
        choice("activation", "relu", "tanh", "elu"),
        _batch(),
        number("J", "epochs", 20, 200, 50),
    ), length=_FIXED, short=_SHORT, fewest=3, cost=1.0, rows=_ROWS),
    "optuna_layers": Family("network", (
        choice("n_layers", 1, 2, 3, key="depth"), *_BY_LAYER,
        choice("optimizer", "adam", "rmsprop", "sgd"),
        number("L", "lr", 1e-5, 1e-1, 1e-3, "learning_rate"),
    ), length=_EARLY, short=_SHORT, cost=1.0, rows=_ROWS),
    "tabular_sgd": Family("network", (
        number("J", "batch_size", 16, 256, 64),
        number("L", "learning_rate", 1e-4, 1e-1, 1e-2),
        number("F", "momentum", 0.1, 0.99, 0.9),
        number("L", "weight_decay", 1e-5, 1e-1, 1e-4),
        number("I", "num_layers", 1, 5, 2, "depth"),
        number("J", "max_units", 16, 256, 64, "width"),
        number("F", "max_dropout", 0.0, 0.8, 0.0, "dropout"),
    ), length=_FIXED, short=_SHORT, fixed={"optimizer": "sgd", "schedule": "cosine"}, cost=1.3, rows=_ROWS),
    "fine_tuning": Family("network", (
        number("L", "peak_lr", 1e-5, 1e-1, 1e-3, "learning_rate"),
        number("F", "warmup_fraction", 0.0, 0.3, 0.1, "warmup"),
        choice("lr_decay", "linear", "cosine", "constant", key="schedule"),
        number("F", "label_smoothing", 0.0, 0.3, 0.0),
        number("F", "weight_decay", 0.0, 0.3, 0.01),
        ordinal("num_train_epochs", 10, 20, 40, 80, default=20, key="epochs"),
        _batch("train_batch_size"),
    ), tasks="c", length=_FIXED, short=_SHORT, fewest=3, fixed={"optimizer": "adamw"}, cost=0.7, rows=_ROWS),
    "r_nnet": Family("small_net", (
        number("I", "size", 1, 20, 5, "width"),
        number("L", "decay", 1e-5, 10.0, 1e-4, "alpha"),
        number("J", "maxit", 50, 1000, 100, "epochs"),
    ), fewest=2, length=Length("tolerance", 200), short=Length("short", 10), cost=0.2, rows=_ROWS),
}
# fmt: on
