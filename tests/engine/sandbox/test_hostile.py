"""Programs that mean harm: each does it outside, none inside, each failure has its name, and a study goes on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Evaluation, Limits, Sandbox, Study, Task, TrialFailed, command_objective
from airtune.engine.evaluation.commands import CommandObjective
from tests.engine.sandbox.attacks import ATTACKS, Attack

SPACE = ConfigurationSpace({"x": (0.0, 1.0)})


def command(attack: Attack, place: Path, sandbox: Sandbox | None) -> CommandObjective:
    (place / "run/attack.py").write_text(attack.program(str(place), os.getpid()))
    made = command_objective(f"{sys.executable} attack.py {{x}}", SPACE)
    return CommandObjective(made.arguments, made.known, None, sandbox)


def test_there_are_enough() -> None:
    assert len(ATTACKS) >= 60


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack(name: str, place: Path) -> None:
    attack = ATTACKS[name]
    if attack.root and os.geteuid():
        pytest.skip("outside of the sandbox this attack needs root, so nothing would be shown")
    sandbox = Sandbox(Limits(**{"time_s": 120.0, **attack.limits})).hiding(
        str(place / "run/studies/other.sqlite")
    )
    with pytest.raises(TrialFailed, match=rf"^{attack.kind}: (?s:.*)({attack.says})"):
        command(attack, place, sandbox)({"x": 0.5})
    assert command(attack, place, None)({"x": 0.5}) == {"loss": 0.0}


def test_a_study_goes_on_after_attacks(place: Path) -> None:
    names = ["reads: the study file", "processes: ptrace", "floods: memory at once", "network: IPv4"]
    for i, name in enumerate(names):
        (place / f"run/attack{i}.py").write_text(ATTACKS[name].program(str(place), os.getpid()))
    (place / f"run/attack{len(names)}.py").write_text("print(0.25)")
    space = ConfigurationSpace({"which": (0, len(names))})
    objective = command_objective(f"sh -c '{sys.executable} attack$1.py' sh {{which}}", space)
    folders = filter(os.path.isdir, sys.path[-1:])  # an editable installation has names there that are none
    readable = (sys.prefix, sys.base_prefix, *folders)
    sandbox = Sandbox(Limits(time_s=120.0, memory_bytes=256 << 20), readable)
    tries = [{"which": which} for which in range(len(names) + 1)]
    task = Task("attacks", space, objective)
    evaluation = Evaluation(sandbox=sandbox)
    with Study(task, "random", path="airtune.sqlite", evaluation=evaluation, first=tries) as study:
        result = study.run(len(tries), keep_going=True)
        assert study.manifest["sandbox"] == "bubblewrap"
        assert study.manifest["sandbox_limits"]["memory_bytes"] == 256 << 20
    assert result.best is not None
    assert result.best.loss == 0.25
    reasons = [str(trial.reason).split(":")[0] for trial in result.trials[:-1]]
    assert reasons == ["crash", "forbidden system call", "memory", "network"]
