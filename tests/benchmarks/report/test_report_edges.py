"""Comparisons at the edges: everything equal, one task's worth of seeds, tables, a model of another shape."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from airtune.benchmarks.analysis import comparison
from airtune.benchmarks.analysis.statistics import curve_bands
from airtune.benchmarks.report import make_report, report_markdown
from airtune.benchmarks.report.comparison_tables import change_text
from airtune.benchmarks.report.csv_files import comparison_csv
from airtune.benchmarks.report.figures import (
    heat_figure,
    rank_figure,
    regret_figure,
    tasks_figure,
)
from airtune.benchmarks.report.findings import headline, method_notes, sentences, tiles
from airtune.benchmarks.report.proposals import _proposal, token_words
from airtune.benchmarks.report.style import Output, draw
from airtune.engine.storage.study_file import TrialRecord
from airtune.engine.types import Trial
from tests.benchmarks.synthetic import make_plan, make_runs


def test_methods_that_are_all_the_same_can_be_drawn(tmp_path: Path) -> None:
    plan = make_plan(seeds=1, budget=3)
    same = [Trial(i, {}, "told", 1.0) for i in range(3)]
    report = make_report(plan, [replace(run, trials=same) for run in make_runs(plan)])
    bands = curve_bands(report.comparison.regret, report.comparison.clusters)
    out = Output(tmp_path)
    for name, figure in (
        ("regret", lambda: regret_figure(report, bands)),
        ("ranks", lambda: rank_figure(report)),
        ("heat", lambda: heat_figure(report, 3)),
        ("tasks", lambda: tasks_figure(report)),
    ):
        assert draw(figure, name, out).startswith("<svg")
    comparison_csv(report, bands, out)
    assert {path.name for path in tmp_path.iterdir()} == set(out.names)
    assert "on 0 of 6 tasks" in headline(report)
    assert report.comparison.ceilings() == {}  # of functions nobody knows the best point on a grid
    assert "no difference between lm and another method is significant" in " ".join(sentences(report))


def test_one_is_singular() -> None:
    """Bug: pages of a single evaluation and seed said "1 evaluations" and "1 seeds"."""
    plan = make_plan(seeds=1, budget=1)
    report = make_report(plan, make_runs(plan))
    said = "\n".join([headline(report), *sentences(report), report_markdown(report)])
    assert "after 1 evaluation" in said
    assert not re.search(r"\b1 (evaluations|seeds|tasks)\b", said)


def test_on_tables_random_search_is_marked_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    table = (0.4 + rng.exponential(1.0, 50), rng.random(50))
    monkeypatch.setattr(comparison, "_table", lambda task: table)
    plan = make_plan()
    report = make_report(plan, [run for run in make_runs(plan) if run.method != "lm" or run.task])
    assert report.label("random") == "random (exact)"
    assert any(what == "Random search, exact" for what, _ in method_notes(report))
    assert "exact: expectations by order statistics" in report_markdown(report)
    assert report.json()["exact_random"] == list(report.tasks)
    row = next(row for row in report.rows[5] if row.method == "random")
    assert (row.wins, row.ties, row.losses) == (0, 6, 0)
    expected = comparison.random_search(*table, 12)
    assert report.test_errors[5]["random"] == pytest.approx(expected[1][4])
    assert report.means[5]["random"]["toy/ackley"] == pytest.approx(expected[0][4])
    assert len(tiles(report)) == 4
    best, at_five = float(table[0].min()), float(expected[0][4])
    won = 100 * (at_five - best) / at_five
    assert report.json()["ceilings"]["5"] == pytest.approx([won, won])  # every task has the same table here
    assert f"{won:.1f} and {won:.1f} at 5 evaluations" in report_markdown(report)
    assert any(what == "What there is to win" for what, _ in method_notes(report))


def test_a_task_without_any_loss_is_left_out_and_named() -> None:
    plan = make_plan()
    runs = [
        replace(run, trials=[Trial(t.number, {}, "failed", reason="no") for t in run.trials])
        if run.task == "toy/ackley"
        else run
        for run in make_runs(plan)
    ]
    report = make_report(plan, runs)
    assert report.left_out == ("toy/ackley",)
    assert len(report.tasks) == 5
    assert ("Left out, because no method got any loss", "toy/ackley.") in method_notes(report)


def test_tokens_of_a_model_that_is_not_here_are_numbers() -> None:
    words = token_words({"model": "gone", "files": {"tokenizer.json": "0" * 64}})
    transcript = {
        "logprobs": [-0.5, 0.0],
        "token_ids": [7, 8],
        "prompt": "p",
        "text": "t",
        "ranking": {"a": 1},
    }
    record = TrialRecord(Trial(0, {}, "told", 1.0), "{}", "lm+gp", "", 0.0, None)
    shown = _proposal(record, transcript, words)["transcript"]
    assert [(token["word"], token["forced"], token["bar"]) for token in shown["tokens"]] == [
        ("#7", False, 95),
        ("#8", True, 100),
    ]
    assert shown["more"] == [("ranking", '{"a": 1}')]
    assert shown["total"] == -0.5


def test_changes_are_written_with_signs() -> None:
    assert [change_text(v) for v in (12.4, -3.6, 0.2, -0.2, float("nan"))] == ["+12", "−4", "0", "0", "–"]
