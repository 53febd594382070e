"""Tasks on other ranges: the same configurations, losses and defaults, by other numbers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition, Float, ForbiddenGreaterThanRelation, Integer

from airtune.benchmarks import get_task
from airtune.benchmarks.analysis.comparison import RANDOM, Run, compare_runs
from airtune.benchmarks.running.suites import get_suite
from airtune.benchmarks.tasks import moved
from airtune.benchmarks.tasks.clusters import task_cluster
from airtune.benchmarks.tasks.moved import moved_task, unmoved
from airtune.engine import Study
from airtune.engine.types import Task, TaskError
from airtune.grammars import AirtuneError, canonical_grammar, space_grammar

TASKS = (
    "toy/branin",
    "sklearn/mlp/digits",
    "sklearn/rf/wine",
    "hpobench/svm/vehicle",
    "hpobench/lr/car@iter=100",
)


def _moves(name: str) -> dict[str, moved._Move]:
    return moved._moves(name)[1]


@pytest.mark.parametrize("name", TASKS)
def test_the_default_and_every_bound_are_where_they_were(name: str) -> None:
    original, other = get_task(name), get_task(f"moved/{name}")
    moves = _moves(original.name)
    default = dict(other.space.get_default_configuration())
    back = {key: moves[key].back(value) for key, value in default.items()}
    assert back == pytest.approx(dict(original.space.get_default_configuration()))
    assert list(other.space) == list(original.space)
    assert other.description == original.description
    assert any(
        moves[key].there(value) != value for key, value in original.space.get_default_configuration().items()
    )
    for key, hp in original.space.items():
        if hasattr(hp, "lower"):
            new = other.space[key]
            assert (moves[key].back(new.lower), moves[key].back(new.upper)) == (hp.lower, hp.upper)
            assert new.log == hp.log


@pytest.mark.parametrize("name", ["toy/branin", "hpobench/svm/vehicle"])
def test_a_configuration_has_the_loss_of_what_it_stands_for(name: str) -> None:
    original, other = get_task(name), pickle.loads(pickle.dumps(get_task(f"moved/{name}")))
    moves = _moves(original.name)
    grammar = canonical_grammar(other.space)
    for config in other.space.sample_configuration(50):
        told = grammar.decode(grammar.encode(grammar.snap(dict(config))))
        stands_for = {key: moves[key].back(value) for key, value in told.items()}
        assert other.objective(told) == original.objective(stands_for)


def test_a_table_has_the_same_rows() -> None:
    original, other = get_task("hpobench/svm/vehicle"), get_task("moved/hpobench/svm/vehicle")
    assert space_grammar(other.space).count() == space_grammar(original.space).count()
    moves = _moves(original.name)
    for key, hp in original.space.items():
        assert [moves[key].back(value) for value in other.space[key].sequence] == list(hp.sequence)
        assert len(set(other.space[key].sequence)) == len(hp.sequence)


def test_whole_numbers_conditions_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    space = ConfigurationSpace({"kind": ["a", "b"], "flag": [True, False]})
    depth, width = Integer("depth", (1, 9)), Integer("width", (4, 512), log=True)
    space.add(depth, width, Float("rate", (1e-5, 1e-1), log=True))
    space.add(EqualsCondition(width, depth, 7))
    task = Task("mine", space, lambda config: float(config["depth"]))
    moved._moves.cache_clear()
    monkeypatch.setattr(moved, "get_task", lambda name: task)
    other = moved_task("moved/mine")
    moves = _moves("mine")
    (condition,) = other.space.conditions
    assert condition.value == moves["depth"].there(7) != 7
    assert tuple(other.space["kind"].choices) == ("a", "b")
    assert [moves["depth"].back(moves["depth"].there(value)) for value in range(1, 10)] == list(range(1, 10))
    assert [moves["width"].back(moves["width"].there(value)) for value in range(4, 513)] == list(
        range(4, 513)
    )
    assert other.space["rate"].log
    assert other.space["rate"].upper / other.space["rate"].lower == pytest.approx(1e4)
    assert other.space["depth"].lower > 9
    with Study(other, "random") as study:
        study.run(5)
        assert all(trial.status == "told" for trial in study.trials)
    moved._moves.cache_clear()


def test_what_cannot_be_moved_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    space = ConfigurationSpace({"a": (0.0, 1.0), "b": (0.0, 1.0)})
    space.add(ForbiddenGreaterThanRelation(space["a"], space["b"]))
    moved._moves.cache_clear()
    monkeypatch.setattr(moved, "get_task", lambda name: Task("mine", space, lambda config: 0.0))
    with pytest.raises(TaskError, match="compared with each other"):
        moved_task("moved/mine")
    moved._moves.cache_clear()


def test_suites_clusters_and_tables_are_the_originals() -> None:
    suite = get_suite("moved/hpobench")
    assert suite.tasks == tuple(f"moved/{task}" for task in get_suite("hpobench").tasks)
    assert task_cluster(suite.tasks[0]) == task_cluster(unmoved(suite.tasks[0]))
    with pytest.raises(AirtuneError, match="unknown suite 'none'"):
        get_suite("moved/none")
    runs = {("local", t, 0): Run("local", t, 0) for t in (suite.tasks[0], unmoved(suite.tasks[0]))}
    comparison = compare_runs(runs, ("local",), [task for _, task, _ in runs], 1, 3)
    assert comparison.exact.all()
    np.testing.assert_array_equal(*comparison.best[comparison.methods.index(RANDOM), :, 0])


def test_an_unknown_original_is_told() -> None:
    with pytest.raises(TaskError, match="toy/brann") as error:
        get_task("moved/toy/brann")
    assert error.value.hint


def test_programs_are_not_moved() -> None:
    """Bug: their search space was moved, and was then that of no program space any more."""
    with pytest.raises(TaskError, match="programs cannot be moved"):
        get_task("moved/sklearn/program/wine")
