"""Round values: a coarse lattice whose texts are the canonical ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition, Float, Integer
from hypothesis import given, settings
from hypothesis import strategies as st

from airtune.grammars import SpaceError, canonical_grammar, lattice_grammar, round_lattice, violation
from airtune.grammars.rounding import MOST
from tests.grammars.strategies import seeded_space


def texts(hyperparameter: Float | Integer) -> list[str]:
    axis = round_lattice(ConfigurationSpace(space=[hyperparameter])).axes[0]
    return [axis.text(i) for i in range(axis.size)]


def test_the_values_are_those_that_people_write() -> None:
    assert texts(Integer("width", (16, 1024), log=True, default=64)) == (
        "16 20 25 30 40 50 64 80 100 120 150 200 250 300 400 500 600 800 1024".split()
    )
    assert (
        texts(Float("lr", (1e-5, 1.0), log=True, default=1e-3))[:6] == "1e-5 2e-5 5e-5 1e-4 2e-4 5e-4".split()
    )
    assert texts(Float("momentum", (0.0, 0.99), default=0.9))[-3:] == ["0.9000", "0.9500", "0.9900"]
    assert texts(Float("decay", (1e-12, 1.0), log=True))[:3] == ["1e-12", "1e-11", "1e-10"]
    assert texts(Integer("depth", (1, 20))) == [str(i) for i in range(1, 21)]


@settings(max_examples=40, derandomize=True)
@given(seed=st.integers(0, 10_000), draw=st.integers(0, 100))
def test_its_language_is_a_part_of_the_canonical_one(seed: int, draw: int) -> None:
    space = seeded_space(seed)
    grammar, whole = lattice_grammar(round_lattice(space)), canonical_grammar(space)
    if not grammar.count():
        return
    config = grammar.sample(np.random.default_rng(draw))
    assert whole.encode(config) == grammar.encode(config)
    if not grammar.approximate:
        assert violation(space, config) is None


@settings(max_examples=200, derandomize=True)
@given(
    low=st.floats(-1e300, 1e300), width=st.floats(1e-9, 1e300), log=st.booleans(), part=st.floats(0.0, 1.0)
)
def test_any_range_has_a_few_values(low: float, width: float, log: bool, part: float) -> None:
    """Ranges of many decades or of very little width neither loop nor lose bounds and default."""
    low = max(abs(low), 1e-300) if log else low
    high = low + width
    if not math.isfinite(high) or not low < high:
        return
    default = min(max(low + part * (high - low), low), high)
    try:
        space = ConfigurationSpace(space=[Float("x", (low, high), default=default, log=log)])
        whole = canonical_grammar(space).lattice.axes[0]
    except (ValueError, OverflowError, SpaceError):  # a range that is refused, which other tests are about
        return
    axis = round_lattice(space).axes[0]
    assert axis.size <= MOST + 3
    ends = {whole.text(0), whole.text(whole.size - 1), whole.text(whole.nearest(space["x"].default_value))}
    assert ends <= {axis.text(i) for i in range(axis.size)}


@pytest.mark.parametrize("bounds", [(0, 2**62), (1, 2**61), (-(2**61), 2**61), (7, 7 + 10**6)])
def test_large_integers(bounds: tuple[int, int]) -> None:
    for log in (False, True)[: 1 + (bounds[0] > 0)]:
        found = list(map(int, texts(Integer("n", bounds, log=log, default=bounds[0] + 5))))
        assert found == sorted(set(found))
        assert {*bounds, bounds[0] + 5} <= set(found)
        assert len(found) <= MOST + 3


def test_what_a_condition_compares_stays() -> None:
    """Else a child would never be active."""
    space = ConfigurationSpace()
    parent, child = Integer("n", (1, 1000), log=True), Float("x", (0.0, 1.0))
    space.add(parent, child, EqualsCondition(child, parent, 123))
    lattice = round_lattice(space)
    assert any("x" in lattice_grammar(lattice).nth(i) for i in range(lattice.root.count))


def test_what_was_tried_takes_its_round_neighbour_along() -> None:
    """640 was tried: 641 cannot be said, and 600, the nearest round value, is as good as tried."""
    space = ConfigurationSpace(space=[Integer("width", (16, 1024), log=True)])
    grammar = lattice_grammar(round_lattice(space), [{"width": 640}])
    assert not grammar.accepts('{"width":641}')
    assert not grammar.accepts('{"width":600}')
    assert grammar.accepts('{"width":800}')
    assert grammar.accepts('{"width":500}')
