"""What a program space's rules mean, worked out the plain way: every text of every derivation, by substitution."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airtune.grammars import canonical_axis
from airtune.grammars.programs import Alternative, Choice, Hole, Levels, Number, Rule, Subset

MOST = 1000  # derivations of the spaces that are listed


class TooMany(Exception):
    """There are more than are listed."""


def derivations(rules: tuple[Rule, ...]) -> list[str]:
    """The text of every derivation; a program with two of them comes twice.

    Raises:
        TooMany: If there are, of the program or of some rule, more than are listed.
    """
    known = {rule.name: rule for rule in rules}
    return [text + "\n" for text in _some(_of(rules[0], known, {}))]


def _some(texts: Iterable[str]) -> list[str]:
    some = list(itertools.islice(texts, MOST + 1))
    if len(some) > MOST:
        raise TooMany
    return some


def _of(
    rule: Rule, rules: Mapping[str, Rule], within: Mapping[str, int], separator: str = ""
) -> Iterator[str]:
    match rule:
        case Number():
            import ConfigSpace as CS

            kind = CS.UniformIntegerHyperparameter if rule.type == "int" else CS.UniformFloatHyperparameter
            axis = canonical_axis(kind("x", rule.lower, rule.upper, log=rule.log))
            yield from (axis.text(i) for i in range(axis.size))
        case Levels():
            yield from map(str, rule.values)
        case Choice():
            inside = {**within, rule.name: within.get(rule.name, 0) + 1}
            if inside[rule.name] > (rule.depth or 1):
                return
            for alternative in rule.alternatives:
                yield from _fill(alternative, rules, inside)
        case Subset():
            options = [[None, *_some(_fill(one, rules, within))] for one in rule.alternatives]
            for chosen in itertools.product(*options):
                yield separator.join(one for one in chosen if one is not None)


def _fill(alternative: Alternative, rules: Mapping[str, Rule], within: Mapping[str, int]) -> Iterator[str]:
    parts = alternative.template
    options: list[Any] = [
        [part] if isinstance(part, str) else _some(_lines(part, rules, within)) if part.alone
        else _some(_inline(part, rules, within)) for part in parts
    ]  # fmt: skip
    for chosen in itertools.product(*options):
        text = ""
        for part, piece in zip(parts, chosen, strict=True):
            if isinstance(part, str):
                text += piece
            elif part.alone:
                text += "".join(f"\n{part.indent}{_indented(line, part.indent)}" for line in piece)
            else:
                text += _indented(piece, part.indent)
        yield text


def _indented(text: str, indent: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *((indent + line if line else line) for line in rest)])


def _inline(hole: Hole, rules: Mapping[str, Rule], within: Mapping[str, int]) -> Iterator[str]:
    """The texts that fill a hole within a line."""
    rule = rules[hole.rule]
    if hole.low == hole.high == 1:
        yield from _of(rule, rules, within, hole.separator)
        return
    once = _some(_of(rule, rules, within))
    for times in range(hole.low, hole.high + 1):
        yield from (hole.separator.join(chosen) for chosen in itertools.product(once, repeat=times))


def _lines(hole: Hole, rules: Mapping[str, Rule], within: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """The texts that fill a hole that has a line to itself: with a separator they share one, without each has one."""
    rule = rules[hole.rule]
    if hole.low == hole.high == 1:
        yield from _pieces(rule, rules, within, hole.separator)
    elif hole.separator:
        once = _some(_of(rule, rules, within))
        for times in range(hole.low, hole.high + 1):
            for chosen in itertools.product(once, repeat=times):
                yield (hole.separator.join(chosen),) if chosen else ()
    else:
        pieces = _some(_pieces(rule, rules, within))
        for times in range(hole.low, hole.high + 1):
            yield from (sum(chosen, ()) for chosen in itertools.product(pieces, repeat=times))


def _pieces(
    rule: Rule, rules: Mapping[str, Rule], within: Mapping[str, int], separator: str = ""
) -> Iterator[Any]:
    """What a rule writes, as texts that have a line each; an alternative without anything in it has none."""
    if isinstance(rule, Number | Levels):
        yield from ((text,) for text in _of(rule, rules, within))
    elif isinstance(rule, Subset) and separator:
        options = [[None, *_some(_fill(one, rules, within))] for one in rule.alternatives]
        for chosen in itertools.product(*options):
            some = [one for one in chosen if one is not None]
            yield (separator.join(some),) if some else ()
    elif isinstance(rule, Subset):
        lines = [[(), *_some(_pieces_of(one, rules, within))] for one in rule.alternatives]
        yield from (sum(chosen, ()) for chosen in itertools.product(*lines))
    else:
        inside = {**within, rule.name: within.get(rule.name, 0) + 1}
        if inside[rule.name] <= (rule.depth or 1):
            for one in rule.alternatives:
                yield from _pieces_of(one, rules, inside)


def _pieces_of(one: Alternative, rules: Mapping[str, Rule], within: Mapping[str, int]) -> Iterator[Any]:
    if one.renamed:
        yield from _lines(one.renamed, rules, within)
    else:
        yield from ((text,) if one.template else () for text in _fill(one, rules, within))
