"""HPOBench's models and search spaces on the data sets that scikit-learn ships: `sklearn/{model}/{data}`.

Spaces, defaults, fidelities, model construction, the loss (1 - accuracy) and the pre-processing (standard
scaling fitted on the training part) follow HPOBench 0.0.10 (Eggensperger et al., arXiv 2109.06716):
`hpobench/benchmarks/ml/{svm,lr,rf,nn}_benchmark.py`, `hpobench/dependencies/ml/{ml_benchmark_template,
data_manager}.py`. Two things differ, on purpose: the data sets, and the protocol, which is the clean one. The
model is fitted once, on the training part only and on all of it (HPOBench resamples it with replacement), and
the validation part is never seen in fitting.

The data are split once and for all: 10 % test, then 33 % of the rest validation, both stratified, seed 1. An
objective returns {"loss": validation error, "test_loss": test error}; nothing tunes on the latter.

A task's name may end in a fidelity, which makes every evaluation cheaper and the task another one:
`sklearn/rf/digits@trees=16`, `sklearn/mlp/digits@epochs=9`, `sklearn/lr/iris@iter=100`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace, Float, Integer
from numpy.typing import NDArray

from airtune.engine.types import Task, TaskError

SPLIT_SEED = 1  # HPOBench's `global_seed`
MODEL_SEED = 1  # `random_state` of every model: a configuration has one loss
TEST_SIZE = 0.1
VALIDATION_SIZE = 0.33


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What makes an evaluation cheaper: its name in task names, and HPOBench's range of it."""

    name: str
    lowest: int
    full: int


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A learning algorithm.

    Attributes:
        title: What it is called in descriptions.
        space: Builds its search space.
        build: (configuration, number of features, fidelity or 0) -> an unfitted estimator.
        fidelity: Its fidelity, or None.
    """

    title: str
    space: Callable[[], ConfigurationSpace]
    build: Callable[[Mapping[str, Any], int, int], Any]
    fidelity: Fidelity | None


def _svm_space() -> ConfigurationSpace:
    space = ConfigurationSpace(name="svm")
    space.add(
        Float("C", (2**-10, 2**10), log=True, default=1.0),
        Float("gamma", (2**-10, 2**10), log=True, default=0.1),
    )
    return space


def _svm(config: Mapping[str, Any], features: int, fidelity: int) -> Any:
    from sklearn.svm import SVC

    return SVC(C=config["C"], gamma=config["gamma"], cache_size=200, random_state=MODEL_SEED)


def _lr_space() -> ConfigurationSpace:
    space = ConfigurationSpace(name="lr")
    space.add(
        Float("alpha", (1e-5, 1.0), log=True, default=1e-3),
        Float("eta0", (1e-5, 1.0), log=True, default=1e-2),
    )
    return space


def _lr(config: Mapping[str, Any], features: int, fidelity: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="log_loss", learning_rate="adaptive", tol=None, max_iter=fidelity,
        alpha=config["alpha"], eta0=config["eta0"], n_jobs=1, random_state=MODEL_SEED,
    )  # fmt: skip


def _rf_space() -> ConfigurationSpace:
    space = ConfigurationSpace(name="rf")
    space.add(
        Integer("max_depth", (1, 50), log=True, default=10),
        Integer("min_samples_split", (2, 128), log=True, default=32),
        Float("max_features", (0.0, 1.0), default=0.5),  # an exponent, see _rf
        Integer("min_samples_leaf", (1, 20), default=1),
    )
    return space


def _rf(config: Mapping[str, Any], features: int, fidelity: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=fidelity, bootstrap=True,
        max_depth=config["max_depth"], min_samples_split=config["min_samples_split"],
        max_features=int(np.rint(np.power(features, config["max_features"]))),
        min_samples_leaf=config["min_samples_leaf"], n_jobs=1, random_state=MODEL_SEED,
    )  # fmt: skip


def _mlp_space() -> ConfigurationSpace:
    space = ConfigurationSpace(name="mlp")
    space.add(
        Integer("depth", (1, 3), default=3),
        Integer("width", (16, 1024), log=True, default=64),
        Integer("batch_size", (4, 256), log=True, default=32),
        Float("alpha", (1e-8, 1.0), log=True, default=1e-3),
        Float("learning_rate_init", (1e-5, 1.0), log=True, default=1e-3),
    )
    return space


def _mlp(config: Mapping[str, Any], features: int, fidelity: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=[config["width"]] * config["depth"], activation="relu", solver="adam",
        batch_size=config["batch_size"], alpha=config["alpha"],
        learning_rate_init=config["learning_rate_init"], max_iter=fidelity, random_state=MODEL_SEED,
    )  # fmt: skip


ALGORITHMS: Mapping[str, Algorithm] = {
    "svm": Algorithm("a support vector machine with an RBF kernel", _svm_space, _svm, None),
    "lr": Algorithm(
        "logistic regression trained by stochastic gradient descent",
        _lr_space,
        _lr,
        Fidelity("iter", 10, 1000),
    ),
    "rf": Algorithm("a random forest", _rf_space, _rf, Fidelity("trees", 16, 512)),
    "mlp": Algorithm(
        "a multilayer perceptron trained with Adam", _mlp_space, _mlp, Fidelity("epochs", 3, 243)
    ),
}

DATA: Mapping[str, str] = {
    "breast_cancer": "classifying tumours as malignant or benign (569 samples, 30 features, 2 classes)",
    "digits": "classifying 8 x 8 images of handwritten digits (1797 samples, 64 features, 10 classes)",
    "wine": "classifying wines by cultivar (178 samples, 13 features, 3 classes)",
    "iris": "classifying irises by species (150 samples, 4 features, 3 classes)",
}


@dataclass(frozen=True, slots=True)
class Split:
    """A data set in three parts: features of shape (samples, features), standardised on `train`; labels."""

    train: tuple[NDArray[np.float64], NDArray[np.int64]]
    validation: tuple[NDArray[np.float64], NDArray[np.int64]]
    test: tuple[NDArray[np.float64], NDArray[np.int64]]


def split_indices(
    labels: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The fixed stratified split of a data set: indices of its training, validation and test samples."""
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SIZE, stratify=labels, random_state=SPLIT_SEED
    )
    train, validation = train_test_split(
        rest, test_size=VALIDATION_SIZE, stratify=labels[rest], random_state=SPLIT_SEED
    )
    return train, validation, test


