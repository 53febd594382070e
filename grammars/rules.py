"""A space's conditions and forbidden clauses, translated into the formulas of `logic`."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.conditions import (
    AndConjunction,
    Condition,
    ConditionLike,
    Conjunction,
    EqualsCondition,
    GreaterThanCondition,
    InCondition,
    LessThanCondition,
    NotEqualsCondition,
)
from ConfigSpace.forbidden import (
    ForbiddenAndConjunction,
    ForbiddenClause,
    ForbiddenConjunction,
    ForbiddenEqualsClause,
    ForbiddenEqualsRelation,
    ForbiddenGreaterThanClause,
    ForbiddenGreaterThanEqualsClause,
    ForbiddenGreaterThanEqualsRelation,
    ForbiddenGreaterThanRelation,
    ForbiddenInClause,
    ForbiddenLessThanClause,
    ForbiddenLessThanEqualsClause,
    ForbiddenLessThanEqualsRelation,
    ForbiddenLessThanRelation,
    ForbiddenLike,
    ForbiddenRelation,
)
from ConfigSpace.hyperparameters import CategoricalHyperparameter

from . import intervals
from .encoded_axis import Compare, EncodedAxis
from .errors import SpaceError
from .intervals import Intervals
from .logic import Atom, Formula, Relation, all_of, any_of, simplify_atom

_CONDITIONS: dict[type, Compare] = {
    EqualsCondition: operator.eq,
    NotEqualsCondition: operator.ne,
    LessThanCondition: operator.lt,
    GreaterThanCondition: operator.gt,
}
_CLAUSES: dict[type, Compare] = {
    ForbiddenEqualsClause: operator.eq,
    ForbiddenLessThanClause: operator.lt,
    ForbiddenLessThanEqualsClause: operator.le,
    ForbiddenGreaterThanClause: operator.gt,
    ForbiddenGreaterThanEqualsClause: operator.ge,
}
_RELATIONS: dict[type, Compare] = {
    ForbiddenEqualsRelation: operator.eq,
    ForbiddenLessThanRelation: operator.lt,
    ForbiddenLessThanEqualsRelation: operator.le,
    ForbiddenGreaterThanRelation: operator.gt,
    ForbiddenGreaterThanEqualsRelation: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Rules:
    """A space's logic over positions in reading order.

    Attributes:
        activity: Per position, when the hyperparameter is active (True for the unconditional ones).
        forbidden: Formulas that must not hold.
        approximate: A relation forbids less than it should, because both its sides are too large.
    """

    activity: tuple[Formula, ...]
    forbidden: tuple[Formula, ...]
    approximate: bool


def effective_conditions(space: ConfigurationSpace) -> dict[str, ConditionLike]:
    """The condition that ConfigSpace's check uses for each conditional hyperparameter."""
    used: list[ConditionLike] = []
    found: dict[str, ConditionLike] = {}
    for name in space:
        for condition in space.parent_conditions_of[name]:
            same = next((c for c in used if c.equivalent_condition_on_parent(condition)), None)
            if same is None:
                used.append(condition)
            found[name] = condition if same is None else same
    return found


