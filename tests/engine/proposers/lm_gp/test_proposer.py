"""`lm+gp`: the model's samples first, the Gaussian process's own candidates once it knows better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Proposal, Task, Trial
from airtune.engine.proposers.base import propose_one
from airtune.engine.proposers.lm_gp import candidates
from airtune.engine.proposers.lm_gp import proposer as lm_gp
from airtune.engine.proposers.lm_gp.proposer import LMGPProposer
from airtune.grammars import space_grammar
from airtune.models import Completion, LanguageModel, Request, load_model


def bowl(config: dict[str, Any]) -> float:
    return float((config["x"] - 0.3) ** 2 + (config["y"] - 0.7) ** 2)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("scripted")


def ask(model: LanguageModel, trials: int, seed: int = 0) -> Proposal:
    """The proposal after some random trials on a bowl; the scripted model knows nothing of it."""
    task = Task("bowl", ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0)}), bowl)
    grammar, rng = space_grammar(task.space), np.random.default_rng(seed)
    history = [Trial(i, (c := grammar.sample(rng)), "told", bowl(c)) for i in range(trials)]
    proposal = propose_one(LMGPProposer(model), task, history, (), seed)
    return proposal


def ranking(proposal: Proposal) -> dict[str, Any]:
    assert proposal.transcript is not None
    return dict(proposal.transcript["ranking"])


def test_the_sample_of_highest_improvement_is_taken_where_it_beats_the_other_candidates(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        candidates, "NEIGHBOURS", 0
    )  # in the whole of a space of numbers a better one is near
    monkeypatch.setattr(candidates, "UNIFORM", 4)
    monkeypatch.setattr(candidates, "_CLOSER", ())
    proposal = ask(model, 4, seed=8)
    scores = ranking(proposal)
    assert proposal.origin == "lm+gp"
    assert max(scores["log_ei"]) >= scores["best_other_log_ei"]
    assert proposal.transcript is not None
    said = list(dict.fromkeys(sample["text"] for sample in proposal.transcript["samples"]))
    assert len(scores["log_ei"]) == len(said) > 1
    assert proposal.transcript["text"] == said[int(np.argmax(scores["log_ei"]))]


def test_without_candidates_of_its_own_the_process_chooses_among_the_samples(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a control: where it has them, another is better here."""
    scores = ranking(ask(model, 4, seed=8))
    assert max(scores["log_ei"]) < scores["best_other_log_ei"]
    assert ask(model, 4, seed=8).origin == "lm+gp:gp"
    monkeypatch.setattr(candidates, "NEIGHBOURS", 0)
    monkeypatch.setattr(candidates, "UNIFORM", 1)
    monkeypatch.setattr(candidates, "_CLOSER", ())
    alone = ask(model, 4, seed=8)
    assert alone.origin == "lm+gp"
    assert max(ranking(alone)["log_ei"]) >= ranking(alone)["best_other_log_ei"]


def test_the_process_steers_to_the_bottom_of_a_bowl(model: LanguageModel) -> None:
    """The scripted model knows nothing of it, and the samples are few."""
    proposal = ask(model, 30)
    assert proposal.origin == "lm+gp:gp"
    assert bowl(dict(proposal.config)) < 0.01  # of the unit square's bowl: a radius of 0.1


def test_a_checkpoint_with_the_chat_dialect_gets_one_batch_over_one_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airtune.models.backends.transformers import TransformersModel
    from airtune.models.dialects.chat.dialect import ChatDialect
    from airtune.models.tiny import byte_tokenizer, save_random_llama

    model = TransformersModel(save_random_llama(tmp_path, byte_tokenizer()), dialect=ChatDialect())
    batches: list[list[Request]] = []
    generate = model.generate

    def watched(requests: Sequence[Request]) -> list[Completion]:
        batches.append(list(requests))
        return generate(requests)

    monkeypatch.setattr(model, "generate", watched)
    proposal = ask(model, 4)
    (batch,) = batches
    assert len(batch) == lm_gp.SAMPLES
    assert len({request.prompt for request in batch}) == 1
    assert len({request.seed for request in batch}) == lm_gp.SAMPLES
    assert proposal.transcript is not None
    assert [sample["seed"] for sample in proposal.transcript["samples"]] == [r.seed for r in batch]
    assert len(ranking(proposal)["log_ei"]) > 1
