"""Regret over the size of the language model: one proposer around several, their dialects' settings the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from airtune.benchmarks.analysis.comparison import RANDOM, Array
from airtune.benchmarks.analysis.costs import Costs
from airtune.benchmarks.analysis.numbers import DASH, significant
from airtune.benchmarks.analysis.table import Cell, Column, Table
from airtune.benchmarks.report.report import Report
from airtune.benchmarks.report.style import GREY, INK, PAPER, strokes
from airtune.benchmarks.running.plan import proposer_of
from airtune.grammars.errors import counted

Bands = tuple[Array, Array, Array]  # as `curve_bands` returns them
_PREFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Point:
    """A method with its model's size.

    Attributes:
        method: The method.
        weights: Of its model; 0 of one that knows nothing.
        bytes: Of the files that hold them.
    """

    method: str
    weights: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Curve:
    """One proposer around models of different sizes.

    Attributes:
        name: The proposer, with the settings that the dialects of all its models have.
        points: By the number of weights.
    """

    name: str
    points: tuple[Point, ...]

    @property
    def sizes(self) -> list[list[Point]]:
        """The points by size, those of one size together."""
        counts = sorted({point.weights for point in self.points})
        return [[point for point in self.points if point.weights == count] for count in counts]


def size_curves(
    methods: Sequence[str], manifests: Iterable[Mapping[str, Any]]
) -> tuple[list[Curve], list[str]]:
    """The proposers that were run around models of two sizes or more.

    Args:
        methods: Those that are compared.
        manifests: The studies'.

    Returns:
        The curves, and the methods that would be in one, had it been found how many weights their models have.
    """
    models = {
        str((manifest.get("comparison") or {}).get("method")): model
        for manifest in manifests
        if (model := manifest.get("model"))
    }
    groups: dict[str, list[Point]] = {}
    unknown = {}
    for method in methods:
        if method not in models:
            continue
        settings = str(models[method].get("dialect", "")).partition("+")[2].replace("+", ", ")
        name = proposer_of(method) + (f" ({settings})" if settings else "")
        if (size := model_size(models[method])) is None:
            unknown[method] = name
        else:
            groups.setdefault(name, []).append(Point(method, *size))
    curves = [
        Curve(name, tuple(sorted(points, key=lambda point: point.weights)))
        for name, points in groups.items()
        if len({point.weights for point in points}) > 1
    ]
    return curves, [method for method, name in unknown.items() if name in groups]


def model_size(model: Mapping[str, Any]) -> tuple[int, int] | None:
    """How many weights a manifest's model has, and their bytes; None if that is not known, as of a server's."""
    if model.get("weights") is None or model.get("weights_bytes") is None:
        return None
    return int(model["weights"]), int(model["weights_bytes"])


def size_figure(report: Report, curves: Sequence[Curve], bands: Bands) -> Any:
    """Normalised regret, and below it the share of tasks better than random, over weights; a panel per budget."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    methods = report.comparison.methods
    focal = next((c.name for c in curves if any(p.method == report.focal for p in c.points)), None)
    styles = strokes([curve.name for curve in curves], focal, RANDOM)
    figure = Figure(figsize=(7.4, 4.6))
    panels = figure.subplots(2, len(report.budgets), sharex=True, sharey="row", squeeze=False)
    known = [point.weights for curve in curves for point in curve.points if point.weights]
    zero = math.floor(math.log10(min(known))) - 1  # where 0 stands: a decade below all others
    for column, budget in enumerate(report.budgets):
        upper, lower = panels[:, column]
        mean, low, high = (part[:, budget - 1] for part in bands)
        rows = {row.method: row.beats for row in report.rows[budget]}
        upper.axhline(float(mean[methods.index(RANDOM)]), color=GREY, lw=1.2, zorder=1)
        for c, curve in enumerate(curves):
            aside = 0.1 * (c - (len(curves) - 1) / 2)  # of a decade: no interval hides another's
            regret = {p.method: tuple(float(part[methods.index(p.method)]) for part in (mean, low, high))
                      for p in curve.points}  # fmt: skip
            beats = {
                p.method: (rows[p.method].value, rows[p.method].low, rows[p.method].high)
                for p in curve.points
            }
            _draw(upper, curve, regret, styles[curve.name], zero, aside)
            _draw(lower, curve, beats, styles[curve.name], zero, aside)
        upper.set_title(counted(budget, "evaluation"), fontsize=9.5, loc="left", color=INK)
        for axes in (upper, lower):
            axes.grid(axis="y")
            axes.text(zero + 0.5, 0, "//", transform=axes.get_xaxis_transform(), ha="center", va="center",
                      fontsize=8, bbox={"facecolor": PAPER, "lw": 0, "pad": 0.5})  # fmt: skip
    top = math.ceil(math.log10(max(known)))
    decades = range(zero + 1, top + 1, 1 + (top - zero) // 5)
    ticks = [(zero, "0"), *((decade, short_count(10**decade)) for decade in decades)]
    panels[1, 0].set_xticks([x for x, _ in ticks], [text for _, text in ticks])
    panels[1, 0].set_xlim(zero - 0.4, top + 0.3)
    panels[1, 0].set_ylim(-4, 104)
    panels[0, 0].set_ylim(bottom=0)
    panels[0, 0].set_ylabel("mean normalised regret")
    panels[1, 0].set_ylabel("beats random, % of tasks")
    figure.supxlabel("weights of the language model", fontsize=9.5, y=0.015)
    handles = [Line2D([], [], label=curve.name, **styles[curve.name]) for curve in curves]
    handles.append(Line2D([], [], label=report.label(RANDOM), color=GREY, lw=1.2))
    figure.legend(handles=handles, loc="upper left", ncols=min(4, len(handles)), frameon=False, fontsize=8.5)
    figure.subplots_adjust(left=0.085, right=0.985, top=0.86, bottom=0.115, wspace=0.08, hspace=0.12)
    return figure


def _draw(
    axes: Any,
    curve: Curve,
    figures: Mapping[str, tuple[float, ...]],
    style: Mapping[str, Any],
    zero: int,
    aside: float,
) -> None:
    """A curve: figures by method, (value, low, high); each joined to those of the next size, thinly from 0."""
    place = {p.method: aside + (math.log10(p.weights) if p.weights else zero) for p in curve.points}
    line = {key: value for key, value in style.items() if key != "marker"}
    for smaller, larger in pairwise(curve.sizes):
        thin = {} if smaller[0].weights else {"linewidth": 0.8}
        for a in smaller:
            for b in larger:
                ends = [figures[one.method][0] for one in (a, b)]
                axes.plot([place[a.method], place[b.method]], ends, **{**line, **thin})
    for method, x in place.items():
        value, low, high = figures[method]
        axes.plot([x, x], [low, high], color=style["color"], lw=1.2, zorder=style["zorder"])
        axes.plot([x], [value], style["marker"], color=style["color"], ms=6, mec=PAPER, mew=0.8, zorder=6)


def size_rows(report: Report, curves: Sequence[Curve], bands: Bands) -> Iterable[dict[str, Any]]:
    """What the figure shows, a point per row, for a CSV file."""
    for budget in report.budgets:
        beats = {row.method: row.beats for row in report.rows[budget]}
        for curve in curves:
            for point in curve.points:
                m, one = report.comparison.methods.index(point.method), beats[point.method]
                mean, low, high = (float(part[m, budget - 1]) for part in bands)
                yield {
                    "proposer": curve.name, "evaluations": budget, "method": point.method, "weights": point.weights,
                    "bytes": point.bytes, "regret": mean, "regret_low": low, "regret_high": high,
                    "beats": one.value, "beats_low": one.low, "beats_high": one.high,
                }  # fmt: skip


def size_table(report: Report, curves: Sequence[Curve], costs: Sequence[Costs]) -> Table:
    """The models' sizes, and what a proposal took."""
    taken = {one.method: one for one in costs}
    columns = [
        Column("method", number=False),
        Column("weights", "of its language model"),
        Column("MB", "of the files that hold them, 10⁶ bytes each"),
        Column("tokens read", "prompt tokens per proposal, mean"),
        Column("tokens written", "answer tokens per proposal, those that the grammar forced included, mean"),
        Column("median seconds", "per proposal; a batch’s seconds are shared out evenly over its studies"),
    ]
    rows = []
    for point in (point for curve in curves for point in curve.points):
        one, label = taken[point.method], report.label(point.method)
        asked = max(1, one.said)
        tokens = [one.prompt_tokens, one.answer_tokens] if point.weights else [None, None]
        rows.append(
            [
                Cell(label, sort=label, kind="name focal" if point.method == report.focal else "name"),
                Cell(f"{point.weights:,}".replace(",", "\u202f"), sort=point.weights),
                Cell(f"{point.bytes / 1e6:.1f}", sort=point.bytes),
                *(Cell(DASH if n is None else f"{n / asked:.1f}", sort="" if n is None else n / asked)
                  for n in tokens),
                Cell(significant(one.median_s, 3), sort="" if one.median_s is None else one.median_s),
            ]
        )  # fmt: skip
    return Table("size of the language models, and what a proposal took", columns, rows)


def short_count(count: int) -> str:
    """A number of weights in a few characters.

    >>> short_count(0), short_count(10_000_000), short_count(1_000_000_000)
    ('0', '10M', '1B')
    """
    for value, prefix in _PREFIXES:
        if count >= value:
            return f"{count / value:g}{prefix}"
    return str(count)
