"""The distribution of a model's answers, drawn: over each hyperparameter, over pairs, and the tried points on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from airtune.benchmarks.report.style import ACCENT, BAND, GREY, GRID, INK, MUTED, OTHERS, PAPER
from airtune.engine.replay.inspect import TrialInspection
from airtune.engine.types import Trial
from airtune.models.inspection.bins import Bins
from airtune.models.inspection.marginals import BINS, Density, Pair

MOST_DENSITIES, MOST_PAIRS = 12, 9  # what is not drawn is told
COLUMNS = 3
_BINS = 96
_LOWEST = -8  # log2 of the smallest density drawn, relative to a uniform distribution
_PALEST = -3  # the same for pairs; each step of their shade from there is twice as dense as the one before
_WIDTH, _SINGLE, _PAIR, _HEAD = 7.4, 1.6, 2.3, 0.42  # inches
_TRIED = OTHERS[0]


def density_figure(view: TrialInspection) -> Any:
    """One panel per hyperparameter, one per pair of hyperparameters spoken one after the other."""
    from matplotlib.figure import Figure

    every = view.densities
    densities, pairs = every.univariate[:MOST_DENSITIES], every.pairs[:MOST_PAIRS]
    rows = [-(-len(part) // COLUMNS) for part in (densities, pairs)]
    height = _HEAD + rows[0] * _SINGLE + rows[1] * _PAIR
    figure = Figure(figsize=(_WIDTH, height))
    bins = {d.name: Bins(every.grammar, d.level, _BINS) for d in densities}
    curves = [
        _relative(bins[d.name].masses(d.indices, d.mass), np.diff(bins[d.name].edges)) for d in densities
    ]
    lowest = min([-4.0, *(float(curve[np.isfinite(curve)].min(initial=0.0)) for curve in curves)])
    # The same scale on all panels: they can be compared.
    limits = (
        max(_LOWEST, 2 * int(np.floor(lowest / 2))),
        max([2.0, *(float(c.max(initial=0.0)) for c in curves)]) + 0.5,
    )
    for i, (density, curve) in enumerate(zip(densities, curves, strict=True)):
        axes = figure.add_axes(_place(i, _HEAD, _SINGLE, height))
        _single(axes, density, bins[density.name], curve, view, limits, first=i % COLUMNS == 0)
    wide = {d.name: Bins(every.grammar, d.level, BINS) for d in every.univariate}
    grids = [
        _relative(p.mass, np.outer(np.diff(wide[p.first].edges), np.diff(wide[p.second].edges)))
        for p in pairs
    ]
    darkest = max([1, *(int(np.floor(grid.max(initial=0.0))) for grid in grids)])
    for i, (pair, grid) in enumerate(zip(pairs, grids, strict=True)):
        axes = figure.add_axes(_place(i, _HEAD + rows[0] * _SINGLE, _PAIR, height))
        _joint(axes, pair, grid, wide[pair.first], wide[pair.second], view, darkest)
    _head(figure, view, height, darkest if pairs else None)
    return figure


def _place(i: int, above: float, size: float, height: float) -> Any:
    """Axes rectangle of panel i of a block whose rows are `size` inches high and begin `above` inches down."""
    left, gap, right, top, bottom = 0.62, 0.6, 0.12, 0.27, 0.5
    width = (_WIDTH - left - right - gap * (COLUMNS - 1)) / COLUMNS
    x = left + (i % COLUMNS) * (width + gap)
    y = height - above - (i // COLUMNS + 1) * size + bottom
    return (x / _WIDTH, y / height, width / _WIDTH, (size - top - bottom) / height)


def _head(figure: Any, view: TrialInspection, height: float, darkest: int | None) -> None:
    """What the marks and shades mean, and what is not drawn."""
    from matplotlib.patches import Rectangle

    axes = figure.add_axes((0, 1 - _HEAD / height, 1, _HEAD / height))
    axes.set_axis_off()
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(0, _HEAD)
    y = _HEAD - 0.16

    def text(x: float, words: str, at: float = y) -> None:
        axes.text(x, at, words, va="center", fontsize=8, color=MUTED)

    for i, strength in enumerate((0.15, 0.55, 1.0)):
        _point(axes, 0.66 + 0.14 * i, y, strength)
    text(1.06, "tried, fuller where the loss is lower")
    axes.plot(3.2, y, "x", color=INK, ms=4.5, mew=1.2)
    text(3.3, "no loss")
    _chosen(axes, 3.98, y)
    text(4.12, f"trial {view.trial.number}")
    if darkest is not None:
        text(4.98, _times(_PALEST))
        for i, step in enumerate(range(_PALEST, darkest + 1)):
            axes.add_patch(
                Rectangle(
                    (5.36 + 0.13 * i, y - 0.06), 0.13, 0.12, fc=ACCENT, alpha=_shade(step, darkest), lw=0
                )
            )
        text(5.42 + 0.13 * (darkest - _PALEST + 1), f"{_times(darkest)} uniform")
    every = view.densities
    left_out = max(0, len(every.univariate) - MOST_DENSITIES) + max(0, len(every.pairs) - MOST_PAIRS)
    notes = [f"{left_out} panels not drawn"] if left_out else []
    if every.missing:
        notes.append(f"{len(every.missing)} pairs need a larger budget than {every.budget}")
    text(0.62, "; ".join(notes), y - 0.17)


def _shade(step: int, darkest: int) -> float:
    return 0.06 + 0.84 * (step - _PALEST) / (darkest - _PALEST)


def _relative(mass: Any, width: Any) -> Any:
    """log2 of a density relative to the uniform distribution on the same scale."""
    with np.errstate(divide="ignore"):
        return np.log2(mass / width)


def _single(
    axes: Any,
    density: Density,
    bins: Bins,
    curve: Any,
    view: TrialInspection,
    limits: tuple[int, float],
    *,
    first: bool,
) -> None:
    low, top = limits
    strip = 0.3 * (top - low)  # for the tried points, below the curve
    line = np.clip(curve, low, None)
    axes.stairs(np.maximum(line, 0), bins.edges, baseline=0, fill=True, color=ACCENT, alpha=0.28, lw=0)
    axes.stairs(np.minimum(line, 0), bins.edges, baseline=0, fill=True, color=GREY, alpha=0.25, lw=0)
    axes.stairs(line, bins.edges, baseline=None, color=ACCENT, lw=1.0)
    axes.axhline(0, color=MUTED, lw=0.6)
    axes.set_xlim(0, 1)
    axes.set_ylim(low - strip, top)
    axes.axhspan(low - strip, low, color=BAND, lw=0, zorder=0)
    for trial, strength in _tried(view):
        if density.name in trial.config:
            _point(axes, bins.unit(trial.config[density.name]), low - strip / 2, strength)
    if density.name in view.trial.config:
        x = bins.unit(view.trial.config[density.name])
        axes.plot([x, x], [low, top], color=INK, lw=0.8, ls=(0, (2, 1.5)), zorder=6)
        _chosen(axes, x, low - strip / 2)
    _title(axes, density.name, f"{density.entropy:.1f} bits")
    axes.set_xlabel(_kind(density), fontsize=7.5, color=MUTED, labelpad=2)
    _ticks(axes.xaxis, bins, most=4)
    steps = [v for v in range(low, int(top) + 1) if v % (2 if top - low < 9 else 4) == 0]
    axes.set_yticks(steps, [_times(v) for v in steps] if first else [""] * len(steps))
    axes.tick_params(labelsize=7.5)
    axes.grid(axis="y", color=GRID)


def _joint(
    axes: Any, pair: Pair, grid: Any, rows: Bins, columns: Bins, view: TrialInspection, darkest: int
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    steps = range(_PALEST, darkest + 1)
    level = np.searchsorted(steps, grid, side="right") - 1 + _PALEST
    for step in steps:
        corners = [
            rectangle
            for i in range(len(rows.starts))
            for rectangle in _runs(level[i] == step, rows.edges[i : i + 2], columns.edges)
        ]
        if corners:
            axes.add_patch(
                PathPatch(
                    Path.make_compound_path(*map(Path, corners)),
                    fc=ACCENT,
                    alpha=_shade(step, darkest),
                    lw=0,
                    zorder=1,
                )
            )
    for trial, strength in _tried(view):
        if pair.first in trial.config and pair.second in trial.config:
            _point(
                axes, rows.unit(trial.config[pair.first]), columns.unit(trial.config[pair.second]), strength
            )
    if pair.first in view.trial.config and pair.second in view.trial.config:
        _chosen(axes, rows.unit(view.trial.config[pair.first]), columns.unit(view.trial.config[pair.second]))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    room = 25 - min(12, len(pair.first))
    upper = _short(pair.second, room)
    _title(axes, f"{upper} over {_short(pair.first, 25 - len(upper))}", "")
    axes.set_xlabel(_kind(pair), fontsize=7.5, color=MUTED, labelpad=2)
    _ticks(axes.xaxis, rows, most=4)
    _ticks(axes.yaxis, columns, most=5)
    axes.tick_params(labelsize=7.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def _runs(inside: Any, x: Any, edges: Any) -> list[Any]:
    """Neighbouring cells of one column as closed rectangles."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    return [
        [(x[0], edges[a]), (x[1], edges[a]), (x[1], edges[b]), (x[0], edges[b]), (x[0], edges[a])]
        for a, b in zip(change[::2], change[1::2], strict=True)
    ]


