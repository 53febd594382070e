"""The canonical lattice and grammar of a space: those that all proposers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any, TypeVar

from ConfigSpace import ConfigurationSpace
from ConfigSpace.conditions import Conjunction, EqualsCondition, InCondition, NotEqualsCondition
from ConfigSpace.forbidden import ForbiddenConjunction, ForbiddenEqualsClause, ForbiddenInClause
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)

from .axes import Axis, ChoiceAxis, IntegerAxis, choice_text
from .errors import SpaceError
from .float_axes import LinearFloatAxis, LogFloatAxis
from .grammar import Grammar, lattice_grammar
from .lattice import Lattice
from .space_check import check_space

T = TypeVar("T")


def canonical_axis(hp: Hyperparameter[Any, Any], digits: int = 3, extras: Sequence[float] = ()) -> Axis:
    """The canonical lattice of one hyperparameter.

    Args:
        hp: Normal and beta ones are taken over their bounded range.
        digits: Significant digits of floats.
        extras: Further exact points of a float.

    Raises:
        SpaceError: If the kind is not known.
    """
    if isinstance(hp, Constant):
        return _choices(hp.name, [hp.value])
    if isinstance(hp, CategoricalHyperparameter):
        return _choices(hp.name, hp.choices)
    if isinstance(hp, OrdinalHyperparameter):
        return _choices(hp.name, hp.sequence)
    if isinstance(hp, IntegerHyperparameter):
        return IntegerAxis(hp.lower, hp.upper)
    if isinstance(hp, FloatHyperparameter):
        kind = LogFloatAxis if hp.log else LinearFloatAxis
        return kind(hp.lower, hp.upper, digits, extras)
    if hasattr(hp, "axis"):  # the text of a free program
        own: Axis = hp.axis()
        return own
    raise SpaceError(
        f"{hp.name!r} has the unknown kind {type(hp).__name__}",
        value=hp.name,
        allowed="float, integer, categorical, ordinal and constant hyperparameters",
        hint="express it as one of those",
    )


def _choices(name: str, choices: Sequence[Any]) -> ChoiceAxis:
    """The axis of choices that ConfigSpace holds for different; as JSON they may be the same.

    Raises:
        SpaceError: If two are, as (1,) and [1], or one has no JSON text.
    """
    known: dict[str, Any] = {}
    for choice in choices:
        try:
            text = choice_text(choice)
        except SpaceError as e:
            raise SpaceError(f"{name!r}: {e.message}", value=e.value, allowed=e.allowed, hint=e.hint) from e
        if text in known:
            raise SpaceError(
                f"{name!r}: the choices {known[text]!r} and {choice!r} are both written {text}",
                value=[known[text], choice],
                allowed="choices that differ as JSON, where a tuple is a list",
                hint="remove one, or write one of them as a text, and map it to the object in the objective",
            )
        known[text] = choice
    return ChoiceAxis(list(choices))


def canonical_lattice(space: ConfigurationSpace, digits: int = 3) -> Lattice:
    """The lattice on which all proposers propose: one-line JSON, floats with `digits` significant digits.

    Floats also have their bounds, and the constants that conditions and clauses compare for equality, as
    exact points: otherwise what depends on them could never be said.
    """
    check_space(space)
    constants = compared_values(space)
    axes = {name: canonical_axis(hp, digits, constants[name]) for name, hp in space.items()}
    return Lattice(space, axes)


def compared_values(space: ConfigurationSpace) -> dict[str, list[Any]]:
    """By hyperparameter, the values that conditions and clauses compare with it for equality."""
    found: dict[str, list[Any]] = {name: [] for name in space}
    for condition in space.conditions:
        for one in condition.dlcs if isinstance(condition, Conjunction) else (condition,):
            if isinstance(one, EqualsCondition | NotEqualsCondition):
                found[one.parent.name].append(one.value)
            elif isinstance(one, InCondition):
                found[one.parent.name].extend(one.values)
    for forbidden in space.forbidden_clauses:
        for clause in forbidden.dlcs if isinstance(forbidden, ForbiddenConjunction) else (forbidden,):
            if isinstance(clause, ForbiddenEqualsClause):
                found[clause.hyperparameter.name].append(clause.value)
            elif isinstance(clause, ForbiddenInClause):
                found[clause.hyperparameter.name].extend(clause.values)
    return found


def space_grammar(space: ConfigurationSpace, exclude: Iterable[Mapping[str, Any]] = ()) -> Grammar:
    """The canonical grammar of a space: `lattice_grammar(canonical_lattice(space), exclude)`.

    For many grammars of one space, build the lattice once; `canonical_grammar` keeps the one without exclusions.

    >>> from ConfigSpace import ConfigurationSpace
    >>> grammar = space_grammar(ConfigurationSpace({"depth": (1, 9), "act": ["relu", "tanh"]}))
    >>> grammar.count(), grammar.encode({"depth": 3, "act": "tanh"})
    (18, '{"act":"tanh","depth":3}')
    >>> grammar.decode('{"act":"relu","depth":9}')
    {'act': 'relu', 'depth': 9}

    Raises:
        SpaceError: If the space cannot be searched.
    """
    return lattice_grammar(canonical_lattice(space), exclude)


class _ByIdentity:
    """A space as a key: what an equal one would cost is only a second build."""

    def __init__(self, space: ConfigurationSpace) -> None:
        self.space = space

    def __hash__(self) -> int:
        return id(self.space)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.space is other.space


def once_per_space(make: Callable[[ConfigurationSpace], T]) -> Callable[[ConfigurationSpace], T]:
    """Decorator: what is made of a space is made once for each space object, which must not be changed afterwards."""

    @lru_cache(maxsize=64)
    def made(key: _ByIdentity) -> T:
        return make(key.space)

    @wraps(make)
    def found(space: ConfigurationSpace) -> T:
        return made(_ByIdentity(space))

    return found


@once_per_space
def canonical_grammar(space: ConfigurationSpace) -> Grammar:
    """`space_grammar(space)`, built once for each space object, which must not be changed afterwards."""
    return space_grammar(space)
