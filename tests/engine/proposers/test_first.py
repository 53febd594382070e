"""Configurations of the user's own come before anything that is proposed, and are checked before the first trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    ForbiddenEqualsClause,
    Integer,
)

from airtune.engine import Evaluation, Study, StudyFile, Task, minimize
from airtune.engine.proposers.first import checked_first
from airtune.engine.replay.derive import replay
from airtune.engine.replay.report import Options
from airtune.grammars import AirtuneError

ONE, TWO = {"x": 0.5, "n": 3, "c": "a"}, {"x": -0.25, "n": 9, "c": "b"}
DEFAULT = {"x": 0.0, "n": 5, "c": "a"}


@pytest.fixture
def tree() -> ConfigurationSpace:
    """Conditions, a clause, a tuple among the choices, a constant."""
    space = ConfigurationSpace()
    kernel, degree = Categorical("kernel", ["rbf", "poly", "old"]), Integer("degree", (2, 5), default=3)
    space.add(kernel, degree, Categorical("net", [(8, 8), (16,)]), Constant("version", 2))
    space.add(EqualsCondition(degree, kernel, "poly"), ForbiddenEqualsClause(kernel, "old"))
    return space


@pytest.mark.parametrize("jobs", [1, 2, 3])
@pytest.mark.parametrize("proposer", ["random", "default+random", "local", "default+lm"])
def test_they_come_first_and_the_default_before_them(
    task: Task, tmp_path: Path, jobs: int, proposer: str
) -> None:
    """Also in batches, where the one before has no result yet; the default among them is not tried twice."""
    path = tmp_path / "s.sqlite"
    with Study(
        task, proposer, path=path, first=[ONE, DEFAULT, TWO], evaluation=Evaluation(jobs=jobs)
    ) as study:
        configs = [dict(trial.config) for trial in study.run(5).trials]
        name = study.name
    expected = [DEFAULT, ONE, TWO] if proposer.startswith("default") else [ONE, DEFAULT, TWO]
    assert configs[:3] == expected
    assert configs[3] not in expected
    with StudyFile(path, readonly=True) as file:
        origins = [record.origin for record in file.records(name)]
    assert origins[1:3] == ["first", "first"]
    assert replay(path, options=Options(level=1)).holds
    assert replay(path, options=Options(level=0)).holds


def test_a_resumed_study_goes_on_with_them(task: Task, tmp_path: Path, export: Callable[..., str]) -> None:
    """A list that was not written down would be forgotten between two runs."""
    once, twice = tmp_path / "once", tmp_path / "twice"
    for path, budgets in ((once, [4]), (twice, [1, 4])):
        for budget in budgets:
            with Study(task, "random", path=path, first=[ONE, TWO]) as study:
                study.run(budget)
    assert export(once) == export(twice)


def test_a_choice_that_is_a_tuple_is_read_back_as_one(tree: ConfigurationSpace, tmp_path: Path) -> None:
    """JSON knows lists only; a stored list would not be found in the space, and be left out without a word."""
    given = {"kernel": "rbf", "net": [16], "version": 2}
    seen: list[Any] = []

    def objective(config: dict[str, Any]) -> float:
        seen.append(config["net"])
        return 0.0

    for first in ([{**given, "kernel": "poly", "degree": 2}, given], []):
        with Study(Task("t", tree, objective), "random", path=tmp_path / "s", first=first) as study:
            study.run(1 if first else 2)
    assert seen == [(16,), (16,)]
    assert replay(tmp_path / "s", options=Options(level=1)).holds


def test_numbers_count_to_three_digits(space: ConfigurationSpace) -> None:
    assert checked_first(space, [{"x": 0.123456, "n": 3.0, "c": "a"}]) == [{"x": 0.123, "n": 3, "c": "a"}]


@pytest.mark.parametrize(
    ("config", "said", "fix"),
    [
        ({"kernel": "rbf", "net": [8, 8]}, "no value for 'version'", '"version": 2'),
        ({"kernel": "poly", "net": [8, 8], "version": 2}, "no value for 'degree'", '"degree": 3'),
        ({"net": [8, 8], "version": 2}, "no value for 'kernel'", '"kernel": "rbf"'),
        ({"kernel": "rbf", "degree": 3, "net": [8, 8], "version": 2}, "'degree' is not active", "leave 'degree'"),
        ({"kernel": "old", "net": [8, 8], "version": 2}, "forbid", ""),
        ({"kernel": "rbf", "net": [8], "version": 2}, "'net'", ""),
        ({"kernel": "rbf", "net": (8, 8), "version": 3}, "'version'", ""),
        ({"kernel": "poly", "degree": 6, "net": [16], "version": 2}, "'degree' cannot be 6", "one of those"),
        ({"kernel": "poly", "degree": 2.5, "net": [16], "version": 2}, "'degree' cannot be 2.5", ""),
        ({"kernel": "poly", "degree": True, "net": [16], "version": 2}, "'degree' cannot be True", ""),
        ({"kernel": "poly", "degree": "3", "net": [16], "version": 2}, "'degree' cannot be '3'", ""),
        ({"kernel": "poly", "degree": float("nan"), "net": [16], "version": 2}, "'degree' cannot be nan", ""),
        ({"kernal": "rbf", "net": [8, 8], "version": 2}, "unknown hyperparameter 'kernal'", "'kernel'"),
        ({"kernel": "poly", "degree": np.str_("3"), "net": [16], "version": 2}, "'degree' cannot be '3'", "one of"),
        ({"kernel": "poly", "degree": np.array([3, 4]), "net": [16], "version": 2}, "cannot be [3, 4]", ""),
        ({"kernel": "poly", "degree": np.complex64(3), "net": [16], "version": 2}, "cannot be (3+0j)", ""),
        ({"kernel": np.array(["rbf", "poly"]), "net": [16], "version": 2}, "'kernel'", "one of those"),
        ("kernel=rbf", "no configuration: 'kernel=rbf'", ""),
        ([1], "no configuration: ", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_the_first_trial(
    tree: ConfigurationSpace, config: Any, said: str, fix: str, tmp_path: Path
) -> None:
    good = {"kernel": "rbf", "net": [8, 8], "version": 2}
    path = tmp_path / "s"
    with pytest.raises(AirtuneError, match=r"^configuration 2 of 2 to try first") as raised:
        minimize(lambda config: 1 / 0, tree, proposer="random", path=path, first=[good, config])
    assert said in raised.value.message
    assert fix in str(raised.value.hint)
    assert raised.value.allowed
    assert not path.exists()


def test_values_of_arrays_are_what_they_hold(tree: ConfigurationSpace) -> None:
    """Comparing an array, or NumPy's texts with a number, ended in NumPy's own error."""
    given = {"kernel": np.str_("poly"), "degree": np.array(3), "net": np.array([8, 8]), "version": np.int8(2)}
    (config,) = checked_first(tree, [given])
    assert config == {"kernel": "poly", "degree": 3, "net": (8, 8), "version": 2}
    assert all(type(value) in (str, int, tuple) for value in config.values())


def test_what_two_conditions_together_turn_off() -> None:
    """A conjunction has parents, and no one parent."""
    space = ConfigurationSpace({"a": [1, 2], "b": [1, 2], "c": (0, 9)})
    space.add(
        AndConjunction(EqualsCondition(space["c"], space["a"], 2), EqualsCondition(space["c"], space["b"], 2))
    )
    assert checked_first(space, [{"a": 2, "b": 2, "c": 3}, {"a": 1, "b": 2}])[1] == {"a": 1, "b": 2}
    with pytest.raises(AirtuneError, match=r"'c' is not active in it: \"a\": 1, \"b\": 2") as raised:
        checked_first(space, [{"a": 1, "b": 2, "c": 3}])
    assert "change 'a' or 'b'" in str(raised.value.hint)


def test_one_twice_is_refused(space: ConfigurationSpace) -> None:
    """Also where they differ only beyond what counts."""
    with pytest.raises(AirtuneError, match=r"configuration 3 of 3 .* same as configuration 1"):
        checked_first(space, [ONE, TWO, {**ONE, "x": 0.50001}])
    with pytest.raises(AirtuneError, match="no list"):
        checked_first(space, json.dumps(ONE))
