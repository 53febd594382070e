"""What a study hands out may be changed: it is never an object that the study, or the space, goes on using."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, Constant, OrdinalHyperparameter
from optuna.distributions import CategoricalDistribution

from airtune.engine import Asked, Event, Finished, Study, Task
from airtune.engine.integrations.optuna.space import from_distributions
from airtune.grammars import space_grammar

LISTS: list[Any] = [[64], [64, 32], [128]]
CHOICES: dict[str, tuple[list[Any], Callable[[Any], object]]] = {
    "lists": (LISTS, lambda choice: choice.append(10)),
    "objects": ([{"a": 1}, {"a": 2}, {"b": [3]}], lambda choice: choice.update(c=9)),
    "lists in objects": ([{"a": [1]}, {"a": []}, {"a": [2]}], lambda choice: choice["a"].append(9)),
    "lists in tuples": ([([1], "x"), ([2], "x"), ([3], "x")], lambda choice: choice[0].clear()),
    "ordered": ([OrderedDict(a=[1]), OrderedDict(a=[2])], lambda choice: choice.popitem()),
}


def task(choices: list[Any], objective: Callable[[dict[str, Any]], Any]) -> Task:
    space = ConfigurationSpace({"x": (1, 99)})
    space.add(
        CategoricalHyperparameter("choice", choices),
        OrdinalHyperparameter("ordinal", choices),
        Constant("constant", choices[0]),
    )
    return Task("t", space, objective)


def spoil(config: Any, change: Callable[[Any], object]) -> None:
    for name in ("choice", "ordinal", "constant"):
        change(config[name])
    config.clear()


@pytest.mark.parametrize(("choices", "change"), CHOICES.values(), ids=CHOICES)
def test_an_objective_may_change_its_configuration(
    choices: list[Any], change: Callable[[Any], object]
) -> None:
    """Would fail if `evaluate` copied the configuration only one level deep."""

    def plain(config: dict[str, Any]) -> float:
        return float(config["x"])

    def spoils(config: dict[str, Any]) -> float:
        loss = plain(config)
        spoil(config, change)
        return loss

    given = deepcopy(choices)
    with Study(task(given, spoils), "random") as study, Study(task(given, plain), "random") as other:
        changed, whole = study.run(8), other.run(8)
    assert [trial.config for trial in changed.trials] == [trial.config for trial in whole.trials]
    assert given == choices


@pytest.mark.parametrize(("choices", "change"), CHOICES.values(), ids=CHOICES)
def test_trials_and_events_may_be_changed(
    tmp_path: Path, choices: list[Any], change: Callable[[Any], object]
) -> None:
    """Would fail if any one of ask, tell, trials, best, events or results handed out the study's own trial."""

    def objective(config: dict[str, Any]) -> dict[str, Any]:
        assert config["constant"] == choices[0]
        return {"loss": config["x"], "curve": [1, 2]}

    def see(event: Event) -> None:
        if isinstance(event, Asked | Finished):
            spoil(event.trial.config, change)

    path = tmp_path / "s.sqlite"
    given = deepcopy(choices)
    with Study(task(given, objective), "random", path=path) as study:
        asked = study.ask()
        spoil(asked.config, change)
        told = study.tell(asked, {"loss": 1, "curve": [1, 2]})  # it is known by more than its configuration
        spoil(told.config, change)
        result = study.run(3, see)
        assert result.best is not None
        for trial in (*result.trials, result.best, study.best, *study.trials):
            assert trial is not None
            trial.info["curve"].clear()
            spoil(trial.config, change)
        trials = study.trials
    with Study(task(given, objective), "random", path=path) as study:
        assert study.trials == trials
        assert all(trial.info == {"curve": [1, 2]} for trial in trials)
        left = study.ask()
        spoil(left.config, change)
    with Study(task(given, objective), "random", path=path) as study:
        taken_up = study.ask()
        assert taken_up.config["choice"] in choices
        spoil(taken_up.config, change)
        assert study.evaluate(taken_up).loss is not None
    assert given == choices


def test_a_trial_of_another_study_is_refused_all_the_same() -> None:
    """Would fail if `tell` went by the trial's number alone."""
    with Study(task(LISTS, len), "random") as study, Study(task(LISTS, len), "random", seed=1) as other:
        study.ask()
        with pytest.raises(Exception, match="no such trial"):
            study.tell(other.ask(), 1.0)


def test_grammars_give_new_objects() -> None:
    """Would fail if an axis handed out its own choices, or kept the user's."""
    given = deepcopy(LISTS)
    space = ConfigurationSpace()
    space.add(CategoricalHyperparameter("c", given))
    grammar = space_grammar(space)
    grammar.decode('{"c":[64]}')["c"].append(1)
    given[1].append(7)
    assert [grammar.decode(f'{{"c":{text}}}')["c"] for text in ("[64]", "[64,32]")] == [[64], [64, 32]]


@pytest.mark.parametrize("choices", [LISTS, [{"a": 1}, {"a": 2}], [([1],), ([2],)]])
def test_optuna_s_values_are_new_objects(choices: list[Any]) -> None:
    """Would fail if a sampler gave Optuna's own choice to the objective, which may append to it."""
    form = from_distributions({"c": CategoricalDistribution(deepcopy(choices))})
    text = json.dumps(choices[0])
    first = form.params({"c": text})["c"]
    (first[0] if isinstance(first, tuple) else first).clear()
    assert form.params({"c": text}) == {"c": choices[0]}
    assert form.config({"c": choices[0]}) is not None
