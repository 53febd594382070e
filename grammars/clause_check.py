"""Conditions and forbidden clauses of a space file: checked in its own words before ConfigSpace sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError
from typing import Any

from .errors import SpaceError, shown
from .space_check import check_depth, is_finite_number

_CONDITIONS = ("EQ", "NEQ", "LT", "GT", "IN", "AND", "OR")
_RELATIONS = ("RELATION", "RELATION_LT", "RELATION_LE", "RELATION_EQ", "RELATION_GT", "RELATION_GE")
_CLAUSES = ("EQUALS", "IN", "AND", "OR", "CLAUSE_LT", "CLAUSE_LE", "CLAUSE_GT", "CLAUSE_GE", *_RELATIONS)
_COMPARING = ("LT", "GT", *(kind for kind in _CLAUSES if kind.startswith("CLAUSE")))
_EQUAL = ("EQ", "RELATION_EQ")
_COMPARISONS = ("LT", "EQ", "GT")  # of a "RELATION"
_MOST_SHOWN = 40  # of the values that are allowed
_SLACK = 1e-9  # of a range of floats: its bounds may have been rounded

Item = Mapping[str, Any]


def check_clauses(items: Sequence[Item], conditions: Sequence[Item], forbiddens: Sequence[Item]) -> None:
    """Refuse conditions and forbidden clauses that say nothing about these hyperparameters (in ConfigSpace's form).

    Raises:
        SpaceError: If one names what is not there, a value that cannot be, or what it depends on itself; or if they
            are about each other's children too often.
    """
    named = {item["name"]: item for item in items}
    conditional: dict[str, Item] = {}
    parents: dict[str, set[str]] = {}
    for condition in conditions:
        leaves = list(_leaves("condition", condition, _CONDITIONS, "conditions"))
        children = list(
            dict.fromkeys(_hyperparameter("condition", leaf, "child", named)["name"] for leaf in leaves)
        )
        if len(children) > 1:
            raise SpaceError(
                f"the condition {shown(condition)} is about several hyperparameters: {', '.join(children)}",
                value=children,
                allowed="one child in all parts of AND and OR",
                hint="write a condition for each child",
            )
        child = children[0]
        if conditional.setdefault(child, condition) != condition:
            raise SpaceError(
                f"{child!r} has two conditions",
                value=condition,
                allowed="one condition for each hyperparameter",
                hint='join them: {"type": "AND", "conditions": [...]}, or OR',
            )
        for leaf in leaves:
            parent = _hyperparameter("condition", leaf, "parent", named)
            parents.setdefault(child, set()).add(parent["name"])
            _check_value("condition", leaf, parent)
    try:
        check_depth(parents)
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise SpaceError(
            f"conditions go round in a circle: {cycle}",
            value=cycle,
            allowed="conditions on hyperparameters that do not depend on the child themselves",
            hint="leave out one of these conditions",
        ) from error
    for clause in forbiddens:
        for leaf in _leaves("forbidden clause", clause, _CLAUSES, "clauses"):
            if leaf["type"] in _RELATIONS:
                _check_relation(leaf)
                for side in ("left", "right"):
                    _check_order(
                        "forbidden clause", leaf, _hyperparameter("forbidden clause", leaf, side, named)
                    )
            else:
                _check_value(
                    "forbidden clause", leaf, _hyperparameter("forbidden clause", leaf, "name", named)
                )


def _leaves(what: str, node: Any, kinds: Sequence[str], inner: str) -> Iterator[Item]:
    """The parts of a condition or clause that are no AND or OR themselves."""
    if not isinstance(node, Mapping) or "type" not in node:
        raise SpaceError(
            f"the {what} {shown(node)} has no type",
            value=node,
            allowed=", ".join(kinds),
            hint='give it a "type"',
        )
    kind = node["type"]
    if kind not in kinds:
        raise SpaceError.unknown("type", kind, kinds, where=f"the {what} {shown(node)}")
    if kind not in ("AND", "OR"):
        yield node
        return
    parts, least = node.get(inner), 2 if inner == "conditions" else 1  # ConfigSpace's own rules
    if not isinstance(parts, list) or len(parts) < least:
        raise SpaceError(
            f"the {what} {shown(node)} joins too few",
            value=parts,
            allowed=f"{inner!r}: a list of at least {least}",
            hint=f"add one, or write the one {what} without {kind}",
        )
    for part in parts:
        yield from _leaves(what, part, kinds, inner)


def _hyperparameter(what: str, leaf: Item, role: str, named: Mapping[str, Item]) -> Item:
    """The hyperparameter that a leaf names as its child, parent, ..."""
    name = leaf.get(role)
    if isinstance(name, str) and name in named:
        if role == "parent" and name == leaf["child"]:
            raise SpaceError(
                f"the condition {shown(leaf)}: {name!r} depends on itself",
                value=name,
                allowed="a parent that is not the child",
                hint="name another parent, or leave the condition out",
            )
        return named[name]
    if role not in leaf:
        raise SpaceError(
            f"the {what} {shown(leaf)}: {role!r} is missing",
            value=leaf,
            allowed=f"the name of a hyperparameter as {role!r}",
            hint=f"add {role!r}",
        )
    raise SpaceError.unknown("hyperparameter", name, named, where=f"the {what} {shown(leaf)}")


def _check_value(what: str, leaf: Item, item: Item) -> None:
    field = "values" if leaf["type"] == "IN" else "value"
    given: Any = leaf.get(field)
    if field not in leaf or (field == "values" and not isinstance(given, list)):
        raise SpaceError(
            f"the {what} {shown(leaf)}: {field!r} is missing{' or no list' if field == 'values' else ''}",
            value=leaf,
            allowed=f"{'a list of values' if field == 'values' else 'a value'} of {item['name']!r}",
            hint=f"add {field!r}",
        )
    if leaf["type"] in _COMPARING:
        _check_order(what, leaf, item)
    is_value, allowed = _values(item)
    for value in given if field == "values" else [given]:
        if not is_value(value):
            raise SpaceError(
                f"the {what} {shown(leaf)}: {shown(value)} is no value of {item['name']!r}",
                value=value,
                allowed=allowed(),
                hint=f"name one of these, or add it to {item['name']!r}",
            )


def _check_relation(leaf: Item) -> None:
    """Refuse a "RELATION" of which it is not said how its sides compare."""
    if leaf["type"] == "RELATION" and leaf.get("lambda") not in _COMPARISONS:
        raise SpaceError(
            f"the forbidden clause {shown(leaf)}: 'lambda' is {shown(leaf.get('lambda'))}",
            value=leaf.get("lambda"),
            allowed=", ".join(_COMPARISONS),
            hint='say which comparison of left and right is forbidden, for example "lambda": "LT"',
        )


def _check_order(what: str, leaf: Item, item: Item) -> None:
    if item["type"] in ("categorical", "constant") and leaf.get("lambda", leaf["type"]) not in _EQUAL:
        raise SpaceError(
            f"the {what} {shown(leaf)}: the values of {item['name']!r} have no order",
            value=item["name"],
            allowed="a number or an ordinal",
            hint='list the values ("type": "IN"), or make it an ordinal',
        )


def _values(item: Item) -> tuple[Callable[[Any], bool], Callable[[], str]]:
    """Whether something is a value of a hyperparameter; and which are, in words: not made unless one is wrong."""
    if "lower" in item:
        lower, upper, whole = item["lower"], item["upper"], item["type"].endswith("_int")

        slack = 0 if whole else (upper - lower) * _SLACK

        def inside(value: Any) -> bool:
            near = is_finite_number(value) and lower - slack <= value <= upper + slack
            return near and (not whole or value == int(value))

        kind = "whole numbers" if whole else "numbers"
        return inside, lambda: f"{kind} from {shown(lower)} to {shown(upper)}"
    values = item.get("choices", item.get("sequence", [item.get("value")]))
    more = f", ... ({len(values):,} in all)" if len(values) > _MOST_SHOWN else ""
    return values.__contains__, lambda: ", ".join(map(shown, values[:_MOST_SHOWN])) + more
