"""Space files of extreme ranges: proposed in exactly and without a library's warning, or refused in our words."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airtune.engine import Study
from airtune.engine.proposers import load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.engine.storage.export import export_csv, export_jsonl
from airtune.engine.storage.study_file import StudyFile
from airtune.engine.types import Task, Trial
from airtune.grammars import SpaceError, space_from_json, space_grammar
from airtune.models import load_model

PROPOSERS = ("random", "uniform", "local", "default+lm", "lm+gp", "tpe", "gp", "cmaes", "smac")

floats = st.one_of(
    st.sampled_from(
        [0.0, 1e-300, 5e-324, 1e-15, 1e-13, 1.5e-13, math.pi, 1e12, 972500000.0, 1e290, -1e290, 1.7e308]
    ),
    st.floats(allow_nan=False, allow_infinity=False),
)
wholes = st.one_of(
    st.sampled_from(
        [0, 1, 2**31, 2**53 - 1, 2**53 + 1, 2**62 - 1, 2**62, 2**63 - 513, 2**63 - 1, -(2**63), 2**70]
    ),
    st.integers(-(2**64), 2**64),
)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """A space of one extreme range beside an ordinary one."""
    kind = draw(st.sampled_from(["float", "int"]))
    lower, upper = sorted(draw(st.tuples(*[floats if kind == "float" else wholes] * 2)))
    item = {"type": kind, "lower": lower, "upper": upper, "log": lower > 0 and draw(st.booleans())}
    return {"x": item, "y": {"type": "float", "lower": 0, "upper": 1}}


@given(files(), st.integers(0, 2**32))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_texts_are_exact_and_inside(file: dict[str, Any], seed: int) -> None:
    """Bounds were rounded, some to the outside: pi to 3.1415926535898, 2**53 + 1 to 2**53."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            grammar = space_grammar(space_from_json(json.dumps(file)))
        except SpaceError as error:
            refusal = error
        else:
            refusal = None
        if refusal is not None:
            assert "ConfigSpace" not in refusal.message
            assert refusal.allowed
            assert refusal.hint
            return
        lower, upper = file["x"]["lower"], file["x"]["upper"]
        rng = np.random.default_rng(seed)
        ends = [grammar.snap({"x": end, "y": 0.5}) for end in (lower, upper)]
        for config in [*ends, *(grammar.sample(rng) for _ in range(5))]:
            assert lower <= config["x"] <= upper
            assert grammar.decode(grammar.encode(config)) == config
        if file["x"]["type"] == "int":
            assert [end["x"] for end in ends] == [lower, upper]
            assert space_grammar(space_from_json(json.dumps(file))).count() % (upper - lower + 1) == 0
        else:
            change = 2e-6 * (upper - lower) if not file["x"]["log"] else 0
            assert [end["x"] for end in ends] == pytest.approx([lower, upper], rel=2e-6, abs=change)


