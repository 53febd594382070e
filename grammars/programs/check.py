"""What the rules of a program space must be: names and types that fit, ranges that are some, no endless circles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ..errors import SpaceError, shown, unknown_name
from ..space_check import check_range, is_finite_number
from .definition import MOST_TIMES, Choice, Hole, Levels, Number, Rule, Subset


def check_rules(rules: Sequence[Rule]) -> dict[str, Rule]:
    """The rules by name, checked.

    Raises:
        SpaceError: If a name is given twice, unknown or of another type than its hole, a range or a repetition is
            none, a rule is never used, or rules lead in a circle that no depth bounds.
    """
    if not rules or not isinstance(rules[0], Choice):
        raise SpaceError(
            "a program space begins with a choice: the program",
            value=rules[0].name if rules else None,
            allowed='for example: program: Program = "print({n})"  n: int = 1 .. 9',
            hint="put the program first",
        )
    known: dict[str, Rule] = {}
    for rule in rules:
        if rule.name in known:
            raise _error(
                rule.where, f"{rule.name!r} is given twice", rule.name, "every name once", "rename one"
            )
        known[rule.name] = rule
    for rule in rules:
        _check_rule(rule)
        for hole in holes(rule):
            _check_hole(hole, known)
        _check_renamings(rule, known)
    used = {hole.rule for rule in rules for hole in holes(rule)} | {rules[0].name}
    for name in known.keys() - used:
        raise _error(
            known[name].where,
            f"{name!r} is never used",
            name,
            "rules that a hole names",
            "use it, or remove it",
        )
    _check_circles(known)
    return known


def holes(rule: Rule) -> Iterator[Hole]:
    """The holes of a rule's alternatives."""
    if isinstance(rule, Choice | Subset):
        for alternative in rule.alternatives:
            yield from (part for part in alternative.template if isinstance(part, Hole))


def _error(where: str, message: str, value: object, allowed: str, hint: str) -> SpaceError:
    return SpaceError(f"{where}: {message}" if where else message, value=value, allowed=allowed, hint=hint)


def _check_rule(rule: Rule) -> None:
    name, where = rule.name, rule.where
    if isinstance(rule, Choice | Subset):
        for label, times in Counter(alternative.label for alternative in rule.alternatives).items():
            if times > 1:
                hint = "name one of them: label: ..."
                raise _error(
                    where, f"{name!r} has two alternatives {label!r}", label, "every label once", hint
                )
        for alternative in rule.alternatives:
            for part in alternative.template:
                text = part if isinstance(part, str) else part.separator
                odd = next((char for char in text if not (char == "\n" or char.isprintable())), None)
                if odd is not None:
                    allowed = "printable characters and line breaks"
                    hint = (
                        "indent with spaces, and write other characters as escapes of the program's language"
                    )
                    raise _error(where, f"{name!r} has the character {odd!r}", text, allowed, hint)
        if isinstance(rule, Choice) and rule.depth is not None and rule.depth < 1:
            raise _error(where, f"the depth of {name!r} is {rule.depth}", rule.depth, "1 or more", "raise it")
        return
    if rule.type not in ("int", "float"):
        hint = f"write {name}: int = ... or {name}: float = ..."
        raise _error(
            where, f"the number {name!r} has the type {rule.type!r}", rule.type, "int or float", hint
        )
    numbers = [rule.lower, rule.upper] if isinstance(rule, Number) else list(rule.values)
    for number in (*numbers, *([] if rule.default is None else [rule.default])):
        if rule.type == "int" and not isinstance(number, int):
            hint = "write it without a point, or make the type float"
            raise _error(where, f"{name!r} is an int, and {number!r} is none", number, "whole numbers", hint)
        if isinstance(rule, Levels) and not is_finite_number(number):
            message = f"{name!r} cannot be {shown(number)}"
            raise _error(where, message, number, "finite numbers", "correct it")
    if isinstance(rule, Number):
        try:
            check_range(name, rule.lower, rule.upper, log=rule.log)
        except SpaceError as error:
            raise _error(where, error.message, error.value, str(error.allowed), str(error.hint)) from error
        allowed = f"{rule.lower!r} .. {rule.upper!r}"
        outside = rule.default is not None and not rule.lower <= rule.default <= rule.upper
    else:
        if any(a >= b for a, b in zip(rule.values, rule.values[1:], strict=False)):
            raise _error(
                where, f"the list {name!r} does not ascend", rule.values, "ascending numbers", "sort it"
            )
        allowed = ", ".join(map(repr, rule.values))
        outside = rule.default is not None and rule.default not in rule.values
    if outside:
        raise _error(
            where, f"{name!r} cannot be {rule.default!r}", rule.default, allowed, "take another default"
        )


def _check_hole(hole: Hole, known: Mapping[str, Rule]) -> None:
    if hole.rule not in known:
        message, allowed, hint = unknown_name("rule", hole.rule, known)
        raise _error(hole.where, message, hole.rule, allowed, hint)
    rule = known[hole.rule]
    if hole.type is not None and hole.type != rule.type:
        fitting = ", ".join(one.name for one in known.values() if one.type == hole.type) or "no rule yet"
        message = f"this hole takes a {hole.type}, and {rule.name!r} is a {rule.type}"
        raise _error(hole.where, message, rule.name, fitting, "name a rule of the hole's type")
    if not 0 <= hole.low <= hole.default <= hole.high <= MOST_TIMES or hole.high < 1:
        message = f"{rule.name!r} is repeated {hole.low}..{hole.high} times, {hole.default} by default"
        allowed = f"0 <= low <= default <= high <= {MOST_TIMES}, and high above 0"
        raise _error(hole.where, message, (hole.low, hole.high), allowed, "correct it")


def _check_renamings(rule: Rule, known: Mapping[str, Rule]) -> None:
    """An alternative that is nothing but another rule has that rule's type, unless the hole says another one."""
    for alternative in rule.alternatives if isinstance(rule, Choice | Subset) else ():
        hole = alternative.renamed
        if hole is None or hole.type is not None or not hole.low == hole.high == 1:
            continue
        kind = known[hole.rule].type
        if kind != rule.type:
            message = f"{rule.name!r} is a {rule.type}, and its alternative {hole.rule!r} a {kind}"
            hint = f'give both the same type, or say that it is meant: "{{{hole.rule}: {kind}}}"'
            raise _error(hole.where, message, hole.rule, f"rules of type {rule.type}", hint)


def _check_circles(known: Mapping[str, Rule]) -> None:
    """Every circle of rules goes through one that has a depth."""
    unbounded = {name: rule for name, rule in known.items() if not (isinstance(rule, Choice) and rule.depth)}
    done: set[str] = set()

    def visit(name: str, above: list[str]) -> None:
        if name in above:
            circle = " -> ".join([*above[above.index(name) :], name])
            message = f"rules lead in a circle without bound: {circle}"
            hint = f"bound it: {name}: {known[name].type} depth 3 = ..."
            raise _error(known[name].where, message, circle, "circles through a rule with a depth", hint)
        if name in done or name not in unbounded:
            return
        for hole in holes(unbounded[name]):
            visit(hole.rule, [*above, name])
        done.add(name)

    for name in unbounded:
        visit(name, [])
