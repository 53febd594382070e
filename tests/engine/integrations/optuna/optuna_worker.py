"""One worker of an Optuna study: python optuna_worker.py URL WORKER N_TRIALS PROPOSER [HANG_AT].

With HANG_AT it says "hanging" in the middle of its trial of that index, and waits to be killed.
"""

from __future__ import annotations

import signal
import sys
import warnings

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

from airtune.engine.integrations import AirtuneSampler

# 300 configurations, of which 200 are tried: workers that did not heed each other would repeat many of them.
SPACE = {
    "depth": IntDistribution(1, 10),
    "kernel": CategoricalDistribution(["rbf", "poly", "linear", "sigmoid", "laplace", "cosine"]),
    "dropout": FloatDistribution(0.0, 0.8, step=0.2),
}


def storage(url: str) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        retry = RetryHeartbeatStaleTrialCallback()
        # So long that a worker which a busy machine lets wait is not taken for dead: the killed one's is set back.
        return RDBStorage(url, heartbeat_interval=1, grace_period=300, heartbeat_stale_trial_callback=retry)


def main(url: str, worker: str, n_trials: int, proposer: str, hang_at: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = AirtuneSampler(proposer, search_space=SPACE)
    study = optuna.load_study(study_name="shared", storage=storage(url), sampler=sampler)
    evaluated = 0

    def objective(trial: optuna.Trial) -> float:
        nonlocal evaluated
        depth = trial.suggest_int("depth", 1, 10)
        kernel = trial.suggest_categorical("kernel", SPACE["kernel"].choices)
        dropout = trial.suggest_float("dropout", 0.0, 0.8, step=0.2)
        trial.set_user_attr("worker", worker)
        if evaluated == hang_at:
            print("hanging", flush=True)
            signal.pause()
        evaluated += 1
        return (depth - 6) ** 2 / 10 + (kernel != "rbf") * 0.5 + (dropout - 0.4) ** 2

    study.optimize(objective, n_trials=n_trials)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]) if sys.argv[5:] else -1)
