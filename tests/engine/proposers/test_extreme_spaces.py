"""Space files of extreme ranges: proposed in exactly and without a library's warning, or refused in our words."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airtune.engine.proposers import load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.engine.types import Task, Trial
from airtune.grammars import SpaceError, space_from_json, space_grammar
from airtune.models import load_model

PROPOSERS = ("random", "local", "default+lm", "lm+gp", "tpe", "gp", "cmaes")

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
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
