"""Study: ask for a configuration, evaluate it, tell the result, again; all of it in the study file first."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from airtune.engine.evaluation.outcome import Outcome, TrialFailed, one_line, read_result
from airtune.engine.evaluation.pool import Evaluator
from airtune.engine.events import Asked, Event, Finished, Proposing, Result, SpaceExhausted, Stopped
from airtune.engine.manifest import check_same_study, study_manifest
from airtune.engine.proposal_check import checked
from airtune.engine.proposers import load_proposer
from airtune.engine.seeds import derive_seed
from airtune.engine.settings import Evaluation, Executor, check_task, default_name
from airtune.engine.storage.study_file import StudyFile, TrialInsert, TrialUpdate
from airtune.engine.types import DEFAULT_PROPOSER, Job, Proposer, Task, Trial
from airtune.grammars import AirtuneError, canonical_lattice, lattice_grammar
from airtune.models import LanguageModel

__all__ = ["Asked", "Event", "Finished", "Proposing", "Result", "SpaceExhausted", "Study"]


class Study:
    """One search, backed by a study file; a context manager.

    Trial i is proposed from the trials before it and `derive_seed(seed, i)`, and from nothing else: stopping,
    killing and resuming change nothing. A trial that was asked and has no result when a study is opened is
    given out again, under its number, before any new one.

    With `jobs` above 1, trials come in batches of that size: each is proposed from the results of the batches before
    its own and from the configurations (not the results) before it in its batch, so that it does not matter which
    evaluation ends first: such a study is as reproducible as any. `asynchronous` ones propose a trial whenever a
    worker is free, from the results that are there: they waste no time, the file tells what each trial saw, but
    another run sees results in another order.

    Args:
        task: What is tuned.
        proposer: A proposer or its name.
        model: The language model, or its name, of proposers that need one; the others take no notice.
        seed: Of the whole study.
        path: The study file, made if need be; an existing study goes on. None: in memory.
        name: The study's name in the file; by default made of task, proposer, model and seed.
        timeout_s: Longest evaluation in seconds.
        isolate: Evaluate in a worker process; by default only where there is a `timeout_s`.
        jobs: Trials at a time, each in a worker process of its own.
        asynchronous: Do not wait for a batch's end.
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
        jobs: int = 1,
        asynchronous: bool = False,
        executor: Executor = "local",
    ) -> None:
        check_task(task, seed)
        self._evaluation = Evaluation(timeout_s, isolate, executor, jobs, asynchronous)
        self.task = task
        self.seed = seed
        self._evaluator: Evaluator | None = None
        self._grammar = lattice_grammar(canonical_lattice(task.space))
        # A file that is there is looked at before a model is loaded; a new one is only made after that.
        opened = StudyFile(path) if path is not None and Path(path).exists() else None
        try:
            self.proposer = load_proposer(proposer, model) if isinstance(proposer, str) else proposer
        except BaseException:
            if opened is not None:
                opened.close()
            raise
        schedule = self._evaluation.schedule
        self.name = name or default_name(task, self.proposer, seed, schedule)
        self.manifest: Mapping[str, Any] = study_manifest(task, self.proposer, seed, schedule)
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
        """End the worker processes and give the study back; trials can still be read. May be called again."""
        try:
            self._stop_evaluating()
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
            AirtuneError: If it begins a batch and trials of the batch before have no results yet.
            AirtuneError: If the proposer fails, or proposes what is not valid or not new (which is stored).
        """
        if self._left:
            return self._trials[self._left.pop(0)]
        number = self._unused()
        # Later trials are there only where the file was salvaged and this one was lost: it is then proposed again
        # from what it was proposed from, to the same configuration.
        earlier = [trial for trial in self.trials if trial.number < number]
        history, pending = self._seen(number, earlier)
        started = time.perf_counter()
        job = Job(self.task, history, pending, derive_seed(self.seed, number))
        self.proposer.propose([job])
        later = [trial.without_result() for trial in self.trials[len(earlier) :]]
        if job.proposal and any(dict(job.proposal.config) == dict(trial.config) for trial in later):
            # The results before it are not what they were: a noisy objective was evaluated again.
            pending += later
            job = Job(self.task, history, pending, job.seed)
            self.proposer.propose([job])
        if job.proposal is None:
            raise SpaceExhausted(
                f"task {self.task.name!r}: all configurations of its space have been tried ({number} trials)",
                value=number,
                hint="nothing is left to do; widen the space to search on",
            )
        text, config = checked(
            self._file, self.name, self._grammar, self._texts, number, job.proposal, self.proposer.name
        )
        trial = Trial(number, config, proposal_s=time.perf_counter() - started)
        waiting = tuple(one.number for one in pending)
        self._file.insert([TrialInsert(self.name, trial, text, job.proposal, waiting)])
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
        evaluator = self._evaluating()
        try:
            evaluator.submit(number, self._trials[number].config)
            ((_, outcome),) = evaluator.wait()
        except BaseException:
            self._stop_evaluating()
            raise
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
            return self._result(self._run(budget, say))
        except KeyboardInterrupt:
            self._stop_evaluating()
            # It may have come between the file and our copy of it: the file is right.
            self._reload()
            return self._result("interrupted")
        except BaseException:
            self._stop_evaluating()
            self._reload()  # the trials that were being evaluated are to be given out again
            raise

    def _run(self, budget: int, say: Callable[[Event], None]) -> Stopped:
        """Keep as many trials in evaluation as there may be, until the budget is spent."""
        running = 0
        stopped: Stopped = "budget"
        failed: AirtuneError | None = None
        while True:
            while running < self._evaluation.jobs and stopped == "budget" and failed is None:
                number = self._next_number()
                if number >= budget or not self._may_begin(number):
                    break
                resumed = number in self._trials
                if not resumed:
                    say(Proposing(number))
                try:
                    trial = self.ask()
                except SpaceExhausted:
                    stopped = "space exhausted"
                except AirtuneError as error:
                    failed = error  # what is being evaluated may have taken hours: it is waited for
                else:
                    say(Asked(trial, resumed))
                    self._evaluating().submit(number, trial.config)
                    running += 1
            if not running:
                if failed is not None:
                    raise failed
                return stopped
            for number, outcome in self._evaluating().wait():
                running -= 1
                say(Finished(self._finish(number, outcome, outcome.seconds)))

    def _seen(self, number: int, earlier: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
        """History and pending of a trial: the results that it may be proposed from, and the rest of the trials."""
        if not self._may_begin(number):
            raise AirtuneError(
                f"trial {number} of study {self.name!r} begins a batch, and the batch before has not ended",
                value=[trial.number for trial in earlier if trial.status == "asked"],
                allowed=f"the results of all trials before {self._batch(number)}",
                hint="tell() them first, or use asynchronous=True",
            )
        first = self._batch(number)
        history = [trial for trial in earlier if trial.number < first and trial.status != "asked"]
        known = {trial.number for trial in history}
        return history, [trial.without_result() for trial in earlier if trial.number not in known]

    def _may_begin(self, number: int) -> bool:
        """Whether the batches before that of trial `number` have ended, where there are batches."""
        if self._evaluation.asynchronous or self._evaluation.jobs == 1 or number in self._left:
            return True
        first = self._batch(number)
        return all(trial.status != "asked" for trial in self._trials.values() if trial.number < first)

    def _batch(self, number: int) -> int:
        """The first trial of the batch of trial `number`; without batches, `number`: all before it is seen."""
        return number if self._evaluation.asynchronous else number - number % self._evaluation.jobs

    def _evaluating(self) -> Evaluator:
        if self._evaluator is None:
            self._evaluator = self._evaluation.evaluator(self.task)
        return self._evaluator

    def _stop_evaluating(self) -> None:
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None

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
        self._file.update([TrialUpdate(self.name, trial, outcome.log)])
        self._trials[number] = trial
        if number in self._left:
            self._left.remove(number)
        return trial


def _silent(event: Event) -> None:
    """Nobody listens."""
