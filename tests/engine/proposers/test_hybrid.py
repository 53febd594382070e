"""`hybrid`: ten trials from the language model, then the Gaussian process."""

from __future__ import annotations

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Job, Task, Trial
from airtune.engine.proposers import load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.models import load_model

TASK = Task("t", ConfigurationSpace({"x": (0.0, 1.0)}), lambda config: config["x"])


def trials(count: int) -> list[Trial]:
    return [Trial(i, {"x": round(0.37 * i % 1, 2)}, "told", float(i * 7 % 5)) for i in range(count)]


def job(told: int, running: int) -> Job:
    every = trials(told + running)
    return Job(TASK, every[:told], [trial.without_result() for trial in every[told:]], seed=told)


@pytest.mark.parametrize(
    ("told", "running", "origin"),
    [(0, 0, "lm"), (4, 0, "lm"), (9, 0, "lm"), (5, 4, "lm"), (10, 0, "gp"), (6, 4, "gp"), (12, 0, "gp")],
)
def test_the_model_proposes_the_first_ten_trials_and_the_process_the_rest(
    told: int, running: int, origin: str
) -> None:
    """Trials count, not results: those that are running too."""
    hybrid = load_proposer("hybrid", load_model("scripted"))
    asked = job(told, running)
    proposal = propose_one(hybrid, asked.task, asked.history, asked.pending, asked.seed)
    assert proposal is not None
    assert proposal.origin == origin


def test_each_job_of_a_batch_gets_what_it_gets_alone() -> None:
    model = load_model("scripted")
    jobs = [job(9, 0), job(10, 0), job(3, 1), job(11, 0)]
    load_proposer("hybrid", model).propose(jobs)
    for one in jobs:
        alone = "gp" if len(one.history) + len(one.pending) >= 10 else "lm"
        proposer = load_proposer(alone, model)
        assert one.proposal == propose_one(proposer, one.task, one.history, one.pending, one.seed)
