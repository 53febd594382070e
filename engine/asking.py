"""The next trials of studies: proposed in one batch, found valid and new, and stored before anything else."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from airtune.engine.proposers.base import propose_trial
from airtune.engine.state import InvalidProposal, StudyState
from airtune.engine.storage.study_file import StudyFile, TrialInsert
from airtune.engine.types import Proposer, Task, Trial


def ask_together(
    file: StudyFile, proposer: Proposer, states: Sequence[StudyState], number: int
) -> list[StudyState]:
    """Propose trial `number` of studies of one file in one batch, and store the proposals: all of them or none.

    A study that has the trial is asked for it all the same, so that a language model gets the same batch again where
    some have lost it, and keeps its own. What comes back are the states after it: with the trial, or exhausted.

    Raises:
        AirtuneError: If the proposer fails, or proposes what is not valid or not new (it is stored as a violation).
    """
    started = time.perf_counter()
    jobs = propose_trial(proposer, states, number)
    seconds = (time.perf_counter() - started) / len(jobs)
    after, stored = list(states), []
    for i, (state, job) in enumerate(zip(states, jobs, strict=True)):
        if number in state.trials:
            continue
        if job.proposal is None:
            after[i] = state.without_rest()
            continue
        try:
            text, config = state.checked(number, job.proposal, proposer.name)
        except InvalidProposal as error:
            file.violation(state.name, number, job.proposal, error.problem)
            raise
        trial, pending = Trial(number, config, proposal_s=seconds), tuple(one.number for one in job.pending)
        after[i] = state.asked(trial, text)
        stored.append(TrialInsert(state.name, trial, text, job.proposal, pending))
    if stored:
        file.insert(stored)
    return after


def first_configs(task: Task, configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What to try first, checked; most studies say nothing of it, and need not load what checks it.

    Raises:
        AirtuneError: If one of them is no configuration of the task's space, or stands there twice.
    """
    if not configs:
        return []
    from airtune.engine.proposers.first import checked_first

    return checked_first(task.space, configs)