def compile_rules(space: ConfigurationSpace, axes: Sequence[EncodedAxis], *, size: int) -> Rules:
    """Translate a space's conditions and forbidden clauses.

    Args:
        space: The space.
        axes: One per hyperparameter, in reading order.
        size: Of relations, see `Relation`.
    """
    position = {axis.hp.name: at for at, axis in enumerate(axes)}
    relations: list[Relation] = []

    def atom(name: str, inside: Intervals, inactive: bool) -> Formula:
        at = position[name]
        return simplify_atom(Atom(at, inside, inactive), axes[at].axis.size)

    def condition(one: ConditionLike) -> Formula:
        if isinstance(one, Conjunction):
            parts = [condition(part) for part in one.components]
            return all_of(parts) if isinstance(one, AndConjunction) else any_of(parts)
        axis = axes[position[one.parent.name]]
        if isinstance(one, InCondition):
            sets = [axis.where(operator.eq, _number(v, one)) for v in one.vector_values]
            return atom(one.parent.name, intervals.union(sets), False)
        op = _CONDITIONS.get(type(one))
        if op is None or not isinstance(one, Condition):
            raise _unsupported("condition", one)
        constant = _number(one.vector_value, one)  # type: ignore[attr-defined]
        return atom(one.parent.name, axis.where(op, constant), op is operator.ne)

    def clause(one: ForbiddenLike) -> Formula:
        if isinstance(one, ForbiddenConjunction):
            parts = [clause(part) for part in one.components]
            return all_of(parts) if isinstance(one, ForbiddenAndConjunction) else any_of(parts)
        if isinstance(one, ForbiddenRelation):
            op = _RELATIONS.get(type(one))
            if op is None:
                raise _unsupported("forbidden relation", one)
            left, right = position[one.left.name], position[one.right.name]
            relations.append(Relation(op, left, right, axes[left], axes[right], size))
            return relations[-1]
        axis = axes[position[one.hyperparameter.name]]
        if isinstance(one, ForbiddenInClause):
            sets = [axis.where(operator.eq, _number(v, one)) for v in one.vector_values]
            return atom(axis.hp.name, intervals.union(sets), False)
        op = _CLAUSES.get(type(one))
        if op is None or not isinstance(one, ForbiddenClause):
            raise _unsupported("forbidden clause", one)
        constant = _number(one.vector_value, one)  # type: ignore[attr-defined]
        return atom(axis.hp.name, axis.where(op, constant), False)

    conditions = effective_conditions(space)
    activity = tuple(condition(conditions[r.hp.name]) if r.hp.name in conditions else True for r in axes)
    never = [atom(axis.hp.name, _never(axis), False) for axis in axes]
    forbidden = _joined(
        [*(clause(one) for one in space.forbidden_clauses), *(f for f in never if f is not False)]
    )
    return Rules(
        activity, tuple(f for f in forbidden if f is not False), not all(one.exact for one in relations)
    )


def _never(axis: EncodedAxis) -> Intervals:
    """The choices of weight 0: they are never drawn, and so not to be tried, though ConfigSpace's check lets them pass.

    The default is tried where the user has named it, whatever its weight.
    """
    hp = axis.hp
    if not isinstance(hp, CategoricalHyperparameter) or hp.weights is None:
        return ()
    return intervals.of(
        at
        for at, (choice, weight) in enumerate(zip(hp.choices, hp.weights, strict=True))
        if weight == 0 and choice != hp.default_value
    )


def _number(value: Any, what: object) -> float:
    """A value of a condition or clause on ConfigSpace's own scale, which takes lists for values, too."""
    try:
        return float(value)
    except (TypeError, ValueError) as e:
        raise SpaceError(
            f"{what} compares with {value!r:.60}",
            value=str(what),
            allowed="one value of the hyperparameter",
            hint="for one of several values, use the condition or clause that says so: IN",
        ) from e


def _joined(forbidden: Sequence[Formula]) -> list[Formula]:
    """Each once; those about values of one hyperparameter as one, since each is looked at for every value."""
    values: dict[int, list[Intervals]] = {}
    others: dict[Formula, None] = {}
    for formula in forbidden:
        if isinstance(formula, Atom) and not formula.inactive:
            values.setdefault(formula.at, []).append(formula.inside)
        else:
            others[formula] = None
    return [*(Atom(at, intervals.union(sets), False) for at, sets in values.items()), *others]


def _unsupported(kind: str, what: object) -> SpaceError:
    return SpaceError(
        f"{kind} {type(what).__name__} is not known",
        value=str(what),
        allowed="the conditions and forbidden clauses of ConfigSpace 1.2",
        hint="express it with those",
    )
