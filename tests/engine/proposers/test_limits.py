"""What the bundled model cannot speak about is told before the first trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer, OrdinalHyperparameter
from typer.testing import CliRunner

from airtune.engine import Study, Task, minimize
from airtune.engine.cli.app import app
from airtune.engine.proposers import load_proposer
from airtune.engine.proposers.limits import within_limits
from airtune.grammars import SpaceError
from airtune.models import LanguageModel, load_model

BEYOND: dict[str, Callable[[], list[Any]]] = {
    "25 floats": lambda: [Float(f"x{i}", (0.0, 1.0)) for i in range(25)],
    "33 choices": lambda: [Categorical("c", [f"c{i}" for i in range(33)])],
    "100 numbers as choices": lambda: [Float("x", (0.0, 1.0)), Categorical("c", list(range(100)))],
    "1,001 steps": lambda: [OrdinalHyperparameter("o", list(range(1001)))],
    "40 of several kinds": lambda: (
        [Integer(f"n{i}", (0, 9)) for i in range(20)] + [Categorical(f"c{i}", ["a", "b"]) for i in range(20)]
    ),
}
WITHIN: dict[str, Callable[[], list[Any]]] = {
    "24 floats": lambda: [Float(f"x{i}", (0.0, 1.0)) for i in range(24)],
    "32 choices": lambda: [Categorical("c", [f"c{i}" for i in range(32)])],
    "1,000 steps": lambda: [OrdinalHyperparameter("o", list(range(1000)))],
}


@pytest.fixture(scope="module")
def pocket() -> LanguageModel:
    return load_model("pocket")


@pytest.mark.parametrize("kind", BEYOND)
@pytest.mark.parametrize("proposer", ["lm", "default+lm", "default+lm+gp", "lm+self", "hybrid"])
def test_a_study_is_refused_before_anything_is_written(
    pocket: LanguageModel, tmp_path: Path, kind: str, proposer: str
) -> None:
    """Catches a check that is left to the model's first proposal: trial 1 of "default+X", after hours."""
    space, called = ConfigurationSpace(space=BEYOND[kind]()), list[object]()
    path = tmp_path / "study.sqlite"
    with pytest.raises(SpaceError, match="pocket cannot speak of") as refused:
        minimize(lambda config: called.append(config), space, proposer=proposer, model=pocket, path=path)
    assert "another proposer" in str(refused.value.hint)
    assert not called
    assert not path.exists()


@pytest.mark.parametrize("kind", BEYOND)
def test_proposers_without_a_model_take_it(kind: str) -> None:
    """Catches limits of a model that nobody asks."""
    space = ConfigurationSpace(space=BEYOND[kind]())
    assert len(minimize(lambda config: 0.0, space, budget=3, proposer="default+tpe").trials) == 3


@pytest.mark.parametrize("kind", WITHIN)
def test_what_is_just_within_the_limits_is_searched(pocket: LanguageModel, kind: str) -> None:
    """Catches a limit that is one too low."""
    task = Task("t", ConfigurationSpace(space=WITHIN[kind]()), lambda config: 0.0)
    with Study(task, "lm", model=pocket) as study:
        assert study.run(1).best is not None
    assert within_limits(study.proposer, task.space) == (study.proposer, None)


def test_who_proposes_instead(pocket: LanguageModel) -> None:
    """Catches a default that is no longer the first trial."""
    space = ConfigurationSpace(space=BEYOND["33 choices"]())
    names = {name: within_limits(load_proposer(name, pocket), space)[0].name for name in ("lm", "default+lm")}
    assert names == {"lm": "tpe", "default+lm": "default+tpe"}


@pytest.mark.parametrize("kind", [*BEYOND, *WITHIN])
def test_the_grammar_command_says_so(tmp_path: Path, kind: str) -> None:
    """Catches a summary that keeps still about it, and one that warns of what is fine."""
    path = tmp_path / "space.json"
    ConfigurationSpace(space={**BEYOND, **WITHIN}[kind]()).to_json(path)
    printed = CliRunner().invoke(app, ["grammar", str(path)])
    told = CliRunner().invoke(app, ["grammar", str(path), "--json"])
    assert printed.exit_code == told.exit_code == 0
    assert ("pocket cannot speak of" in printed.stdout) == (kind in BEYOND)
    assert (json.loads(told.stdout)["pocket"] is not None) == (kind in BEYOND)


@pytest.mark.parametrize(
    ("lower", "upper", "log", "default"),
    [
        (0, 2**62, False, 2**60 + 1),
        (-(2**62), 2**61 + 3, False, -(2**60) - 1),
        (1, 2**61 + 1, True, 2**59 + 3),
        (0, 2**53 + 10, False, 2**53 + 9),
    ],
)
def test_whole_numbers_keep_every_digit(lower: int, upper: int, log: bool, default: int) -> None:
    """Catches a whole number that goes through a float: 2**53 + 9 is none."""
    space = ConfigurationSpace(space=[Integer("n", (lower, upper), log=log, default=default)])
    seen: list[int] = []
    found = minimize(
        lambda config: seen.append(config["n"]) or 0.0, space, budget=4, proposer="default+random"
    )
    assert seen[0] == default
    assert [trial.config["n"] for trial in found.trials] == seen
    assert all(type(n) is int and lower <= n <= upper for n in seen)


@pytest.mark.parametrize(
    "values",
    [[2**53, 2**53 + 1], [1, 2, 10**400], [2**60, 2**60 + 1, 2**60 + 2], [-1.7e308, 0.0, 1.7e308]],
)
def test_ordinals_of_huge_numbers_are_spoken_of(pocket: LanguageModel, values: list[float]) -> None:
    """Catches steps that are the same float, or none at all: they are told by their places."""
    space = ConfigurationSpace(space=[OrdinalHyperparameter("o", values)])
    grammar = pocket.dialect.grammar(space)
    assert [grammar.nth(rank)["o"] for rank in range(grammar.count())] == values
