"""The rules of the loop: which trial comes next, which results it is proposed from, and what a result changes.

Pure: no file, no clock, no model. A study, the lock-step runner of comparisons and replay all go by these rules.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ConfigSpace import ConfigurationSpace, Constant

from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Proposal, SpaceExhausted, Stopped, Task, Trial, best_of
from airtune.grammars import AirtuneError, DecodeError, Grammar, canonical_grammar, violation
from airtune.grammars.errors import counted

REPEATS = 3  # failures for the same reason, from the start, after which a run is not worth its budget


class InvalidProposal(AirtuneError):
    """A proposal that is not valid or not new.

    Attributes:
        problem: What is wrong with it, as the study file keeps it.
    """

    problem = ""


@dataclass(frozen=True, slots=True)
class StudyState:
    """The trials of a study, and what follows from them. Immutable: a trial or a result makes a new state.

    Attributes:
        name: The study's.
        task: What is tuned.
        seed: Of the whole study.
        batch: Trials of a batch: none is proposed from another's result. With 1, each is proposed from all the
            results that are there: one by one, or asynchronously.
        trials: By number, in their order.
        texts: The canonical texts of their configurations.
        left: Numbers of the trials without a result that are to be evaluated (again) before any new one, in order:
            those that an earlier process had asked.
        exhausted: Whether nothing is left to propose.
    """

    name: str
    task: Task
    seed: int
    batch: int = 1
    trials: Mapping[int, Trial] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()
    left: tuple[int, ...] = ()
    exhausted: bool = False

    # What is known

    @property
    def best(self) -> Trial | None:
        """The trial with the least loss, the first of equals; None if none has one."""
        return best_of(self.trials.values())

    @property
    def finished(self) -> int:
        """How many trials have a result."""
        return sum(trial.status != "asked" for trial in self.trials.values())

    def is_failing(self, before: Collection[int] = ()) -> bool:
        """Whether the objective seems broken: all have failed, the first three and the last for the same reason.

        Args:
            before: Trials that had failed before this run: the first three after them count as well, since what was
                broken may have been mended, and something else be broken now.
        """
        if self.best is not None:
            return False
        ended = {n: one.reason for n, one in self.trials.items() if one.status != "asked"}
        known = frozenset(before)
        new = [reason for n, reason in ended.items() if n not in known]
        return any(
            len(reasons) >= REPEATS and len({*reasons[:REPEATS], reasons[-1]}) == 1
            for reasons in ([*ended.values()], new)
        )

    # What comes next

    @property
    def first_missing(self) -> int:
        """The first number that no trial has: behind the last, but in a salvaged file that has lost some."""
        return next(number for number in itertools.count() if number not in self.trials)

    def next(self, budget: int) -> int | None:
        """The number of the trial to evaluate next: one that was left, or the first missing one.

        None: the budget is spent, the space is exhausted, or the trial begins a batch and the one before it has not
        ended.
        """
        if self.left:
            return self.left[0] if self.left[0] < budget else None
        number = self.first_missing
        return number if number < budget and not self.exhausted and not self._unfinished(number) else None

    def check_exhausted(self) -> None:
        """Raise SpaceExhausted if nothing is left to propose."""
        if self.exhausted:
            number = self.first_missing
            raise SpaceExhausted(
                f"task {self.task.name!r}: all configurations of its space were tried ({counted(number, 'trial')})",
                value=number,
                hint="nothing is left to do; widen the space to search on",
            )

    def why_stopped(self, budget: int) -> Stopped:
        """Why a run ended that was not interrupted."""
        if self.next(budget) is not None:
            return "failing"
        return "space exhausted" if self.exhausted and self.first_missing < budget else "budget"

    def job(self, number: int, pending: Collection[int] | None = None) -> Job:
        """What trial `number` is proposed from: the results before its batch, and the configurations in its batch.

        A trial that a salvaged file has lost is proposed again from what it was proposed from, to the same
        configuration.

        Args:
            number: Of the trial.
            pending: Trials whose results it does not see, where that is recorded; it sees all other earlier ones.

        Raises:
            AirtuneError: If it begins a batch and trials of the batches before have no results yet.
        """
        if pending is None:
            waiting = self._unfinished(number)
            if waiting:
                raise AirtuneError(
                    f"trial {number} of study {self.name!r} begins a batch, and the batch before has not ended",
                    value=waiting,
                    allowed=f"the results of all trials before {self._batch_start(number)}",
                    hint="tell() them first, or use asynchronous=True",
                )
            first = self._batch_start(number)
            pending = [
                n for n, one in self.trials.items() if n < number and (n >= first or one.status == "asked")
            ]
        return Job(
            self.task,
            tuple(one for n, one in self.trials.items() if n < number and n not in pending),
            tuple(one.without_result() for n, one in self.trials.items() if n in pending),
            derive_seed(self.seed, number),
        )

    def job_again(self, number: int, job: Job) -> Job | None:
        """The job with later trials pending, if what was proposed is the configuration of one of them; else None.

        Later trials are there only where a salvaged file has lost this one. Its proposal may differ from the lost
        one where a noisy objective was evaluated again, so that the results before it are not what they were.
        """
        later = {n: one for n, one in self.trials.items() if n > number}
        if job.proposal is None or not any(
            dict(one.config) == dict(job.proposal.config) for one in later.values()
        ):
            return None
        return self.job(number, {*later, *(trial.number for trial in job.pending)})

    def checked(self, number: int, proposal: Proposal, proposer: str) -> tuple[str, dict[str, Any]]:
        """A proposal's canonical text and configuration, found valid and new by us, whoever proposed it.

        Args:
            number: Of the trial that is proposed.
            proposal: What was proposed.
            proposer: By whom.

        Raises:
            InvalidProposal: If it is not valid or not new.
        """
        problem, text, config = "", "", dict(proposal.config)
        grammar = canonical_grammar(self.task.space)
        try:
            text = grammar.encode(config)
            config = grammar.decode(text)
        except DecodeError as error:
            problem = f"is not a configuration of the space ({error.message})"
        else:
            refusal = violation(grammar.space, config)
            if refusal is not None:
                problem = f"ConfigSpace refuses: {refusal}"
            elif text in self.texts:
                problem = "has been tried already"
        if problem:
            invalid = InvalidProposal(
                f"proposer {proposer!r} proposed for trial {number} what {problem}: {dict(proposal.config)!r}",
                value=dict(proposal.config),
                allowed="a valid configuration that has not been tried",
                hint="this is a fault of the proposer, not of your task; the study is as it was before",
            )
            invalid.problem = problem
            raise invalid
        return text, config

    def waiting(self, trial: Trial | int) -> Trial:
        """The trial, which must be waiting for a result.

        Raises:
            AirtuneError: If there is no such trial, or it has a result.
        """
        number = trial.number if isinstance(trial, Trial) else trial
        known = self.trials.get(number)
        if known is None or (isinstance(trial, Trial) and dict(trial.config) != dict(known.config)):
            raise AirtuneError(
                f"study {self.name!r} has no such trial: {trial!r}",
                value=number,
                allowed=f"trials 0 to {len(self.trials) - 1}"
                if self.trials
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
        return known

    # What changes it

    def resumed(self, stored: Iterable[tuple[Trial, str]]) -> StudyState:
        """The state of a study whose trials, with their canonical texts, are those of a study file."""
        pairs = sorted(stored, key=lambda pair: pair[0].number)
        if _has_objects(self.task.space):
            grammar = canonical_grammar(self.task.space)
            pairs = [(_with_own_objects(trial, text, grammar), text) for trial, text in pairs]
        return replace(
            self,
            trials={trial.number: trial for trial, _ in pairs},
            texts=frozenset(text for _, text in pairs),
            left=tuple(trial.number for trial, _ in pairs if trial.status == "asked"),
            exhausted=False,
        )

    def asked(self, trial: Trial, text: str) -> StudyState:
        """With one more trial, whose configuration has this canonical text."""
        return replace(self, trials=self._with(trial), texts=self.texts | {text})

    def taken_up(self, number: int) -> StudyState:
        """With a trial that was left now being evaluated."""
        return replace(self, left=tuple(n for n in self.left if n != number))

    def told(self, trial: Trial) -> StudyState:
        """With the result of a trial."""
        return replace(self.taken_up(trial.number), trials=self._with(trial))

    def without_rest(self) -> StudyState:
        """With nothing left to propose."""
        return replace(self, exhausted=True)

    def _with(self, trial: Trial) -> dict[int, Trial]:
        trials = dict(self.trials)
        behind = trial.number not in trials and trial.number < next(reversed(trials), -1)
        trials[trial.number] = trial
        # Sorted only where a lost one is filled in: at every step it would take most of a long study's time.
        return dict(sorted(trials.items())) if behind else trials

    def _batch_start(self, number: int) -> int:
        """The first trial of the batch of trial `number`; without batches `number` itself: all before it is seen."""
        return number - number % self.batch

    def _unfinished(self, number: int) -> list[int]:
        """The trials without a result that trial `number` must wait for: those of the batches before its own."""
        if self.batch == 1:
            return []
        first = self._batch_start(number)
        return [n for n, one in self.trials.items() if n < first and one.status == "asked"]


def _has_objects(space: ConfigurationSpace) -> bool:
    """Whether there is a choice that a file does not give back as it is."""
    given = (getattr(hp, field, ()) for hp in space.values() for field in ("choices", "sequence"))
    constants = (hp.value for hp in space.values() if isinstance(hp, Constant))
    return any(
        value is not None and type(value) not in (bool, int, float, str)
        for value in itertools.chain(*given, constants)
    )


def _with_own_objects(trial: Trial, text: str, grammar: Grammar) -> Trial:
    """A stored trial with the choices of the space: in JSON, tuples among them are lists, and enums' members texts."""
    try:
        config = grammar.decode(text)
    except DecodeError:
        return trial
    # Of a file that somebody has changed, text and configuration need not agree: that is for replay to say.
    return replace(trial, config=config) if json.loads(json.dumps(config)) == dict(trial.config) else trial
