"""The figures of one study: its trajectory, and where in the space its trials were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from airtune.benchmarks.report.style import ACCENT, GREY, INK, MUTED, plain_log
from airtune.engine.types import Trial

_NO_SCALE = ("constant", "free_program")  # of hyperparameters: one value, or any text
MOST_AXES = 12
MOST_DRAWN = 1e300
MOST_MARKS = 1000  # points drawn one by one, in a trajectory: beyond it they are an image within the figure
MOST_LINES = 400  # of parallel axes: beyond it they hide each other


def trajectory_figure(trials: Sequence[Trial], metric: str) -> Any:
    """Loss by trial, the best so far as a step line, failures at the upper edge."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    told = [(trial.number, trial.loss) for trial in trials if trial.loss is not None]
    failed = [trial.number for trial in trials if trial.status == "failed"]
    x, y = np.array([n for n, _ in told]), np.array([loss for _, loss in told], dtype=np.float64)
    lowest = float(y.min()) if len(y) else 0.0
    figure = Figure(figsize=(7.4, 3.5))
    axes = figure.add_axes((0.1, 0.14, 0.78, 0.83))
    unit = scale_losses(axes, y)
    y = y / unit
    axes.plot(x, y, "o", color=GREY, ms=5, mec="none", alpha=0.75, zorder=3, rasterized=len(y) > MOST_MARKS)
    if len(y):
        best = np.minimum.accumulate(y)
        end = max(trial.number for trial in trials)
        axes.step([*x, end], [*best, best[-1]], where="post", color=ACCENT, lw=2.2, zorder=4)
        at = int(y.argmin())
        axes.plot([x[at]], [y[at]], "o", color=ACCENT, ms=7, zorder=5)
        axes.annotate(
            f"best\n{lowest:.4g}", (1.0, best[-1]), xycoords=("axes fraction", "data"), xytext=(8, 0),
            textcoords="offset points", color=ACCENT, fontweight="bold", va="center", annotation_clip=False,
        )  # fmt: skip
    if failed:
        axes.plot(
            failed, np.full(len(failed), 0.98), "x", color=INK, ms=6, mew=1.4, zorder=5,
            transform=axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip
    axes.set_xlabel("trial")
    axes.set_ylabel(loss_label(metric, unit))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    return figure


def scale_losses(axes: Any, losses: np.ndarray[Any, np.dtype[np.float64]], *, across: bool = False) -> float:
    """Make the axis of losses logarithmic if they span much; return what they are to be divided by, 1 or more."""
    unit = _unit(losses)
    if len(losses) and unit == 1.0:
        low, high = float(losses.min()), float(losses.max())
        if low > 1 / MOST_DRAWN and high > 30 * low:
            (axes.set_xscale if across else axes.set_yscale)("log")
            plain_log(axes.xaxis if across else axes.yaxis, low, high)
    return unit


def loss_label(metric: str, unit: float) -> str:
    """What an axis of losses is called that were divided by `unit`."""
    return metric if unit == 1.0 else f"{metric} / {unit:.0e}"


def _unit(losses: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """What losses are divided by to be drawn: 1, but where their range or an axis's margin would overflow."""
    most = float(np.abs(losses).max()) if len(losses) else 0.0
    return 1.0 if most < MOST_DRAWN else 10.0 ** math.floor(math.log10(most))


def parallel_figure(trials: Sequence[Trial], space: Mapping[str, Any], metric: str) -> Any:
    """Parallel axes: a line per trial through its hyperparameters to its loss; the best fifth in colour."""
    from matplotlib.figure import Figure

    axes_of = [h for h in space.get("hyperparameters", []) if h.get("type") not in _NO_SCALE][:MOST_AXES]
    told = sorted((t for t in trials if t.loss is not None), key=lambda t: -(t.loss or 0.0))
    if len(told) > MOST_LINES:  # of even ranks: worst, ..., best
        told = [told[i] for i in np.linspace(0, len(told) - 1, MOST_LINES).round().astype(int)]
    losses = np.array([t.loss for t in told], dtype=np.float64)
    low, high = (float(losses.min()), float(losses.max())) if len(losses) else (0.0, 1.0)
    figure = Figure(figsize=(7.4, 3.3))
    axes = figure.add_axes((0.05, 0.17, 0.89, 0.75))
    kept = max(1, math.ceil(len(told) / 5))
    for i, trial in enumerate(told):
        heights = [_position(h, trial.config.get(h["name"])) for h in axes_of]
        heights.append(0.5 if high <= low else ((trial.loss or 0.0) / 2 - low / 2) / (high / 2 - low / 2))
        best = i >= len(told) - kept
        axes.plot(
            range(len(heights)), heights, color=ACCENT if best else GREY, lw=1.8 if best else 0.8,
            alpha=0.9 if best else 0.45, marker="o", ms=3.2, zorder=4 if best else 2,
        )  # fmt: skip
    last = len(axes_of)
    for i, h in enumerate(axes_of):
        name = str(h["name"]) if len(str(h["name"])) <= 18 else str(h["name"])[:17] + "…"
        lowered = i % 2 == 1 and last >= 6  # neighbours would touch
        _axis(axes, i, _ends(h), name, below=30 if lowered else 19, color=MUTED, lw=0.8)
    _axis(axes, last, (f"{low:.3g}", f"{high:.3g}"), metric, below=19, color=INK, lw=1.2, weight="bold")
    axes.set_xlim(-0.25, last + 0.25)
    axes.set_ylim(-0.02, 1.02)
    axes.set_axis_off()
    return figure


def _axis(
    axes: Any,
    x: int,
    ends: tuple[str, str],
    name: str,
    *,
    below: int,
    color: str,
    lw: float,
    weight: str = "normal",
) -> None:
    """One of the parallel axes: a line with its ends and its name, `below` points under it."""
    axes.axvline(x, color=color, lw=lw, zorder=1)
    for y, text, drop, va in ((0, ends[0], -6, "top"), (1, ends[1], 5, "baseline")):
        axes.annotate(
            text,
            (x, y),
            xytext=(0, drop),
            textcoords="offset points",
            ha="center",
            va=va,
            fontsize=7.5,
            color=MUTED,
        )
    axes.annotate(
        name, (x, 0), xytext=(0, -below), textcoords="offset points", ha="center", va="top", fontweight=weight
    )


def _position(h: Mapping[str, Any], value: object) -> float:
    """Where a value is on its axis, from 0 to 1; NaN where the hyperparameter is inactive."""
    values = h.get("choices") or h.get("sequence")
    if values is not None:
        return values.index(value) / max(1, len(values) - 1) if value in values else math.nan
    if not isinstance(value, int | float):
        return math.nan
    low, high = float(h["lower"]), float(h["upper"])
    value = min(max(value, low), high)
    if h.get("log"):
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _ends(h: Mapping[str, Any]) -> tuple[str, str]:
    """The texts at an axis' ends."""
    values = h.get("choices") or h.get("sequence") or [h["lower"], h["upper"]]
    return _end(values[0]), _end(values[-1])


def _end(value: object) -> str:
    """A value at an axis' end, in 12 characters: a large number loses digits, not its size."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    if len(text) <= 12:
        return text
    return f"{value:.3g}" if isinstance(value, int) else text[:11] + "…"
