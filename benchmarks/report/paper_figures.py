"""Figures of the paper's parts: every line beside the paper's figure and the control."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.paper.protocol import LIMITS
from airtune.benchmarks.paper.words import figure
from airtune.benchmarks.report.style import ACCENT, GREY, INK, MUTED, OTHERS, PAPER

LEAST = 10.0  # percentage points that an axis spans
CUT = 105.0  # where it ends: a relative change has no lower bound
PANELS = 3  # figures of the paper that are drawn side by side; more are in the table


def estimate_of(stored: Mapping[str, Any]) -> Estimate:
    """A figure as it was before it was JSON."""
    value, low, high = (
        math.nan if stored[key] is None else float(stored[key]) for key in ("value", "low", "high")
    )
    return Estimate(value, low, high)


def line_text(stored: Mapping[str, Any], unit: str) -> str:
    """A figure with its interval, in words."""
    return figure(estimate_of(stored), unit)


def range_text(line: Mapping[str, Any]) -> str:
    """The paper's figure in words, of a line."""
    if not _told(line):
        return "–"
    (low, high), unit = line["paper"], line["unit"]
    if low == high == 0 and not unit:
        return "no difference"
    return f"{low:g}{f' to {high:g}' if high != low else ''}{f' {unit}' if unit else ''}"


def _told(line: Mapping[str, Any]) -> bool:
    """Whether the paper says anything of it: that of a limit which it states is what no gap would be."""
    return line["paper"] is not None and line["source"] != LIMITS


def forest(lines: Sequence[Mapping[str, Any]]) -> Any:
    """A panel for each of the figures: ours with its interval, the control hollow, the paper's a line across."""
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(line["what"] for line in lines))[:PANELS]
    rows = list(dict.fromkeys((line["arm"], line["method"]) for line in lines if line["what"] in kinds))
    height = 0.85 + 0.27 * len(rows)
    figure_ = Figure(figsize=(7.4, height))
    panels = figure_.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    places = {row: len(rows) - 1 - i for i, row in enumerate(rows)}
    for axes, kind in zip(panels, kinds, strict=True):
        unit = ""
        for line in (one for one in lines if one["what"] == kind):
            y, unit = places[line["arm"], line["method"]], line["unit"]
            ours = estimate_of(line["ours"])
            if line["paper"] is not None:
                axes.plot(line["paper"], [y - 0.42, y - 0.42], alpha=0)  # so that it is in sight
                low, high = line["paper"]
                colour = OTHERS[0] if _told(line) else GREY
                if high > low:
                    axes.axvspan(low, high, color=colour, alpha=0.05, lw=0)
                axes.plot([low, low], [y - 0.5, y + 0.5], color=colour, lw=1.4, zorder=2)
                axes.plot([high, high], [y - 0.5, y + 0.5], color=colour, lw=1.4, zorder=2)
            if line["control"]:
                control = estimate_of(line["control"])
                _dot(axes, control.value, y, unit, mfc=PAPER, mec=GREY, mew=1.2, zorder=3)
            colour = ACCENT if line["lead"] else INK
            axes.plot([ours.low, ours.high], [y, y], color=colour, lw=1.6, zorder=4)
            _dot(axes, ours.value, y, unit, color=colour, mec=PAPER, mew=0.6, zorder=5)
        axes.set_title(
            _wrapped(kind, 64 // len(kinds)) + (f" ({unit})" if unit else ""),
            fontsize=8,
            loc="left",
            color=INK,
        )
        axes.set_ylim(-0.6, len(rows) - 0.4)
        if unit == "%":
            low, high = axes.get_xlim()
            wider = max(0.0, LEAST - (high - low)) / 2  # where all are the same
            axes.set_xlim(max(low - wider, -CUT), min(high + wider, CUT))
        axes.grid(axis="x")
        axes.locator_params(axis="x", nbins=4)
        axes.tick_params(labelsize=7.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    names = [f"{method}  ({arm})" for arm, method in rows]
    panels[0].set_yticks(
        [places[row] for row in rows], [_short(name) for name in names], fontsize=7.5, color=MUTED
    )
    longest = max(len(_short(name)) for name in names)
    figure_.subplots_adjust(
        left=min(0.5, 0.02 + 0.0078 * longest),
        right=0.985,
        top=1 - 0.55 / height,
        bottom=0.27 / height,
        wspace=0.26,
    )
    return figure_


def _dot(axes: Any, value: float, y: float, unit: str, **style: Any) -> None:
    """A figure's dot; at the end of the axis that it is beyond, a triangle."""
    beyond = unit == "%" and abs(value) > CUT
    shape = "o" if not beyond else "<" if value < 0 else ">"
    place = math.copysign(CUT, value) if beyond else value
    axes.plot([place], [y], shape, ms=5, clip_on=not beyond, **style)


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:28]}…{name[-31:]}"


def _wrapped(text: str, width: int) -> str:
    words, lines = text.split(), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
