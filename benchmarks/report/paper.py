"""The report of `airtune bench paper`: figures of each part beside its result, and one page of all parts of a folder.

The page is made of `result.json`, `times.json` and the figures of the parts, not of their studies: these alone need to
be kept, or committed, to show it again.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from airtune.benchmarks.analysis.numbers import p_words
from airtune.benchmarks.analysis.seconds import regret_over_seconds
from airtune.benchmarks.analysis.statistics import curve_bands
from airtune.benchmarks.analysis.table import Table
from airtune.benchmarks.paper.plans import PAPER, PARTS
from airtune.benchmarks.paper.running import RESULT, TIMES, Done
from airtune.benchmarks.paper.words import without_interval
from airtune.benchmarks.report import figures
from airtune.benchmarks.report.landscapes import landscapes
from airtune.benchmarks.report.paper_figures import estimate_of, forest, line_text, range_text
from airtune.benchmarks.report.report import make_report
from airtune.benchmarks.report.style import embedded, inline, save_svg
from airtune.grammars import AirtuneError, write_file
from airtune.grammars.errors import counted

SIGNS = {"better": "▲", "equal": "=", "worse": "▼", "no figure": "○"}
MEANING = {
    "better": "better than the paper",
    "equal": "not told apart from the paper",
    "worse": "worse than the paper",
    "no figure": "the paper gives no figure, or ours has no interval",
}
FIGURES = {
    "regret": "mean normalised regret by evaluations",
    "seconds": "mean normalised regret by seconds of training and proposing",
    "ranks": "mean rank by number of evaluations, and Nemenyi’s critical difference from the best (shaded)",
}


def write_part(done: Done) -> None:
    """Draw the figures of a part into its folder."""
    for name, arm in done.arms.items():
        report = make_report(arm.plan, arm.runs)
        bands = curve_bands(report.comparison.regret, report.comparison.clusters)
        drawn = {
            "regret": partial(figures.regret_figure, report, bands),
            "ranks": partial(figures.rank_figure, report),
        }
        seconds = regret_over_seconds(report.comparison, arm.runs)
        if seconds is not None:
            drawn["seconds"] = partial(figures.seconds_figure, report, seconds)
        for kind, make in drawn.items():
            save_svg(make, done.folder / _file(name, kind))
    for i, searches in enumerate(done.searches.values()):
        from airtune.benchmarks.report.validity import validity_report

        save_svg(validity_report(searches).figure, done.folder / f"answers-{i}.svg")


def write_paper_report(folder: Path) -> Path:
    """Write the page of all parts that a folder has.

    Returns:
        Where it is.

    Raises:
        AirtuneError: If the folder has no part.
    """
    from airtune.benchmarks.report.page import PAGE, render

    found = {name: folder / name for name in PARTS if (folder / name / RESULT).is_file()}
    if not found:
        raise AirtuneError(
            f"{str(folder)!r} has no part of the paper",
            value=str(folder),
            allowed="a folder written by `airtune bench paper --out DIR`",
            hint=f"airtune bench paper --part toy --out {folder}",
        )
    parts = [read_part(where) for where in found.values()]
    missing = [part for name, part in PARTS.items() if name not in found]
    departing = [part["title"] for part in parts if part["departures"]]
    context = {
        "kind": "paper",
        "title": "The paper, again",
        "headline": "Does it hold on local models?",
        "subject": f"“Using Large Language Models for Hyperparameter Optimization” (Zhang et al., {PAPER}), done "
        "again with language models on this machine, under exact grammars, beside a model that knows nothing.",
        "facts": [("parts", f"{len(parts)} of {len(PARTS)}"), *_shared(parts)],
        "warnings": [f"not the declared plan, but a trial of it: {', '.join(departing)}"]
        if departing
        else [],
        "tiles": [],
        "parts": parts,
        "missing": [{"name": part.name, "title": part.title} for part in missing],
        "signs": [(sign, MEANING[verdict]) for verdict, sign in SIGNS.items()],
        "file": folder.name or "paper",
        "files": [f"{name}/{RESULT}" for name in found],
    }
    page = folder / PAGE
    write_file(page, render(context).encode())
    return page


def read_part(folder: Path) -> dict[str, Any]:
    """What is shown of a part, from its folder.

    Raises:
        AirtuneError: If its result is not what this version writes.
    """
    try:
        return _part(folder)
    except (KeyError, TypeError, ValueError) as error:
        raise AirtuneError(
            f"{str(folder / RESULT)!r} is not what this version writes: {error!r}",
            value=str(folder / RESULT),
            allowed="the result of a part, unchanged",
            hint=f"airtune bench paper --part {folder.name} --out {folder.parent} writes it anew from its studies",
        ) from error


def _part(folder: Path) -> dict[str, Any]:
    """What the page shows of a part."""
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    name, plan = result["part"], result["plan"]
    leads = [line for line in result["lines"] if line["lead"]]
    # a part is as bad as its worst figure
    decides = [line for line in leads if line["verdict"] == result["verdict"]]
    lead = next(iter(decides or leads), None)
    drawn = [
        (f"{arm['name']}: {words}", embedded(path, f"{name}-{_slug(arm['name'])}-{kind}"))
        for kind, words in FIGURES.items()
        for arm in plan["arms"]
        if (path := folder / _file(arm["name"], kind)).is_file()
    ]
    drawn += [
        ("what the answers were", embedded(path, f"{name}-{path.stem}"))
        for path in sorted(folder.glob("answers-*.svg"))
    ]
    paths = result["data"].get("trajectories", [])
    return {
        **{key: result[key] for key in ("departures", "models")},
        "answer": _together(result["answer"]),
        "notes": [_together(note) for note in result["notes"]],
        **{key: plan[key] for key in ("title", "question", "paper", "success", "tests", "departs", "arms")},
        "name": name,
        "verdict": result["verdict"],
        "sign": SIGNS[result["verdict"]],
        "meaning": MEANING[result["verdict"]],
        "brief": {key: _together(text) for key, text in _brief(lead).items()},
        "forest": inline(lambda: forest(result["lines"]), f"{name}-lines") if result["lines"] else "",
        "lines": _lines(result["lines"]),
        "tables": [
            Table.of_texts(table["title"], table["heads"], [[*map(_together, row)] for row in table["rows"]])
            for table in result["tables"]
        ],
        "figures": drawn,
        "landscapes": landscapes(paths) if paths else [],
        "steps": max((len(path["points"]) for path in paths), default=0),
        "command": shlex.join(result["command"]),
        "provenance": result["provenance"],
        "seeds": _seeds(plan["arms"]),
        "against": list(dict.fromkeys(line["against"] for line in result["lines"] if line["against"])),
        "times": _times(folder / TIMES),
    }


def _together(text: str) -> str:
    """The text, in which figures and their units stay on one line, and the ends of an interval."""
    return re.sub(r"(?<=\d) (?=%)|(?<=\bp) (?=[=<])|(?<=[=<]) (?=\d)|(?<=\d,) (?=[−\d.]+\])", "\u00a0", text)


def _seeds(arms: Sequence[Mapping[str, Any]]) -> str:
    """How many seeds each arm has."""
    if len({arm["seeds"] for arm in arms}) == 1:
        return counted(arms[0]["seeds"], "seed")
    return ", ".join(f"{arm['name']} {counted(arm['seeds'], 'seed')}" for arm in arms)


def _brief(lead: Mapping[str, Any] | None) -> dict[str, str]:
    """The first screen's line of a part, in pieces."""
    if lead is None:
        return {"what": "", "ours": "", "paper": "", "control": ""}
    return {
        "what": lead["what"],
        "ours": line_text(lead["ours"], lead["unit"]),
        "paper": range_text(lead),
        "control": without_interval(estimate_of(lead["control"]), lead["unit"]) if lead["control"] else "",
    }


