"""What an answer is worth to a search: a valid and new configuration, or the first thing that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import Constant, IntegerHyperparameter, NumericalHyperparameter
from ConfigSpace.types import NotSet

from airtune.benchmarks.measures.lenient import choice_in, choices_of, is_nothing, number_in, read_answer
from airtune.engine.proposers.base import is_active
from airtune.grammars import Axis, DecodeError, canonical_grammar, violation

# In the order in which they are looked for, the last three apart, and what they mean.
KINDS: Mapping[str, str] = {
    "new": "valid and new",
    "snapped": "the same, off the lattice (moved to it)",
    "repeated": "tried before",
    "unreadable": "no configuration in it",
    "missing": "a hyperparameter is missing",
    "type": "no such choice, or no number",
    "range": "out of range",
    "rules": "against a condition or a clause",
}
USEFUL = ("new", "snapped")
_FAULTS = ("missing", "type", "range", "rules")  # of several, the first is told


@dataclass(frozen=True, slots=True)
class Verdict:
    """See the module's docstring.

    Attributes:
        kind: A key of KINDS.
        reason: What is wrong, in words that a model can be told; empty where the configuration is valid.
        text: The canonical text of the configuration on the lattice, if it is valid.
    """

    kind: str
    reason: str = ""
    text: str | None = None


def judge(answer: str, space: ConfigurationSpace, tried: Container[str]) -> Verdict:
    """What an answer is worth, read by `read_answer`.

    A constant may be left out, and so may what is not active or is said to be nothing. A number with more digits than
    the lattice has, or an integer with a fraction, is moved to the nearest value of it. A configuration that was tried
    is so whatever was asked for in between.

    Args:
        answer: Any text.
        space: The search space.
        tried: Canonical texts of the configurations that were tried.
    """
    said = read_answer(answer, space)
    if not said:
        return Verdict("unreadable", "no configuration was found in this answer")
    grammar = canonical_grammar(space)
    faults: dict[str, str] = {}
    values: dict[str, Any] = dict.fromkeys(space, NotSet)
    moved = False
    for name, axis in zip(grammar.lattice.names, grammar.lattice.axes, strict=True):
        hyperparameter: Any = space[name]
        if not is_active(space, name, values):
            if not is_nothing(said.get(name)):
                faults.setdefault("rules", f"{_word(name)} is not active here")
        elif name not in said:
            if isinstance(hyperparameter, Constant):
                values[name] = hyperparameter.value
            else:
                faults.setdefault("missing", f"{_word(name)} is missing")
        else:
            value, fault, why = _fitted(space, name, axis, said[name])
            if fault:
                faults.setdefault(fault, why)
            else:
                values[name] = value
                moved = moved or not _is_on(axis, value)
    for kind in _FAULTS:
        if kind in faults:
            return Verdict(kind, faults[kind])
    config = {name: value for name, value in values.items() if value is not NotSet}
    forbidden = Verdict("rules", "this combination is forbidden")
    if violation(space, {n: _whole(space[n], v) for n, v in config.items()}) is not None:
        return forbidden
    try:
        snapped = grammar.snap(config)
    except DecodeError:
        return forbidden
    if violation(space, snapped) is not None:  # where the grammar accepts too much
        return forbidden
    text = grammar.encode(snapped)
    return Verdict("repeated" if text in tried else "snapped" if moved else "new", text=text)


def _fitted(space: ConfigurationSpace, name: str, axis: Axis, said: object) -> tuple[Any, str, str]:
    """The value of an active hyperparameter that was said; or what is wrong with it, a kind and a reason."""
    hyperparameter: Any = space[name]
    if not isinstance(hyperparameter, NumericalHyperparameter):
        index = choice_in(said, choices_of(space, name))
        if index is None:
            fault = "missing" if is_nothing(said) else "type"
            return None, fault, f"{_word(name)} cannot be {_word(said)}"
        return axis.value(index), "", ""
    number = number_in(said)
    if number is None:
        fault = "missing" if is_nothing(said) else "type"
        return None, fault, f"{_word(name)} must be a number, not {_word(said)}"
    if not hyperparameter.lower <= number <= hyperparameter.upper:
        bounds = f"{axis.text(0)} to {axis.text(axis.size - 1)}"
        return None, "range", f"{_word(name)} must be from {bounds}, not {_word(said)}"
    return number, "", ""


def _is_on(axis: Axis, value: object) -> bool:
    try:
        axis.index(value)
    except DecodeError:
        return False
    return True


def _whole(hyperparameter: object, value: Any) -> Any:
    return round(value) if isinstance(hyperparameter, IntegerHyperparameter) else value


def _word(value: object) -> str:
    """A name or a value in a reason, not too long."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 40 else text[:37] + "..."
