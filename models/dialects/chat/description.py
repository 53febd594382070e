"""A problem in words: its space and its trials as lines of text in which users' texts are kept in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ConfigSpace import hyperparameters as hp

from airtune.grammars import DecodeError, Grammar
from airtune.models.types import Observation, Problem

LOSS_DIGITS = 4  # significant; what it costs: `airtune bench tokens`
LONGEST = 200  # characters of a failure's reason, or of an answer in a table
# Always kept out of users' texts, whatever the model: a server's special tokens are not known to us.
COMMON_SPECIAL = (
    "<|", "<s>", "</s>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<<SYS>>",
    "<</SYS>>", "<think>", "</think>",
)  # fmt: skip

# By the names of ConfigSpace's classes, less "Forbidden" before and "Condition", "Clause" or "Relation" after.
_RELATIONS = {
    "Equals": "is",
    "NotEquals": "is not",
    "GreaterThan": "is above",
    "GreaterThanEquals": "is at least",
    "LessThan": "is below",
    "LessThanEquals": "is at most",
    "In": "is one of",
}


def loss_text(loss: float) -> str:
    """A loss in few tokens: `LOSS_DIGITS` digits, no padded exponent.

    >>> loss_text(0.123456), loss_text(1.5e-07), loss_text(250000.0)
    ('0.1235', '1.5e-7', '2.5e5')
    """
    text, exponent, power = f"{loss:.{LOSS_DIGITS}g}".partition("e")
    return f"{text}e{int(power)}" if exponent else text


class Guard:
    """Keeps a piece of JSON in its line and free of texts that mean something to a model.

    What would break out is written as a JSON escape: line breaks that JSON lets pass, halves of a character, which
    UTF-8 refuses, and the first character of a special text.

    Args:
        texts: Texts that must not occur; some models have thousands.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._by_first: dict[str, list[str]] = {}
        for text in filter(None, texts):
            self._by_first.setdefault(text[0], []).append(text)

    def __call__(self, text: str) -> str:
        """The text with all of that escaped; read as JSON it says the same."""
        for character in {c for c in text if c in "\u0085\u2028\u2029" or "\ud800" <= c <= "\udfff"}:
            text = text.replace(character, _escape(character))
        found = True
        while found:  # an escape's own letters may complete another text
            found = False
            for first, tokens in self._by_first.items():  # in order: a prompt is the same in every process
                for token in tokens if first in text else ():
                    if token in text:
                        found, text = True, text.replace(token, _escape(first) + token[1:])
        return text


