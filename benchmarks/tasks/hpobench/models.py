"""HPOBench's five learning algorithms, built and fitted as it does; protocols; one evaluation.

Two protocols say which rows a model is fitted on:

* `clean`: the training rows, all of them, once each. Validation and test rows are never seen.
* `published`: a bootstrap (as many draws as rows, with replacement) of training and validation rows together. That is
  what HPOBench's published tables hold: its template compares Python's builtin `eval`, not its argument, with
  "valid", so it always joins the two parts, and it always resamples. The validation error is then
  in good part a training error; the test error stays honest.

The bootstrap and the model are drawn from the training seed, which HPOBench calls `rng`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from airtune.engine.types import TaskError

if TYPE_CHECKING:
    from airtune.benchmarks.tasks.hpobench.data import Split

Protocol = Literal["clean", "published"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
SEEDS = (665, 1319, 7222, 7541, 8916)  # the training seeds of HPOBench's published tables, in its order
REVISION = 1  # of what `evaluate` computes: a change of it must raise this, and old pieces are not used again


def build_svm(config: Mapping[str, Any], features: int, fidelity: int, seed: int) -> Any:
    """A support vector machine with an RBF kernel. Its fit uses no randomness."""
    from sklearn.svm import SVC

    return SVC(C=config["C"], gamma=config["gamma"], cache_size=200, random_state=seed)


def build_lr(config: Mapping[str, Any], features: int, fidelity: int, seed: int) -> Any:
    """Logistic regression by stochastic gradient descent, `fidelity` epochs."""
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="log_loss", learning_rate="adaptive", tol=None, max_iter=fidelity,
        alpha=config["alpha"], eta0=config["eta0"], n_jobs=1, random_state=seed,
    )  # fmt: skip


def build_rf(config: Mapping[str, Any], features: int, fidelity: int, seed: int) -> Any:
    """A random forest of `fidelity` trees. `max_features` is an exponent: features ** max_features are tried."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=fidelity, bootstrap=True,
        max_depth=config["max_depth"], min_samples_split=config["min_samples_split"],
        max_features=int(np.rint(np.power(features, config["max_features"]))),
        min_samples_leaf=config["min_samples_leaf"], n_jobs=1, random_state=seed,
    )  # fmt: skip


def build_mlp(config: Mapping[str, Any], features: int, fidelity: int, seed: int) -> Any:
    """A multilayer perceptron with Adam, at most `fidelity` epochs."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=[config["width"]] * config["depth"], activation="relu", solver="adam",
        batch_size=config["batch_size"], alpha=config["alpha"],
        learning_rate_init=config["learning_rate_init"], max_iter=fidelity, random_state=seed,
    )  # fmt: skip


def build_xgb(config: Mapping[str, Any], features: int, fidelity: int, seed: int) -> Any:
    """Gradient boosted trees, `fidelity` rounds.

    `tree_method` and `base_score` are what XGBoost 1.3, which HPOBench used, chose by itself on data of this
    size; newer releases choose otherwise. The objective follows the number of classes, as there.

    Raises:
        TaskError: If xgboost is not installed.
    """
    try:
        import xgboost
    except ModuleNotFoundError as error:
        raise TaskError(
            "xgboost is not installed, and evaluating hpobench/xgb live needs it",
            hint="pip install 'airtune[xgb]'; tabulated tasks need no xgboost",
        ) from error

    return xgboost.XGBClassifier(
        booster="gbtree", n_estimators=fidelity, subsample=1, tree_method="exact", base_score=0.5, n_jobs=1,
        eta=config["eta"], max_depth=config["max_depth"], colsample_bytree=config["colsample_bytree"],
        reg_lambda=config["reg_lambda"], random_state=int(np.random.RandomState(seed).randint(1, 10**6)),
    )  # fmt: skip


Build = Callable[[Mapping[str, Any], int, int, int], Any]  # configuration, features, fidelity or 0, seed


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A learning algorithm: what descriptions call it, and how an unfitted estimator of it is built."""

    title: str
    build: Build


ALGORITHMS: Mapping[str, Algorithm] = {
    "svm": Algorithm("a support vector machine with an RBF kernel", build_svm),
    "lr": Algorithm("logistic regression trained by stochastic gradient descent", build_lr),
    "rf": Algorithm("a random forest", build_rf),
    "mlp": Algorithm("a multilayer perceptron trained with Adam", build_mlp),
    "xgb": Algorithm("gradient boosted trees (XGBoost)", build_xgb),
}


@lru_cache(maxsize=1)
def _thread_pools() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped, unused-ignore]

    return ThreadpoolController()


@contextmanager
def quiet_single_thread() -> Iterator[None]:
    """Fitting inside gives the same bits on any number of cores, and no warnings of short training."""
    from sklearn.exceptions import ConvergenceWarning

    # The number of BLAS threads changes the last bits of a matrix product, and with them an MLP's path.
    with _thread_pools().limit(limits=1), warnings.catch_warnings():
        # Short training is the fidelity, not a surprise; scikit-learn clips a batch larger than the data.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="Got `batch_size`", category=UserWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # overflow where training diverges
        yield


def fitted_rows(split: Split, protocol: Protocol, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The rows that a model is fitted on under a protocol: features of shape (rows, features), labels."""
    if protocol == "clean":
        return split.train
    features = np.vstack([split.train[0], split.validation[0]])
    labels = np.concatenate([split.train[1], split.validation[1]])
    drawn = np.random.RandomState(seed).choice(len(labels), size=len(labels))
    return features[drawn], labels[drawn]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One fitted configuration: wrong predictions on validation and test rows, seconds of fitting, divergence."""

    validation_errors: int
    test_errors: int
    seconds: float
    diverged: bool = False


def evaluate(
    model: str,
    config: Mapping[str, Any],
    split: Split,
    *,
    fidelity: int = 0,
    protocol: Protocol = "clean",
    seed: int = SEEDS[0],
) -> Evaluation:
    """Fit one configuration and count its errors. Deterministic and single-threaded.

    Where training diverges (scikit-learn raises on numbers that are no longer finite), every prediction counts
    as wrong: such a model predicts nothing.

    Args:
        model: A key of `ALGORITHMS`.
        config: A configuration of its space.
        split: The data set.
        fidelity: The value of the model's fidelity; 0 where it has none.
        protocol: Which rows the model is fitted on.
        seed: The training seed.
    """
    rows = fitted_rows(split, protocol, seed)
    with quiet_single_thread():
        estimator = ALGORITHMS[model].build(config, rows[0].shape[1], fidelity, seed)
        start = time.process_time()
        try:
            estimator.fit(*rows)
        except ValueError as error:
            if "finite" not in str(error) and "overflow" not in str(error):
                raise
            wrong = len(split.validation[1]), len(split.test[1])
            return Evaluation(*wrong, seconds=time.process_time() - start, diverged=True)
        seconds = time.process_time() - start
        errors = [
            int(np.count_nonzero(estimator.predict(part[0]) != part[1]))
            for part in (split.validation, split.test)
        ]
    return Evaluation(errors[0], errors[1], seconds)
