"""Study: ask for a configuration, evaluate it, tell the result, again; all of it in the study file first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from airtune.engine.asking import ask_together, first_configs
from airtune.engine.evaluation.outcome import Outcome, outcome_of
from airtune.engine.evaluation.pool import Evaluation, Evaluator, check_main_guard
from airtune.engine.evaluation.result import one_line
from airtune.engine.manifest import check_same_study, default_name, study_manifest
from airtune.engine.proposers import load_proposer
from airtune.engine.proposers.base import check_limits
from airtune.engine.state import StudyState
from airtune.engine.storage.study_file import StudyFile, TrialUpdate
from airtune.engine.types import (
    DEFAULT_PROPOSER,
    Asked,
    Event,
    Finished,
    Proposer,
    Proposing,
    Result,
    SpaceExhausted,
    StudyFileMoved,
    Task,
    Trial,
    check_budget,
    check_task,
)
from airtune.grammars import AirtuneError, canonical_grammar
from airtune.models import LanguageModel


class Study:
    """One search, backed by a study file; a context manager.

    Trial i is proposed from the trials before it and `derive_seed(seed, i)`, and from nothing else: stopping, killing
    and resuming change nothing. A trial without a result when a study is opened is given out again before any new.

    Args:
        task: What is tuned.
        proposer: A proposer or its name.
        model: The language model, or its name, of proposers that need one; the others take no notice.
        seed: Of the whole study.
        path: The study file, made if need be; an existing study goes on. None: in memory.
        name: The study's name in the file; by default made of task, proposer, model and seed.
        evaluation: How trials are evaluated: time limit, processes, how many at a time, where.
        first: Configurations to try before anything is proposed, but for the default of "default+" proposers, to three
            significant digits; a part of what the study is. Who leaves it out goes on with what it was.
        new: Begin although the file has trials of the task under another proposer, model or schedule.
        take_over: Also from a process that may live elsewhere: it can write no more, what it evaluates is lost.

    Raises:
        StoreError: If the file cannot be used, or holds a different study of that name.
        OtherStudiesError: If the study would begin from zero beside such others, has no name, and is not `new`.
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
        evaluation: Evaluation | None = None,
        first: Sequence[Mapping[str, Any]] = (),
        new: bool = False,
        take_over: bool = False,
    ) -> None:
        check_main_guard()
        check_task(task, seed)
        canonical_grammar(task.space)  # refuses what cannot be searched
        self.task, self.seed = task, seed
        self._evaluation = how = evaluation or Evaluation()
        how.check_sandbox(task)
        self._evaluator: Evaluator | None = None
        self._asked: dict[int, Trial] = {}  # as `ask` gave them out, until they have a result
        configs = first_configs(task, first)
        with contextlib.ExitStack() as closing:
            # A file that is there is looked at before a model is loaded; a new one is only made after that.
            opened = closing.enter_context(StudyFile(path)) if path and Path(path).exists() else None
            self.proposer = proposer if isinstance(proposer, Proposer) else load_proposer(proposer, model)
            check_limits(self.proposer, task.space)
            self.manifest: Mapping[str, Any] = study_manifest(
                task, self.proposer, seed, how.schedule, configs, how.sandbox_entry(task), how.noise
            )
            self.name = name or default_name(self.manifest)
            self._state = StudyState(self.name, task, seed, how.batch)
            self._file = opened or closing.enter_context(StudyFile(path))
            self.path = self._file.path
            self.task = how.sandboxed(task, self.path)
            if opened and not name and not new and opened.find(self.name) is None:
                from airtune.engine.identity import check_others

                check_others(str(self.path), opened.studies(skipped=[]), self.manifest)
            self._file.acquire(self.name, take_over=take_over)
            record = self._file.find(self.name)
            if record is None:
                self._file.create(self.name, self.manifest)
            else:
                check_same_study(self.name, str(self.path), record.manifest, self.manifest)
                self.manifest = record.manifest
                configs = first_configs(task, record.manifest.get("first", ()))
            if configs:
                from airtune.engine.proposers.first import with_first

                self.proposer = with_first(self.proposer, configs)
            self._reload()
            closing.pop_all()  # it stays open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes and give the study back; trials can still be read. May be called again."""
        with contextlib.closing(self._file):
            self._stop_evaluating()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials in the order of their numbers."""
        return tuple(trial.copied() for trial in self._state.trials.values())

    @property
    def best(self) -> Trial | None:
        """The trial with the least loss, the first of equals; None if none has one."""
        return self._state.best and self._state.best.copied()

    def ask(self) -> Trial:
        """The next trial: one that was left without a result, or else a newly proposed one.

        Raises:
            SpaceExhausted: If every configuration has been tried.
            AirtuneError: If the batch before has no results yet, or a proposal fails, or is not valid and new (stored).
        """
        if self._state.left:
            number, *_ = self._state.left
            self._state = self._state.taken_up(number)
            return self._given(number)
        number = self._state.first_missing
        (self._state,) = ask_together(self._file, self.proposer, [self._state], number)
        self._state.check_exhausted()
        return self._given(number)

    def _given(self, number: int) -> Trial:
        """A trial for the caller to evaluate: a copy, which may be changed and told all the same."""
        self._asked[number] = self._state.trials[number].copied()
        return self._asked[number]

    def _waiting(self, trial: Trial | int) -> Trial:
        """See `StudyState.waiting`."""
        if isinstance(trial, Trial) and trial is self._asked.get(trial.number):
            trial = trial.number
        return self._state.waiting(trial)

    def tell(
        self, trial: Trial | int, result: float | Mapping[str, Any], *, evaluation_s: float | None = None
    ) -> Trial:
        """Store a trial's result: a finite loss, or a mapping with one under "loss" and further values.

        Args:
            trial: The trial, or its number.
            result: What the objective returned; anything else, such as NaN, fails the trial, and the reason says so.
            evaluation_s: How long the evaluation took, in seconds.

        Returns:
            The trial as it is now: told, or failed.

        Raises:
            AirtuneError: If there is no such trial, or it has a result.
        """
        return self._finish(self._waiting(trial), outcome_of(result), evaluation_s)

    def fail(self, trial: Trial | int, reason: str, *, evaluation_s: float | None = None) -> Trial:
        """Store that a trial failed, and why: the proposer will see it. Raises as `tell`."""
        failed = Outcome(reason=one_line(reason) or "no reason given")
        return self._finish(self._waiting(trial), failed, evaluation_s)

    def evaluate(self, trial: Trial) -> Trial:
        """Evaluate an asked trial with the task's objective, and store the result.

        Raises:
            AirtuneError: If there is no such trial, or it has a result.
            TaskError: If the objective cannot be sent to, or loaded in, a worker process.
        """
        asked = self._waiting(trial)
        evaluator = self._evaluating()
        try:
            evaluator.submit(asked.number, asked.config)
            ((_, outcome),) = evaluator.wait()
        except BaseException:
            self._stop_evaluating()
            raise
        return self._finish(asked, self._evaluation.seen(outcome, self.seed, asked.number), outcome.seconds)

    def run(
        self, budget: int, on_event: Callable[[Event], None] | None = None, *, keep_going: bool = False
    ) -> Result:
        """Ask, evaluate and tell until the study has `budget` trials.

        Args:
            budget: Trials of the study in all: `run(20)` and then `run(40)` evaluates 20 more.
            on_event: Called in this thread at every step.
            keep_going: Also where the first three trials fail for the same reason: else `stopped` is "failing".

        Returns:
            The study so far. Ctrl-C ends the run early, with `stopped` "interrupted": the next run evaluates what
            it fell into again. A second one meanwhile is raised as KeyboardInterrupt, and loses no more.

        Raises:
            AirtuneError: If the budget is below 1, or see `ask` and `evaluate`.
            StudyFileMoved: If the study file is no longer where it was: what was told is in a copy, and in `trials`.
        """
        check_budget(budget)
        try:
            self._run(budget, on_event or (lambda event: None), keep_going)
        except BaseException as error:
            self._stop_evaluating()
            # What was being evaluated is given out again; an interrupt may have come between the file and our copy.
            self._reload()
            if not isinstance(error, KeyboardInterrupt):
                raise
            return Result(self.best, self.trials, "interrupted", self.path)
        return Result(self.best, self.trials, self._state.why_stopped(budget), self.path)

    def _run(self, budget: int, say: Callable[[Event], None], keep_going: bool) -> None:
        """Keep as many trials in evaluation as there may be, until the budget is spent or the space exhausted."""
        running, failing = 0, False
        failed: AirtuneError | None = None
        before = [trial.number for trial in self._state.trials.values() if trial.status != "asked"]
        while True:
            while failed is None and not failing and running < self._evaluation.jobs:
                number = self._state.next(budget)
                if number is None:
                    break
                if not (resumed := number in self._state.trials):
                    say(Proposing(number))
                try:
                    trial = self.ask()
                except SpaceExhausted:
                    break
                except AirtuneError as error:
                    failed = error  # what is being evaluated may have taken hours: it is waited for
                else:
                    say(Asked(trial, resumed))
                    self._evaluating().submit(number, self._state.trials[number].config)
                    running += 1
            if not running:
                if failed is not None:
                    raise failed
                return
            for number, outcome in self._evaluating().wait():
                running -= 1
                seen = self._evaluation.seen(outcome, self.seed, number)
                try:
                    self._finish(self._state.trials[number], seen, outcome.seconds)
                except StudyFileMoved as error:  # the others are waited for: they are stored, too
                    failed = error
                say(Finished(self._state.trials[number].copied()))
                failing = not keep_going and self._state.is_failing(before)

    def _finish(self, trial: Trial, outcome: Outcome, evaluation_s: float | None) -> Trial:
        told, moved = outcome.told(trial, evaluation_s), None
        try:
            self._file.update([TrialUpdate(self.name, told, outcome.log)])
        except StudyFileMoved as error:  # it is stored, in the copy
            moved = error
        self._state = self._state.told(told)
        self._asked.pop(trial.number, None)
        if moved is not None:
            raise moved
        return told.copied()

    def _evaluating(self) -> Evaluator:
        if self._evaluator is None:
            if self._evaluation.executor == "ray":
                from airtune.engine.integrations.ray.executor import RayEvaluator

                self._evaluator = RayEvaluator(self.task.objective, self._evaluation.timeout_s)
            else:
                self._evaluator = self._evaluation.local_evaluator(self.task.objective)
        return self._evaluator

    def _stop_evaluating(self) -> None:
        if self._evaluator is not None:
            self._evaluator.close()
            self._evaluator = None

    def _reload(self) -> None:
        self._state = self._state.resumed((one.trial, one.text) for one in self._file.records(self.name))
