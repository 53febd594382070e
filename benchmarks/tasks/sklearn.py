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

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.tasks.hpobench.models import ALGORITHMS as MODELS
from airtune.benchmarks.tasks.hpobench.models import Algorithm, quiet_single_thread
from airtune.benchmarks.tasks.hpobench.spaces import FIDELITIES, SPACES, Fidelity
from airtune.engine.types import Task, TaskError

if TYPE_CHECKING:
    from airtune.benchmarks.tasks.hpobench.data import Split

MODEL_SEED = 1  # `random_state` of every model: a configuration has one loss


# What HPOBench's models are called here; `benchmarks/hpobench` builds them.
ALGORITHMS: Mapping[str, Algorithm] = {name: MODELS[name] for name in ("svm", "lr", "rf", "mlp")}

DATA: Mapping[str, str] = {
    "breast_cancer": "classifying tumours as malignant or benign (569 samples, 30 features, 2 classes)",
    "digits": "classifying 8 x 8 images of handwritten digits (1797 samples, 64 features, 10 classes)",
    "wine": "classifying wines by cultivar (178 samples, 13 features, 3 classes)",
    "iris": "classifying irises by species (150 samples, 4 features, 3 classes)",
}


def raw_data(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The data set as scikit-learn ships it: features of shape (samples, features), labels."""
    from sklearn import datasets

    features, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    return features, labels


@lru_cache(maxsize=len(DATA))
def load_split(name: str) -> Split:
    """The data set `name` (a key of `DATA`), split and standardised; loaded once per process."""
    from sklearn.preprocessing import StandardScaler

    from airtune.benchmarks.tasks.hpobench.data import Split, split_indices

    features, labels = raw_data(name)
    train, validation, test = split_indices(labels)
    scaler = StandardScaler().fit(features[train])
    parts = [(scaler.transform(features[part]), labels[part]) for part in (train, validation, test)]
    return Split(*parts)


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
        split = load_split(self.data)
        build = ALGORITHMS[self.algorithm].build
        model = build(config, split.train[0].shape[1], self.fidelity, MODEL_SEED)
        with quiet_single_thread():
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
    fidelity = _fidelity(name, FIDELITIES[algorithm], suffix, "@" in name)
    return Task(
        name=name,
        space=SPACES[algorithm](),
        objective=SklearnObjective(algorithm, data, fidelity),
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
    from airtune.benchmarks.tasks.hpobench.task_names import read_fidelity

    return read_fidelity(name, fidelity, suffix)
