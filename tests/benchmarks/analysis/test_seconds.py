"""Regret over seconds: what training took by the table, and proposing by the clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airtune.benchmarks.analysis import comparison
from airtune.benchmarks.analysis.comparison import Run, compare_runs
from airtune.benchmarks.analysis.seconds import POINTS, regret_over_seconds
from airtune.benchmarks.analysis.statistics import curve_bands
from airtune.benchmarks.report import make_report
from airtune.benchmarks.report.csv_files import comparison_csv
from airtune.benchmarks.report.figures import seconds_figure
from airtune.benchmarks.report.style import Output, draw
from airtune.engine.types import Trial
from tests.benchmarks.synthetic import make_plan, make_runs

TABLE = (np.array([0.0, 0.5, 1.0, 1.5, 2.0]), np.full(5, np.nan))  # the median is 1


def trial(number: int, loss: float, training: float, proposing: float = 0.0) -> Trial:
    return Trial(number, {}, "told", loss, info={"train_seconds": training}, proposal_s=proposing)


def test_a_quick_method_is_ahead_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bugs: seconds of proposing left out; evaluations in place of seconds; a result there before its trial ended."""
    monkeypatch.setattr(comparison, "_table", lambda task: TABLE)
    quick = Run("quick", "t", 0, [trial(0, 0.5, 1.0), trial(1, 0.0, 1.0)])
    slow = Run("slow", "t", 0, [trial(0, 0.5, 1.0, 9.0), trial(1, 0.0, 90.0)])
    runs = {(run.method, "t", 0): run for run in (quick, slow)}
    compared = compare_runs(runs, ("quick", "slow"), ["t"], 1, 2)
    curves = regret_over_seconds(compared, [quick, slow])
    assert curves is not None
    assert curves.methods == ("quick", "slow")  # random search was not run: it has no seconds
    assert (curves.seconds[0], curves.seconds[-1]) == pytest.approx((1.0, 100.0))
    mean = curves.bands[0]

    def at(method: int, seconds: float) -> float:
        return float(mean[method, np.flatnonzero(curves.seconds <= seconds)[-1]])

    assert [at(0, s) for s in (1.0, 1.9, 2.2, 100.1)] == [0.5, 0.5, 0.0, 0.0]
    assert [at(1, s) for s in (1.0, 9.0, 11.0, 95.0, 100.1)] == [1.0, 1.0, 0.5, 0.5, 0.0]


def test_without_seconds_there_are_no_curves() -> None:
    plan = make_plan()
    runs = make_runs(plan)
    assert regret_over_seconds(make_report(plan, runs).comparison, runs) is None


def test_the_figure_and_its_file(tmp_path: Path) -> None:
    plan = make_plan(seeds=2, budget=3)

    def timed(one: Trial) -> Any:
        return replace(one, info={**one.info, "train_seconds": 10.0 + one.number})

    runs = [replace(run, trials=[timed(one) for one in run.trials]) for run in make_runs(plan)]
    report = make_report(plan, runs)
    curves = regret_over_seconds(report.comparison, runs)
    assert curves is not None
    out = Output(tmp_path)
    assert draw(lambda: seconds_figure(report, curves), "seconds", out).startswith("<svg")
    comparison_csv(report, curve_bands(report.comparison.regret, report.comparison.clusters), out, curves)
    lines = (tmp_path / "seconds.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "method,seconds,mean,low,high"
    assert len(lines) == 1 + len(plan.methods) * POINTS
