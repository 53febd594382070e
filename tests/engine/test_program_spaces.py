"""Programs are searched as configurations of their conditional space: by every proposer, which knows nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airtune.engine import Study, StudyFile, Task, load_proposer, minimize
from airtune.engine.replay.derive import replay
from airtune.engine.replay.report import Options
from airtune.grammars import program_space
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