def _lines(lines: list[dict[str, Any]]) -> Table:
    """Every figure of a part, the paper's and the control's beside it."""
    rows = []
    for line in lines:
        tested = f"{line['worth']} ({p_words(line['p'])})" if line["p"] is not None else "–"
        rows.append(
            (
                line["method"],
                line["arm"],
                line["what"],
                line_text(line["ours"], line["unit"]),
                range_text(line),
                SIGNS[line["verdict"]],
                line_text(line["control"], line["unit"]) if line["control"] else "–",
                tested,
            )
        )
    heads = ("method", "arm", "figure", "ours", "paper", "", "control", "against the control")
    return _with_names(
        Table.of_texts("figures beside the paper's", heads, [[*map(_together, row)] for row in rows]), 3
    )


def _with_names(table: Table, count: int) -> Table:
    """The table, so many of its first columns being names."""
    columns = [replace(column, number=i >= count) for i, column in enumerate(table.columns)]
    return replace(table, columns=columns)


def _times(path: Path) -> Table | None:
    if not path.is_file():
        return None
    rows = [
        (method, arm, f"{s['proposal_s']:.4f}", f"{s['proposing_s']:.1f}", f"{s['evaluating_s']:.1f}")
        for arm, methods in json.loads(path.read_text(encoding="utf-8")).items()
        for method, s in methods.items()
    ]
    heads = ("method", "arm", "seconds a proposal", "proposing in all", "evaluating in all")
    return _with_names(Table.of_texts("what it took", heads, rows), 2)


def _shared(parts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Facts of all parts."""
    found = []
    for what, key in (("commit", "commit"), ("airtune", "version")):
        values = list(
            dict.fromkeys(str(part["provenance"][key]) for part in parts if part["provenance"][key])
        )
        found.append((what, ", ".join(values) or "unknown"))
    models = list(dict.fromkeys(model for part in parts for model in part["models"]))
    return [("models", ", ".join(models)), *found]


def _file(arm: str, kind: str) -> str:
    return f"{_slug(arm)}-{kind}.svg"


def _slug(arm: str) -> str:
    return arm.replace(" ", "-")
