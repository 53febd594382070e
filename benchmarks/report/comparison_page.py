"""The page of a comparison: its context for the template."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airtune.benchmarks.analysis.comparison import RANDOM
from airtune.benchmarks.analysis.costs import NOTES, comparison_costs, costs_table
from airtune.benchmarks.analysis.statistics import Row, curve_bands
from airtune.benchmarks.report import figures
from airtune.benchmarks.report.cells import (
    DASH,
    Cell,
    Column,
    Grid,
    estimated,
    number,
    p_value,
    significant,
    sortable,
)
from airtune.benchmarks.report.csv_files import comparison_csv
from airtune.benchmarks.report.manifests import comparison_commands, manifest_parts
from airtune.benchmarks.report.proposals import TRIALS_SHOWN, Counts, count, show
from airtune.benchmarks.report.source import Source
from airtune.benchmarks.report.style import Output, draw
from airtune.benchmarks.report.tables import Report, display_order, focal_of, make_report
from airtune.benchmarks.report.words import focal_row, headline, method_notes, sentences, tiles
from airtune.benchmarks.running.suites import get_suite
from airtune.engine import StudyFile
from airtune.engine.storage.study_file import StudyRecord
from airtune.grammars import AirtuneError


def comparison_page(source: Source, out: Output) -> dict[str, Any]:
    """Draw the figures, write the CSV files, and return what the template shows."""
    if source.plan is None:
        raise AirtuneError(f"study file {str(source.path)!r} holds no comparison", value=str(source.path))
    report = make_report(source.plan, source.runs, tasks=source.tasks)
    bands = curve_bands(report.comparison.regret, report.comparison.clusters)
    last = report.budgets[-1]
    drawn = {
        "regret": draw(lambda: figures.regret_figure(report, bands), "regret", out),
        "ranks": draw(lambda: figures.rank_figure(report), "ranks", out),
        "tasks": draw(lambda: figures.tasks_figure(report), "tasks", out),
    }
    draw(lambda: figures.heat_figure(report, last), "changes", out)
    comparison_csv(report, bands, out)
    document = json.dumps(report.json(), indent=1, allow_nan=False) + "\n"
    out.path("report.json").write_text(document, encoding="utf-8")
    with StudyFile(source.path, readonly=True) as file:
        studies = file.studies()
        counts = count(file, studies)
        selected = _first_seeds(report, studies)
        shown, cut = show(file, selected, TRIALS_SHOWN)
    plan = source.plan
    name = report.label(focal_row(report, last).method)
    size = f"{len(report.tasks)} tasks, {plan.seeds} {'seeds' if plan.seeds > 1 else 'seed'} each"
    return {
        "kind": "comparison",
        "title": f"Comparison {plan.suite}",
        "subject": get_suite(plan.suite).words,
        "facts": [
            ("suite", plan.suite),
            ("tasks", str(len(report.tasks))),
            ("seeds", str(plan.seeds)),
            ("evaluations", str(plan.budget)),
            ("methods", str(len(report.comparison.methods))),
            ("studies", str(len(source.runs))),
        ],
        "headline": headline(report),
        "sentences": sentences(report),
        "tiles": tiles(report),
        "warnings": [*source.notes, *_left_out(report)],
        "budgets": list(report.budgets),
        "size": size,
        "focal": name,
        "against_random": {b: _against_random(report, b) for b in report.budgets},
        "pairwise": {b: _pairwise(report, b) for b in report.budgets if b in report.pairwise},
        "test_note": _test_note(report),
        "heat": {b: _heat(report, b) for b in report.budgets},
        "by_task": _by_task(report, last),
        "last": last,
        "figures": drawn,
        "exact": bool(report.comparison.exact.any()),
        "counts": counts,
        "proposals": _proposals(report, counts),
        "costs": _costs(source.path, report),
        "cost_notes": NOTES,
        "shown": shown,
        "shown_note": _shown_note(source.path, shown, cut),
        "manifest": manifest_parts([study.manifest for study in studies]),
        "commands": comparison_commands(source.path, plan),
        "methods": method_notes(report),
    }


def _left_out(report: Report) -> list[str]:
    if not report.left_out:
        return []
    return [f"left out, because no method got any loss there: {', '.join(report.left_out)}"]


def _against_random(report: Report, budget: int) -> Grid:
    rows = sorted(report.rows[budget], key=lambda row: row.rank.value)
    near = any(row.tasks_far < row.tasks for row in rows)
    columns = [
        Column("method", number=False),
        Column("beats random, %", "share of tasks on which it is better"),
        Column("median change, %", "(random − method) / |random|, positive is better"),
        Column("mean change, %", "the same, mean over the tasks"),
        *(
            [Column("mean change far from 0, %", "without the tasks on which random search is below 0.01")]
            if near
            else []
        ),
        Column("mean rank", "among all methods, 1 is best"),
        Column("win / tie / loss", "tasks, against random search"),
        Column("test error, %", "of the configuration chosen on validation"),
    ]
    made = [_row(report, row, near, report.test_errors[budget][row.method]) for row in rows]
    return Grid(columns, made)


def _row(report: Report, row: Row, near: bool, test: float) -> list[Cell]:
    kind = "focal" if row.method == focal_of(report.comparison.methods) else ""
    cells = [_name(report, row.method, kind)]
    if row.method == RANDOM:
        blank = Cell(DASH, sort="", kind="none")
        cells += [blank] * (4 if near else 3)
    else:
        cells += [estimated(row.beats, 0), estimated(row.median_change, 1), estimated(row.mean_change, 1)]
        cells += [estimated(row.mean_change_far, 1)] if near else []
    cells.append(estimated(row.rank, 2))
    tally = f"{row.wins} / {row.ties} / {row.losses}"
    cells.append(Cell(DASH, kind="none") if row.method == RANDOM else Cell(tally, sort=row.wins - row.losses))
    cells.append(Cell(number(100 * test, 2), sort=sortable(test)))
    return cells


def _name(report: Report, method: str, kind: str = "") -> Cell:
    return Cell(report.label(method), sort=report.label(method), kind=f"name {kind}".strip())


def _pairwise(report: Report, budget: int) -> Grid:
    columns = [
        Column("against", number=False),
        Column("beats, %", "share of tasks on which it is better"),
        Column("median change, %", "(other − method) / |other|, positive is better"),
        Column("mean change, %"),
        Column("win / tie / loss", "tasks"),
        Column("p over tasks", "Wilcoxon, Holm’s correction over the rows of this table"),
        Column(
            "tasks better / worse",
            "significant at 5 % over seeds, each task by itself; Holm’s count under it",
        ),
    ]
    rows = []
    for row, verdict, p in zip(
        report.pairwise[budget], report.verdicts[budget], report.p_values[budget], strict=True
    ):
        rows.append(
            [
                _name(report, row.reference),
                estimated(row.beats, 0),
                estimated(row.median_change, 1),
                estimated(row.mean_change, 1),
                Cell(f"{row.wins} / {row.ties} / {row.losses}", sort=row.wins - row.losses),
                Cell(p_value(p), sort=p),
                Cell(
                    f"{verdict.better} / {verdict.worse}" if verdict.tasks else "–",
                    f"Holm {verdict.better_holm} / {verdict.worse_holm}" if verdict.tasks else "",
                    verdict.better - verdict.worse,
                ),
            ]
        )
    return Grid(columns, rows)


def _test_note(report: Report) -> str:
    verdicts = [v for found in report.verdicts.values() for v in found if v.tasks]
    if not verdicts or all(v.holm_possible for v in verdicts):
        return ""
    v = verdicts[0]
    return (
        f"With {v.seeds} seeds the smallest possible p-value on a task is {v.least_p:.2g}, and Holm’s first step over "
        f"{v.family} tests asks for {0.05 / v.family:.2g}: no single task can pass it, whatever the difference."
    )


def _heat(report: Report, budget: int) -> Grid:
    methods, values = figures.changes(report, budget)
    columns = [Column("task", number=False), *(Column(report.label(method)) for method in methods)]
    short = _short(report.tasks)
    rows = []
    for t, name in enumerate(short):
        cells = [Cell(name, sort=t, kind="name")]
        for m in range(len(methods)):
            value = float(values[m, t])
            tint = None if math.isnan(value) else max(-1.0, min(1.0, value / 100.0))
            cells.append(Cell(figures.change_text(value), sort=sortable(value), kind="heat", tint=tint))
        rows.append(cells)
    return Grid(columns, rows, kind="heatmap")


def _by_task(report: Report, budget: int) -> Grid:
    methods = display_order(report.comparison.methods)
    means, tests = report.means[budget], report.task_tests(budget)
    columns = [Column("task", number=False), *(Column(report.label(method)) for method in methods)]
    short = _short(report.tasks)
    rows = []
    for t, task in enumerate(report.tasks):
        lowest = min(means[m][task] for m in methods)
        cells = [Cell(short[t], sort=t, kind="name")]
        for method in methods:
            loss, test = means[method][task], tests[method][task]
            sub = "" if math.isnan(test) else f"test {significant(test, 3)}"
            kind = "best" if loss <= lowest * (1 + 1e-12) else ""
            cells.append(Cell(significant(loss), sub, sortable(loss), kind))
        rows.append(cells)
    return Grid(columns, rows)


def _short(tasks: Sequence[str]) -> list[str]:
    """The tasks' names without the suite that they all begin with: a phone is narrow."""
    heads = {task.partition("/")[0] for task in tasks}
    return [task.partition("/")[2] if len(heads) == 1 and "/" in task else task for task in tasks]


