"""What a study is told to do, checked: its proposer, its name, and how its trials are evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from airtune.engine.evaluation.pool import Evaluator, Inline, OnRay, WorkerPool
from airtune.engine.manifest import language_model
from airtune.engine.types import Proposer, Task, TaskError
from airtune.grammars import AirtuneError

Executor = Literal["local", "ray"]
MOST_JOBS = 1024  # more than a machine runs; a slip of the pen, not a wish


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How trials are evaluated.

    Attributes:
        timeout_s: Longest evaluation in seconds, or None.
        isolate: In a worker process (True), in this one (False), or (None) in a worker where that is needed.
        executor: On this machine, or on a Ray cluster.
        jobs: Trials at a time.
        asynchronous: With several jobs, whether a trial is proposed as soon as one ends; else in batches.

    Raises:
        AirtuneError: If these cannot be.
    """

    timeout_s: float | None = None
    isolate: bool | None = None
    executor: Executor = "local"
    jobs: int = 1
    asynchronous: bool = False

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
                hint="--jobs 4 evaluates four trials at a time",
            )
        if self.timeout_s is not None:
            self._check_time(self.timeout_s)
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
                hint="--timeout takes seconds",
            )

    @property
    def schedule(self) -> str | None:
        """What proposals depend on, for the manifest: batches of so many, no order at all, or (None) one by one."""
        if self.asynchronous:
            return "asynchronous"
        return f"batches of {self.jobs}" if self.jobs > 1 else None

    def evaluator(self, task: Task) -> Evaluator:
        """Where the task's objective is evaluated from now on.

        Raises:
            TaskError: If the objective cannot be sent there.
            AirtuneError: If there is no such place.
        """
        if self.executor == "ray":
            from airtune.engine.integrations.ray.executor import RayExecutor

            return OnRay(RayExecutor(task.objective, self.timeout_s))
        if self.isolate or self.timeout_s is not None or self.jobs > 1:
            return WorkerPool(task.objective, self.timeout_s, self.jobs)
        return Inline(task.objective)


def check_task(task: Task, seed: int) -> None:
    """Raise an AirtuneError if the task has no objective to call, or the seed is none."""
    if not callable(task.objective):
        raise TaskError(
            f"the objective of task {task.name!r} cannot be called: {task.objective!r}",
            value=task.objective,
            allowed="a function of one configuration (a dict) that returns the loss",
            hint="pass the function itself, not what it returns",
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise AirtuneError(
            f"seed {seed!r} is not a whole number",
            value=seed,
            allowed="any whole number",
            hint="for example seed=0",
        )


def default_name(task: Task, proposer: Proposer, seed: int, schedule: str | None) -> str:
    """The name of a study that was not given one: what it is, so that another one has another."""
    model = language_model(proposer)
    parts = [task.name, proposer.name, *([] if model is None else [model.name]), f"seed={seed}"]
    return "/".join([*parts, *([] if schedule is None else [schedule.replace(" ", "-")])])
