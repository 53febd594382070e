"""Trajectories over landscapes."""

from __future__ import annotations

import re

from airtune.benchmarks.report.landscapes import landscapes
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
