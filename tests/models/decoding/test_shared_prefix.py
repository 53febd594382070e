"""Answers that branch off a shared prompt are those that a copy of the prompt for each gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition

from airtune.grammars import Grammar, space_grammar
from airtune.models import Request
from airtune.models.backends.transformers import TransformersModel
from airtune.models.decoding.shared_prefix import ANSWERS
from airtune.models.dialects.chat.dialect import ChatDialect

PROMPTS = ("Trials: none.\nNext:", "Trials: 0.25 -> 0.5, 0.75 -> 0.125, and then 0.1 -> 0.625\nNext:")


def grammar() -> Grammar:
    """Answers of different lengths, with forced runs in them."""
    space = ConfigurationSpace({"kind": ["a", "long"], "rate": (0.0, 1.0), "width": (1, 1000)})
    space.add(EqualsCondition(space["width"], space["kind"], "long"))
    return space_grammar(space)


@pytest.fixture(scope="module", params=["bytes", "bpe"])
def model(request: pytest.FixtureRequest) -> TransformersModel:
    path: Path = request.getfixturevalue({"bytes": "byte_checkpoint", "bpe": "bpe_checkpoint"}[request.param])
    return TransformersModel(path, dialect=ChatDialect())


@pytest.mark.parametrize("count", [2, 9, ANSWERS + 5])
def test_branches_say_what_copies_say(model: TransformersModel, count: int) -> None:
    """Prompts of two lengths, one shared by more answers than the other."""
    language = grammar()
    requests = [
        Request(PROMPTS[i % 4 == 3], language, seed=i, temperature=(0.0, 0.7, 1.0)[i % 3])
        for i in range(count)
    ]
    assert model.decoder.branching
    branched = model.generate(requests)
    model.decoder.branching = False
    try:
        copied = model.generate(requests)
    finally:
        model.decoder.branching = True
    for mine, theirs in zip(branched, copied, strict=True):
        assert (mine.text, mine.token_ids, mine.decode_steps) == (
            theirs.text,
            theirs.token_ids,
            theirs.decode_steps,
        )
        assert mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
    assert len({answer.text for answer in branched}) > 1
