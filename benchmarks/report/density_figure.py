"""The distribution of a model's answers, drawn: over each hyperparameter, over pairs, and the tried points on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airtune.benchmarks.report.style import ACCENT, BAND, GREY, GRID, INK, MUTED, OTHERS, PAPER, inline

if TYPE_CHECKING:
    from airtune.engine import StudyFile
    from airtune.engine.replay.inspect import TrialInspection
    from airtune.models.inspection.bins import Bins
    from airtune.models.inspection.marginals import Density as Univariate
    from airtune.models.inspection.marginals import Pair

MOST_DENSITIES, MOST_PAIRS = 12, 9  # what is not drawn is told
MOST_CHARACTERS = (
    12_000_000  # a figure has a quarter of a million at most: a page with more is slow on a phone
)
COLUMNS = 3
_BINS = 96
_LOWEST = -8  # log2 of the smallest density drawn, relative to a uniform distribution
_PALEST = -3  # the same for pairs; each step of their shade from there is twice as dense as the one before
_WIDTH, _SINGLE, _PAIR, _HEAD = 7.4, 1.6, 2.3, 0.42  # inches
_TRIED = OTHERS[0]
_SMALL = {"fontsize": 7.5, "color": MUTED}
Place = Callable[[Mapping[str, Any]], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Density:
    """Whether, and how, a report looks into the model.

    Attributes:
        model: The model's name or folder here; None for the recorded one.
        budget: See `airtune.models.inspection.marginals.proposal_densities`; None for its default.
        on_progress: Called with the number of proposals that are done, and of all.
    """

    model: str | None = None
    budget: int | None = None
    on_progress: Callable[[int, int], None] | None = None


def add_densities(
    file: StudyFile, name: str, proposals: Sequence[dict[str, Any]], density: Density, prefix: str
) -> bool:
    """Give each of a study's proposals that a language model made its figure, under "density".

    Args:
        file: The study file.
        name: The study.
        proposals: As `airtune.benchmarks.report.proposals.show` makes them.
        density: How.
        prefix: Of the figures' names on the page, which are unique.

    Returns:
        Whether MOST_CHARACTERS cut them short.

    Raises:
        AirtuneError: See `airtune.engine.replay.inspect.Inspector`.
    """
    from airtune.engine.replay.inspect import Inspector
    from airtune.models.inspection.marginals import BUDGET

    inspector = Inspector(file, name, density.model, density.budget or BUDGET)
    asked = [one for one in proposals if one["transcript"] is not None]
    used = 0
    for done, one in enumerate(asked, 1):
        view = inspector.inspect(one["number"])
        one["density"] = inline(lambda view=view: density_figure(view), f"{prefix}-{one['number']}")  # type: ignore[misc]
        used += len(one["density"])
        if density.on_progress is not None:
            density.on_progress(done, len(asked))
        if used > MOST_CHARACTERS:
            return done < len(asked)
    return False


def density_figure(view: TrialInspection) -> Any:
    """One panel per hyperparameter, one per pair of hyperparameters written one after the other."""
    from matplotlib.figure import Figure

    from airtune.models.inspection.bins import Bins
    from airtune.models.inspection.marginals import BINS

    every = view.densities
    singles, pairs = every.univariate[:MOST_DENSITIES], every.pairs[:MOST_PAIRS]
    above = _HEAD + -(-len(singles) // COLUMNS) * _SINGLE
    height = above + -(-len(pairs) // COLUMNS) * _PAIR
    figure = Figure(figsize=(_WIDTH, height))
    bins = [Bins(every.grammar, d.level, _BINS) for d in singles]
    curves = [
        _relative(b.masses(d.indices, d.mass), np.diff(b.edges)) for b, d in zip(bins, singles, strict=True)
    ]
    lowest = min([-4.0, *(float(curve[np.isfinite(curve)].min(initial=0.0)) for curve in curves)])
    low = max(_LOWEST, 2 * int(np.floor(lowest / 2)))  # one scale for all panels: they can be compared
    top = max([2.0, *(float(curve.max(initial=0.0)) for curve in curves)]) + 0.5
    for i, (density, its, curve) in enumerate(zip(singles, bins, curves, strict=True)):
        _single(figure.add_axes(_panel(i, _HEAD, _SINGLE, height)), density, its, curve, view, low, top)
        if i % COLUMNS:
            figure.axes[-1].tick_params(axis="y", labelleft=False)
    coarse = {d.name: Bins(every.grammar, d.level, BINS) for d in every.univariate}
    sides = [(coarse[pair.first], coarse[pair.second]) for pair in pairs]
    grids = [
        _relative(pair.mass, np.outer(np.diff(x.edges), np.diff(y.edges)))
        for pair, (x, y) in zip(pairs, sides, strict=True)
    ]
    darkest = max([1, *(int(np.floor(grid.max(initial=0.0))) for grid in grids)])
    for i, (pair, (x, y), grid) in enumerate(zip(pairs, sides, grids, strict=True)):
        _joint(figure.add_axes(_panel(i, above, _PAIR, height)), pair, x, y, grid, view, darkest)
    _head(figure, view, height, darkest if pairs else None)
    return figure


def _panel(i: int, above: float, size: float, height: float) -> Any:
    """Axes rectangle of panel i of a block whose rows are `size` inches high and begin `above` inches down."""
    left, gap, right, top, bottom = 0.62, 0.6, 0.12, 0.27, 0.5
    width = (_WIDTH - left - right - gap * (COLUMNS - 1)) / COLUMNS
    x = left + (i % COLUMNS) * (width + gap)
    y = height - above - (i // COLUMNS + 1) * size + bottom
    return (x / _WIDTH, y / height, width / _WIDTH, (size - top - bottom) / height)


def _head(figure: Any, view: TrialInspection, height: float, darkest: int | None) -> None:
    """What the marks and shades mean, and what is not drawn."""
    axes = figure.add_axes((0, 1 - _HEAD / height, 1, _HEAD / height), xlim=(0, _WIDTH), ylim=(0, _HEAD))
    axes.set_axis_off()
    y = _HEAD - 0.16
    every = view.densities
    left_out = max(0, len(every.univariate) - MOST_DENSITIES) + max(0, len(every.pairs) - MOST_PAIRS)
    notes = [f"{left_out} panels not drawn"] if left_out else []
    if every.missing:
        notes.append(f"{len(every.missing)} pairs need a larger budget than {every.budget}")
    texts = [
        (1.06, "tried, fuller where the loss is lower"),
        (3.3, "no loss"),
        (4.12, f"trial {view.trial.number}"),
    ]
    for i, fullness in enumerate((0.15, 0.55, 1.0)):
        _point(axes, 0.66 + 0.14 * i, y, fullness)
    _point(axes, 3.2, y, None)
    _chosen(axes, 3.98, y)
    if darkest is not None:
        steps = range(_PALEST, darkest + 1)
        texts += [(4.98, _times(_PALEST)), (5.42 + 0.13 * len(steps), f"{_times(darkest)} uniform")]
        for i, step in enumerate(steps):
            axes.bar(
                5.36 + 0.13 * i, 0.12, 0.13, y - 0.06, align="edge", fc=ACCENT, alpha=_shade(step, darkest)
            )
    for x, text in texts:
        axes.text(x, y, text, va="center", fontsize=8, color=MUTED)
    axes.text(0.62, y - 0.17, "; ".join(notes), va="center", fontsize=8, color=MUTED)


def _shade(step: int, darkest: int) -> float:
    return 0.06 + 0.84 * (step - _PALEST) / (darkest - _PALEST)


def _relative(mass: Any, width: Any) -> Any:
    """log2 of a density relative to the uniform distribution on the same scale."""
    with np.errstate(divide="ignore"):
        return np.log2(mass / width)


def _single(
    axes: Any, density: Univariate, bins: Bins, curve: Any, view: TrialInspection, low: int, top: float
) -> None:
    """The density over one hyperparameter, from `low` to `top` in powers of two, and under it the points."""
    name, floor = density.name, low - 0.3 * (top - low)
    line = np.clip(curve, low, None)
    axes.stairs(np.maximum(line, 0), bins.edges, baseline=0, fill=True, color=ACCENT, alpha=0.28, lw=0)
    axes.stairs(np.minimum(line, 0), bins.edges, baseline=0, fill=True, color=GREY, alpha=0.25, lw=0)
    axes.stairs(line, bins.edges, baseline=None, color=ACCENT, lw=1.0)
    axes.axhline(0, color=MUTED, lw=0.6)
    axes.axhspan(floor, low, color=BAND, lw=0, zorder=0)
    axes.set(xlim=(0, 1), ylim=(floor, top))
    _points(axes, view, (name,), lambda config: (bins.unit(config[name]), (floor + low) / 2))
    if name in view.trial.config:
        axes.plot(
            [bins.unit(view.trial.config[name])] * 2,
            [low, top],
            color=INK,
            lw=0.8,
            ls=(0, (2, 1.5)),
            zorder=6,
        )
    steps = [v for v in range(low, int(top) + 1) if v % (2 if top - low < 9 else 4) == 0]
    axes.set_yticks(steps, [_times(v) for v in steps])
    axes.grid(axis="y", color=GRID)
    _dress(axes, density, bins, name, f"{density.entropy:.1f} bits")


def _joint(axes: Any, pair: Pair, x: Bins, y: Bins, grid: Any, view: TrialInspection, darkest: int) -> None:
    """The density over a pair, in steps of a factor of two; one path for all cells of a step keeps pages small."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    steps = range(_PALEST, darkest + 1)
    level = np.searchsorted(steps, grid, side="right") - 1 + _PALEST
    for step in steps:
        corners = [
            r for i in range(len(x.starts)) for r in _runs(level[i] == step, x.edges[i : i + 2], y.edges)
        ]
        if corners:
            path = Path.make_compound_path(*map(Path, corners))
            axes.add_patch(PathPatch(path, fc=ACCENT, alpha=_shade(step, darkest), lw=0, zorder=1))
    first, second = pair.first, pair.second
    _points(axes, view, (first, second), lambda config: (x.unit(config[first]), y.unit(config[second])))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    upper = _short(second, 25 - min(12, len(first)))
    _dress(axes, pair, x, f"{upper} over {_short(first, 25 - len(upper))}", "")
    _ticks(axes.yaxis, y, most=5)
    axes.spines[["top", "right"]].set_visible(True)


