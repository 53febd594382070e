"""How trials are evaluated, and where: in this process, or in worker processes of this machine.

Both are used alike, and so is a Ray cluster (`integrations.ray.executor`), from one thread: `submit` begins an
evaluation while there is room, `wait` waits until at least one is over. Results come in any order.
"""

from __future__ import annotations

import math
import selectors
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing import current_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from airtune.engine.evaluation.outcome import Outcome, evaluate
from airtune.engine.evaluation.waiting import wait_in_turns
from airtune.engine.evaluation.workers import Worker
from airtune.engine.types import Task, TaskError
from airtune.grammars import AirtuneError
from airtune.models.environment import as_the_user_has_it

if TYPE_CHECKING:
    from airtune.engine.evaluation.sandboxes import CommandSandbox, RunsOthersCode

Objective = Callable[[dict[str, Any]], Any]
Executor = Literal["local", "ray"]
MOST_JOBS = 1024  # more than a machine runs; a slip of the pen, not a wish


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


def others_code(objective: Any) -> RunsOthersCode | None:
    """The objective, if what it runs can be put into a sandbox: a command, or programs."""
    return objective if hasattr(objective, "in_sandbox") else None


class InProcess:
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
        with as_the_user_has_it():
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
            ready = wait_in_turns(selector.select, min(limits, default=None))
            over = {key.data for key, _ in ready}
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


