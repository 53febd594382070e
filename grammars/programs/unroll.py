"""Rules written out: every place where something is decided, once, in the order of the program's text.

What is decided are hyperparameters of a search space with conditions: which alternative, how many, what number. Rules
within themselves are written out as deep as their depth allows, repetitions as often as they may come.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..errors import GrammarError
from .definition import TEXT_BUDGET, Alternative, Choice, Hole, Levels, Number, Rule, Subset

# Places where something is decided; a prompt could not show more, nor a proposer learn of them.
SLOT_BUDGET = 400
# Decisions within each other: for each one more ConfigSpace takes four times as long, at ten hundredths of a second.
NESTING_BUDGET = 10
_RULE = 20  # characters that stand for the work on a rule that writes none


@dataclass(frozen=True, slots=True)
class Value:
    """The number at a level."""

    level: int


@dataclass(frozen=True, slots=True)
class Pick:
    """One of the branches, by the choice at a level."""

    level: int
    branches: tuple[Parts, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The first `low` items, or more, by the number at a level; a separator between two, a lead before the first."""

    level: int
    low: int
    items: tuple[Parts, ...]
    separator: str
    lead: str


@dataclass(frozen=True, slots=True)
class Some:
    """The items that the choices at their levels switch on; a separator between two, a lead before the first."""

    levels: tuple[int, ...]
    items: tuple[Parts, ...]
    separator: str
    lead: str


Parts = tuple["str | Value | Pick | Repeat | Some", ...]
OFF, ON = "off", "on"


@dataclass(frozen=True, slots=True)
class Slot:
    """Where something is decided.

    Attributes:
        path: The rules and alternatives that lead to it.
        spec: The hyperparameter, in the JSON form of spaces, without its name.
        parent: The slot that says whether it is decided at all; None: it always is.
        condition: Of the parent, in the JSON form of spaces, without names.
    """

    path: tuple[str, ...]
    spec: Mapping[str, Any]
    parent: int | None
    condition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a rule is written.

    Attributes:
        path: See `Slot.path`.
        parent: See `Slot.parent`.
        condition: See `Slot.condition`.
        left: Of rules with a depth, how often they may still come.
        indent: What further lines begin with.
        lead: What is written before any text that is not empty.
    """

    path: tuple[str, ...]
    parent: int | None
    condition: Mapping[str, Any]
    left: tuple[tuple[str, int], ...]
    indent: str = ""
    lead: str = ""

    def under(self, name: str) -> _Place:
        return replace(self, path=(*self.path, name))

    def given(self, parent: int, condition: Mapping[str, Any]) -> _Place:
        return replace(self, parent=parent, condition=condition)


class Unrolled:
    """The rules of a program, written out.

    Args:
        rules: Checked rules by name, the program first.

    Attributes:
        slots: All places where something is decided, in the order of the text.
        parts: The program: text, and what is decided between it.

    Raises:
        GrammarError: If no program is finite, or there are more slots, or more within each other, than the budgets.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._written = 0  # characters
        self._known: dict[tuple[str, tuple[tuple[str, int], ...]], bool] = {}
        self.slots: list[Slot] = []
        self._nesting: list[int] = []
        program = next(iter(rules))
        left = tuple(
            (name, rule.depth) for name, rule in rules.items() if isinstance(rule, Choice) and rule.depth
        )
        if not self._possible(program, left):
            raise GrammarError(
                f"no program is finite: every alternative of {program!r} leads deeper than a depth allows",
                value=program,
                allowed="rules within themselves that also have an alternative without themselves",
                hint="add an alternative that ends",
            )
        self.parts = joined(*self._rule(program, _Place((program,), None, {}, left)), "\n")

    @cached_property
    def names(self) -> list[str]:
        """One per slot: as much of the end of its path as no other path ends with."""
        seen: dict[tuple[str, ...], int] = {}
        for slot in self.slots:
            for k in range(len(slot.path)):
                seen[slot.path[k:]] = seen.get(slot.path[k:], 0) + 1
        ends = ([p[k:] for k in range(len(p) - 1, -1, -1)] for p in (slot.path for slot in self.slots))
        return [".".join(next((end for end in some if seen[end] == 1), some[-1])) for some in ends]

    def _possible(self, name: str, left: tuple[tuple[str, int], ...]) -> bool:
        """Whether a rule can be written where some rules may come only so often any more."""
        key = (name, left)
        if key not in self._known:
            self._count(_RULE, name)
            rule, inside = self._rules[name], _fewer(left, name)
            self._known[key] = not isinstance(rule, Choice) or (
                inside is not None and any(self._fits(one, inside) for one in rule.alternatives)
            )
        return self._known[key]

    def _fits(self, alternative: Alternative, left: tuple[tuple[str, int], ...]) -> bool:
        needed = (part for part in alternative.template if isinstance(part, Hole) and part.low)
        return all(self._possible(hole.rule, left) for hole in needed)

    def _count(self, more: int, where: str) -> None:
        self._written += more
        if self._written > TEXT_BUDGET:
            raise _too_much(f"{TEXT_BUDGET:,} characters of code", where, "lower a depth or a repetition")

    def _slot(self, place: _Place, spec: Mapping[str, Any]) -> int:
        where = ".".join(place.path)
        if len(self.slots) >= SLOT_BUDGET:
            raise _too_much(f"{SLOT_BUDGET:,} places of decision", where, "lower a depth or a repetition")
        nesting = 1 if place.parent is None else self._nesting[place.parent] + 1
        if nesting > NESTING_BUDGET:
            raise _too_much(f"{NESTING_BUDGET} decisions within each other", where, "lower a depth")
        self._nesting.append(nesting)
        self.slots.append(Slot(place.path, spec, place.parent, place.condition))
        return len(self.slots) - 1

    def _rule(self, name: str, place: _Place, separator: str = "") -> Parts:
        rule, left = self._rules[name], _fewer(place.left, name)
        assert left is not None  # it was asked whether this is possible
        self._count(_RULE + len(separator) + len(place.lead), name)
        place = replace(place, left=left)
        if isinstance(rule, Number | Levels):
            return joined(place.lead, Value(self._slot(place, _number_spec(rule))))
        fitting = [one for one in rule.alternatives if self._fits(one, left)]
        if isinstance(rule, Subset):
            return (self._subset(fitting, place, separator),) if fitting else ()
        if len(fitting) == 1:
            return self._alternative(fitting[0], place)
        labels = [one.label for one in fitting]
        level = self._slot(place, {"type": "categorical", "choices": labels, "default_value": labels[0]})
        branches = []
        for one in fitting:
            inside = place.given(level, {"type": "EQ", "value": one.label})
            branches.append(self._alternative(one, _labelled(one, inside)))
        return (Pick(level, tuple(branches)),)

    def _subset(self, fitting: list[Alternative], place: _Place, separator: str) -> Some:
        lead, place = _shared_lead(separator, place)
        levels, items = [], []
        for one in fitting:
            own = place.under(one.label)
            level = self._slot(own, {"type": "categorical", "choices": [OFF, ON], "default_value": OFF})
            levels.append(level)
            items.append(self._alternative(one, own.given(level, {"type": "EQ", "value": ON})))
        return Some(tuple(levels), tuple(items), separator, lead)

    def _alternative(self, alternative: Alternative, place: _Place) -> Parts:
        hole, parts = alternative.renamed, alternative.template
        if hole is not None:  # what is empty in there is empty here
            return self._hole(hole, 1, place)
        written: Parts = (place.lead,) if parts and place.lead else ()
        inside, met = replace(place, lead=""), dict[str, int]()
        for at, part in enumerate(parts):
            if isinstance(part, str):
                alone = at + 1 < len(parts) and getattr(parts[at + 1], "alone", False)
                blank = r"\n(?!\n|\Z)" if alone else r"\n(?!\n)"
                text = re.sub(blank, lambda _: "\n" + place.indent, part)
                self._count(len(text), place.path[-1])
                written = joined(*written, text)
            else:
                met[part.rule] = met.get(part.rule, 0) + 1
                written = joined(*written, *self._hole(part, met[part.rule], inside))
        return written

    def _hole(self, hole: Hole, number: int, place: _Place) -> Parts:
        """What fills a hole, the so-and-so-many-th of its rule in its alternative."""
        indent = place.indent + hole.indent
        place = replace(place, indent=indent, lead="\n" + indent if hole.alone else place.lead)
        between = hole.separator.replace("\n", "\n" + indent)
        name = hole.rule if number == 1 else f"{hole.rule}:{number}"
        high = hole.high if self._possible(hole.rule, place.left) else 0
        if high <= 1 and hole.low == high:
            return self._rule(hole.rule, place.under(name), between) if high else ()
        level = -1
        if hole.low < high:
            default = min(hole.default, high)
            spec = {"type": "uniform_int", "lower": hole.low, "upper": high, "default_value": default}
            level = self._slot(place.under(f"n_{name}"), spec)
        lead, place = _shared_lead(between, place)
        items = []
        for i in range(high):
            one = place.under(f"{name}[{i + 1}]")
            if i >= hole.low:
                one = one.given(level, {"type": "GT", "value": i})
            items.append(self._rule(hole.rule, one))
        if level < 0:
            return joined(lead, *items[0], *(part for item in items[1:] for part in (between, *item)))
        return (Repeat(level, hole.low, tuple(items), between, lead),)