def _runs(inside: Any, x: Any, edges: Any) -> Iterator[list[Any]]:
    """Neighbouring cells of one column as closed rectangles."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    for a, b in zip(change[::2], change[1::2], strict=True):
        yield [(x[0], edges[a]), (x[1], edges[a]), (x[1], edges[b]), (x[0], edges[b]), (x[0], edges[a])]


def _points(axes: Any, view: TrialInspection, names: Sequence[str], place: Place) -> None:
    """The tried points that have these hyperparameters, the best last and fullest; then the proposed one."""
    told = sorted((t for t in view.tried if t.loss is not None), key=lambda t: -(t.loss or 0.0))
    ranked: list[tuple[Any, float | None]] = [(t, None) for t in view.tried if t.loss is None]
    ranked += [(t, (i + 1) / len(told)) for i, t in enumerate(told)]
    for trial, fullness in ranked:
        if all(name in trial.config for name in names):
            _point(axes, *place(trial.config), fullness)
    if all(name in view.trial.config for name in names):
        _chosen(axes, *place(view.trial.config))


def _point(axes: Any, x: float, y: float, fullness: float | None) -> None:
    """A tried point; a cross where it has no loss."""
    if fullness is None:
        axes.plot(x, y, "x", color=INK, ms=4.5, mew=1.2, zorder=4, clip_on=False)
        return
    axes.plot(x, y, "o", color=PAPER, ms=5.2, mec=_TRIED, mew=0.7, zorder=5, clip_on=False)
    axes.plot(x, y, "o", color=_TRIED, ms=4.6, mec="none", alpha=fullness**1.5, zorder=5, clip_on=False)


def _chosen(axes: Any, x: float, y: float) -> None:
    for colour, width in ((PAPER, 3.2), (INK, 1.5)):
        axes.plot(x, y, "o", mfc="none", mec=colour, ms=9, mew=width, zorder=7, clip_on=False)


def _dress(axes: Any, part: Univariate | Pair, bins: Bins, left: str, right: str) -> None:
    """Titles, which distribution it is, and the horizontal axis."""
    axes.set_title(_short(left, 31 - len(right)), loc="left", fontsize=8.5, fontweight="bold", pad=5)
    axes.set_title(right, loc="right", pad=5, **_SMALL)
    kind = [f"given {len(part.given)} said before" if part.given else "marginal"]
    for share, what in ((part.inactive, "inactive"), (part.unresolved, "not resolved")):
        kind += [f"{share:.0%} {what}"] if share >= 0.005 else []
    axes.set_xlabel(", ".join(kind), labelpad=2, **_SMALL)
    _ticks(axes.xaxis, bins, most=4)
    axes.tick_params(labelsize=7.5)


def _ticks(axis: Any, bins: Bins, most: int) -> None:
    """Values at their places on the unit interval."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    if bins.labels is not None:
        middles = (bins.edges[1:] + bins.edges[:-1]) / 2
        kept = range(0, len(middles), -(-len(middles) // (2 * most)))
        width = max(6, 28 // len(kept)) if axis.axis_name == "x" else 8
        axis.set_ticks([middles[i] for i in kept], [_short(bins.labels[i], width) for i in kept])
        return
    low, high = bins.value(0.0), bins.value(1.0)
    wide = bins.log and high >= 50 * low
    locator = LogLocator(numticks=most) if wide else MaxNLocator(most, integer=bins.integer)
    slack = 1e-9 * max(abs(low), abs(high)) if not wide else 1e-9 * low
    values = [float(v) for v in locator.tick_values(low, high) if low - slack <= v <= high + slack]
    axis.set_ticks([bins.unit(v) for v in values], [f"{v:g}" for v in values])


def _times(power: int) -> str:
    return "uniform" if power == 0 else f"×{2**power}" if power > 0 else f"×1/{2**-power}"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(1, width - 1)] + "…"
