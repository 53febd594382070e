"""Trajectories over landscapes, and the figures of a part beside each other."""

from __future__ import annotations

import re
from itertools import pairwise

from airtune.benchmarks.report.landscapes import landscapes
from airtune.benchmarks.report.paper_figures import forest, range_text
from airtune.benchmarks.report.style import GREY, OTHERS
from airtune.benchmarks.tasks.toy import FUNCTIONS


def test_points_at_the_ends_of_a_range_are_whole() -> None:
    """Bug: half of a point on a border was cut off, and of one in a corner three quarters."""
    x, y = FUNCTIONS["branin"].x, FUNCTIONS["branin"].y
    corners = [[u, v, 1.0] for u in x for v in y]
    (one,) = landscapes([{"task": "toy/branin", "method": "lm", "points": corners}])
    svg = str(one["panels"][0]["svg"])
    found = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', svg)
    assert found is not None
    left, top, width, height = map(float, found.groups())
    circles = re.findall(r'cx="(\S+)" cy="(\S+)" r="(\S+)"', svg)
    assert len(circles) == 4
    for cx, cy, r in (map(float, circle) for circle in circles):
        assert left <= cx - r
        assert cx + r <= left + width
        assert top <= cy - r
        assert cy + r <= top + height


LINE = {
    "what": "answers invalid", "arm": "a", "method": "m", "unit": "%", "source": "Table 1", "paper": None, "lead": True,
    "ours": {"value": 0.0, "low": None, "high": None}, "control": None,
}  # fmt: skip


def test_shares_that_are_all_the_same_have_an_axis_of_percentages() -> None:
    """Bug: an axis from -0.05 to 0.05 % where no answer was invalid."""
    low, high = forest([LINE]).axes[0].get_xlim()
    assert high - low >= 10 - 1e-9


def test_of_what_the_paper_does_not_tell_nothing_is_shown() -> None:
    """Bug: "paper: no difference" of contamination, of which the paper has no experiment."""
    zero = {**LINE, "unit": "", "paper": [0.0, 0.0]}
    assert range_text({**zero, "source": "noise"}) == "no difference"
    assert range_text({**zero, "source": "limits"}) == "–"
    assert range_text({**LINE, "paper": [13.7, 15.6]}) == "13.7 to 15.6 %"
    assert range_text(LINE) == "–"
    colours = [
        forest([{**zero, "source": source}]).axes[0].lines[1].get_color() for source in ("noise", "limits")
    ]
    assert colours == [OTHERS[0], GREY]


def test_numbers_of_panels_beside_each_other_are_apart() -> None:
    """Bug: the 100 at the end of one axis and the -100 at the beginning of the next were one word."""
    wide = {
        **LINE,
        "method": "lm:llama_cpp:smollm2 (reasoning=on)",
        "ours": {"value": 0.0, "low": -300.0, "high": 300.0},
    }
    lines = [{**wide, "what": what} for what in ("a", "b", "c")]
    drawn = forest(lines)
    drawn.canvas.draw()
    shown = [
        label.get_window_extent()
        for axes in drawn.axes
        for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if axes.get_xlim()[0] <= place <= axes.get_xlim()[1]
    ]
    assert len(shown) == 9
    assert all(left.x1 + 5 < right.x0 for left, right in pairwise(shown))


def test_a_figure_beyond_the_axis_is_a_triangle_at_its_end() -> None:
    """Bug: nothing was drawn of a change of -300 %, as if there were an interval without a figure."""
    far = {"value": -300.0, "low": -400.0, "high": 60.0}
    (axes,) = forest([{**LINE, "ours": far, "control": {**far, "value": 10.0}}]).axes
    drawn = {
        (line.get_marker(), float(line.get_xdata()[0])) for line in axes.lines if line.get_marker() != "None"
    }
    assert drawn == {("<", -105.0), ("o", 10.0)}
    assert axes.get_xlim()[0] == -105.0
