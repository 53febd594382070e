"""Reading a pattern character by character: the same texts as its regular expression has."""

from __future__ import annotations

import re

import numpy as np
import pytest

from airtune.grammars import Axis, IntegerAxis, LinearFloatAxis, LogFloatAxis, derivatives
from airtune.grammars import pattern as p
from tests.grammars.strategies import mutations

AXES = [
    IntegerAxis(-12, 1305),
    LinearFloatAxis(-1.5, 3.25),
    LogFloatAxis(0.0009765625, 20.0),
    LogFloatAxis(1e-12, 1e-3, digits=2),
]


def read(pattern: p.Pattern, text: str) -> bool:
    rest = frozenset([pattern])
    for char in text:
        rest = frozenset(one for before in rest for one in derivatives.after(before, char))
    return any(map(derivatives.may_end, rest))


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.describe())
def test_character_by_character(axis: Axis) -> None:
    rng = np.random.default_rng(0)
    whole = axis.pattern(((0, axis.size - 1),))
    expression = re.compile(p.to_regex(whole))
    for index in rng.integers(axis.size, size=60):
        text = axis.text(int(index))
        for near in [text, *mutations(text, rng, 12)]:
            assert read(whole, near) == bool(expression.fullmatch(near)), near


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.describe())
def test_what_may_come_first_is_what_leads_on(axis: Axis) -> None:
    queue = [axis.pattern(((0, axis.size - 1),))]
    known = set(queue)
    for pattern in queue:  # which grows
        for char in "-+.e0123456789x":
            after = derivatives.after(pattern, char)
            assert (char in derivatives.firsts(pattern)) == bool(after)
            queue += sorted(after - known, key=p.to_regex)
            known |= after
    assert len(known) > 5
