"""The figures of a comparison: regret curves, ranks, changes by task, curves by task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from airtune.benchmarks.analysis.comparison import RANDOM, Array
from airtune.benchmarks.analysis.seconds import RegretOverSeconds
from airtune.benchmarks.analysis.significance import critical_difference
from airtune.benchmarks.report.comparison_tables import change_text, changes
from airtune.benchmarks.report.report import Report
from airtune.benchmarks.report.style import BAND, GREY, INK, MUTED, PAPER, plain_log, strokes
from airtune.grammars.errors import counted

TICKS = (1, 2, 3, 5, 10, 20, 30, 60, 100, 200, 500, 1000)


def regret_figure(report: Report, bands: tuple[Array, Array, Array]) -> Any:
    """Mean normalised regret by evaluations, with its bands, every method named at its line's end."""
    x = np.arange(1, bands[0].shape[1] + 1)
    figure, axes = _regret(report, report.comparison.methods, x, bands, report.label)
    _evaluations(axes, len(x))
    return figure


def seconds_figure(report: Report, curves: RegretOverSeconds) -> Any:
    """The same over the seconds that training and proposing took."""
    figure, axes = _regret(
        report, curves.methods, curves.seconds, curves.bands, lambda m: m if m == RANDOM else report.label(m)
    )
    axes.set_xscale("log")
    plain_log(axes.xaxis, float(curves.seconds[0]), float(curves.seconds[-1]), digits=(1,))
    axes.set_xlim(curves.seconds[0], curves.seconds[-1])
    axes.set_xlabel("seconds of training and proposing")
    axes.grid(axis="y")
    return figure


def _regret(
    report: Report,
    methods: Sequence[str],
    x: Array,
    bands: tuple[Array, Array, Array],
    label: Callable[[str], str],
) -> tuple[Any, Any]:
    """A figure of normalised regret, and its axes: a line with its band per method, on a logarithmic scale."""
    from matplotlib.figure import Figure

    mean, low, high = bands
    styles = strokes(report.comparison.methods, report.focal, RANDOM)
    figure = Figure(figsize=(7.4, 4.2))
    # for the names at the lines' ends
    room = 0.03 + 0.0115 * max(len(report.label(method)) for method in methods)
    axes = figure.add_axes((0.085, 0.125, 0.915 - min(0.5, room), 0.845))
    floor = max(float(mean[mean > 0].min(initial=1.0)) / 3.0, 1e-5)
    for m, method in enumerate(methods):
        style = styles[method]
        axes.fill_between(
            x,
            np.maximum(low[m], floor),
            np.maximum(high[m], floor),
            color=style["color"],
            lw=0,
            alpha=0.14 if style["linewidth"] > 2 else 0.08,
        )
        line = {key: value for key, value in style.items() if key != "marker"}
        axes.plot(x, np.maximum(mean[m], floor), **line)
    axes.set_yscale("log")
    top = max(float(high.max()), 3.0 * floor)
    plain_log(axes.yaxis, floor, top)
    axes.set_ylim(bottom=max(floor, float(low[low > 0].min(initial=1.0)) * 0.9), top=top * 1.05)
    axes.set_ylabel("mean normalised regret")
    _name_lines(axes, [(float(mean[m, -1]), label(n), styles[n]) for m, n in enumerate(methods)])
    return figure, axes


def rank_figure(report: Report) -> Any:
    """Mean rank with its interval, a panel per number of evaluations, and Nemenyi's critical difference."""
    from matplotlib.figure import Figure

    methods = report.comparison.methods
    styles = strokes(methods, report.focal, RANDOM)
    last = {row.method: row.rank.value for row in report.rows[report.budgets[-1]]}
    order = sorted(methods, key=lambda method: -last[method])
    distance = critical_difference(len(methods), len(report.tasks))
    height = 0.95 + 0.32 * len(methods)
    figure = Figure(figsize=(7.4, height))
    panels = figure.subplots(1, len(report.budgets), sharey=True, squeeze=False)[0]
    for axes, budget in zip(panels, report.budgets, strict=True):
        rows = {row.method: row for row in report.rows[budget]}
        best = min(row.rank.value for row in rows.values())
        if math.isfinite(distance):
            axes.axvspan(best, best + distance, color=BAND, lw=0, zorder=0)
        for y, method in enumerate(order):
            rank, style = rows[method].rank, styles[method]
            axes.plot([rank.low, rank.high], [y, y], color=style["color"], lw=style["linewidth"], zorder=3)
            axes.plot(
                [rank.value], [y], style["marker"], color=style["color"], ms=6, mec=PAPER, mew=0.8, zorder=4
            )
        axes.set_xlim(1 - 0.15, len(methods) + 0.15)
        axes.set_xticks(range(1, len(methods) + 1))
        axes.set_ylim(-0.6, len(methods) - 0.4)
        axes.set_title(counted(budget, "evaluation"), fontsize=9.5, loc="left", color=INK)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
    panels[0].set_yticks(range(len(order)), [report.label(method) for method in order])
    figure.supxlabel("mean rank (1 is best)", fontsize=9.5, y=0.02)
    longest = max(len(report.label(method)) for method in methods)
    figure.subplots_adjust(
        left=min(0.35, 0.025 + 0.0095 * longest),
        right=0.99,
        top=1 - 0.3 / height,
        bottom=0.58 / height,
        wspace=0.09,
    )
    return figure