@pytest.mark.parametrize("name", PROPOSERS)
@given(file=files(), seed=st.integers(0, 2**32))
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_proposers_stay_inside(name: str, file: dict[str, Any], seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            space = space_from_json(json.dumps(file))
        except SpaceError:
            return
        grammar = space_grammar(space)
        rng = np.random.default_rng(seed)
        ends = [grammar.snap({"x": file["x"][end], "y": 0.5}) for end in ("lower", "upper")]
        configs = [*ends, *(grammar.sample(rng) for _ in range(6))]
        history = [
            Trial(number, config, status="told", loss=float(number % 3))
            for number, config in enumerate(configs)
        ]
        proposer = load_proposer(name, load_model("scripted"))
        proposal = propose_one(proposer, Task("t", space, lambda config: 0.0), history, (), seed % 2**31)
        assert proposal is not None
        assert grammar.accepts(grammar.encode(proposal.config))
        assert isinstance(proposal.config["x"], int if file["x"]["type"] == "int" else float)


WIDE = {"type": "int", "lower": 2**53 + 1, "upper": 2**62 - 1}


def test_random_draws_integers_that_floats_cannot_hold() -> None:
    """Draws went through a float: above 2**53 all were even. Were it so, 20 odd ones in none of 40: never."""
    task = Task("t", space_from_json(json.dumps({"x": WIDE})), lambda config: 0.0)
    for name in ("random", "local"):
        drawn = [propose_one(load_proposer(name), task, (), (), seed) for seed in range(40)]
        assert {one.config["x"] % 2 for one in drawn if one} == {0, 1}


LARGE: dict[str, dict[str, Any]] = {
    "range": WIDE,
    "log": {"type": "int", "lower": 2**53 + 1, "upper": 2**62 - 257, "log": True},
    "steps": {"type": "int", "lower": 2**53 + 1, "upper": 2**53 + 701, "step": 7},
    "ordinal": {"type": "ordinal", "sequence": [2**53 + 1, 2**62 + 1, 2**63 - 1]},
    "categorical": {"type": "categorical", "choices": [2**63 - 1, 2**53 + 1, 1 - 2**63]},
    "constant": {"type": "constant", "value": 2**63 - 1},
}


def test_large_integers_are_stored_and_exported_to_the_last_digit(tmp_path: Path) -> None:
    """A float on the way would write 9223372036854775808 for 2**63 - 1, and an even number for an odd one."""
    space = space_from_json(json.dumps(LARGE))
    task = Task("t", space, lambda config: {"loss": 0.0, **config})
    first = [{name: hp.upper for name, hp in space.items() if hasattr(hp, "upper")}]
    first[0] |= {"steps": 2**53 + 8, "ordinal": 2**63 - 1, "categorical": 2**63 - 1, "constant": 2**63 - 1}
    path = tmp_path / "study.db"
    with Study(task, "random", seed=1, path=path, first=first) as study:
        study.run(8)
        configs = [dict(trial.config) for trial in study.trials]
    assert configs[0] == first[0]
    with Study(task, "random", seed=1, path=path, first=first) as again, StudyFile(path) as file:
        assert [dict(trial.config) for trial in again.trials] == configs
        lines = [json.loads(line) for line in export_jsonl(file)][1:]
        assert [line["config"] for line in lines] == [line["info"] for line in lines] == configs
        _, *rows = export_csv(file).splitlines()
    for config, row in zip(configs, rows, strict=True):
        assert {str(value) for value in config.values()} <= set(row.split(","))


@pytest.mark.parametrize("kind", ["steps", "ordinal", "categorical", "constant"])
def test_large_choices_are_exact_in_optuna(tmp_path: Path, kind: str) -> None:
    """Optuna keeps a choice by its position; a range of such integers it keeps as floats, and is refused."""
    import optuna

    from airtune.engine.integrations.optuna.export import export_to_optuna

    choices = {kind: LARGE[kind], "y": {"type": "float", "lower": 0, "upper": 1, "step": 0.1}}
    path = tmp_path / "study.db"
    with Study(
        Task("t", space_from_json(json.dumps(choices)), lambda config: 0.0), "random", path=path
    ) as study:
        study.run(5)
        configs = [dict(trial.config) for trial in study.trials]
    storage = optuna.storages.InMemoryStorage()
    with StudyFile(path) as file:
        export_to_optuna(file, storage)
    (exported,) = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=exported.study_name, storage=storage).trials
    assert [trial.params for trial in trials] == configs


@pytest.mark.parametrize("kind", ["range", "log"])
def test_ranges_of_large_integers_are_refused_where_optuna_keeps_floats(tmp_path: Path, kind: str) -> None:
    import optuna

    from airtune.engine.integrations.optuna.export import export_to_optuna

    task = Task("t", space_from_json(json.dumps({"x": LARGE[kind]})), lambda config: 0.0)
    path = tmp_path / "study.db"
    with Study(task, "random", path=path) as study:
        study.run(1)
    with StudyFile(path) as file, pytest.raises(SpaceError, match="exactly") as refusal:
        export_to_optuna(file, optuna.storages.InMemoryStorage())
    assert refusal.value.allowed == f"bounds from {-(2**53)} to {2**53}"