def _tried(view: TrialInspection) -> list[tuple[Trial, float | None]]:
    """The tried points, the best last; how full each is, by the rank of its loss: 1 is the best, None has no loss."""
    told = sorted((t for t in view.tried if t.loss is not None), key=lambda t: -(t.loss or 0.0))
    others: list[tuple[Trial, float | None]] = [(t, None) for t in view.tried if t.loss is None]
    return others + [(t, (i + 1) / len(told)) for i, t in enumerate(told)]


def _point(axes: Any, x: float, y: float, strength: float | None) -> None:
    if strength is None:
        axes.plot(x, y, "x", color=INK, ms=4.5, mew=1.2, zorder=4, clip_on=False)
        return
    axes.plot(x, y, "o", color=PAPER, ms=5.2, mec=_TRIED, mew=0.7, zorder=5, clip_on=False)
    axes.plot(x, y, "o", color=_TRIED, ms=4.6, mec="none", alpha=strength**1.5, zorder=5, clip_on=False)


def _chosen(axes: Any, x: float, y: float) -> None:
    axes.plot(x, y, "o", mfc="none", mec=PAPER, ms=9, mew=3.2, zorder=7, clip_on=False)
    axes.plot(x, y, "o", mfc="none", mec=INK, ms=9, mew=1.5, zorder=7, clip_on=False)


