"""The know-nothing model: uniform over the language of the dialect that it speaks, and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from airtune.engine import Task, load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.engine.types import Trial
from airtune.grammars import Grammar, space_grammar
from airtune.models import ModelError, Request, load_model
from airtune.models.dialects.pocket.dialect import PocketDialect
from airtune.models.spec import parse_spec
from tests.contract.test_models import conditional, flat, small
from tests.grammars.strategies import small_spaces


def answers(grammar: Grammar, seeds: range, temperature: float = 1.0, prompt: str = "?") -> list[Any]:
    return load_model("uniform").generate([Request(prompt, grammar, s, temperature) for s in seeds])


def test_every_configuration_that_is_left_is_equally_likely() -> None:
    """Bug: a uniform choice at each hyperparameter, where branches hold unequal numbers of configurations.

    Under rbf there are thousands of them, under linear three: the share of these may be off by 4 standard deviations
    (and one), by chance with probability below 1e-4; so may the six of the small space, of which one is excluded.
    """
    space = conditional()
    tried = [{"kernel": "linear", "n": 1}, {"kernel": "linear", "n": 2}]
    whole = space_grammar(space)
    left = space_grammar(space, tried)
    assert left.count() == whole.count() - 2
    drawn = [left.decode(a.text) for a in answers(left, range(20_000))]
    linear = sum(config["kernel"] == "linear" for config in drawn)
    share = 3 / left.count()
    assert abs(linear - 20_000 * share) < 4 * math.sqrt(20_000 * share) + 1

    few = space_grammar(small(), [{"a": 1, "k": "x"}])
    counts = Counter(answer.text for answer in answers(few, range(5_000)))
    assert len(counts) == few.count() == 5
    assert chisquare(list(counts.values())).pvalue > 1e-4


@given(small_spaces(), st.integers(0, 2**63 - 1))
def test_log_probabilities_say_so(space: Any, seed: int) -> None:
    """Their sum is minus the logarithm of the number of configurations, whatever was drawn; the text is canonical."""
    grammar = space_grammar(space)
    if not grammar.count():
        return
    (answer,) = answers(grammar, range(seed, seed + 1))
    assert sum(answer.logprobs) == pytest.approx(-math.log(grammar.count()), abs=1e-9)
    assert answer.decode_steps == sum(chance < 0 for chance in answer.logprobs)
    assert grammar.encode(grammar.decode(answer.text)) == answer.text


def test_neither_prompt_nor_temperature_matter() -> None:
    grammar = space_grammar(flat())
    first = [answer.text for answer in answers(grammar, range(50))]
    assert first == [a.text for a in answers(grammar, range(50), 0.3, "another prompt")]


def test_it_speaks_the_dialect_of_the_model_that_it_stands_in_for() -> None:
    """Bug: a control on the canonical lattice beside a model on pocket's coarser one."""
    for model in (load_model("pocket", "uniform"), load_model("uniform", dialect="pocket")):
        assert (model.name, model.dialect.name) == ("uniform", "pocket")
        assert model.manifest() == load_model("uniform", dialect="pocket").manifest()
    assert load_model("uniform").dialect.name == "chat"
    assert load_model("uniform", dialect="chat+history=turns").dialect.name == "chat+history=turns"
    with pytest.raises(ModelError, match="unknown model 'nowhere'"):
        load_model("nowhere", "uniform")


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("pocket", "pocket"),
        ("vllm:pocket", "pocket"),
        ("uniform:pocket", "pocket"),
        ("uniform", "chat"),
        ("pocket@chat+history=turns", "chat"),
        ("scripted+context=9000@pocket", "pocket"),
    ],
)
def test_what_a_model_speaks_is_known_without_loading_it(text: str, spoken: str) -> None:
    assert parse_spec(text).spoken == spoken


@pytest.mark.parametrize("name", ["lm", "default+lm", "lm+gp", "lm+self", "hybrid"])
def test_every_proposer_takes_it(name: str) -> None:
    task = Task("t", flat(), lambda config: 0.0)
    grammar = PocketDialect().grammar(task.space)
    tried = [Trial(i, grammar.nth(7919 * i), "told", float(i)) for i in range(4)]
    proposal = propose_one(load_proposer(name, load_model("pocket", "uniform")), task, tried, (), seed=1)
    assert proposal is not None
    assert proposal.config not in [trial.config for trial in tried]
