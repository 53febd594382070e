"""What every proposer promises, checked on every proposer and on spaces of every kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    AndConjunction,
    Categorical,
    Configuration,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenGreaterThanRelation,
    GreaterThanCondition,
    InCondition,
    Integer,
)

from airtune.engine import PROPOSERS, Proposal, Proposer, Task, Trial, load_proposer
from airtune.engine.proposers import needs_model
from airtune.engine.proposers.base import propose_one
from airtune.engine.seeds import derive_seed
from airtune.grammars import program_space, space_grammar
from airtune.models import load_model

# `default+X` is X but for its first proposal, which has a test of its own for every X.
NAMES = [*PROPOSERS, "default+lm", "default+lm+gp", "default+random"]


def line() -> ConfigurationSpace:
    return ConfigurationSpace({"x": (-1.0, 1.0)})


def scales() -> ConfigurationSpace:
    space = ConfigurationSpace()
    space.add(
        Float("rate", (1e-5, 1.0), log=True),
        Integer("width", (16, 1024), log=True),
        Integer("depth", (1, 9)),
        Categorical("size", [1, 4, 16], ordered=True),
        Constant("epochs", 10),
    )
    return space


def choices() -> ConfigurationSpace:
    return ConfigurationSpace({"a": ["red", "green", "blue", "grey"], "b": [1, 2, 3, 4], "c": ["on", "off"]})


def conditional() -> ConfigurationSpace:
    """Nested and joined conditions, and forbidden clauses on what is conditional and on a relation."""
    space = ConfigurationSpace()
    model = Categorical("model", ["svm", "forest", "net"])
    C, kernel = Float("C", (1e-3, 1e3), log=True), Categorical("kernel", ["rbf", "poly", "linear"])
    degree = Integer("degree", (2, 5))
    low, high = Integer("low", (1, 10)), Integer("high", (1, 10))
    layers, drop = Integer("layers", (1, 4)), Float("drop", (0.0, 0.5))
    space.add(model, C, kernel, degree, low, high, layers, drop)
    space.add(
        EqualsCondition(C, model, "svm"),
        EqualsCondition(kernel, model, "svm"),
        EqualsCondition(degree, kernel, "poly"),
        InCondition(low, model, ["forest", "net"]),
        InCondition(high, model, ["forest", "net"]),
        EqualsCondition(layers, model, "net"),
        AndConjunction(EqualsCondition(drop, model, "net"), GreaterThanCondition(drop, layers, 1)),
    )
    space.add(
        ForbiddenAndConjunction(ForbiddenEqualsClause(kernel, "poly"), ForbiddenEqualsClause(degree, 5)),
        ForbiddenGreaterThanRelation(low, high),
    )
    return space


def programs() -> ConfigurationSpace:
    """A program space's: repetitions, subsets, and numbers behind choices."""
    return program_space(
        """
        program: Program = "fit({layer * 1..3 sep ', '}, rate={rate: float}{options})"
        layer: Layer = dense: "dense({units: int})" | skip: "skip()"
        options: Options = subset slow: ", slow=True" | clip: ", clip={bound: float}"
        rate: float = 1e-5 .. 1.0 log
        units: int = [16, 32, 64]
        bound: float = 0.1 .. 10.0
        """
    ).space


SPACES: Mapping[str, Callable[[], ConfigurationSpace]] = {
    "line": line,
    "scales": scales,
    "choices": choices,
    "conditional": conditional,
    "programs": programs,
}


def never(config: dict[str, Any]) -> float:
    raise AssertionError("a proposer called the objective")


def task_on(space: str | ConfigurationSpace) -> Task:
    built = SPACES[space]() if isinstance(space, str) else space
    return Task("test/task", built, never, description="A task of the tests.")


def proposer(name: str) -> Proposer:
    dialect = "pocket" if name.endswith("lm+self") else "chat"  # chat has no words to ask for a prediction
    return load_proposer(name, model=load_model("scripted", dialect=dialect) if needs_model(name) else None)


