"""Names hidden: the same problem in neutral words, told in both dialects, and every answer found back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenInClause,
    Integer,
)
from hypothesis import given

from airtune.engine import Task, load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.engine.types import Trial
from airtune.grammars import canonical_grammar, space_grammar
from airtune.models import ModelError, Observation, Problem, load_model
from airtune.models.dialects.hidden import hidden_space, permuted_space, revealed, told_problem
from airtune.models.registry import make_dialect
from tests.grammars.strategies import seeded_space, small_spaces

SECRETS = (
    "kernel",
    "rbf",
    "poly",
    "gamma",
    "adam",
    "secret",
    "hertz",
    "svm",
    "digits",
    "accuracy",
    "CUDA",
    "mode",
)


def space() -> ConfigurationSpace:
    """Twelve hyperparameters and more, so that a number of one digit would sort wrongly."""
    made = ConfigurationSpace({f"p{i:02d}": (0.0, 1.0) for i in range(9)})
    kernel = Categorical("kernel", ["rbf", "poly", 3, True], default="poly")
    gamma = Float("gamma", (1e-4, 1.0), log=True, default=0.02, meta={"unit": "hertz"})
    optimizer = Categorical("optimizer", ["sgd", "adam"], ordered=True)
    made.add(kernel, gamma, optimizer, Integer("depth", (1, 9)), Constant("mode", "secret"))
    made.add(EqualsCondition(gamma, kernel, "rbf"))
    made.add(
        ForbiddenAndConjunction(
            ForbiddenInClause(kernel, ["poly", 3]), ForbiddenEqualsClause(optimizer, "adam")
        )
    )
    return made


def problem(made: ConfigurationSpace) -> Problem:
    grammar, rng = space_grammar(made), np.random.default_rng(0)
    seen = [Observation(grammar.sample(rng), loss) for loss in (0.5, 0.25)]
    seen += [Observation(grammar.sample(rng), None, "failed", "CUDA out of memory")]
    return Problem("svm/digits", "An svm on digits.", made, "accuracy", tuple(seen))


@given(small_spaces())
def test_the_same_configurations_in_the_same_order(made: ConfigurationSpace) -> None:
    """Bijective: rank by rank, the hidden configuration is the configuration's own, and is found back."""
    hidden = hidden_space(made)
    mine, theirs = space_grammar(made), space_grammar(hidden.space)
    assert mine.count() == theirs.count()
    assert [hidden.names[name] for name in mine.lattice.names] == list(theirs.lattice.names)
    for rank in range(min(mine.count(), 200)):
        config = mine.nth(rank)
        assert theirs.nth(rank) == hidden.hide(config)
        assert revealed(hidden.space, theirs.nth(rank)) == config


@pytest.mark.parametrize("seed", range(24))
def test_larger_spaces(seed: int) -> None:
    made = seeded_space(seed)
    hidden, rng = hidden_space(made), np.random.default_rng(seed)
    mine, theirs = space_grammar(made), space_grammar(hidden.space)
    assert (mine.count(), mine.approximate) == (theirs.count(), theirs.approximate)
    for _ in range(20):
        config = mine.sample(rng)
        assert theirs.config(theirs.lattice.path(hidden.hide(config), snap=False)) == hidden.hide(config)
        assert hidden.reveal(hidden.hide(config)) == config


def test_what_is_hidden_and_what_stays() -> None:
    hidden = hidden_space(space())
    assert list(hidden.space) == [f"x{i:02d}" for i in range(1, 15)]
    called = {name: hidden.space[neutral] for name, neutral in hidden.names.items()}
    assert list(called["kernel"].choices) == ["a", "b", 3, True]
    assert called["kernel"].default_value == "b"
    assert list(called["optimizer"].sequence) == ["a", "b"]
    assert called["mode"].value == "a"
    gamma = called["gamma"]
    assert (gamma.lower, gamma.upper, gamma.log, gamma.default_value, gamma.meta) == (
        1e-4,
        1.0,
        True,
        0.02,
        None,
    )
    told = told_problem(problem(space()), "hidden")
    assert (told.name, told.description, told.metric) == ("task", "", "loss")
    assert [o.reason for o in told.observations] == [None] * 3


