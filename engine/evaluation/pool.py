"""Where evaluations run: in this process, in worker processes of this machine, or on a Ray cluster.

All are used alike, from one thread: `submit` begins an evaluation while there is room, `wait` waits until at least one
is over. Results come in any order.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, Protocol

from airtune.engine.evaluation.outcome import Outcome, evaluate
from airtune.engine.evaluation.workers import Worker

if TYPE_CHECKING:
    from airtune.engine.integrations.ray.executor import RayExecutor

Objective = Callable[[dict[str, Any]], Any]


class Evaluator(Protocol):
    """Evaluates configurations of one objective, several at a time where it has room for them."""

    def submit(self, number: int, config: Mapping[str, Any]) -> None:
        """Begin to evaluate trial `number`; the caller keeps to the number of evaluations that there is room for.

        Raises:
            TaskError: If the objective cannot be loaded where it is to be evaluated.
        """

    def wait(self) -> list[tuple[int, Outcome]]:
        """Wait until at least one of the evaluations that were begun is over; those that are, by trial number."""

    def close(self) -> None:
        """End it, and what is still being evaluated. May be called again."""


class Inline:
    """Evaluates in this process, when it is waited for."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._begun: list[tuple[int, Mapping[str, Any]]] = []

    def submit(self, number: int, config: Mapping[str, Any]) -> None:
        """See `Evaluator`."""
        self._begun.append((number, config))

    def wait(self) -> list[tuple[int, Outcome]]:
        """See `Evaluator`."""
        number, config = self._begun.pop(0)
        return [(number, evaluate(self._objective, config))]

    def close(self) -> None:
        """See `Evaluator`."""
        self._begun.clear()


class WorkerPool:
    """Evaluates in worker processes of this machine.

    Args:
        objective: Sent by value; see `Worker`.
        timeout_s: Longest evaluation in seconds, or None.
        size: Workers.

    Raises:
        TaskError: If the objective cannot be sent.
    """

    def __init__(self, objective: Objective, timeout_s: float | None, size: int) -> None:
        self._idle = [Worker(objective, timeout_s, index) for index in range(size)]
        self._busy: dict[int, Worker] = {}
        self._launched = False

    def submit(self, number: int, config: Mapping[str, Any]) -> None:
        """See `Evaluator`."""
        if not self._launched:  # all at once: what an objective imports may take each of them seconds
            self._launched = True
            for worker in self._idle:
                worker.launch()
        worker = self._idle.pop(0)
        self._busy[number] = worker
        worker.begin(config)

    def wait(self) -> list[tuple[int, Outcome]]:
        """See `Evaluator`."""
        with selectors.DefaultSelector() as selector:
            for number, worker in self._busy.items():
                selector.register(worker.answers, selectors.EVENT_READ, number)
            left = [worker.seconds_left for worker in self._busy.values()]
            limits = [seconds for seconds in left if seconds is not None]
            over = {key.data for key, _ in selector.select(min(limits, default=None))}
        over |= {number for number, worker in self._busy.items() if worker.seconds_left == 0}
        return [(number, self._end(number)) for number in sorted(over)]

    def close(self) -> None:
        """See `Evaluator`."""
        self._idle += self._busy.values()
        self._busy.clear()
        for worker in self._idle:
            worker.close()

    def _end(self, number: int) -> Outcome:
        worker = self._busy.pop(number)
        self._idle.append(worker)
        return worker.end()


class OnRay:
    """Evaluates on a Ray cluster.

    Args:
        executor: Closed with this evaluator.
    """

    def __init__(self, executor: RayExecutor) -> None:
        self._executor = executor
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
