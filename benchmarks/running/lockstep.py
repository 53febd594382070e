"""Studies of one study file that advance in lock step: a wave is trial i of all of them, in one transaction.

A wave is proposed and stored as "asked" as a whole, so whatever interrupts a run, the studies are asked again in
the same company, and a language model gets the same batch again: the same bits. Results are stored a second's worth
at a time; trials that were asked and have no result are evaluated first of all, under their numbers.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airtune.engine.evaluation.outcome import evaluate
from airtune.engine.manifest import check_same_study
from airtune.engine.proposal_check import checked
from airtune.engine.seeds import derive_seed
from airtune.engine.storage.study_file import StudyFile, TrialInsert, TrialUpdate
from airtune.engine.types import Job, Proposer, StoreError, Task, Trial
from airtune.grammars import canonical_grammar

COMMIT_S = 1.0  # results are stored at least this often, as far as single evaluations allow
QUICK_S = 0.001  # a result that takes less is computed again rather than looked up


@dataclass(slots=True)
class Member:
    """One study.

    Attributes:
        name: Its name in the study file.
        task: What it tunes.
        seed: Its own.
        manifest: What it is.
        trials: Its trials by number, those without a result included.
        texts: The canonical texts of their configurations.
        exhausted: Whether every configuration has been tried.
    """

    name: str
    task: Task
    seed: int
    manifest: Mapping[str, Any]
    trials: dict[int, Trial] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    exhausted: bool = False

    @property
    def finished(self) -> int:
        """How many trials have a result."""
        return sum(trial.status != "asked" for trial in self.trials.values())

    @property
    def next(self) -> int:
        """The first number that no trial has: behind the last, but in a salvaged file that lost some."""
        return next(number for number in itertools.count() if number not in self.trials)


class Cohort:
    """The studies of a group, made or resumed; `advance` does the next wave.

    Args:
        file: Their study file, which must hold their leases.
        proposer: The one that all of them ask.
        members: The studies, fresh; their trials are read from the file.

    Raises:
        StoreError: If the file holds another study under one of the names.
    """

    def __init__(self, file: StudyFile, proposer: Proposer, members: Sequence[Member]) -> None:
        self._file = file
        self._proposer = proposer
        self.members = tuple(members)
        self._quick: set[str] = set()
        new: dict[str, Mapping[str, Any]] = {}
        for member in self.members:
            found = file.find(member.name)
            if found is None:
                new[member.name] = member.manifest
                continue
            check_member(member, str(file.path), found.manifest)
            records = file.records(member.name)
            member.trials = {record.trial.number: record.trial for record in records}
            member.texts = {record.text for record in records}
        if new:
            file.create_all(new)

    def settled(self, budget: int) -> int:
        """How many of the trials up to `budget` are done; all of them where a space is exhausted."""
        return sum(budget if one.exhausted else min(one.finished, budget) for one in self.members)

    def advance(self, budget: int) -> bool:
        """Do the next wave: what has no result yet, or else the next trial of the studies furthest behind.

        Returns:
            Whether there was anything to do.

        Raises:
            AirtuneError: If a proposal is not valid or not new (it is stored as a violation).
        """
        left = [
            (one, trial)
            for one in self.members
            for trial in one.trials.values()
            if trial.status == "asked" and trial.number < budget
        ]
        if not left:
            behind = [one for one in self.members if not one.exhausted and one.next < budget]
            if not behind:
                return False
            number = min(one.next for one in behind)
            # In the company that they were asked in, also where only some have lost the trial.
            wave = [one for one in self.members if not one.exhausted and one.next >= number]
            left = self._ask(wave, number)
        self._evaluate(left)
        return True

    def _ask(self, members: Sequence[Member], number: int) -> list[tuple[Member, Trial]]:
        """Propose and store trial `number` of all of them; those whose space is not exhausted, with it."""
        jobs = [
            Job(
                one.task,
                tuple(one.trials[earlier] for earlier in range(number)),
                (),
                derive_seed(one.seed, number),
            )
            for one in members
        ]
        started = time.perf_counter()
        self._proposer.propose(jobs)
        seconds = (time.perf_counter() - started) / len(jobs)
        asked: list[tuple[Member, Trial]] = []
        stored: list[TrialInsert] = []
        for one, job in zip(members, jobs, strict=True):
            if number in one.trials:
                continue
            if job.proposal is None:
                one.exhausted = True
                continue
            grammar, name = canonical_grammar(one.task.space), self._proposer.name
            text, config = checked(self._file, one.name, grammar, one.texts, number, job.proposal, name)
            trial = Trial(number, config, proposal_s=seconds)
            stored.append(TrialInsert(one.name, trial, text, job.proposal))
            asked.append((one, trial))
        if stored:
            self._file.insert(stored)
        for (one, trial), asking in zip(asked, stored, strict=True):
            one.trials[number] = trial
            one.texts.add(asking.text)
        return asked

    def _evaluate(self, asked: Sequence[tuple[Member, Trial]]) -> None:
        done: list[tuple[Member, TrialUpdate]] = []
        fresh: dict[tuple[str, str], TrialUpdate] = {}
        since = time.perf_counter()
        for one, trial in asked:
            text = canonical_grammar(one.task.space).encode(trial.config)
            known = fresh.get((one.task.name, text)) or self._known(one.task, text)
            found = _computed(one.task, trial) if known is None else known
            if (found.trial.evaluation_s or 0.0) < QUICK_S:
                self._quick.add(one.task.name)
            fresh[one.task.name, text] = found
            same = replace(found.trial, number=trial.number, config=trial.config, proposal_s=trial.proposal_s)
            done.append((one, TrialUpdate(one.name, same, found.log)))
            if time.perf_counter() - since > COMMIT_S:
                self._store(done)
                done, since = [], time.perf_counter()
        self._store(done)

    def _store(self, done: Sequence[tuple[Member, TrialUpdate]]) -> None:
        if done:
            self._file.update([update for _, update in done])
        for one, finishing in done:
            one.trials[finishing.trial.number] = finishing.trial

    def _known(self, task: Task, text: str) -> TrialUpdate | None:
        """The result that any study of the task has for the configuration, if it takes long to compute.

        Built-in objectives are deterministic: methods are compared on what they choose, nothing is trained twice.
        """
        return None if task.name in self._quick else self._file.known(f"{task.name}/", text)


def _computed(task: Task, trial: Trial) -> TrialUpdate:
    outcome = evaluate(task.objective, trial.config)
    told = replace(
        trial,
        status="told" if outcome.reason is None else "failed",
        loss=outcome.loss,
        reason=outcome.reason,
        info=dict(outcome.info),
        evaluation_s=outcome.seconds,
    )
    return TrialUpdate(task.name, told, outcome.log)


def check_member(member: Member, path: str, stored: Mapping[str, Any]) -> None:
    """Raise a StoreError that names the field if the stored study is not the member's."""
    try:
        check_same_study(member.name, path, stored, member.manifest)
    except StoreError as error:
        raise StoreError(
            error.message,
            value=error.value,
            allowed=error.allowed,
            hint="use another folder (--out); to compare several models in one, name them: --proposers lm:NAME",
        ) from error
