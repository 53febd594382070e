"""What the figures look like: one palette for paper and screen, read by colour-blind eyes, light and dark.

A figure is drawn once, by matplotlib, in the light colours. Saved to a file it keeps them; inside the page each of
them becomes a CSS variable, so that the page's colour scheme is also that of its figures.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airtune.engine.cli.output import visible
from airtune.grammars import check_output

# Okabe and Ito's hues, darkened until each has a contrast of 3:1 on white; grey is for random search.
INK, MUTED, GRID, PAPER, BAND = "#1b1d22", "#666b75", "#dfe2e7", "#fefefe", "#eef1f5"
ACCENT, GREY = "#0a62b0", "#767a83"
OTHERS = ("#c4540a", "#0b8563", "#a34f90", "#9a7400", "#3f8fc9", "#6b4a3a")
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    BAND: "--band",
    ACCENT: "--accent",
    GREY: "--grey",
    **{colour: f"--m{i}" for i, colour in enumerate(OTHERS)},
}
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1)), (0, (8, 2)))
MARKERS = ("s", "^", "D", "v", "P", "X")

_SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.parse_math": False,  # names are not formulas, and a lone dollar sign is no error
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.0,
    "ytick.minor.width": 0.0,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",  # text stays text: searchable, in the page's own font
    "svg.hashsalt": "airtune",
    "path.simplify": True,
}


def strokes(methods: Sequence[str], focal: str | None, plain: str) -> dict[str, dict[str, Any]]:
    """Colour, dashes and marker of each method: the focal method in the accent, random search (`plain`) grey."""
    styles: dict[str, dict[str, Any]] = {}
    others = 0
    for method in methods:
        if method == focal:
            styles[method] = {
                "color": ACCENT,
                "linestyle": "-",
                "marker": "o",
                "linewidth": 2.4,
                "zorder": 5.0,
            }
        elif method == plain:
            styles[method] = {"color": GREY, "linestyle": "-", "marker": "o", "linewidth": 1.4, "zorder": 2.0}
        else:
            i = others
            others += 1
            styles[method] = {
                "color": OTHERS[i % len(OTHERS)],
                "linestyle": DASHES[(i + i // len(OTHERS)) % len(DASHES)],
                "marker": MARKERS[i % len(MARKERS)],
                "linewidth": 1.5,
                "zorder": 3.0,
            }
    return styles


def plain_log(axis: Any, low: float, high: float, digits: Sequence[int] = (1, 2, 5)) -> None:
    """Ticks at 1, 2, 5 times powers of ten, written as plain numbers."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in decades for digit in digits]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


class Output:
    """The folder of a report, and what has been written to it, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def path(self, name: str) -> Path:
        """The path of a file that is about to be written."""
        self.names.append(name)
        check_output(self.folder / name)
        return self.folder / name


def save(make: Callable[[], Any], path: Path) -> None:
    """Draw a figure into one PNG file."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        make().savefig(path, format="png", dpi=160, metadata={"Software": None})


def inline(make: Callable[[], Any], name: str) -> str:
    """Draw a figure for the page alone: its SVG. `name` must be the page's only one."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        return _for_page(_svg(make(), name), name)


def save_svg(make: Callable[[], Any], path: Path) -> None:
    """Draw a figure into one SVG file, the same bytes for the same figure."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        path.write_text(_svg(make(), path.stem), encoding="utf-8")


def embedded(path: Path, name: str) -> str:
    """A figure that was saved as SVG, for the page. `name` must be the page's only one."""
    return _for_page(path.read_text(encoding="utf-8"), name)


def _svg(figure: Any, name: str) -> str:
    """A figure as SVG text, under the settings in force."""
    import matplotlib

    text = io.StringIO()
    matplotlib.rcParams["svg.hashsalt"] = f"airtune-{name}"  # ids are unique in the page
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return visible(text.getvalue())  # names come from anywhere


def draw(make: Callable[[], Any], name: str, out: Output) -> str:
    """Draw a figure, save it as PNG and SVG, and return it as SVG for the page.

    Args:
        make: Draws it and returns the matplotlib figure.
        name: Of the files, without their ending.
        out: Where they go.
    """
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        figure = make()
        figure.savefig(out.path(f"{name}.png"), dpi=160, metadata={"Software": None})
        text = _svg(figure, name)
        figure.clear()
    out.path(f"{name}.svg").write_text(text, encoding="utf-8")
    return _for_page(text, name)


def _for_page(svg: str, name: str) -> str:
    """The SVG without its prologue and metadata, its colours as variables, its ids its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'id="([A-Za-z][\w.]*_\d+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(<svg [^>]*?)width="([\d.]+)pt" height="([\d.]+)pt"', r"\1", svg, count=1)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    # The page's own background shows through, and its own font.
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    return svg.replace('<style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style>', "")
