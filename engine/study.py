"""Study: ask for a configuration, evaluate it, tell the result, again; all of it in the study file first."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from airtune.engine.events import Asked, Event, Finished, Proposing, Result, SpaceExhausted, Stopped
from airtune.engine.manifest import check_same_study, language_model, study_manifest
from airtune.engine.outcome import Outcome, TrialFailed, evaluate, one_line, read_result
from airtune.engine.proposal_check import checked
from airtune.engine.seeds import derive_seed
from airtune.engine.store import StudyFile
from airtune.engine.types import DEFAULT_PROPOSER, Proposer, Task, TaskError, Trial
from airtune.engine.workers import Worker
from airtune.grammars import AirtuneError, canonical_lattice, lattice_grammar
from airtune.models import LanguageModel

if TYPE_CHECKING:
    from airtune.engine.integrations.ray_executor import RayExecutor

Executor = Literal["local", "ray"]

__all__ = ["Asked", "Event", "Finished", "Proposing", "Result", "SpaceExhausted", "Study"]


class Study:
    """One search, backed by a study file; a context manager.

    Trial i is proposed from the trials before it and `derive_seed(seed, i)`, and from nothing else: stopping,
    killing and resuming change nothing. A trial that was asked and has no result when a study is opened is
    given out again, under its number, before any new one.

    Args:
        task: What is tuned.
        proposer: A proposer or its name.
        model: The language model, or its name, of proposers that need one; the others take no notice.
        seed: Of the whole study.
        path: The study file, made if need be; an existing study goes on. None: in memory.
        name: The study's name in the file; by default made of task, proposer, model and seed.
        timeout_s: Longest evaluation in seconds.
        isolate: Evaluate in a worker process; by default only where there is a `timeout_s`.
        executor: Where evaluations run: "local", or "ray", on the Ray cluster that RAY_ADDRESS names (none: one on this
            machine, while the study is open). Another program evaluates there, whatever `isolate` says.

    Raises:
        StoreError: If the file cannot be used, or holds a different study of that name.
        AirtuneError: If the proposer, the model, the space or a setting is not usable.
    """

    def __init__(
        self,
        task: Task,
        proposer: str | Proposer = DEFAULT_PROPOSER,
        *,
        model: str | LanguageModel = "pocket",
        seed: int = 0,
        path: str | Path | None = None,
        name: str | None = None,
        timeout_s: float | None = None,
        isolate: bool | None = None,
        executor: Executor = "local",
    ) -> None:
        _check_settings(task, seed, timeout_s, isolate, executor)
        self.task = task
        self.seed = seed
        self._timeout_s = timeout_s
        self._executor = executor
        self._isolate = executor != "local" or (timeout_s is not None if isolate is None else isolate)
        self._worker: Worker | RayExecutor | None = None
        self._grammar = lattice_grammar(canonical_lattice(task.space))
        # A file that is there is looked at before a model is loaded; a new one is only made after that.
        opened = StudyFile(path) if path is not None and Path(path).exists() else None
        try:
            self.proposer = _load(proposer, model)
        except BaseException:
            if opened is not None:
                opened.close()
            raise
        self.name = name or _default_name(task, self.proposer, seed)
        self.manifest: Mapping[str, Any] = study_manifest(task, self.proposer, seed)
        self._file = opened or StudyFile(path)
        self.path = self._file.path
        try:
            self._file.acquire(self.name)
            record = self._file.find(self.name)
            if record is None:
                self._file.create(self.name, self.manifest)
            else:
                check_same_study(self.name, str(self.path), record.manifest, self.manifest)
                self.manifest = record.manifest
            self._reload()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process and give the study back; trials can still be read. May be called again."""
        try:
            if self._worker is not None:
                self._worker.close()
                self._worker = None
        finally:
            self._file.close()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials in the order of their numbers."""
        return tuple(self._trials[number] for number in sorted(self._trials))

    @property
    def best(self) -> Trial | None:
        """The trial with the least loss, the first of equals; None if none has one."""
        told = [trial for trial in self.trials if trial.loss is not None]
        return min(told, key=lambda trial: (trial.loss, trial.number), default=None)

    def ask(self) -> Trial:
        """The next trial: one that was left without a result, or else a newly proposed one.

        Raises:
            SpaceExhausted: If every configuration has been tried.
            AirtuneError: If the proposer fails, or proposes what is not valid or not new (which is stored).
        """
        if self._left:
            return self._trials[self._left.pop(0)]
        number = self._unused()
        # Later trials are there only where the file was salvaged and this one was lost: it is then proposed again
        # from what it was proposed from, to the same configuration.
        earlier = [trial for trial in self.trials if trial.number < number]
        history = [trial for trial in earlier if trial.status != "asked"]
        pending = [trial for trial in earlier if trial.status == "asked"]
        started = time.perf_counter()
        proposals = self.proposer.propose(self.task, history, pending, derive_seed(self.seed, number), 1)
        later = [replace(trial, status="asked", loss=None) for trial in self.trials[len(earlier) :]]
        if proposals and any(dict(proposals[0].config) == dict(trial.config) for trial in later):
            pending += (
                later  # the results before it are not what they were: a noisy objective was evaluated again
            )
            proposals = self.proposer.propose(self.task, history, pending, derive_seed(self.seed, number), 1)
        if not proposals:
            raise SpaceExhausted(
                f"task {self.task.name!r}: all configurations of its space have been tried ({number} trials)",
                value=number,
                hint="nothing is left to do; widen the space to search on",
            )
        text, config = checked(
            self._file, self.name, self._grammar, self._texts, number, proposals[0], self.proposer.name
        )
        trial = Trial(number, config, proposal_s=time.perf_counter() - started)
        self._file.ask(self.name, trial, text, proposals[0], [one.number for one in pending])
        self._trials[number] = trial
        self._texts.add(text)
        return trial

    def tell(
        self, trial: Trial | int, result: float | Mapping[str, Any], *, evaluation_s: float | None = None
    ) -> Trial:
        """Store a trial's result: a finite loss, or a mapping with one under "loss" and further values.

        Anything else, such as NaN, fails the trial with a reason that says so.

        Args:
            trial: The trial, or its number.
            result: What the objective returned.
            evaluation_s: How long the evaluation took, in seconds.

        Returns:
            The trial as it is now: told, or failed.

        Raises:
            AirtuneError: If there is no such trial, or it has a result.
        """
        number = self._waiting(trial)
        try:
            loss, info = read_result(result)
        except TrialFailed as error:
            outcome = Outcome(reason=one_line(str(error)))
        else:
            outcome = Outcome(loss, info)
        return self._finish(number, outcome, evaluation_s)

    def fail(self, trial: Trial | int, reason: str, *, evaluation_s: float | None = None) -> Trial:
        """Store that a trial failed, and why: the proposer will see it.

        Raises:
            AirtuneError: If there is no such trial, or it has a result.
        """
        number = self._waiting(trial)
        return self._finish(number, Outcome(reason=one_line(reason) or "no reason given"), evaluation_s)

    def evaluate(self, trial: Trial) -> Trial:
        """Evaluate an asked trial with the task's objective, and store the result.

        Raises:
            AirtuneError: If there is no such trial, or it has a result.
            TaskError: If the objective cannot be sent to, or loaded in, a worker process.
        """
        number = self._waiting(trial)
        config = self._trials[number].config
        if not self._isolate:
            outcome = evaluate(self.task.objective, config)
        else:
            if self._worker is None:
                self._worker = _worker(self._executor, self.task, self._timeout_s)
            outcome = self._worker.evaluate(config)
        return self._finish(number, outcome, outcome.seconds)

    def run(self, budget: int, on_event: Callable[[Event], None] | None = None) -> Result:
        """Ask, evaluate and tell until the study has `budget` trials.

        Args:
            budget: Trials of the study in all: `run(20)` and then `run(40)` evaluates 20 more.
            on_event: Called in this thread at every step.

        Returns:
            The study so far. Ctrl-C ends the run early, with `stopped` "interrupted": the evaluation it fell
            into is run again, under its number, by the next `run` of this study. A second Ctrl-C, while the
            first is being dealt with, is raised as KeyboardInterrupt, and loses no more.

        Raises:
            AirtuneError: If the budget is below 1, or see `ask` and `evaluate`.
        """
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
            raise AirtuneError(
                f"budget {budget!r} is not a whole number from 1 up",
                value=budget,
                allowed="1 or more",
                hint="--budget counts the trials of the study in all",
            )
        say = on_event or _silent
        try:
            while (number := self._next_number()) < budget:
                resumed = number in self._trials
                if not resumed:
                    say(Proposing(number))
                try:
                    trial = self.ask()
                except SpaceExhausted:
                    return self._result("space exhausted")
                say(Asked(trial, resumed))
                say(Finished(self.evaluate(trial)))
        except KeyboardInterrupt:
            # It may have come between the file and our copy of it: the file is right.
            self._reload()
            return self._result("interrupted")
        except BaseException:
            self._reload()  # the trial that was being evaluated is to be given out again
            raise
        return self._result("budget")

    def _next_number(self) -> int:
        return self._left[0] if self._left else self._unused()

    def _unused(self) -> int:
        """The first number that no trial has."""
        return next(number for number in itertools.count() if number not in self._trials)

    def _result(self, stopped: Stopped) -> Result:
        return Result(self.best, self.trials, stopped, self.path)

    def _reload(self) -> None:
        records = self._file.records(self.name)
        self._trials = {record.trial.number: record.trial for record in records}
        self._texts = {record.text for record in records}
        self._left = [record.trial.number for record in records if record.trial.status == "asked"]

    def _waiting(self, trial: Trial | int) -> int:
        number = trial.number if isinstance(trial, Trial) else trial
        known = self._trials.get(number)
        if known is None or (isinstance(trial, Trial) and dict(trial.config) != dict(known.config)):
            raise AirtuneError(
                f"study {self.name!r} has no such trial: {trial!r}",
                value=number,
                allowed=f"trials 0 to {len(self._trials) - 1}"
                if self._trials
                else "none: no trial was asked yet",
                hint="tell the trials that ask() returned",
            )
        if known.status != "asked":
            raise AirtuneError(
                f"trial {number} of study {self.name!r} has a result already: "
                f"{known.loss if known.status == 'told' else known.reason}",
                value=number,
                allowed="one result for each trial",
                hint="ask() for another trial",
            )
        return number

    def _finish(self, number: int, outcome: Outcome, evaluation_s: float | None) -> Trial:
        trial = replace(
            self._trials[number],
            status="told" if outcome.reason is None else "failed",
            loss=outcome.loss,
            reason=outcome.reason,
            info=dict(outcome.info),
            evaluation_s=evaluation_s,
        )
        self._file.finish(self.name, trial, outcome.log)
        self._trials[number] = trial
        if number in self._left:
            self._left.remove(number)
        return trial


def _silent(event: Event) -> None:
    """Nobody listens."""


def _load(proposer: str | Proposer, model: str | LanguageModel) -> Proposer:
    from airtune.engine.proposers import make_proposer, needs_model

    if not isinstance(proposer, str):
        return proposer
    if not needs_model(proposer):
        return make_proposer(proposer)
    if isinstance(model, str):
        from airtune.models import load_model

        model = load_model(model)
    return make_proposer(proposer, model=model)


def _default_name(task: Task, proposer: Proposer, seed: int) -> str:
    model = language_model(proposer)
    parts = [task.name, proposer.name, *([] if model is None else [model.name]), f"seed={seed}"]
    return "/".join(parts)


def _worker(executor: Executor, task: Task, timeout_s: float | None) -> Worker | RayExecutor:
    if executor == "local":
        return Worker(task.objective, timeout_s)
    from airtune.engine.integrations.ray_executor import RayExecutor

    return RayExecutor(task.objective, timeout_s)


def _check_settings(
    task: Task, seed: int, timeout_s: float | None, isolate: bool | None, executor: str
) -> None:
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
    if executor not in get_args(Executor):
        raise AirtuneError(
            f"executor {executor!r} is not known",
            value=executor,
            allowed="'local' or 'ray'",
            hint="leave it out to evaluate on this machine",
        )
    if timeout_s is None:
        return
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s < math.inf:
        raise AirtuneError(
            f"timeout_s {timeout_s!r} is not a time",
            value=timeout_s,
            allowed="seconds greater than 0, or None for no limit",
            hint="--timeout takes seconds",
        )
    if isolate is False:
        raise AirtuneError(
            "an evaluation in this process cannot be stopped at a time limit",
            value=timeout_s,
            allowed="timeout_s with isolate=True, or none",
            hint="leave isolate out, or timeout_s",
        )
