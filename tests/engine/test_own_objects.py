"""A configuration is made of the space's own objects everywhere: after a resume, and in worker processes."""

from __future__ import annotations

from http import HTTPMethod, HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, Constant, OrdinalHyperparameter

from airtune.engine import Evaluation, Study, StudyFile, Task
from airtune.engine.proposers.base import sample_value

CHOICES: dict[str, Any] = {
    "tuples": [(64,), (64, 32), (128,)],
    "nested tuples": [((1, 2), "a"), ((3,), "b"), ((), "c")],
    "objects": [{"name": "adam"}, {"name": "sgd", "momentum": 0.9}, {"name": "none"}],
    "tuples in objects": [{"sizes": (1, 2)}, {"sizes": (3,)}, {"sizes": ()}],
    "lists": [[1], [2, 3], []],
    "large whole numbers": [2**63, 2**64 + 1, -(2**70)],
    "of all kinds": [(1,), {"a": 1}, "text"],
    "enums of texts": [HTTPMethod.GET, HTTPMethod.PUT],
    "enums of numbers": [HTTPStatus.OK, HTTPStatus.ACCEPTED],
    "True among numbers": [True, 2, 0.5],
}


def task(choices: Any, kind: type) -> Task:
    def shown(config: Any) -> dict[str, Any]:  # not of this module, which a worker process cannot import
        return {
            "loss": float(config["n"]),
            "shown": repr(config["choice"]),
            "constant": repr(config["constant"]),
        }

    space = ConfigurationSpace({"n": (1, 99)})
    space.add(kind("choice", choices), Constant("constant", choices[0]))
    return Task("t", space, shown)


@pytest.mark.parametrize("kind", [CategoricalHyperparameter, OrdinalHyperparameter])
@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_a_resumed_study_goes_on_with_the_same_objects(tmp_path: Path, choices: Any, kind: type) -> None:
    """Bugs: a tuple comes back as a list, and no proposal is ever valid again; an object or a large whole number is
    written, and then the file is refused as forged; the members of an enum come back as texts or numbers."""
    path = tmp_path / "s.sqlite"
    with Study(task(choices, kind), "random", path=path) as study:
        first = study.run(4).trials
    with Study(task(choices, kind), "random", path=path) as study:
        assert [dict(trial.config) for trial in study.trials] == [dict(trial.config) for trial in first]
        resumed = study.run(12).trials
    with Study(task(choices, kind), "random") as study:
        whole = study.run(12).trials
    assert [repr(dict(trial.config)) for trial in resumed] == [repr(dict(trial.config)) for trial in whole]
    assert all(
        any(trial.config["choice"] is one or trial.config["choice"] == one for one in choices)
        for trial in resumed
    )
    assert [trial.info["shown"] for trial in resumed] == [repr(trial.config["choice"]) for trial in resumed]
    with StudyFile(path, readonly=True) as file:
        assert len(file.trials(file.get().name)) == 12


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_an_objective_gets_the_same_objects_wherever_it_runs(choices: Any) -> None:
    """Bug: a worker process got the JSON of the configuration, in which tuples are lists."""
    found = []
    for isolate in (False, True):
        evaluation = Evaluation(isolate=isolate)
        with Study(task(choices, CategoricalHyperparameter), "random", evaluation=evaluation) as study:
            found.append([trial.info for trial in study.run(3).trials])
    assert found[0] == found[1]
    assert {info["constant"] for info in found[0]} == {repr(choices[0])}


@pytest.mark.parametrize("kind", [CategoricalHyperparameter, OrdinalHyperparameter])
@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_every_choice_is_drawn(choices: Any, kind: type) -> None:
    """Bug: choices were drawn from ConfigSpace's array, where True beside 2 is 1, so that
    it was never proposed, or only by the draw that comes after 32 vain ones."""
    hp, rng = kind("choice", choices), np.random.RandomState(0)
    drawn = {repr(sample_value(hp, rng)) for _ in range(60)}
    assert drawn == {repr(choice) for choice in choices}
