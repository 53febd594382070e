"""Objectives on a Ray cluster: the executor "ray"."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from types import TracebackType
from typing import Any, Self

from airtune.engine.evaluation.outcome import Outcome, evaluate
from airtune.engine.evaluation.result import one_line
from airtune.engine.types import TaskError
from airtune.grammars import AirtuneError
from airtune.models.environment import as_the_user_has_it
from airtune.models.offline import RAY_SWITCHES


class RayExecutor:
    """Evaluates one objective on a Ray cluster, as many configurations at once as it has room for.

    What is evaluated on a node that dies, or in a process that does, is a failed trial and no more. The objective is
    sent by value (cloudpickle); what it imports must be installed on the nodes, and so must Airtune.

    >>> executor = RayExecutor(objective, address="auto")               # doctest: +SKIP
    >>> [outcome.loss for outcome in executor.map([{"lr": 0.1}, {"lr": 0.2}])]  # doctest: +SKIP
    [0.81, 0.64]

    Args:
        objective: `config -> loss`, as of a `Task`.
        timeout_s: Longest evaluation in seconds, once it has begun; then it is stopped.
        address: Of the cluster: "auto" finds the one that this machine is part of, "ray://HOST:PORT" one elsewhere.
            None takes RAY_ADDRESS, or else starts a cluster on this machine alone, on its loopback address (on its
            network address where Ray was imported before, which settles that), which ends with this executor.
            A cluster that this process is connected to already is used as it is.
        resources: What one evaluation takes, as Ray's options, for example {"num_cpus": 4, "num_gpus": 1}.

    Raises:
        AirtuneError: If Ray is not installed or the cluster is not there.
        TaskError: If the objective cannot be sent.
    """

    def __init__(
        self,
        objective: Callable[[dict[str, Any]], Any],
        timeout_s: float | None = None,
        *,
        address: str | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        self._ray, self._ours = _connect(address)
        self._timeout_s = timeout_s
        self._running: set[Any] = set()
        try:
            self._objective = self._ray.put(_Sent(objective))
        except Exception as error:
            self.close()
            raise TaskError(
                f"the objective cannot be sent to a Ray cluster: {type(error).__name__}: {one_line(str(error))}",
                value=objective,
                allowed="a callable that cloudpickle can pickle: no open files, locks or connections",
                hint="open such things inside the objective",
            ) from error
        self._remote = self._ray.remote(max_retries=0, **(resources or {}))(_evaluate)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, config: Mapping[str, Any]) -> Future[Outcome]:
        """Begin to evaluate a configuration. The future never raises: what goes wrong is the outcome's reason."""
        future: Future[Outcome] = Future()
        reference = self._remote.remote(self._objective, dict(config), self._timeout_s)

        self._running.add(reference)

        def finish(done: Future[Any]) -> None:
            self._running.discard(reference)
            error = done.exception()
            future.set_result(
                done.result()
                if error is None
                else Outcome(reason=one_line(f"the evaluation was lost: {_why(error)}"))
            )

        future.set_running_or_notify_cancel()
        reference.future().add_done_callback(finish)
        return future

    def evaluate(self, config: Mapping[str, Any]) -> Outcome:
        """Evaluate one configuration, and wait for it."""
        return self.submit(config).result()

    def map(self, configs: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """Evaluate several at once, as many as there is room for, and wait for all."""
        return [future.result() for future in [self.submit(config) for config in configs]]

    def close(self) -> None:
        """Stop what is being evaluated, and the cluster if this executor has started it. May be called again."""
        for reference in list(self._running):
            self._ray.cancel(reference, force=True)
        if self._ours:
            self._ours = False
            self._ray.shutdown()


class RayEvaluator:
    """The executor as a study uses it, see `airtune.engine.evaluation.pool.Evaluator`.

    Args:
        objective: `config -> loss`, as of a `Task`.
        timeout_s: Longest evaluation in seconds, or None.
    """

    def __init__(self, objective: Callable[[dict[str, Any]], Any], timeout_s: float | None) -> None:
        self._executor = RayExecutor(objective, timeout_s)
        self._begun: dict[Future[Outcome], int] = {}

    def submit(self, number: int, config: Mapping[str, Any]) -> None:
        """See `Evaluator`."""
        self._begun[self._executor.submit(config)] = number

    def wait(self) -> list[tuple[int, Outcome]]:
        """See `Evaluator`."""
        over = wait(self._begun, return_when=FIRST_COMPLETED).done
        return sorted(((self._begun.pop(one), one.result()) for one in over), key=lambda pair: pair[0])

    def close(self) -> None:
        """See `Evaluator`."""
        self._executor.close()


class _Sent:
    """An objective on its way: Ray would take a bare function in an argument for one of its own."""

    def __init__(self, objective: Callable[[dict[str, Any]], Any]) -> None:
        self.objective = objective


def _evaluate(sent: _Sent, config: dict[str, Any], timeout_s: float | None) -> Outcome:
    """In a process of the cluster: with a time limit, in a worker process of ours that can be stopped."""
    if timeout_s is None:
        return evaluate(sent.objective, config)
    from airtune.engine.evaluation.workers import Worker

    with Worker(sent.objective, timeout_s) as worker:
        return worker.evaluate(config)


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _connect(address: str | None) -> tuple[Any, bool]:
    """Ray, connected; and whether the cluster is ours to end."""
    # Its usage reports, before it is imported; the model's switches are no business of the cluster's programs.
    os.environ.update(RAY_SWITCHES)
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    if where == "local":
        # What Ray does on macOS, read when it is imported: a cluster of one machine, listening on its loopback alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise AirtuneError(
            "Ray is not installed",
            value="ray",
            allowed="an environment with Ray",
            hint="pip install 'airtune[ray]'",
        ) from error
    if ray.is_initialized():
        return ray, False
    local: dict[str, Any] = {"include_dashboard": False} if where == "local" else {}
    try:
        with as_the_user_has_it():
            os.environ.update(RAY_SWITCHES)
            ray.init(address=where, log_to_driver=False, configure_logging=False, **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise AirtuneError(
            f"the Ray cluster {where!r} cannot be used: {one_line(str(error))}",
            value=where,
            allowed="auto, ray://HOST:PORT, HOST:PORT, or none for a cluster on this machine",
            hint="start one with: ray start --head",
        ) from error
    return ray, where == "local"
