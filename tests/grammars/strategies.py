"""Hypothesis strategies for the grammar tests: small spaces that shrink, and seeds of the big random ones."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from typing import Any

import ConfigSpace as CS
import numpy as np
from hypothesis import strategies as st

from airtune.benchmarks.measures.spaces import random_space
from airtune.grammars import Lattice, SpaceError
from airtune.grammars.space_check import check_space

TEXT = st.text(alphabet=st.sampled_from('ab01."\\/ é☃{}[]()|*+?^$-,:\n'), max_size=4)


@st.composite
def small_spaces(draw: st.DrawFn) -> CS.ConfigurationSpace:
    """Up to four hyperparameters of up to four values, with conditions and clauses; shrinks to one."""
    size = draw(st.integers(1, 4))
    names = draw(st.lists(TEXT, min_size=size, max_size=size, unique=True))
    hyperparameters: list[Any] = []
    for name in names:
        if draw(st.booleans()):
            low = draw(st.integers(-3, 3))
            log = low > 0 and draw(st.booleans())
            hyperparameters.append(
                CS.UniformIntegerHyperparameter(name, low, low + draw(st.integers(1, 3)), log=log)
            )
        else:
            choices = draw(st.lists(TEXT, min_size=1, max_size=3, unique=True))
            kind = draw(st.sampled_from([CS.CategoricalHyperparameter, CS.OrdinalHyperparameter]))
            hyperparameters.append(kind(name, choices))
    space = CS.ConfigurationSpace()
    space.add(hyperparameters)
    for at, child in enumerate(names[1:], start=1):
        if draw(st.booleans()):
            space = _try_add(space, _condition(draw, space, child, names[:at]))
    for _ in range(draw(st.integers(0, 2))):
        space = _try_add(space, _forbidden(draw, space))
    return space


def _try_add(space: CS.ConfigurationSpace, piece: Any) -> CS.ConfigurationSpace:
    """With the piece; without it where ConfigSpace or `check_space` refuses it."""
    with contextlib.redirect_stdout(io.StringIO()):
        before = space.to_serialized_dict()
        try:
            space.add(piece)
            check_space(space)
            return space
        except (ValueError, TypeError, SpaceError):
            return CS.ConfigurationSpace.from_serialized_dict(before)


def _values(hp: Any) -> list[Any]:
    if hasattr(hp, "lower"):
        return list(range(hp.lower, hp.upper + 1))
    return list(getattr(hp, "choices", None) or hp.sequence)


def _condition(draw: st.DrawFn, space: CS.ConfigurationSpace, child: str, before: list[str]) -> Any:
    def single() -> Any:
        parent = space[draw(st.sampled_from(before))]
        kinds: list[Any] = [CS.EqualsCondition, CS.NotEqualsCondition]
        if not isinstance(parent, CS.CategoricalHyperparameter):
            kinds += [CS.LessThanCondition, CS.GreaterThanCondition]
        value = draw(st.sampled_from(_values(parent)))
        if draw(st.booleans()):
            return CS.InCondition(space[child], parent, [value, _values(parent)[0]])
        return draw(st.sampled_from(kinds))(space[child], parent, value)

    kind = draw(st.sampled_from([None, CS.AndConjunction, CS.OrConjunction]))
    return single() if kind is None else kind(single(), single())


def _forbidden(draw: st.DrawFn, space: CS.ConfigurationSpace) -> Any:
    def clause() -> Any:
        hp = space[draw(st.sampled_from(list(space)))]
        kinds: list[Any] = [CS.ForbiddenEqualsClause]
        if not isinstance(hp, CS.CategoricalHyperparameter):
            kinds += [CS.ForbiddenLessThanClause, CS.ForbiddenGreaterThanEqualsClause]
        return draw(st.sampled_from(kinds))(hp, draw(st.sampled_from(_values(hp))))

    numbers = [hp for hp in space.values() if hasattr(hp, "lower")]
    if len(numbers) > 1 and draw(st.booleans()):
        relations = [
            CS.ForbiddenLessThanRelation,
            CS.ForbiddenEqualsRelation,
            CS.ForbiddenGreaterThanRelation,
        ]
        return draw(st.sampled_from(relations))(numbers[0], numbers[1])
    return CS.ForbiddenAndConjunction(clause(), clause()) if draw(st.booleans()) else clause()


def seeded_space(seed: int, **settings: Any) -> CS.ConfigurationSpace:
    """The random space of a seed."""
    return random_space(np.random.default_rng(seed), **settings)


def raw_product(lattice: Lattice) -> Iterator[dict[str, Any]]:
    """Every combination of lattice values and absences: what a brute-force judge goes through."""
    for combo in itertools.product(*([None, *range(axis.size)] for axis in lattice.axes)):
        yield {
            name: axis.value(index)
            for name, axis, index in zip(lattice.names, lattice.axes, combo, strict=True)
            if index is not None
        }


def raw_size(lattice: Lattice) -> int:
    """How many combinations `raw_product` has."""
    size = 1
    for axis in lattice.axes:
        size *= axis.size + 1
    return size


def mutations(text: str, rng: np.random.Generator, n: int) -> Iterator[str]:
    """Near misses: one character deleted, doubled, replaced or swapped; cut short; something appended."""
    alphabet = '0123456789.e-+"{},: \nabcé'
    for _ in range(n):
        at = int(rng.integers(len(text))) if text else 0
        char = alphabet[int(rng.integers(len(alphabet)))]
        yield [
            text[:at] + text[at + 1 :],
            text[: at + 1] + text[at:],
            text[:at] + char + text[at + 1 :],
            text[:at] + char + text[at:],
            text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :],
            text[:at],
            text + char,
        ][int(rng.integers(7))]
