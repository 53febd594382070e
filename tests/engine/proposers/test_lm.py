"""The language model proposer: what is asked, what is accepted, what is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer

from airtune.engine import Job, Task, Trial, load_proposer
from airtune.engine.proposers.base import Remaining, propose_one
from airtune.engine.proposers.lm import ATTEMPTS, LMProposer
from airtune.engine.seeds import derive_seed
from airtune.grammars import AirtuneError, space_grammar
from airtune.models import Completion, Dialect, LanguageModel, ModelError, Request, load_model


class Faulty:
    """The scripted model with its first answers spoilt: a model that does what none should."""

    def __init__(self, spoil: Callable[[Completion], Completion], times: int) -> None:
        self.inner, self.spoil, self.times = load_model("scripted"), spoil, times
        self.batches: list[list[Request]] = []

    @property
    def name(self) -> str:
        return "faulty"

    @property
    def dialect(self) -> Dialect:
        return self.inner.dialect

    def manifest(self) -> dict[str, Any]:
        return self.inner.manifest()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.batches.append(list(requests))
        answers = self.inner.generate(requests)
        return [self.spoil(a) for a in answers] if len(self.batches) <= self.times else answers


def cut(completion: Completion) -> Completion:
    return replace(completion, text=completion.text[:-1], finish_reason="length")


def gibberish(completion: Completion) -> Completion:
    return replace(completion, text="the best value is 0.1")


def task_of_two() -> Task:
    space = ConfigurationSpace()
    space.add(
        Float("rate", (1e-5, 1.0), log=True), Integer("depth", (1, 9)), Categorical("act", ["relu", "tanh"])
    )
    return Task("test/lm", space, lambda c: 0.0, metric="error", description="A net on clouds.")


def trials_of_two(count: int) -> list[Trial]:
    import numpy as np

    task, rng = task_of_two(), np.random.default_rng(0)
    configs = [space_grammar(task.space).sample(rng) for _ in range(count)]
    return [Trial(i, config, "told", 1.0 / (i + 1)) for i, config in enumerate(configs)]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("scripted")


def test_the_transcript_tells_how_it_came_about(model: LanguageModel) -> None:
    task, trials = task_of_two(), trials_of_two(3)
    proposal = propose_one(load_proposer("lm", model=model, temperature=0.7), task, trials, [], seed=11)
    shown = proposal.transcript
    assert shown is not None
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["model"], shown["dialect"]) == (model.name, model.dialect.name)
    assert (shown["attempt"], shown["seed"], shown["temperature"]) == (0, derive_seed(11, 0), 0.7)
    assert shown["finish_reason"] == "stop"
    assert shown["rejected"] == []
    assert len(shown["token_ids"]) == len(shown["logprobs"]) > 0
    grammar = model.dialect.grammar(task.space, exclude=[trial.config for trial in trials])
    assert shown["grammar"] == grammar.hash
    assert model.dialect.parse(shown["text"], grammar) == dict(proposal.config)
    # The transcript is enough to replay: the same request gives the same answer.
    request = Request(shown["prompt"], grammar, shown["seed"], shown["temperature"])
    assert model.generate([request])[0].text == shown["text"]


def test_the_prompt_shows_every_trial_in_order_and_no_budget(model: LanguageModel) -> None:
    trials = trials_of_two(3)
    pending = Trial(3, {"rate": 0.5, "depth": 4, "act": "relu"})
    made = LMProposer(model)
    request = made.request(Job(task_of_two(), trials, [pending], 0))
    again = made.request(Job(task_of_two(), list(reversed(trials)), [pending], 0))
    assert request is not None
    assert again is not None
    assert request.prompt == again.prompt
    longer = made.request(Job(task_of_two(), [*trials, replace(pending, status="told", loss=0.1)], [], 0))
    assert longer is not None
    assert longer.prompt != request.prompt


@pytest.mark.parametrize("spoil", [cut, gibberish])
def test_a_bad_answer_is_recorded_and_asked_again(spoil: Callable[[Completion], Completion]) -> None:
    faulty = Faulty(spoil, times=2)
    proposal = propose_one(load_proposer("lm", model=faulty), task_of_two(), trials_of_two(2), [], seed=4)
    shown = proposal.transcript
    assert shown is not None
    assert shown["attempt"] == 2
    assert [r["attempt"] for r in shown["rejected"]] == [0, 1]
    assert [r["seed"] for r in shown["rejected"]] == [derive_seed(4, 0), derive_seed(4, 1)]
    assert all(r["reason"] and r["text"] for r in shown["rejected"])
    assert [len(batch) for batch in faulty.batches] == [1, 1, 1]


def test_a_model_that_never_answers_is_an_error_that_shows_what_came() -> None:
    faulty = Faulty(gibberish, times=ATTEMPTS)
    with pytest.raises(ModelError) as raised:
        propose_one(load_proposer("lm", model=faulty), task_of_two())
    assert len(faulty.batches) == ATTEMPTS
    assert "the best value is 0.1" in str(raised.value)
    assert "faulty" in str(raised.value)


def test_a_tried_configuration_is_not_accepted_whatever_the_model_says(model: LanguageModel) -> None:
    """The grammar excludes it; should a model answer it all the same, the check after it refuses."""
    task, made = task_of_two(), LMProposer(model)
    request = made.request(Job(task, [], [], 0))
    assert request is not None
    completion = model.generate([request])[0]
    config = made.accept(Remaining(Job(task, [], [], 0)), request, completion)
    with pytest.raises(AirtuneError, match="has been tried"):
        made.accept(Remaining(Job(task, [Trial(0, config, "told", 1.0)], [], 0)), request, completion)


def test_many_studies_share_one_batch(model: LanguageModel) -> None:
    counted = Faulty(lambda completion: completion, times=0)
    task = task_of_two()
    jobs = [Job(task, trials_of_two(k), (), seed=k) for k in range(5)]
    load_proposer("lm", model=counted).propose(jobs)
    assert [len(batch) for batch in counted.batches] == [5]
    alone = load_proposer("lm", model=counted)
    for job in jobs:
        assert job.proposal == propose_one(alone, task, job.history, [], job.seed)
    jobs = [Job(task, trials_of_two(k), (), seed=k) for k in range(3)]
    load_proposer("default+lm", model=counted).propose(jobs)
    assert [job.proposal.origin for job in jobs if job.proposal] == ["default"] * 3


def test_a_batch_with_an_exhausted_space(model: LanguageModel) -> None:
    small = Task("test/small", ConfigurationSpace({"a": ["x", "y"]}), lambda c: 0.0)
    history = [Trial(0, {"a": "x"}, "told", 1.0), Trial(1, {"a": "y"}, "told", 2.0)]
    jobs = [Job(small, history, (), 0), Job(small, history[:1], (), 0)]
    load_proposer("lm", model=model).propose(jobs)
    assert jobs[0].proposal is None
    assert jobs[1].proposal is not None
    assert dict(jobs[1].proposal.config) == {"a": "y"}


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_bad_temperatures_are_explained(model: LanguageModel, temperature: float) -> None:
    with pytest.raises(AirtuneError, match="not a number from 0 up"):
        load_proposer("lm", model=model, temperature=temperature)