def proposed(
    made: Proposer, task: Task, history: list[Trial], pending: list[Trial], seed: int, n: int = 1
) -> list[Proposal]:
    """Up to n proposals, each one pending for the next."""
    proposals: list[Proposal] = []
    for i in range(n):
        proposal = propose_one(made, task, history, pending, seed if i == 0 else derive_seed(seed, i))
        if proposal is None:
            break
        proposals.append(proposal)
        pending = [*pending, Trial(len(history) + len(pending), proposal.config)]
    return proposals


def trials_on(task: Task, count: int, seed: int = 0, failed: bool = True) -> list[Trial]:
    """Different configurations with made-up losses; every fourth one failed."""
    rng, grammar = np.random.default_rng(seed), space_grammar(task.space)
    trials: list[Trial] = []
    seen: set[str] = set()
    while len(trials) < count:
        config = grammar.sample(rng)
        if grammar.encode(config) in seen or not is_valid(task.space, config):
            continue
        seen.add(grammar.encode(config))
        if failed and len(trials) % 4 == 1:
            trials.append(Trial(len(trials), config, "failed", reason="it did not work"))
        else:
            trials.append(Trial(len(trials), config, "told", float(rng.random())))
    return trials


def is_valid(space: ConfigurationSpace, config: Mapping[str, Any]) -> bool:
    try:
        Configuration(space, values=dict(config))
    except ValueError:
        return False
    return True


def check(task: Task, taken: list[Trial], proposals: list[Proposal], count: int) -> None:
    """All are valid for ConfigSpace, on the canonical lattice, plain Python, new, and different."""
    assert len(proposals) == count
    grammar = space_grammar(task.space)
    texts = {grammar.encode(trial.config) for trial in taken}
    for proposal in proposals:
        Configuration(task.space, values=dict(proposal.config))
        text = grammar.encode(proposal.config)
        assert text not in texts
        texts.add(text)
        assert grammar.decode(text) == dict(proposal.config)
        assert {type(value) for value in proposal.config.values()} <= {int, float, str, bool}
        assert proposal.origin


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("told", [0, 6])
def test_proposals_are_valid_new_and_different(name: str, space: str, told: int) -> None:
    task = task_on(space)
    trials = trials_on(task, told + 2)
    history = trials[:told]
    pending = [Trial(trial.number, trial.config) for trial in trials[told:]]
    check(task, trials, proposed(proposer(name), task, history, pending, seed=told, n=2), 2)


def test_a_long_history(name: str) -> None:
    task = task_on("conditional")
    trials = trials_on(task, 60)
    check(task, trials, proposed(proposer(name), task, trials, [], seed=1), 1)


def test_a_history_of_nothing_but_failures(name: str) -> None:
    task = task_on("scales")
    trials = [Trial(t.number, t.config, "failed", reason="no") for t in trials_on(task, 6)]
    check(task, trials, proposed(proposer(name), task, trials, [], seed=1, n=2), 2)


def test_equal_losses_and_huge_losses(name: str) -> None:
    task = task_on("line")
    trials = [Trial(t.number, t.config, "told", 1.0) for t in trials_on(task, 6, failed=False)]
    check(task, trials, proposed(proposer(name), task, trials, [], seed=1), 1)
    trials = [Trial(t.number, t.config, "told", 10.0 ** (60 * t.number)) for t in trials[:5]]
    check(task, trials, proposed(proposer(name), task, trials, [], seed=1), 1)


def test_the_same_arguments_give_the_same_answer(name: str) -> None:
    """Also after other calls, in a new proposer, and on an equal space; n = 1 gives the first of n = 2."""
    task, trials = task_on("conditional"), trials_on(task_on("conditional"), 8)
    made = proposer(name)
    first = proposed(made, task, trials[:7], [], seed=5, n=2)
    proposed(made, task, trials, [], seed=6)
    task.space.sample_configuration(3)
    assert proposed(made, task, trials[:7], [], seed=5) == first[:1]
    assert proposed(proposer(name), task_on("conditional"), trials[:7], [], seed=5, n=2) == first


