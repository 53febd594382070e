"""Many workers on one Optuna study in a real PostgreSQL: no duplicates, and a killed worker costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState

WORKER = str(Path(__file__).with_name("optuna_worker.py"))
TRIALS = int(os.environ.get("AIRTUNE_TEST_TRIALS", "60"))
PROPOSER = os.environ.get("AIRTUNE_TEST_PROPOSER", "random")


def start(url: str, worker: int, n_trials: int, hang_at: int = -1) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        WORKER,
        url,
        str(worker),
        str(n_trials),
        PROPOSER,
        str(hang_at),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_four_workers_one_of_them_killed_and_replaced(postgresql: Callable[[str], str]) -> None:
    """Every trial is finished once, the one that was in flight included, and no configuration is tried twice."""
    url, each = postgresql("workers"), TRIALS // 4
    storage = RDBStorage(url)
    study = optuna.create_study(study_name="shared", storage=storage)
    workers = [start(url, k, each, hang_at=each // 2 if k == 1 else -1) for k in range(4)]
    try:
        killed = workers[1]
        assert killed.stdout is not None
        assert killed.stdout.readline() == "hanging\n"
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        in_flight = [
            t for t in study.trials if t.user_attrs.get("worker") == "1" and t.state == TrialState.RUNNING
        ]
        assert len(in_flight) == 1
        # Its last sign of life is an hour ago, for whoever asks next: no waiting for the grace period to pass.
        with storage.engine.begin() as connection:
            connection.execute(
                sqlalchemy.text(
                    "UPDATE trial_heartbeats SET heartbeat = heartbeat - INTERVAL '1 hour' WHERE trial_id = :id"
                ),
                {"id": in_flight[0]._trial_id},
            )
        # What the killed worker has left, done by another one, which joins last and picks the lost trial up.
        workers.append(start(url, 4, each - each // 2))
        for worker in [w for w in workers if w is not killed]:
            assert worker.wait() == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            assert worker.stdout is not None
            worker.stdout.close()

    trials = study.trials
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    failed = [t for t in trials if t.state == TrialState.FAIL]
    tried = {json.dumps(t.params, sort_keys=True) for t in complete}
    print(
        f"{len(trials)} trials: {len(complete)} complete with {len(tried)} different configurations, "
        f"{len(failed)} failed; best {study.best_value:.4f} at {study.best_params}; by worker "
        f"{ {k: sum(t.user_attrs['worker'] == k for t in complete) for k in '01234'} }"
    )
    assert len(complete) == len(tried) == TRIALS
    assert [t.number for t in failed] == [t.number for t in in_flight]
    assert len(trials) == TRIALS + 1
    retried = [t for t in complete if t.system_attrs.get("retry_history") == [in_flight[0].number]]
    assert [t.params for t in retried] == [in_flight[0].params]
    assert not any("airtune:duplicate_of" in t.system_attrs for t in trials)
