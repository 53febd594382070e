"""Studies of one study file that advance in lock step: a step is trial i of all of them, in one transaction.

A step is proposed and stored as "asked" as a whole, so whatever interrupts a run, a language model gets the same
batch of studies again, and gives the same bits. Results are stored a second's worth at a time; trials that were
asked and have no result are evaluated first of all, under their numbers.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from typing import Any

from airtune.engine.asking import ask_together
from airtune.engine.evaluation.noise import TRUE_LOSS, read_noise, true_loss
from airtune.engine.evaluation.outcome import LOG_LENGTH, Outcome, evaluate
from airtune.engine.manifest import check_same_study
from airtune.engine.proposers.base import check_limits
from airtune.engine.state import StudyState
from airtune.engine.storage.study_file import StudyFile, TrialUpdate
from airtune.engine.types import Proposer, StoreError, Task, Trial
from airtune.grammars import canonical_grammar

COMMIT_S = 1.0  # results are stored at least this often, as far as single evaluations allow
QUICK_S = 0.001  # a result that takes less is computed again rather than looked up


class LockStepRunner:
    """The studies of a group, made or resumed; `step` does the next step.

    Args:
        file: Their study file, which must hold their leases.
        proposer: The one that all of them ask.
        studies: The studies, without trials: those are read from the file.
        manifests: What they are, by name.
        noise: On what the studies see, in the form of `engine.evaluation.noise.read_noise`; None for none.

    Raises:
        StoreError: If the file holds another study under one of the names.
        SpaceError: If the proposer's model cannot speak about a task's space.
    """

    def __init__(
        self,
        file: StudyFile,
        proposer: Proposer,
        studies: Sequence[StudyState],
        manifests: Mapping[str, Mapping[str, Any]],
        noise: str | None = None,
    ) -> None:
        self._file = file
        self._noise = None if noise is None else read_noise(noise)
        self._proposer = proposer
        self._quick: set[str] = set()
        self._states: dict[str, StudyState] = {}
        new: dict[str, Mapping[str, Any]] = {}
        for state in studies:
            self._states[state.name] = state
            found = file.find(state.name)
            if found is None:
                check_limits(proposer, state.task.space)
                new[state.name] = manifests[state.name]
                continue
            check_comparable(state.name, str(file.path), found.manifest, manifests[state.name])
            records = file.records(state.name)
            self._states[state.name] = state.resumed((one.trial, one.text) for one in records)
        if new:
            file.create_all(new)

    @property
    def studies(self) -> tuple[StudyState, ...]:
        """The studies as they are now."""
        return tuple(self._states.values())

    def settled(self, budget: int) -> int:
        """How many of the trials up to `budget` are done; all of them where a space is exhausted."""
        return sum(budget if one.exhausted else min(one.finished, budget) for one in self.studies)

    def step(self, budget: int) -> bool:
        """Do the next step: what has no result yet, or else the next trial of the studies furthest behind.

        Returns:
            Whether there was anything to do.

        Raises:
            AirtuneError: If a proposal is not valid or not new (it is stored as a violation).
        """
        asked = self._waiting(budget)
        if not asked:
            open_ = [one for one in self.studies if not one.exhausted]
            behind = [one.first_missing for one in open_ if one.first_missing < budget]
            if not behind:
                return False
            # All of them together, as they were asked the first time, also where only some have lost the trial.
            for state in ask_together(self._file, self._proposer, open_, min(behind)):
                self._states[state.name] = state
            asked = self._waiting(budget)
        self._evaluate(asked)
        return True

    def _waiting(self, budget: int) -> list[tuple[StudyState, Trial]]:
        return [
            (one, trial)
            for one in self.studies
            for trial in one.trials.values()
            if trial.status == "asked" and trial.number < budget
        ]

    def _evaluate(self, asked: Sequence[tuple[StudyState, Trial]]) -> None:
        results: dict[tuple[str, str], TrialUpdate] = {}
        done: list[TrialUpdate] = []
        since = time.perf_counter()
        for study, trial in asked:
            key = study.task.name, canonical_grammar(study.task.space).encode(trial.config)
            found = results.get(key) or self._known(*key) or _computed(study.task, trial)
            if (found.trial.evaluation_s or 0.0) < QUICK_S:
                self._quick.add(study.task.name)
            results[key] = found
            same = replace(found.trial, number=trial.number, config=trial.config, proposal_s=trial.proposal_s)
            done.append(TrialUpdate(study.name, self._seen(study, same), found.log))
            if time.perf_counter() - since > COMMIT_S:
                self._store(done)
                done, since = [], time.perf_counter()
        self._store(done)

    def _store(self, done: Sequence[TrialUpdate]) -> None:
        if done:
            self._file.update(done)
        for one in done:
            self._states[one.study] = self._states[one.study].told(one.trial)

    def _known(self, task: str, text: str) -> TrialUpdate | None:
        """The result that any study of the task has for the configuration, if it takes long to compute.

        Built-in objectives are deterministic: methods are compared on what they choose, nothing is trained twice.
        """
        found = None if task in self._quick else self._file.known(f"{task}/", text)
        if found is None or self._noise is None:
            return found
        info = {key: value for key, value in found.trial.info.items() if key != TRUE_LOSS}
        return replace(found, trial=replace(found.trial, loss=true_loss(found.trial), info=info))

    def _seen(self, study: StudyState, trial: Trial) -> Trial:
        """A trial with its result as the study sees it."""
        if self._noise is None or trial.loss is None:
            return trial
        outcome = self._noise.outcome(Outcome(trial.loss, trial.info), study.seed, trial.number)
        return outcome.told(trial, trial.evaluation_s)


def _computed(task: Task, trial: Trial) -> TrialUpdate:
    """What an evaluation in this process gives; what is printed meanwhile is the trial's, not the terminal's."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        outcome = evaluate(task.objective, trial.config)
    log = (printed.getvalue() + outcome.log)[-LOG_LENGTH:]
    return TrialUpdate(task.name, outcome.told(trial, outcome.seconds), log)


def check_comparable(name: str, path: str, stored: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Raise a StoreError that names the field if the stored study is not the one of the comparison."""
    try:
        check_same_study(name, path, stored, manifest)
    except StoreError as error:
        raise StoreError(
            error.message,
            value=error.value,
            allowed=error.allowed,
            hint="use another folder (--out); to compare several models in one, name them: --proposers lm:NAME",
        ) from error
