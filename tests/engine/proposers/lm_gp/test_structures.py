"""What `lm+gp` looks at on programs: structures of the model, with other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, Float

from airtune.engine import Task, Trial
from airtune.engine.proposers.base import propose_one
from airtune.engine.proposers.lm_gp.candidates import Candidates
from airtune.engine.proposers.lm_gp.gaussian_process import Floats
from airtune.engine.proposers.lm_gp.proposer import LMGPProposer
from airtune.engine.proposers.lm_gp.structures import search
from airtune.grammars import program_space
from airtune.models import load_model

PROGRAMS = program_space(
    """
    program: P = "fit({model: M})"
    model: M = near: "{a: float}, {b: int}" | far: "{c: float}" | plain: "0" | many: "{step * 1..3}"
    a: float = 0.0 .. 1.0
    b: int = 1 .. 9999
    c: float = 1e-3 .. 1e3 log
    step: S = one: "s({width: int})" | other: "t()"
    width: int = [1, 2, 4, 8]
    """
)
NEAR = [{"model": "near", "a": 0.5, "b": 10}, {"model": "near", "a": 0.25, "b": 100}]
PLAIN = {"model": "plain"}


def found(answers: list[dict[str, Any]], best: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def acquisition(points: Floats) -> Floats:
        return points @ np.arange(points.shape[1])

    whole = Candidates(PROGRAMS.space)
    searched = search(whole, answers, best, acquisition, np.random.default_rng(0))
    configs = []
    for made, rows, values in searched:
        some = [made.config(row) for row in rows]
        # The process sees a whole program, not the numbers of one structure.
        points = whole.encoder.points(whole.encoder.vectors(some))
        np.testing.assert_allclose(values, acquisition(points), rtol=1e-3)
        configs += some
    return configs


def test_structure_is_all_but_the_numbers() -> None:
    structure = set(PROGRAMS.space) - PROGRAMS.numbers
    assert structure == {"model", "n_step", "step[1]", "step[2]", "step[3]"}


def test_candidates_have_structures_of_the_model_and_other_numbers() -> None:
    far = {"model": "far", "c": 1.0}
    configs = found([NEAR[1], PLAIN], [far, NEAR[0]])
    assert {config["model"] for config in configs} == {"near", "far"}  # "plain" has no number to choose
    near = [config for config in configs if config["model"] == "near"]
    assert all(set(config) == {"model", "a", "b"} for config in near)
    for name in ("a", "b"):
        values = np.array([config[name] for config in near])
        assert min((values < NEAR[0][name]).mean(), (values > NEAR[0][name]).mean()) > 0.05
    assert {config["a"] for config in near} > {0.25, 0.5}  # around what was tried and around what was written
    few = found([{"model": "many", "n_step": 1, "step[1]": "one", "step[1].one.width": 2}], [])
    assert sorted(config.pop("step[1].one.width") for config in few) == [1, 2, 4, 8]
    assert all(config == {"model": "many", "n_step": 1, "step[1]": "one"} for config in few)


def test_only_the_first_answers_and_trials_are_searched() -> None:
    steps = [
        {"model": "many", "n_step": n, **{f"step[{i}]": "other" for i in range(2, n + 1)}, "step[1]": "one"}
        for n in (1, 2, 3)
    ]
    many = [{**step, "step[1].one.width": 1} for step in steps]
    answers = [PLAIN, *many, NEAR[0]]
    assert {config["model"] for config in found(answers, [])} == {"many"}
    assert {config["model"] for config in found([], [PLAIN, many[0], NEAR[0]])} == {"many"}


def test_without_numbers_the_answer_is_taken() -> None:
    assert found([PLAIN], [PLAIN]) == []


def test_other_spaces_are_searched_as_a_whole() -> None:
    for meta in (None, {"unit": "m"}):
        space = ConfigurationSpace()
        space.add(Float("x", (0.0, 1.0), meta=meta))
        ((made, rows, _),) = search(
            Candidates(space), [], [{"x": 0.5}], lambda p: p[:, 0], np.random.default_rng(0)
        )
        assert made.space is space
        assert len(rows) == 640


@pytest.mark.parametrize("seed", range(3))
def test_every_proposal_has_a_structure_that_was_there(seed: int) -> None:
    """The scripted model's answers, whatever the process thinks of other structures; and the process is heard."""
    model, origins = load_model("scripted", dialect="code"), set()
    task = Task("t", PROGRAMS.space, lambda config: 0.0)
    rng, history = np.random.default_rng(seed), list[Trial]()
    for number in range(9):
        proposal = propose_one(LMGPProposer(model), task, history, (), seed * 100 + number)
        assert proposal is not None
        assert proposal.transcript is not None
        texts = [one["text"] for one in proposal.transcript.get("samples", [proposal.transcript])]
        known = [PROGRAMS.decode(text) for text in texts] + [dict(trial.config) for trial in history]
        shapes = [{n: v for n, v in config.items() if n not in PROGRAMS.numbers} for config in known]
        assert {n: v for n, v in proposal.config.items() if n not in PROGRAMS.numbers} in shapes
        origins.add(proposal.origin)
        history.append(Trial(number, proposal.config, "told", float(rng.random())))
    assert origins >= {"lm", "lm+gp:gp"}
