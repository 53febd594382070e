"""The figures of a comparison as CSV files: full precision, one fact per row."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from airtune.benchmarks.analysis.comparison import Array
from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.report.figures import changes
from airtune.benchmarks.report.style import Output
from airtune.benchmarks.report.tables import Report

_ESTIMATES = ("beats", "median_change", "mean_change", "mean_change_far", "rank")
_COUNTS = ("wins", "ties", "losses", "tasks", "tasks_far")


def comparison_csv(report: Report, bands: tuple[Array, Array, Array], out: Output) -> None:
    """Write table.csv, pairwise.csv, tasks.csv and regret.csv."""
    heads = [f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")]
    table, pairs = [], []
    for budget in report.budgets:
        for row in report.rows[budget]:
            table.append([budget, row.method, *_numbers(row), report.test_errors[budget][row.method]])
        tests = zip(
            report.pairwise.get(budget, ()),
            report.verdicts.get(budget, ()),
            report.p_values.get(budget, ()),
            strict=True,
        )
        for row, verdict, p in tests:
            pairs.append(
                [budget, row.method, row.reference, *_numbers(row), p, verdict.better, verdict.worse,
                 verdict.better_holm, verdict.worse_holm]
            )  # fmt: skip
    _write(out.path("table.csv"), ["evaluations", "method", *heads, *_COUNTS, "test_error"], table)
    tests_heads = [
        "p_over_tasks_holm",
        "tasks_better",
        "tasks_worse",
        "tasks_better_holm",
        "tasks_worse_holm",
    ]
    _write(
        out.path("pairwise.csv"), ["evaluations", "method", "against", *heads, *_COUNTS, *tests_heads], pairs
    )
    _write(out.path("tasks.csv"), _TASK_HEADS, _tasks(report))
    mean, low, high = bands
    curve = [
        [method, point + 1, mean[m, point], low[m, point], high[m, point]]
        for m, method in enumerate(report.comparison.methods)
        for point in range(mean.shape[1])
    ]
    _write(out.path("regret.csv"), ["method", "evaluations", "mean", "low", "high"], curve)


_TASK_HEADS = ("evaluations", "task", "method", "mean_best_loss", "test_error", "change_percent", "exact")


def _tasks(report: Report) -> Iterable[list[object]]:
    for budget in report.budgets:
        means, tests = report.means[budget], report.task_tests(budget)
        kept, values = changes(report, budget)
        for t, task in enumerate(report.tasks):
            for method in report.comparison.methods:
                moved = float(values[kept.index(method), t]) if method in kept else 0.0
                exact = bool(report.comparison.exact[t]) and method not in kept
                yield [budget, task, method, means[method][task], tests[method][task], moved, exact]


def _numbers(row: object) -> list[object]:
    numbers: list[object] = []
    for name in _ESTIMATES:
        estimate = getattr(row, name)
        if isinstance(estimate, Estimate):
            numbers += [estimate.value, estimate.low, estimate.high]
    return numbers + [getattr(row, name) for name in _COUNTS]


def _write(path: Path, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    """Floats exactly, NaN as an empty cell, truth as 0 or 1."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return value