@dataclass(frozen=True)
class Words:
    """Writes about one problem.

    Whatever a user wrote (names, descriptions, choices, failure reasons) is written as a JSON string that holds
    no line break and none of the guard's texts: it cannot end its line, its string, or its turn of a chat.

    Attributes:
        problem: What is tuned.
        grammar: The canonical grammar of its space.
        guard: What keeps users' texts in their place.
    """

    problem: Problem
    grammar: Grammar
    guard: Guard

    def quote(self, value: object) -> str:
        """A value as JSON that stays in its place."""
        return self.guard(json.dumps(value, ensure_ascii=False))

    def task(self) -> list[str]:
        """The task's name, its description, and what is minimised."""
        problem = self.problem
        lines = [f"Task: {self.quote(problem.name)}"]
        if problem.description:
            lines.append(f"Description: {self.quote(problem.description)}")
        return [*lines, f"Loss, to be minimised: {self.quote(problem.metric)}"]

    def space(self, default: bool = True) -> list[str]:
        """One line per hyperparameter, with its default or without, then one per forbidden clause."""
        space = self.problem.space
        active: dict[str, list[str]] = {}
        for condition in space.conditions:
            active.setdefault(str(condition.child.name), []).append(self._condition(condition))
        lines = ["Hyperparameters:"]
        for name in self.grammar.lattice.names:
            text = f"- {self.quote(name)}: {self._range(space[name], default)}"
            if name in active:
                text += f"; only if {' and '.join(active[name])}"
            lines.append(text)
        return [*lines, *(f"Never: {self._forbidden(clause)}" for clause in space.forbidden_clauses)]

    @property
    def columns(self) -> str:
        """The names of the table's columns, constants left out."""
        return ",".join(self.quote(name) for name in self.varying)

    def row(self, observation: Observation) -> str:
        """A trial's values in the order of `columns`, `-` for what was not active."""
        if observation.answer is not None:
            return self.quote(_cut(observation.answer))
        config = self.grammar.snap(observation.config)
        values = []
        for name in self.varying:
            axis = self.axes[name]
            values.append(self.guard(axis.text(axis.index(config[name]))) if name in config else "-")
        return ",".join(values)

    def said(self, observation: Observation) -> str:
        """What the model answered with to come to a trial."""
        if observation.answer is not None:
            return self.guard(observation.answer)
        return self.answer(observation.config)

    def answer(self, config: Mapping[str, Any]) -> str:
        """A configuration as the model writes it."""
        return self.guard(self.grammar.encode(self.grammar.snap(config)))

    def default(self) -> str | None:
        """The default configuration as the model writes it; None where none on the lattice is near it."""
        values = self.problem.space.get_default_configuration()
        try:
            return self.answer({name: _plain(value) for name, value in values.items()})
        except DecodeError:
            return None

    def result(self, observation: Observation) -> str:
        """What came of a finished trial."""
        if observation.loss is not None:
            return loss_text(observation.loss)
        if not observation.reason:
            return "failed"
        return f"failed: {self.quote(_cut(observation.reason))}"

    @cached_property
    def axes(self) -> dict[str, Any]:
        """The axes of the space's lattice by name."""
        return dict(zip(self.grammar.lattice.names, self.grammar.lattice.axes, strict=True))

    @cached_property
    def varying(self) -> list[str]:
        """The names of the hyperparameters that are not constants."""
        return [name for name in self.axes if not isinstance(self.problem.space[name], hp.Constant)]

    def _range(self, parameter: Any, with_default: bool) -> str:
        if isinstance(parameter, hp.Constant):
            return f"always {self._value(parameter.name, parameter.value)}"
        default = [f"default {self._value(parameter.name, parameter.default_value)}"] if with_default else []
        if isinstance(parameter, hp.CategoricalHyperparameter):
            values = ", ".join(self._value(parameter.name, choice) for choice in parameter.choices)
            parts = [f"one of {values}"]
        elif isinstance(parameter, hp.OrdinalHyperparameter):
            values = ", ".join(self._value(parameter.name, choice) for choice in parameter.sequence)
            parts = [f"one of {values} (in this order)"]
        else:
            axis = self.axes[parameter.name]
            kind = "integer" if isinstance(parameter, hp.IntegerHyperparameter) else "number"
            scale = ", log scale" if parameter.log else ""
            parts = [f"{kind} from {axis.text(0)} to {axis.text(axis.size - 1)}{scale}"]
        meta = parameter.meta or {}
        if meta.get("unit"):
            parts[0] += f", in {self.quote(str(meta['unit']))}"
        if meta.get("description"):
            parts.append(self.quote(str(meta["description"])))
        return "; ".join([*parts, *default])

    def _value(self, name: str, value: Any) -> str:
        """A value as the answers write it; as JSON where it is off the lattice."""
        axis, plain = self.axes[name], _plain(value)
        try:
            return self.guard(axis.text(axis.nearest(plain)))
        except DecodeError:
            return self.quote(plain)

    def _condition(self, condition: Any) -> str:
        parts = getattr(condition, "components", None)
        if parts is not None:
            word = " and " if type(condition).__name__ == "AndConjunction" else " or "
            return "(" + word.join(self._condition(part) for part in parts) + ")"
        return f"{self.quote(condition.parent.name)} {_relation(condition)} {self._values(condition)}"

    def _forbidden(self, clause: Any) -> str:
        parts = getattr(clause, "components", None)
        if parts is not None:
            word = " or " if type(clause).__name__ == "ForbiddenOrConjunction" else " and "
            return word.join(self._forbidden(part) for part in parts)
        if hasattr(clause, "left"):
            return f"{self.quote(clause.left.name)} {_relation(clause)} {self.quote(clause.right.name)}"
        return f"{self.quote(clause.hyperparameter.name)} {_relation(clause)} {self._values(clause)}"

    def _values(self, clause: Any) -> str:
        if type(clause).__name__ in ("InCondition", "ForbiddenInClause"):
            return ", ".join(self.quote(_plain(value)) for value in clause.values)
        return self.quote(_plain(clause.value))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _relation(clause: Any) -> str:
    name = re.sub("^Forbidden|(Condition|Clause|Relation)$", "", type(clause).__name__)
    return "equals" if name == "Equals" and hasattr(clause, "left") else _RELATIONS[name]


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else json.dumps(character)[1:-1]


def _plain(value: Any) -> Any:
    """A NumPy scalar as the plain Python value."""
    return value.item() if isinstance(value, np.generic) else value
