"""The figures of a study over programs: which program is like which, and the losses by what was chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from airtune.benchmarks.analysis.programs import ChoiceMade
from airtune.benchmarks.report.study_figures import MOST_MARKS, loss_label, scale_losses
from airtune.benchmarks.report.style import ACCENT, GREY, INK, MUTED
from airtune.engine.types import Trial

MOST_CHOICES = 8
MOST_ALTERNATIVES = 8  # of one choice
_ROW = 0.235  # inches


def ancestry_figure(
    trials: Sequence[Trial], parents: Mapping[int, int], line: Collection[int], metric: str
) -> Any:
    """Loss by trial, each program tied to the earlier one that it is nearest to; the best one's line in colour.

    Args:
        trials: Those that are drawn, with a loss or failed.
        parents: See `ancestors`.
        line: The trials of the best one's line.
        metric: What the loss is.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.4, 3.7))
    axes: Any = figure.add_axes((0.1, 0.13, 0.87, 0.83))
    told = np.array([one.loss for one in trials if one.loss is not None], dtype=np.float64)
    unit = scale_losses(axes, told)
    low, high = float(told.min() / unit), float(told.max() / unit)
    log = axes.get_yscale() == "log"
    above = high * (high / low) ** 0.08 if log else high + 0.08 * ((high - low) or abs(high) or 1.0)
    heights = {one.number: above if one.loss is None else one.loss / unit for one in trials}
    for child, parent in parents.items():
        if child not in heights or parent not in heights:
            continue
        best = child in line and parent in line
        axes.plot(
            [parent, child], [heights[parent], heights[child]], color=ACCENT if best else GREY,
            lw=2.0 if best else 0.8, alpha=1.0 if best else 0.5, zorder=4 if best else 2,
            rasterized=len(trials) > MOST_MARKS,
        )  # fmt: skip
    for kinds, settings in (
        ([one for one in trials if one.loss is not None and one.number not in line], {"color": GREY, "ms": 4.5}),
        ([one for one in trials if one.loss is None], {"color": INK, "ms": 5, "marker": "x", "mew": 1.3}),
        ([one for one in trials if one.number in line and one.loss is not None], {"color": ACCENT, "ms": 6.5}),
    ):  # fmt: skip
        axes.plot(
            [one.number for one in kinds], [heights[one.number] for one in kinds],
            **{"marker": "o", "ls": "", "zorder": 5, **settings},
        )  # fmt: skip
    for number in line:
        if number in heights:
            axes.annotate(
                str(number), (number, heights[number]), xytext=(0, -8), textcoords="offset points", ha="center",
                va="top", fontsize=8, color=ACCENT,
            )  # fmt: skip
    axes.margins(y=0.12)
    axes.set_xlabel("trial")
    axes.set_ylabel(loss_label(metric, unit))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    return figure


def structure_figure(choices: Sequence[ChoiceMade], metric: str) -> Any:
    """The losses of each alternative of the choices that explain most, a row for each, with its median."""
    from matplotlib.figure import Figure

    shown = [(one, one.alternatives[:MOST_ALTERNATIVES]) for one in choices[:MOST_CHOICES]]
    rows = sum(1 + len(alternatives) for _, alternatives in shown)
    height = 0.62 + _ROW * rows
    figure = Figure(figsize=(7.4, height))
    axes: Any = figure.add_axes((0.27, 0.5 / height, 0.56, 1 - 0.6 / height))
    every = np.array([loss for _, some in shown for one in some for loss in one.losses], dtype=np.float64)
    unit = scale_losses(axes, every, across=True)
    beside: Any = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": 8.5,
    }
    y = 0
    for choice, alternatives in shown:
        axes.annotate(_short(choice.name, 44), (0, y), xytext=(-140, 0), fontweight="bold", **beside)
        if choice.explains is not None:
            axes.annotate(
                f"explains {100 * choice.explains:.0f} %", (1, y), xytext=(8, 0), color=MUTED, **beside
            )
        y += 1
        for i, one in enumerate(alternatives):
            colour = ACCENT if i == 0 and one.losses else GREY
            axes.axhline(y, color=MUTED, lw=0.5, alpha=0.35, zorder=1)
            axes.plot(
                np.array(one.losses) / unit, np.full(len(one.losses), y), "o", color=colour, ms=5, mec="none",
                alpha=0.55, zorder=3,
            )  # fmt: skip
            if one.median is not None:
                axes.plot([one.median / unit] * 2, [y - 0.36, y + 0.36], color=colour, lw=2.2, zorder=4)
            axes.annotate(_short(str(one.value), 24), (0, y), xytext=(-8, 0), ha="right", **beside)
            count = f"n = {len(one.losses)}" + (f", {one.failed} failed" if one.failed else "")
            axes.annotate(count, (1, y), xytext=(8, 0), color=MUTED, **beside)
            y += 1
    axes.set_ylim(y - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(loss_label(metric, unit))
    axes.grid(axis="x")
    return figure


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