def raw_data(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The data set as scikit-learn ships it: features of shape (samples, features), labels."""
    from sklearn import datasets

    features, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    return features, labels


@lru_cache(maxsize=len(DATA))
def load_split(name: str) -> Split:
    """The data set `name` (a key of `DATA`), split and standardised; loaded once per process."""
    from sklearn.preprocessing import StandardScaler

    features, labels = raw_data(name)
    train, validation, test = split_indices(labels)
    scaler = StandardScaler().fit(features[train])
    parts = [(scaler.transform(features[part]), labels[part]) for part in (train, validation, test)]
    return Split(*parts)


@lru_cache(maxsize=1)
def _thread_pools() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped, unused-ignore]

    return ThreadpoolController()


@dataclass(frozen=True, slots=True)
class SklearnObjective:
    """Fits one configuration and scores it. Deterministic and single-threaded; picklable.

    Attributes:
        algorithm: A key of `ALGORITHMS`.
        data: A key of `DATA`.
        fidelity: The value of the algorithm's fidelity; 0 where it has none.
    """

    algorithm: str
    data: str
    fidelity: int

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """{"loss": validation error, "test_loss": test error}, both 1 - accuracy.

        Raises:
            ValueError: From scikit-learn, where training diverges (a failed trial, not a loss).
        """
        from sklearn.exceptions import ConvergenceWarning

        split = load_split(self.data)
        model = ALGORITHMS[self.algorithm].build(config, split.train[0].shape[1], self.fidelity)
        # The number of BLAS threads changes the last bits of a matrix product, and with them an MLP's path.
        with _thread_pools().limit(limits=1), warnings.catch_warnings():
            # Short training is the fidelity, not a surprise; scikit-learn clips a batch larger than the data.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", message="Got `batch_size`", category=UserWarning)
            warnings.filterwarnings("ignore", category=RuntimeWarning)  # overflow where training diverges
            model.fit(*split.train)
            return {
                "loss": float(np.mean(model.predict(split.validation[0]) != split.validation[1])),
                "test_loss": float(np.mean(model.predict(split.test[0]) != split.test[1])),
            }


def sklearn_names() -> list[str]:
    """The names of all sklearn tasks, at full fidelity."""
    return [f"sklearn/{algorithm}/{data}" for algorithm in ALGORITHMS for data in DATA]


def sklearn_task(name: str) -> Task:
    """The sklearn task of that name: one of `sklearn_names()`, with or without a fidelity suffix.

    Raises:
        TaskError: If the fidelity suffix is not one of this task's.
    """
    base, _, suffix = name.partition("@")
    _, algorithm, data = base.split("/")
    made = ALGORITHMS[algorithm]
    space = made.space()
    return Task(
        name=name,
        space=space,
        objective=SklearnObjective(algorithm, data, _fidelity(name, made.fidelity, suffix, "@" in name)),
        metric="validation error",
        description=(
            f"Tune {made.title} for {DATA[data]}. "
            "The loss is the error rate on a held-out validation set, between 0 and 1."
        ),
    )


def _fidelity(name: str, fidelity: Fidelity | None, suffix: str, given: bool) -> int:
    """The fidelity that a task name asks for; full where it has no suffix."""
    if fidelity is None:
        if given:
            base = name.partition("@")[0]
            raise TaskError(
                f"task {name!r}: this task has no fidelity, so no suffix", value=suffix, hint=f"use {base!r}"
            )
        return 0
    if not given:
        return fidelity.full
    match = re.fullmatch(rf"{fidelity.name}=([1-9][0-9]{{0,5}})", suffix)
    if match is None or not fidelity.lowest <= int(match[1]) <= fidelity.full:
        raise TaskError(
            f"task {name!r}: bad fidelity {suffix!r}",
            value=suffix,
            allowed=f"{fidelity.name}=N with N from {fidelity.lowest} to {fidelity.full}",
            hint=f"for example {name.partition('@')[0]}@{fidelity.name}={fidelity.lowest}",
        )
    return int(match[1])
