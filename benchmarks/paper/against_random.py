"""`table1`, `table5`, `models`: methods against random search on many tasks, as the paper's tables have them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from airtune.benchmarks.analysis.comparison import RANDOM
from airtune.benchmarks.analysis.numbers import significant
from airtune.benchmarks.paper.compared import Compared, Pair, holm_tests, label, power_note
from airtune.benchmarks.paper.protocol import Protocol, filled
from airtune.benchmarks.paper.results import Line, Result, Table, Verdict, of_claim
from airtune.benchmarks.paper.words import figure, without_interval, worth_words
from airtune.grammars.errors import counted

# How the claims are called, and what of a row they are.
FIGURES = {"beats": "beats", "median": "median_change", "mean": "mean_change"}
WORST: tuple[Verdict, ...] = ("worse", "no figure", "equal", "better")
KNOW_NOTHING = "the same around a model that knows nothing"


def evaluate(protocol: Protocol, arms: Mapping[str, Compared]) -> Result:
    """Every method of every arm beside the paper's figures; the lead's control beside it."""
    lines = compared_lines(protocol, arms)
    lead = [line for line in lines if line.lead]
    return Result(
        verdict=worst(lead), answer=answer(lead, arms), lines=tuple(lines),
        tables=tuple(rank_table(one) for one in arms.values()), notes=power_note(arms, control_pairs(protocol, arms)),
    )  # fmt: skip


def compared_lines(protocol: Protocol, arms: Mapping[str, Compared]) -> list[Line]:
    """A line for every claim, arm and method that asks a model that may know something."""
    found = list(_methods(protocol, arms))
    tests = holm_tests(arms, control_pairs(protocol, arms))
    lines, lead = [], _lead(protocol, arms)
    rows = {name: one.rows(one.last) for name, one in arms.items()}
    for name, method, control in found:
        look = arms[name].last
        p, worth = tests[Pair(name, method, control, look)] if control else (None, "")
        for key, attribute in FIGURES.items():
            claim = next((one for one in protocol.part.claims if one.key == key), None)
            if claim is None:
                continue
            line = of_claim(
                claim, getattr(rows[name][method], attribute), arm=name, method=label(method),
                against=KNOW_NOTHING if control else "",
                control=getattr(rows[name][control], attribute) if control else None,
                worth=worth, p=p, lead=(name, method) == lead,
            )  # fmt: skip
            lines.append(line)
    return lines


def control_pairs(protocol: Protocol, arms: Mapping[str, Compared]) -> list[Pair]:
    """The tests of those lines, the lead's first."""
    found = sorted(_methods(protocol, arms), key=lambda one: one[:2] != _lead(protocol, arms))
    return [Pair(arm, method, control, arms[arm].last) for arm, method, control in found if control]


def _lead(protocol: Protocol, arms: Mapping[str, Compared]) -> tuple[str, str]:
    """The arm and the method that the first screen is about."""
    first = next(iter(arms))
    return first, filled(protocol.part.lead, (arms[first].arm.models or protocol.models)[0])


def _methods(protocol: Protocol, arms: Mapping[str, Compared]) -> Sequence[tuple[str, str, str]]:
    """Arm, method, and its know-nothing control or "" for every template that asks a model."""
    found: dict[tuple[str, str], str] = {}
    for name, one in arms.items():
        models = protocol.models if one.arm.models is None else one.arm.models
        for template in one.arm.methods:
            for model in models:
                if "{model" in template:
                    method = filled(template, model)
                    control = filled(template.partition("{")[0] + "{control}", model)
                    found[name, method] = control if one.has(control) and control != method else ""
    return [(*key, control) for key, control in found.items()]


def worst(lines: Sequence[Line]) -> Verdict:
    """The least of the lines' verdicts: a part holds if all its figures do."""
    return min((line.verdict for line in lines), key=WORST.index, default="no figure")


def answer(lead: Sequence[Line], arms: Mapping[str, Compared]) -> str:
    """What the first screen says of the lead's lines."""
    if not lead:
        return "nothing was run that asks a model"
    first = lead[0]
    arm = arms[first.arm]
    tasks = len(arm.comparison.tasks)
    said = [f"{first.method} after {counted(arm.last, 'evaluation')} on {counted(tasks, 'task')}: "]
    said.append("; ".join(f"{line.what} {figure(line.ours, line.unit)}{_paper(line)}" for line in lead))
    if first.control is not None:
        said.append(
            f". {first.against[0].upper()}{first.against[1:]}: {without_interval(first.control, first.unit)}, "
        )
        said.append(worth_words(first.worth, first.p))
    return "".join(said) + "."


def _paper(line: Line) -> str:
    if line.paper is None:
        return ""
    low, high = line.paper
    return (
        f" (the paper {low:g}{f' to {high:g}' if high != low else ''}{f' {line.unit}' if line.unit else ''})"
    )


def rank_table(one: Compared) -> Table:
    """Every method of an arm: beats random, changes, rank, test loss."""
    look, comparison = one.last, one.comparison
    rows = one.rows(look)
    test = comparison.test[..., look - 1]
    body = []
    for m, method in enumerate(comparison.methods):
        row = rows[method]
        told = float(test[m][~np.isnan(test[m])].mean()) if not np.isnan(test[m]).all() else math.nan
        cells: Sequence[Any] = (
            label(method) + (" (exact)" if method == RANDOM and comparison.exact.all() else ""),
            *((figure(row.beats, "%", 0), figure(row.median_change, "%", 1), figure(row.mean_change, "%", 1))
              if method != RANDOM else ("–", "–", "–")),
            figure(row.rank, "", 2),
            significant(told),
        )  # fmt: skip
        body.append((rows[method].rank.value, tuple(map(str, cells))))
    seeds = counted(one.plan.seeds, "seed")
    title = f"{one.arm.name}: {one.plan.suite}, {counted(look, 'evaluation')}, {seeds}, by mean rank"
    heads = ("method", "beats random", "median change", "mean change", "mean rank", "test loss")
    return Table(title, heads, tuple(cells for _, cells in sorted(body, key=lambda pair: pair[0])))
