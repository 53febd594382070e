"""The page of a long study: what grows with it is bounded, and said to be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airtune.benchmarks import get_task
from airtune.benchmarks.report import proposals, trials_table, write_report
from airtune.benchmarks.report.study_figures import MOST_LINES, parallel_figure, trajectory_figure
from airtune.engine.manifest import study_manifest
from airtune.engine.proposers import load_proposer
from airtune.engine.storage import study_file
from airtune.engine.storage.study_file import StudyFile, TrialInsert, TrialRecord, TrialUpdate
from airtune.engine.types import Proposal, Task, Trial
from airtune.grammars import canonical_grammar
from airtune.models import load_model

SPACE = {"hyperparameters": [{"name": "x", "type": "uniform_float", "lower": 0.0, "upper": 1.0}]}


def told(n: int) -> list[Trial]:
    """The losses fall, rise again at the end, and the last is the worst."""
    return [
        Trial(i, {"x": i / n}, "told", abs(i - 0.7 * n) + (9.0 * n if i == n - 1 else 0.0)) for i in range(n)
    ]


def records(n: int) -> list[TrialRecord]:
    return [TrialRecord(trial, "", "lm", "", 0.0, 1.0) for trial in told(n)]


def test_the_table_has_the_best_and_the_last_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials_table, "MOST_TRIALS", 10)
    found = records(100)
    rows = trials_table.trials_table(found, found[70], "loss").rows
    assert [row[0].text for row in rows] == [*map(str, range(68, 73)), *map(str, range(95, 100))]
    assert [row[0].kind for row in rows].index("focal") == 2
    assert len(trials_table.trials_table(found[:10], None, "loss").rows) == 10


def test_as_many_lines_are_drawn_as_can_be_told_apart() -> None:
    """At even ranks, the best and the worst among them."""
    lines = parallel_figure(told(3000), SPACE, "loss").axes[0].lines
    assert len(lines) == MOST_LINES + 2  # and the two axes
    heights = [line.get_ydata()[-1] for line in lines[:MOST_LINES]]
    assert (heights[0], heights[-1]) == (1.0, 0.0)


@pytest.mark.parametrize(("trials", "image"), [(900, False), (1100, True)])
def test_many_points_are_one_image(trials: int, image: bool) -> None:
    assert trajectory_figure(told(trials), "loss").axes[0].lines[0].get_rasterized() is image


def long_study(path: Path, trials: int) -> Path:
    task: Task = get_task("toy/branin")
    grammar, proposer = canonical_grammar(task.space), load_proposer("lm", load_model("scripted"))
    configs = list(enumerate(grammar.nth(i * 7) for i in range(trials)))
    transcript = {"model": "scripted", "dialect": "json", "prompt": "p", "text": "t", "grammar": "g"}
    with StudyFile(path) as file:
        file.acquire("s")
        file.create("s", study_manifest(task, proposer, 0))
        file.insert(
            [
                TrialInsert("s", Trial(i, c), grammar.encode(c), Proposal(c, "lm", transcript))
                for i, c in configs
            ]
        )
        file.update([TrialUpdate("s", Trial(i, c, "told", float(i))) for i, c in configs])
    return path


def test_proposals_that_do_not_fit_are_left_out_and_the_others_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study whose proposals did not all fit had none on its page; and every row is read once, whatever shows it."""
    monkeypatch.setattr(proposals, "MOST_CHARACTERS", 20_000)
    monkeypatch.setattr(trials_table, "MOST_TRIALS", 10)
    path = long_study(tmp_path / "s.airtune", 40)
    read: list[str] = []
    decompress, record = study_file.decompress_transcript, study_file.trial_record
    monkeypatch.setattr(
        study_file, "decompress_transcript", lambda one: read.append("transcript") or decompress(one)
    )
    monkeypatch.setattr(study_file, "trial_record", lambda row: read.append("trial") or record(row))
    page, *_ = write_report(path, tmp_path / "report", None, None)
    text = page.read_text(encoding="utf-8")
    shown = re.search(r"first (\d+) of 40 trials</small>", text)
    assert shown is not None
    assert 3 <= int(shown[1]) < 40
    assert "proposals are shown, so that the page stays small" in text
    assert (read.count("transcript"), read.count("trial")) == (40, 40)
