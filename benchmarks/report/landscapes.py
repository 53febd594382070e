"""Trajectories drawn over the landscapes of toy functions, as SVG that a page animates point by point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from airtune.benchmarks.analysis.numbers import significant
from airtune.benchmarks.tasks.toy import FUNCTIONS, Function
from airtune.grammars.errors import counted

SIZE = 200.0  # of a landscape, in SVG's units
EDGE = 5.0  # around it, so that points at the ends of a range are whole
GRID = 90  # points of the landscape along an axis
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7)  # shares of the square that are below each contour


def landscapes(paths: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By function: its landscape, which the panels refer to, and a panel for each method's trajectory.

    Args:
        paths: {"task", "method", "points": [[x, y, loss], ...]}.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in paths:
        name = str(path["task"]).removeprefix("toy/")
        panel = {"method": path["method"], "svg": _panel(name, path["points"]), **_told(path["points"])}
        found.setdefault(name, []).append(panel)
    return [{"name": name, "ground": _ground(name), "panels": panels} for name, panels in found.items()]


def _ground(name: str) -> Markup:
    """The landscape of a function, drawn nowhere: every panel of it uses it."""
    inside = "".join(_contours(name))
    return Markup(
        f'<svg class="unseen" aria-hidden="true"><defs><g id="land-{name}">{inside}</g></defs></svg>'
    )


def _told(points: Sequence[Sequence[float | None]]) -> dict[str, str]:
    losses = [loss for _, _, loss in points if loss is not None]
    return {"best": significant(min(losses, default=None))}


def _panel(name: str, points: Sequence[Sequence[float | None]]) -> Markup:
    """One trajectory over its landscape: optima, a line between points, points with their losses."""
    function = FUNCTIONS[name]
    places = [_place(function, float(x or 0.0), float(y or 0.0)) for x, y, _ in points]
    losses = [loss for _, _, loss in points]
    known = [i for i, loss in enumerate(losses) if loss is not None]
    best = min(known, key=lambda i: losses[i] or 0.0, default=-1)
    evaluations = counted(len(points), "evaluation")
    parts = [
        f'<svg viewBox="{-EDGE:g} {-EDGE:g} {SIZE + 2 * EDGE:g} {SIZE + 2 * EDGE:g}" role="img" '
        f'aria-label="{escape(name)}: {evaluations}">',
        f'<rect width="{SIZE:g}" height="{SIZE:g}" class="ground"/><use href="#land-{name}"/>',
    ]
    for x, y in (_place(function, *point) for point in function.minimisers):
        parts.append(f'<path class="optimum" d="M{x - 3:.1f} {y:.1f}h6M{x:.1f} {y - 3:.1f}v6"/>')
    for i, ((x, y), (u, v)) in enumerate(pairwise(places), start=1):
        ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{u:.1f}" y2="{v:.1f}"'
        parts.append(f'<line data-step="{i}" class="way" {ends}/>')
    for i, ((x, y), loss) in enumerate(zip(places, losses, strict=True)):
        kind, radius = ("point best", "4.2") if i == best else ("point", "3")
        told = "failed" if loss is None else f"{loss:.4g}"
        place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius}"'
        parts.append(
            f'<circle data-step="{i}" class="{kind}" {place}><title>{i + 1}: {told}</title></circle>'
        )
    return Markup("".join([*parts, "</svg>"]))


def _place(function: Function, x: float, y: float) -> tuple[float, float]:
    across = (x - function.x[0]) / (function.x[1] - function.x[0])
    up = (y - function.y[0]) / (function.y[1] - function.y[0])
    return SIZE * across, SIZE * (1.0 - up)


@lru_cache(maxsize=16)
def _contours(name: str) -> tuple[str, ...]:
    """Closed regions below each level, one over the other: the lower, the darker."""
    from contourpy import contour_generator

    function = FUNCTIONS[name]
    x, y = np.linspace(*function.x, GRID), np.linspace(*function.y, GRID)
    z = np.array([[function.value(float(a), float(b)) for a in x] for b in y])
    z = np.log(z - function.minimum + 1e-6 * (z.max() - function.minimum))
    made: Any = contour_generator(x, y, z, fill_type="OuterCode")
    paths = []
    for share in LEVELS:
        polygons, codes = made.filled(float(z.min()) - 1.0, float(np.quantile(z, share)))
        pieces = []
        for points, kinds in zip(polygons, codes, strict=True):
            for point, kind in zip(points, kinds, strict=True):
                px, py = _place(function, *point)
                pieces.append("Z" if kind == 79 else f"{'M' if kind == 1 else 'L'}{px:.0f} {py:.0f}")
        paths.append(f'<path class="level" fill-rule="evenodd" d="{_thinned(pieces)}"/>')
    return tuple(paths)


def _thinned(pieces: Sequence[str]) -> str:
    """Without points that are where the one before is."""
    kept: list[str] = []
    for piece in pieces:
        if not kept or piece == "Z" or piece[1:] != kept[-1][1:]:
            kept.append(piece)
    return "".join(kept)