def check_main_guard() -> None:
    """Refuse a search in a process that `multiprocessing` is starting: it imports the script that began the first one.

    Raises:
        AirtuneError: If that is so.
    """
    if getattr(current_process(), "_inheriting", False):
        script = getattr(sys.modules["__main__"], "__file__", "the script")
        raise AirtuneError(
            "a search begins in a process that the objective has started: the script has no main guard",
            value=script,
            allowed="a script that does nothing when it is imported",
            hint='put the search under `if __name__ == "__main__":`, or evaluate in workers (isolate=True)',
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How trials are evaluated.

    With `jobs` above 1, trials come in batches of that size: each is proposed from the results of the batches before
    its own and from the configurations (not the results) before it in its batch, so that it does not matter which
    evaluation ends first: such a study is as reproducible as any. `asynchronous` ones propose a trial whenever a
    worker is free, from the results that are there: they waste no time, the file tells what each trial saw, but
    another run sees results in another order.

    Attributes:
        timeout_s: Longest evaluation in seconds, or None.
        isolate: In a worker process (True), in this one (False), or (None) in a worker where that is needed.
        executor: On this machine ("local"), or ("ray") on the Ray cluster that RAY_ADDRESS names; without one, on a
            cluster of this machine alone while the study is open. On a cluster another program evaluates, whatever
            `isolate` says.
        jobs: Trials at a time.
        asynchronous: With several jobs, whether a trial is proposed as soon as one ends; else in batches.
        sandbox: Where the task's command or programs run, an `airtune.engine.Sandbox`; None for what the objective says
            (of a command a plain process, of a program space the sandbox). "none" is a plain process, by the user's
            explicit choice, and the study's manifest keeps it.
        noise: What losses are multiplied with, or what is added to them, in the form of `noise.read_noise`; None.

    Raises:
        AirtuneError: If these cannot be.
    """

    timeout_s: float | None = None
    isolate: bool | None = None
    executor: Executor = "local"
    jobs: int = 1
    asynchronous: bool = False
    sandbox: CommandSandbox | Literal["none"] | None = None
    noise: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in get_args(Executor):
            raise AirtuneError(
                f"executor {self.executor!r} is not known",
                value=self.executor,
                allowed="'local' or 'ray'",
                hint="leave it out to evaluate on this machine",
            )
        if isinstance(self.jobs, bool) or not isinstance(self.jobs, int) or not 1 <= self.jobs <= MOST_JOBS:
            raise AirtuneError(
                f"jobs {self.jobs!r} is not a number of trials at a time",
                value=self.jobs,
                allowed=f"1 to {MOST_JOBS}",
                hint="jobs=4 evaluates four trials at a time",
            )
        if self.timeout_s is not None:
            self._check_time(self.timeout_s)
        if isinstance(self.sandbox, str) and self.sandbox != "none":
            raise AirtuneError(
                f"sandbox {self.sandbox!r} is not known",
                value=self.sandbox,
                allowed="a Sandbox, 'none' or None",
                hint="airtune.engine.Sandbox() has limits that fit most programs",
            )
        if self.noise is not None:
            from airtune.engine.evaluation.noise import read_noise

            object.__setattr__(self, "noise", read_noise(self.noise).text)
        if self.isolate is False and (self.timeout_s is not None or self.jobs > 1):
            several = self.timeout_s is None
            raise AirtuneError(
                "several evaluations at a time cannot be in this process"
                if several
                else "an evaluation in this process cannot be stopped at a time limit",
                value=self.jobs if several else self.timeout_s,
                allowed="jobs above 1, or timeout_s, with isolate=True",
                hint=f"leave isolate out, or {'jobs' if several else 'timeout_s'}",
            )

    @staticmethod
    def _check_time(seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise AirtuneError(
                f"timeout_s {seconds!r} is not a time",
                value=seconds,
                allowed="seconds greater than 0, or None for no limit",
                hint="timeout_s=60 ends an evaluation after a minute",
            )

    @property
    def schedule(self) -> str | None:
        """What proposals depend on, for the manifest: batches of so many, no order at all, or (None) one by one."""
        if self.asynchronous:
            return "asynchronous"
        return f"batches of {self.jobs}" if self.jobs > 1 else None

    def sandbox_of(self, task: Task) -> CommandSandbox | Literal["none"] | None:
        """Where what the task's objective runs is run: as was chosen here, or else as the objective says.

        Raises:
            TaskError: If one was chosen, and the objective runs nothing that can be put there.
        """
        chosen, runs = self.sandbox, others_code(task.objective)
        if runs is None:
            if chosen is None or isinstance(chosen, str):
                return chosen
            raise TaskError(
                f"the objective of {task.name!r} is no command, and only commands and programs run in the sandbox",
                value=task.name,
                allowed="a task made of a command line (--command, or command_objective(...)), or of programs",
                hint="put the objective into a program that prints the loss, or leave the sandbox out",
            )
        chosen = runs.sandbox if chosen is None else chosen
        return chosen if chosen is None or isinstance(chosen, str) or chosen.walls else "none"

    def sandbox_entry(self, task: Task) -> dict[str, Any]:
        """What the manifest says of the sandbox: nothing where nothing was said."""
        chosen = self.sandbox_of(task)
        if chosen is None or isinstance(chosen, str):
            return {"sandbox": chosen} if chosen else {}
        return chosen.described()

    def check_sandbox(self, task: Task) -> None:
        """Refuse a sandbox that cannot be had.

        Raises:
            TaskError: See `sandbox_of`.
            AirtuneError: If this machine does not have it.
        """
        chosen = self.sandbox_of(task)
        if chosen is not None and not isinstance(chosen, str):
            chosen.check()

    def seen(self, outcome: Outcome, seed: int, number: int) -> Outcome:
        """The end of a trial's evaluation as the study sees it: with its noise, where there is any."""
        if self.noise is None:
            return outcome
        from airtune.engine.evaluation.noise import read_noise

        return read_noise(self.noise).outcome(outcome, seed, number)

    @property
    def batch(self) -> int:
        """Trials that are proposed without each other's results: 1 where each is proposed from all there are."""
        return 1 if self.asynchronous else self.jobs

    def sandboxed(self, task: Task, study_file: Path | None) -> Task:
        """The task as it is evaluated: what it runs in its sandbox, if it has one, without sight of the study file.

        Raises:
            TaskError: See `sandbox_of`.
        """
        chosen, runs = self.sandbox_of(task), others_code(task.objective)
        if chosen is None or runs is None:
            return task
        hidden = [] if study_file is None else [str(study_file.resolve())]
        where = None if isinstance(chosen, str) else chosen.hiding(*hidden)
        return replace(task, objective=runs.in_sandbox(where))

    def local_evaluator(self, objective: Objective) -> Evaluator:
        """Where the objective is evaluated on this machine.

        Raises:
            TaskError: If the objective cannot be sent there.
        """
        if self.isolate or self.timeout_s is not None or self.jobs > 1:
            return WorkerPool(objective, self.timeout_s, self.jobs)
        return InProcess(objective)
