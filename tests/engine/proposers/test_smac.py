"""SMAC: that it is what its name says, leaves nothing behind, and says what is missing where it is not installed."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float

from airtune.engine import Task, Trial, load_proposer
from airtune.engine.proposers.base import losses, propose_one
from airtune.engine.proposers.cmaes import _has_order
from airtune.engine.proposers.optuna import _distributions, _from_optuna, _to_optuna
from airtune.engine.seeds import derive_seed

GRID = [10.0**k for k in np.linspace(-5, 0, 25)]


def bowl(config: dict[str, float]) -> float:
    return float(sum((math.log10(value) + 2.0) ** 2 for value in config.values()))


def continuous() -> Task:
    space = ConfigurationSpace()
    space.add(*(Float(f"x{i}", (1e-5, 1.0), log=True) for i in range(2)))
    return Task("test/bowl", space, bowl)


def grid() -> Task:
    space = ConfigurationSpace()
    space.add(*(Categorical(f"x{i}", GRID, ordered=True, default=GRID[20]) for i in range(2)))
    return Task("test/grid", space, bowl)


def search(name: str, task: Task, budget: int, seed: int) -> list[Trial]:
    made, trials = load_proposer(name), list[Trial]()
    for i in range(budget):
        proposal = propose_one(made, task, trials, [], derive_seed(seed, i))
        trials.append(Trial(i, proposal.config, "told", task.objective(dict(proposal.config))))
    return trials


def test_it_finds_the_bottom_of_a_bowl_on_a_grid() -> None:
    """The order of a grid's values is what a surrogate learns from; random search takes 600 trials to be there."""
    trials = search("smac", grid(), 14, seed=1)
    assert min(losses(trials)) < 0.2
    assert min(losses(search("random", grid(), 14, seed=1))) > 0.2


def test_the_others_know_the_order_of_a_grid_too() -> None:
    """Optuna's samplers and CMA-ES are told of the index of a value, not of a choice."""
    from optuna.distributions import IntDistribution

    space = grid().space
    assert _distributions(space, 2.0**40) == dict.fromkeys(space, IntDistribution(0, 24))
    assert [_to_optuna(space["x0"], value) for value in GRID] == list(range(25))
    assert [_from_optuna(space["x0"], i) for i in range(25)] == GRID
    assert _has_order(space["x0"])


def test_it_starts_after_four_told_trials() -> None:
    task = continuous()
    trials = search("random", task, 6, seed=0)
    made = load_proposer("smac")
    for told, same in ((3, True), (6, False)):
        turned = [Trial(t.number, t.config, "told", -losses([t])[0]) for t in trials[:told]]
        first = [propose_one(made, task, trials[:told], [], s).config for s in range(2)]
        second = [propose_one(made, task, turned, [], s).config for s in range(2)]
        assert (first == second) is same, told


def test_it_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "temp").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    level = logging.getLogger("smac").level
    search("smac", continuous(), 6, seed=0)
    assert not list((tmp_path / "here").iterdir())
    assert not list((tmp_path / "temp").iterdir())
    assert logging.getLogger("smac").level == level
    assert capfd.readouterr() == ("", "")


def test_without_the_package_it_says_what_to_install() -> None:
    code = (
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'smac' else found(name, *a)\n"
        "from airtune.engine import load_proposer\n"
        "from airtune.grammars import AirtuneError\n"
        "try: load_proposer('default+smac')\n"
        "except AirtuneError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'airtune[smac]'" in done.stdout