def _proposals(report: Report, counts: Counts) -> Grid:
    columns = [
        Column("method", number=False),
        Column("seconds per proposal", "mean; a batch’s seconds are shared out evenly over its studies"),
        Column("drawn uniformly instead, %", "the method’s own suggestions were all taken or not valid"),
    ]
    rows = [
        [
            _name(report, method),
            Cell(significant(seconds, 3), sort=seconds),
            Cell(number(100 * report.redrawn[method], 2), sort=report.redrawn[method]),
        ]
        for method, seconds in report.proposal_s.items()
    ]
    return Grid(columns, rows)


def _costs(path: Path, report: Report) -> Grid | None:
    """What the methods that ask a model took; None where there are none."""
    costs = [one for one in comparison_costs(path, tuple(report.proposal_s)) if one.said]
    if not costs:
        return None
    table = costs_table(costs, {one.method: report.label(one.method) for one in costs})
    columns = [Column(head, number=i > 0) for i, head in enumerate(table.columns)]
    rows = [
        [_name(report, one.method), *(Cell(text, sort=_numeric(text)) for text in row[1:])]
        for one, row in zip(costs, table.rows, strict=True)
    ]
    return Grid(columns, rows)


def _numeric(text: str) -> float | str:
    """What a cell of a text table is sorted by: its number, or nothing where it has none."""
    try:
        return float(text.split()[0])
    except ValueError:
        return ""


def _first_seeds(report: Report, studies: list[StudyRecord]) -> list[StudyRecord]:
    """The first seed of each task, of the methods that ask a language model."""
    found: dict[tuple[str, str], StudyRecord] = {}
    for study in studies:
        what = study.manifest.get("comparison") or {}
        if study.manifest.get("model") is not None and what.get("seed") == 0:
            found.setdefault((str(what.get("method")), str(study.manifest["task"])), study)
    order = {task: i for i, task in enumerate(report.tasks)}
    return sorted(
        found.values(),
        key=lambda s: (str(s.manifest["comparison"]["method"]), order.get(s.manifest["task"], 0)),
    )


def _shown_note(path: Path, shown: list[Any], cut: bool) -> str:
    note = f"Shown are the first {TRIALS_SHOWN} trials of the first seed of each task"
    if cut:
        note += f", of {len(shown)} studies: the page is kept small"
    return note + "."