@pytest.mark.parametrize(
    "dialect", ["chat", "chat+history=turns", "chat+detail=space", "chat+detail=none", "pocket"]
)
def test_no_dialect_tells_a_name(dialect: str) -> None:
    shown, hiding = make_dialect(dialect), make_dialect(f"{dialect}+names=hidden")
    assert hiding.name == f"{dialect.partition('+')[0]}+names=hidden" + dialect.removeprefix(
        "chat"
    ).removeprefix("pocket")
    prompt, open_ = hiding.render(problem(space())), shown.render(problem(space()))
    assert prompt == hiding.render(problem(space()))
    assert not [word for word in SECRETS if word.lower() in prompt.lower()]
    assert [word for word in SECRETS if word in open_]


@given(small_spaces())
def test_permuted_names_are_of_the_same_configurations(made: ConfigurationSpace) -> None:
    told = permuted_space(made)
    assert sorted(told.space) == sorted(made)
    assert all(told.names[name] != name for name in made) or len(made) == 1
    grammar, there = canonical_grammar(made), canonical_grammar(told.space)
    assert grammar.count() == there.count()
    for rank in range(min(grammar.count(), 40)):
        config = grammar.nth(rank)
        there.encode(told.hide(config))  # raises where it is not valid there
        assert revealed(told.space, told.hide(config)) == config


def test_a_model_reads_permuted_names() -> None:
    """Each range under the next one's name; nothing else changes, and configurations told follow."""
    made = ConfigurationSpace({"C": (0.1, 1.0), "gamma": (1, 1000), "tol": [True, False]})
    seen = (Observation({"C": 0.5, "gamma": 10, "tol": False}, 0.25),)
    told = told_problem(Problem("svm/digits", "An svm.", made, "accuracy", seen), "permuted")
    assert (told.name, told.description, told.metric) == ("svm/digits", "An svm.", "accuracy")
    assert (told.space["gamma"].upper, told.space["tol"].upper) == (1.0, 1000)
    assert told.space["C"].choices == (True, False)
    assert told.observations == (Observation({"gamma": 0.5, "tol": 10, "C": False}, 0.25),)
    header = make_dialect("pocket+names=permuted").render(Problem("t", "", made, "loss"))
    assert "<gamma>F[+e-1][+e0]" in header
    assert "<tol>I[+e0][+e3]" in header


@pytest.mark.parametrize("names", ["hidden", "permuted"])
@pytest.mark.parametrize("dialect", ["chat", "pocket"])
def test_answers_are_found_back_and_nothing_is_said_twice(dialect: str, names: str) -> None:
    made = space()
    hiding, shown = make_dialect(f"{dialect}+names={names}"), make_dialect(dialect)
    grammar, rng = hiding.grammar(made), np.random.default_rng(1)
    assert grammar.count() == shown.grammar(made).count()
    tried: list[dict[str, Any]] = []
    for _ in range(20):
        text = grammar.encode(grammar.sample(rng))
        tried.append(hiding.parse(text, grammar))
        canonical_grammar(made).encode(tried[-1])  # raises where it is not valid in the space's own words
        assert not hiding.grammar(made, tried).accepts(text)


@pytest.mark.parametrize("names", ["hidden", "permuted"])
@pytest.mark.parametrize("name", ["lm", "default+lm+gp", "lm+self"])
def test_proposers_see_the_own_names_alone(name: str, names: str) -> None:
    task = Task("t", space(), lambda config: 0.0)
    grammar, rng = canonical_grammar(task.space), np.random.default_rng(3)
    tried = [Trial(i, grammar.sample(rng), "told", float(i)) for i in range(4)]
    model = load_model("pocket", dialect=f"pocket+names={names}")
    proposal = propose_one(load_proposer(name, model), task, tried, (), seed=1)
    assert proposal is not None
    assert set(proposal.config) <= set(task.space)
    grammar.encode(grammar.snap(proposal.config))


def test_the_default_can_be_hidden_too() -> None:
    """Neither the list of hyperparameters nor the line before the first trial tells it."""
    blank = Problem("t", "", space(), "loss")
    for dialect in ("chat", "chat+history=turns", "chat+detail=space"):
        assert make_dialect(dialect).render(blank).count("default") == 14  # 13 that vary, and the line
        assert "default" not in make_dialect(f"{dialect}+default=hidden").render(blank)


def test_bad_settings() -> None:
    with pytest.raises(ModelError, match="the pocket dialect's setting names cannot be 'no'"):
        make_dialect("pocket+names=no")
    with pytest.raises(ModelError, match="unknown setting of the pocket dialect 'history'"):
        make_dialect("pocket+history=turns")
    with pytest.raises(ModelError, match="given twice"):
        make_dialect("chat+names=hidden+names=shown")