def heat_figure(report: Report, budget: int) -> Any:
    """Change against random search, task by method, for the files (the page has a table of it)."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    methods, values = changes(report, budget)
    figure = Figure(figsize=(2.9 + 0.95 * len(methods), 1.1 + 0.2 * len(report.tasks)), layout="constrained")
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("change", ["#b35806", "#f7f7f7", "#2166ac"])
    shown = np.clip(np.nan_to_num(values.T), -100, 100)
    image = axes.imshow(shown, cmap=colours, vmin=-100, vmax=100, aspect="auto")
    for (t, m), value in np.ndenumerate(values.T):
        dark = abs(shown[t, m]) > 60
        axes.text(
            m,
            t,
            change_text(float(value)),
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if dark else INK,
        )
    axes.set_xticks(range(len(methods)), [report.label(method) for method in methods])
    axes.set_yticks(range(len(report.tasks)), report.tasks, fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.6, aspect=40, pad=0.02).set_label(
        f"change against random search, %\nafter {counted(budget, 'evaluation')}; positive is better"
    )
    return figure


def tasks_figure(report: Report) -> Any:
    """Best loss so far by evaluations, averaged over seeds, a small panel per task."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    methods, tasks = report.comparison.methods, report.tasks
    styles = strokes(methods, report.focal, RANDOM)
    columns = min(4, len(tasks))
    lines = -(-len(tasks) // columns)
    height = 0.55 + 1.4 * lines
    figure = Figure(figsize=(7.4, height))
    panels = figure.subplots(lines, columns, squeeze=False).flat
    mean = report.comparison.best.mean(axis=2)
    x = np.arange(1, mean.shape[2] + 1)
    for t, axes in enumerate(panels):
        if t >= len(tasks):
            axes.set_visible(False)
            continue
        for m, method in enumerate(methods):
            style = {key: value for key, value in styles[method].items() if key != "marker"}
            axes.plot(x, mean[m, t], **{**style, "linewidth": 0.6 * style["linewidth"]})
        _evaluations(axes, mean.shape[2], label="", sparse=True)
        axes.grid(False)
        axes.tick_params(labelsize=7, pad=2)
        low, high = float(mean[:, t].min()), float(mean[:, t].max())
        if low > 0 and high > 20 * low:
            axes.set_yscale("log")
            plain_log(axes.yaxis, low, high, digits=(1,) if high > 100 * low else (1, 3))
        else:
            axes.locator_params(axis="y", nbins=3)
        axes.set_title(_short(tasks[t]), fontsize=7.2, loc="left", pad=3, x=-0.12)
    handles = [
        Line2D([], [], label=report.label(m), **{k: v for k, v in styles[m].items() if k != "marker"})
        for m in methods
    ]
    figure.legend(handles=handles, loc="upper left", ncols=min(6, len(methods)), frameon=False, fontsize=8)
    figure.subplots_adjust(
        left=0.065, right=0.985, top=1 - 0.55 / height, bottom=0.25 / height, wspace=0.34, hspace=0.42
    )
    return figure


def _evaluations(axes: Any, budget: int, label: str = "evaluations", sparse: bool = False) -> None:
    """A logarithmic axis of evaluations with plain numbers."""
    axes.set_xscale("log")
    axes.set_xlim(1, max(budget, 2))
    ticks = [tick for tick in TICKS if tick <= budget]
    if sparse:
        ticks = [tick for tick in ticks if tick in (1, 3, 10, 30, 100, 300, 1000)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label)
    axes.grid(axis="y")


def _name_lines(axes: Any, ends: Sequence[tuple[float, str, dict[str, Any]]]) -> None:
    """Names beside the right ends of lines, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    places = sorted(ends, key=lambda end: end[0])
    heights = [math.log(max(value, low) / low) / math.log(high / low) for value, _, _ in places]
    gap, top = 0.055, 0.99
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    for i, height in enumerate(heights):  # where they were moved beyond the top: down again, from the top
        heights[i] = min(height, top - gap * (len(heights) - 1 - i))
    for where, (_, name, style) in zip(heights, places, strict=True):
        axes.annotate(
            name,
            (1.0, where),
            xytext=(8, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            color=style["color"] if style["color"] != GREY else MUTED,
            fontweight="bold" if style["linewidth"] > 2 else "normal",
            annotation_clip=False,
        )


def _short(task: str) -> str:
    """A task's name without its suite."""
    return task.partition("/")[2] or task