def _title(axes: Any, left: str, right: str) -> None:
    axes.set_title(_short(left, 31 - len(right)), loc="left", fontsize=8.5, fontweight="bold", pad=5)
    axes.set_title(right, loc="right", fontsize=7.5, color=MUTED, pad=5)


def _kind(part: Density | Pair) -> str:
    """Which distribution a panel draws."""
    kind = f"given {len(part.given)} said before" if part.given else "marginal"
    rest = [f"{value:.0%} {what}" for value, what in ((part.inactive, "inactive"), (part.unresolved, "not resolved"))
            if value >= 0.005]  # fmt: skip
    return ", ".join([kind, *rest])


def _ticks(axis: Any, bins: Bins, most: int) -> None:
    """Values at their places on the unit interval."""
    from matplotlib.ticker import MaxNLocator

    if bins.labels is not None:
        middles = (bins.edges[1:] + bins.edges[:-1]) / 2
        kept = list(range(0, len(middles), -(-len(middles) // (2 * most))))
        width = max(6, 28 // len(kept)) if axis.axis_name == "x" else 8
        axis.set_ticks([middles[i] for i in kept], [_short(bins.labels[i], width) for i in kept])
        return
    low, high = bins.value(0.0), bins.value(1.0)
    if bins.log and high >= 50 * low:
        decades = np.arange(np.ceil(np.log10(low) - 1e-9), np.floor(np.log10(high) + 1e-9) + 1)
        decades = decades[:: max(1, -(-len(decades) // most))]
        values = [10.0**d for d in decades]
    else:
        values = [float(v) for v in MaxNLocator(most, integer=bins.integer).tick_values(low, high)]
    values = [v for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9) or low <= v <= high]
    axis.set_ticks([bins.unit(v) for v in values], [f"{v:g}" for v in values])


def _times(power: int) -> str:
    return "uniform" if power == 0 else f"×{2**power}" if power > 0 else f"×1/{2**-power}"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(1, width - 1)] + "…"
