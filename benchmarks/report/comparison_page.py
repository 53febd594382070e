"""The page of a comparison: its context for the template."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from airtune.benchmarks.analysis.comparison import RANDOM
from airtune.benchmarks.analysis.costs import NOTES, comparison_costs
from airtune.benchmarks.analysis.seconds import regret_over_seconds
from airtune.benchmarks.analysis.significance import LEVEL
from airtune.benchmarks.analysis.statistics import curve_bands
from airtune.benchmarks.report import comparison_tables as tables
from airtune.benchmarks.report import figures
from airtune.benchmarks.report.csv_files import comparison_csv, write_csv
from airtune.benchmarks.report.findings import focal_row, headline, method_notes, model_note, sentences, tiles
from airtune.benchmarks.report.manifests import comparison_commands, manifest_parts
from airtune.benchmarks.report.programs import add_stored_programs
from airtune.benchmarks.report.proposals import TRIALS_SHOWN, count, show
from airtune.benchmarks.report.report import Report, make_report
from airtune.benchmarks.report.size import size_curves, size_figure, size_rows, size_table
from airtune.benchmarks.report.source import Source
from airtune.benchmarks.report.style import Output, draw
from airtune.benchmarks.running.suites import get_suite
from airtune.engine import StudyFile
from airtune.engine.storage.study_file import StudyRecord
from airtune.grammars import AirtuneError
from airtune.grammars.errors import counted


def comparison_page(source: Source, out: Output) -> dict[str, Any]:
    """Draw the figures, write the CSV files, and return what the template shows."""
    if source.plan is None:
        raise AirtuneError(f"study file {str(source.path)!r} holds no comparison", value=str(source.path))
    report = make_report(source.plan, source.runs, tasks=source.tasks)
    bands = curve_bands(report.comparison.regret, report.comparison.clusters)
    budgets, last = report.budgets, report.budgets[-1]
    svgs = {
        "regret": draw(lambda: figures.regret_figure(report, bands), "regret", out),
        "ranks": draw(lambda: figures.rank_figure(report), "ranks", out),
        "tasks": draw(lambda: figures.tasks_figure(report), "tasks", out),
    }
    if report.comparison.methods != (RANDOM,):
        draw(lambda: figures.heat_figure(report, last), "changes", out)
    curves = regret_over_seconds(report.comparison, source.runs)
    if curves is not None:
        svgs["seconds"] = draw(partial(figures.seconds_figure, report, curves), "seconds", out)
    comparison_csv(report, bands, out, curves)
    taken = comparison_costs(source.path, tuple(report.proposal_s))
    document = json.dumps(report.json(), indent=1, allow_nan=False) + "\n"
    out.path("report.json").write_text(document, encoding="utf-8")
    with StudyFile(source.path, readonly=True) as file:
        studies = file.studies()
        counts = count(file, studies)
        selected = _first_seeds(report, studies)
        shown, cut = show(file, selected, TRIALS_SHOWN)
        add_stored_programs(file, shown, selected)
    sizes, unsized = size_curves(report.comparison.methods, [study.manifest for study in studies])
    if sizes:
        svgs["size"] = draw(lambda: size_figure(report, sizes, bands), "size", out)
        write_csv("size", size_rows(report, sizes, bands), out)
    plan = source.plan
    name = report.label(focal_row(report, last).method)
    size = f"{counted(len(report.tasks), 'task')}, {counted(plan.seeds, 'seed')} each"
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
        "warnings": [*source.notes, *_left_out(report), *_unsized(report, unsized)],
        "size": size,
        "focal": name,
        "model_adds": {b: tables.model_adds(report, b) for b in report.model_adds},
        "model_note": model_note(report) if report.model_adds else "",
        "against_random": {b: tables.against_random(report, b) for b in budgets},
        "pairwise": {b: tables.against_each(report, b) for b in report.pairwise},
        "over_seeds": {b: tables.over_seeds(report, b) for b in report.pairwise},
        "test_note": _test_note(report),
        "heat": {b: tables.heat(report, b) for b in budgets},
        "by_task": tables.by_task(report, last, tables.short_names(report.tasks)),
        "last": last,
        "figures": svgs,
        "timed": len(curves.tasks) if curves else 0,
        "sized": size_table(report, sizes, taken) if sizes else None,
        "exact": bool(report.comparison.exact.any()),
        "counts": counts,
        "proposals": tables.proposals(report),
        "costs": tables.costs(report, taken),
        "cost_notes": NOTES,
        "shown": shown,
        "shown_note": _shown_note(len(shown), cut),
        "manifest": manifest_parts([study.manifest for study in studies]),
        "commands": comparison_commands(source.path, plan),
        "methods": method_notes(report),
    }


def _left_out(report: Report) -> list[str]:
    if not report.left_out:
        return []
    return [f"left out, because no method got any loss there: {', '.join(report.left_out)}"]


def _unsized(report: Report, methods: list[str]) -> list[str]:
    if not methods:
        return []
    names = ", ".join(map(report.label, methods))
    return [
        f"not among the sizes, because how many weights the model has is known neither to its study nor here: {names}"
    ]


def _test_note(report: Report) -> str:
    """That no single task can pass, where the seeds are too few for it."""
    verdicts = [pair.verdicts for pairs in report.pairwise.values() for pair in pairs if pair.verdicts.tasks]
    if not verdicts or all(v.holm_possible for v in verdicts):
        return ""
    v = verdicts[0]
    return (
        f"With {v.seeds} seeds the smallest possible p-value on a task is {v.least_p:.2g}, and Holm’s first step over "
        f"{v.family} tests asks for {LEVEL / v.family:.2g}: no single task can pass it, whatever the difference."
    )


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


def _shown_note(shown: int, cut: bool) -> str:
    note = f"Shown are the first {TRIALS_SHOWN} trials of the first seed of each task"
    return note + (f", of {shown} studies: the page is kept small." if cut else ".")
