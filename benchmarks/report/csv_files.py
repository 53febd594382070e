"""The figures of a comparison as CSV files: full precision, one fact per row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any

from airtune.benchmarks.analysis.comparison import Array
from airtune.benchmarks.analysis.seconds import RegretOverSeconds
from airtune.benchmarks.analysis.statistics import Row
from airtune.benchmarks.report.comparison_tables import changes
from airtune.benchmarks.report.report import Report
from airtune.benchmarks.report.style import Output


def comparison_csv(
    report: Report, bands: tuple[Array, Array, Array], out: Output, curves: RegretOverSeconds | None = None
) -> None:
    """Write table.csv, pairwise.csv, tasks.csv, regret.csv and, where there are such curves, seconds.csv."""
    budgets = report.budgets
    table = (
        {"evaluations": b, "method": row.method, **_figures(row), "test_error": report.test_errors[b][row.method]}
        for b in budgets
        for row in report.rows[b]
    )  # fmt: skip
    pairs = (
        {
            "evaluations": b, "method": pair.row.method, "against": pair.row.reference, **_figures(pair.row),
            "p_over_tasks_holm": pair.p, "tasks_better": pair.verdicts.better, "tasks_worse": pair.verdicts.worse,
            "tasks_better_holm": pair.verdicts.better_holm, "tasks_worse_holm": pair.verdicts.worse_holm,
        }
        for b in budgets
        for pair in report.pairwise.get(b, ())
    )  # fmt: skip
    evaluations = range(1, bands[0].shape[1] + 1)
    write_csv("table", table, out)
    if report.pairwise:
        write_csv("pairwise", pairs, out)
    write_csv("tasks", _tasks(report), out)
    write_csv("regret", _curve(report.comparison.methods, "evaluations", evaluations, bands), out)
    if curves is not None:
        write_csv("seconds", _curve(curves.methods, "seconds", curves.seconds.tolist(), curves.bands), out)


def _curve(
    methods: Sequence[str], over: str, x: Sequence[float], bands: tuple[Array, Array, Array]
) -> Iterable[dict[str, Any]]:
    mean, low, high = (part.tolist() for part in bands)
    for m, method in enumerate(methods):
        for i, at in enumerate(x):
            yield {"method": method, over: at, "mean": mean[m][i], "low": low[m][i], "high": high[m][i]}


def _tasks(report: Report) -> Iterable[dict[str, Any]]:
    for budget in report.budgets:
        means, tests = report.means[budget], report.task_tests(budget)
        kept, values = changes(report, budget)
        for t, task in enumerate(report.tasks):
            for method in report.comparison.methods:
                yield {
                    "evaluations": budget, "task": task, "method": method, "mean_best_loss": means[method][task],
                    "test_error": tests[method][task],
                    "change_percent": float(values[kept.index(method), t]) if method in kept else 0.0,
                    "exact": int(report.comparison.exact[t] and method not in kept),
                }  # fmt: skip


def _figures(row: Row) -> dict[str, Any]:
    """A row's estimates, each with the ends of its interval, and its counts."""
    flat: dict[str, Any] = {}
    for name, value in row.json().items():
        if isinstance(value, dict):
            flat |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
        elif isinstance(value, int) and name != "budget":
            flat[name] = value
    return flat


def write_csv(name: str, rows: Iterable[dict[str, Any]], out: Output) -> None:
    """One file, its heads the names of the first row; floats exactly, NaN as an empty cell."""
    with out.path(f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for i, row in enumerate(rows):
            if i == 0:
                writer.writerow(row)
            writer.writerow("" if value != value else value for value in row.values())