def _too_much(what: str, where: str, hint: str) -> GrammarError:
    allowed = f"up to {what}, once repetitions and depths are written out"
    return GrammarError(f"this program space has more than {what}", value=where, allowed=allowed, hint=hint)


def _shared_lead(separator: str, place: _Place) -> tuple[str, _Place]:
    """What is before the first of several, and where each one is: with a separator between them they share a line."""
    return (place.lead, replace(place, lead="")) if separator else ("", place)


def _fewer(left: tuple[tuple[str, int], ...], name: str) -> tuple[tuple[str, int], ...] | None:
    """What is left once a rule was written; None if it must not be."""
    if (name, 0) in left:
        return None
    return tuple((one, times - (one == name)) for one, times in left)


def _labelled(alternative: Alternative, place: _Place) -> _Place:
    hole = alternative.renamed
    return place if hole is not None and hole.rule == alternative.label else place.under(alternative.label)


def joined(*parts: Any) -> Parts:
    """Parts with neighbouring texts as one, without empty ones."""
    joined: list[Any] = []
    for part in parts:
        if part == "":
            continue
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def _number_spec(rule: Number | Levels) -> dict[str, Any]:
    if isinstance(rule, Levels):
        first = rule.values[0] if rule.default is None else rule.default
        return {"type": "ordinal", "sequence": list(rule.values), "default_value": first}
    spec = {"type": f"uniform_{rule.type}", "lower": rule.lower, "upper": rule.upper, "log": rule.log}
    return spec if rule.default is None else {**spec, "default_value": rule.default}
