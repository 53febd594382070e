"""Programs are searched as configurations of their conditional space: by every proposer, which knows nothing of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airtune.engine import Study, StudyFile, Task, load_proposer, minimize
from airtune.engine.proposers.base import propose_one
from airtune.engine.replay.derive import replay
from airtune.engine.replay.report import Options
from airtune.grammars import SpaceError, program_space, shipped_spaces
from airtune.models import load_model

PROGRAMS = program_space("tiny")


def loss(config: dict[str, Any]) -> float:
    """The program is written, run, and scored on rows that it has not seen."""
    names: dict[str, Any] = {}
    exec(compile(PROGRAMS.render(config), "program", "exec"), names)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)) * [1, 10, 100]
    y = x[:, 0] + np.sin(x[:, 1] / 10)
    return float(np.square(names["fit_predict"](x[:40], y[:40], x[40:], 0) - y[40:]).mean())


@pytest.mark.parametrize(
    ("proposer", "model"),
    [
        ("random", None),
        ("uniform", None),
        ("tpe", None),
        ("gp", None),
        ("cmaes", None),
        ("default+local", None),
        ("lm", "pocket"),
        ("default+lm+gp", "pocket"),
        ("lm", "scripted"),
    ],
)
def test_every_proposer_searches_programs(proposer: str, model: str | None) -> None:
    found = minimize(loss, PROGRAMS.space, budget=6, seed=0, proposer=proposer, model=model or "pocket")
    sources = [PROGRAMS.render(trial.config) for trial in found.trials]
    assert [trial.status for trial in found.trials] == ["told"] * 6
    assert len(set(sources)) == 6
    for trial, source in zip(found.trials, sources, strict=True):
        assert PROGRAMS.decode(source) == trial.config
        assert trial.loss == loss(trial.config)
    if proposer.startswith("default"):
        assert sources[0] == PROGRAMS.render(PROGRAMS.default())


@pytest.mark.parametrize("proposer", ["lm", "default+lm", "lm+gp"])
def test_a_model_writes_programs_and_they_are_replayed(proposer: str, tmp_path: Path) -> None:
    """The dialect `code`: the answers are source code; both levels of replay derive every byte of them again."""
    file, task = tmp_path / "s.sqlite", Task("table", PROGRAMS.space, loss, description="A table.")
    model = load_model("scripted", dialect="code")
    with Study(task, load_proposer(proposer, model=model), seed=1, path=file, name="s") as study:
        trials = study.run(4).trials
    assert [trial.status for trial in trials] == ["told"] * 4
    with StudyFile(file, readonly=True) as stored:
        written = list(stored.transcripts("s").values())
    assert len(written) >= 3
    assert all(PROGRAMS.accepts(transcript["text"]) for transcript in written)
    assert PROGRAMS.render(trials[0].config) in written[-1]["prompt"]
    for level in (0, 1):
        report = replay(file, options=Options(level))
        assert report.holds, report.json()


def written(space: str, proposer: str, seed: int, path: Path, budget: int) -> list[str]:
    """The programs of a study on a loss that costs nothing."""
    programs = program_space(space)

    def cheap(config: dict[str, Any]) -> float:
        return hash_loss(programs.render(config))

    name, _, dialect = proposer.partition(":")
    made = load_proposer(name, model=load_model("scripted", dialect=dialect) if dialect else None)
    with Study(Task("cheap", programs.space, cheap), made, seed=seed, path=path, name=f"s{seed}") as study:
        trials = study.run(budget).trials
    assert [(trial.status, trial.loss) for trial in trials] == [("told", cheap(t.config)) for t in trials]
    return [programs.render(trial.config) for trial in trials]


def hash_loss(source: str) -> float:
    return int(hashlib.sha256(source.encode()).hexdigest()[:8], 16) / 2**32


LARGE = [name for name in shipped_spaces() if name != "tiny"]
# Those that take long search one space each.
SEARCHES = [
    *((space, name, 5) for space in LARGE for name in ("random", "uniform", "tpe", "default+local")),
    ("tabular_classification", "default+gp", 5),
    ("images", "lm:code", 2),
    ("tabular_regression", "lm:code+history=none", 2),
    ("tabular_classification", "lm+gp:chat", 4),
    ("pipeline_regression", "default+lm+gp:pocket", 4),
    ("pipeline_classification", "lm:pocket", 3),
]


@pytest.mark.parametrize(("space", "proposer", "budget"), SEARCHES)
def test_shipped_spaces_are_searched_and_replayed(
    space: str, proposer: str, budget: int, tmp_path: Path
) -> None:
    """New programs all the time, the same for the same seed and others for another, and both levels of replay hold."""
    file = tmp_path / "s.sqlite"
    first, other = (written(space, proposer, seed, file, budget) for seed in (3, 4))
    again = written(space, proposer, 3, tmp_path / "again.sqlite", budget)
    assert len({*first}) == budget
    assert again == first
    assert other != first
    for level in (0, 1):
        report = replay(file, options=Options(level))
        assert report.holds, report.json()


def test_uniform_programs_and_uniform_derivations() -> None:
    """Nearly all programs are the long ones: `uniform` writes those, `random` decides between long and short evenly."""
    programs = program_space('p: P = short: "x" | long: "y{n: int}"  n: int = 1 .. 999')
    task = Task("t", programs.space, loss)

    def long(proposer: str) -> int:
        made = load_proposer(proposer)
        drawn = [propose_one(made, task, (), (), seed) for seed in range(200)]
        return sum(one is not None and one.config["p"] == "long" for one in drawn)

    assert programs.count() == 1000
    assert long("uniform") > 195  # 199.8 on average; fewer than 196 with a chance of 1e-9
    assert 70 < long("random") < 130  # 100 on average, four deviations of 7.1


def test_pocket_says_before_the_first_trial_what_is_too_large(tmp_path: Path) -> None:
    task = Task("t", program_space("tabular_regression").space, loss)
    with pytest.raises(SpaceError, match="pocket cannot speak of 75 hyperparameters"):
        Study(task, "lm", model="pocket", path=tmp_path / "s.sqlite")
    assert not (tmp_path / "s.sqlite").exists()