def test_seeds_matter(name: str) -> None:
    task = task_on("scales")
    made = proposer(name)
    history = [
        Trial(0, space_grammar(task.space).snap(dict(task.space.get_default_configuration())), "told", 1.0)
    ]
    texts = {json.dumps(propose_one(made, task, history, [], seed).config) for seed in range(4)}
    assert len(texts) > 1


def test_nothing_global_is_touched(name: str) -> None:
    import optuna

    task = task_on("scales")
    verbosity, numpy_state = optuna.logging.get_verbosity(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    own = task.space.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    proposed(proposer(name), task, trials_on(task, 6), [], seed=0, n=2)
    assert optuna.logging.get_verbosity() == verbosity
    assert np.random.get_state()[1].tolist() == numpy_state  # type: ignore[index, union-attr]
    assert task.space.random.get_state()[1].tolist() == own  # type: ignore[index, union-attr]


def test_a_small_space_is_used_up_and_then_left(name: str) -> None:
    space = ConfigurationSpace({"a": (1, 3), "b": ["x", "y"]})
    space.add(
        ForbiddenAndConjunction(ForbiddenEqualsClause(space["a"], 1), ForbiddenEqualsClause(space["b"], "x"))
    )
    task, made, history = task_on(space), proposer(name), list[Trial]()
    while proposals := proposed(made, task, history, [], seed=len(history)):
        check(task, history, proposals, 1)
        history.append(Trial(len(history), proposals[0].config, "told", float(len(history) % 3)))
    assert len(history) == 5
    check(task, history[:3], proposed(made, task, history[:3], [], seed=0, n=10), 2)
    assert proposed(made, task, history[:3], history[3:], seed=0) == []


def test_a_space_of_one_configuration(name: str) -> None:
    task = task_on(ConfigurationSpace({"only": Constant("only", 7)}))
    (proposal,) = proposed(proposer(name), task, [], [], seed=0, n=2)
    assert dict(proposal.config) == {"only": 7}


@pytest.mark.parametrize("inner", PROPOSERS)
def test_the_default_comes_first_and_then_the_inner_proposer(inner: str) -> None:
    task, made = task_on("conditional"), proposer(f"default+{inner}")
    assert made.name == f"default+{inner}"
    default = space_grammar(task.space).snap(dict(task.space.get_default_configuration()))
    first = propose_one(made, task, [], [], seed=1)
    second = propose_one(made, task, [], [Trial(0, default)], seed=1)
    check(task, [], [first, second], 2)
    assert (dict(first.config), first.origin) == (default, "default")
    assert second == propose_one(proposer(inner), task, [], [Trial(0, default)], seed=1)
    trials = trials_on(task, 5)
    # also later, as long as it is untried
    assert propose_one(made, task, trials, [], seed=1).origin == "default"
    trials.append(Trial(5, default, "failed", reason="no"))
    assert proposed(made, task, trials, [], seed=1) == proposed(proposer(inner), task, trials, [], seed=1)


SCRIPT = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("contract", sys.argv[1])
contract = importlib.util.module_from_spec(spec)
spec.loader.exec_module(contract)
print(json.dumps({"hash": hash("airtune"), "answers": contract.answers()}))
"""


def answers() -> dict[str, list[Any]]:
    task = task_on("conditional")
    trials = trials_on(task, 9)
    made = {name: proposed(proposer(name), task, trials[:7], trials[7:], seed=3) for name in NAMES}
    return {name: [[dict(p.config), p.origin] for p in proposals] for name, proposals in made.items()}


def test_another_process_agrees_whatever_its_hash_seed() -> None:
    """With a control: the two processes do hash strings differently."""
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    shown = json.loads(done.stdout.splitlines()[-1])
    assert shown["hash"] != hash("airtune")
    assert shown["answers"] == answers()
