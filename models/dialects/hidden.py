"""Names hidden: a problem told in neutral words, to find out what a model takes from the names.

Hyperparameters are called x1, x2, ..., choices that are words a, b, ...; the task's name, description and metric,
units, and the reasons of failures are left out. Order, ranges, scales, conditions and forbidden clauses stay, so the
hidden space has the same configurations in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Constant, OrdinalHyperparameter

from airtune.grammars import once_per_space
from airtune.models.types import Problem

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NAMING = ("name", "child", "parent", "left", "right")  # what ConfigSpace's own form calls a name
_VALUES = ("value", "values", "default_value", "choices", "sequence")
_PARTS = ("clauses", "conditions")


@dataclass(frozen=True, eq=False)
class HiddenSpace:
    """A space and the same in neutral words.

    Attributes:
        space: In neutral words.
        names: The hyperparameters' names in it, by their own.
        words: By hyperparameter, its choices that are words, and what they are called.
    """

    space: ConfigurationSpace
    names: Mapping[str, str]
    words: Mapping[str, list[tuple[Any, str]]]

    def hide(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration in neutral words."""
        return {self.names[name]: _called(value, self.words[name]) for name, value in config.items()}

    def reveal(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration that one in neutral words stands for."""
        found = {}
        for name, hidden in self.names.items():
            if hidden in config:
                value = config[hidden]
                found[name] = next((word for word, called in self.words[name] if called == value), value)
        return found


@once_per_space
def hidden_space(space: ConfigurationSpace) -> HiddenSpace:
    """The space in neutral words, made once; what it hides is in its `meta`."""
    digits = len(str(len(space)))  # x01 before x10: ConfigSpace sorts by name
    names = {name: f"x{i:0{digits}d}" for i, name in enumerate(space, start=1)}
    words = {
        name: [(value, _neutral(i)) for i, value in enumerate(filter(_is_word, _choices(hp)))]
        for name, hp in space.items()
    }

    def renamed(piece: Mapping[str, Any]) -> dict[str, Any]:
        about = words[piece.get("parent", piece.get("name"))] if {"parent", "name"} & piece.keys() else []
        made: dict[str, Any] = {}
        for key, value in piece.items():
            if key in _NAMING:
                made[key] = names[value]
            elif key in _PARTS:
                made[key] = [renamed(part) for part in value]
            elif key in _VALUES:
                many = key in ("values", "choices", "sequence")
                made[key] = [_called(one, about) for one in value] if many else _called(value, about)
            else:
                made[key] = None if key == "meta" else value
        return made

    whole = space.to_serialized_dict()
    pieces = {
        key: [renamed(one) for one in whole[key]] for key in ("hyperparameters", "conditions", "forbiddens")
    }
    made = ConfigurationSpace.from_serialized_dict({**whole, **pieces, "name": None})
    hidden = HiddenSpace(made, names, words)
    made.meta = {"hides": hidden}
    return hidden


def hidden_problem(problem: Problem) -> Problem:
    """The problem in neutral words."""
    hidden = hidden_space(problem.space)
    seen = tuple(replace(o, config=hidden.hide(o.config), reason=None) for o in problem.observations)
    return replace(problem, name="task", description="", space=hidden.space, metric="loss", observations=seen)


def revealed(space: ConfigurationSpace, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that one of a hidden space stands for."""
    hidden: HiddenSpace = (space.meta or {})["hides"]
    return hidden.reveal(config)


def _choices(hp: Any) -> tuple[Any, ...]:
    if isinstance(hp, CategoricalHyperparameter):
        return tuple(hp.choices)
    if isinstance(hp, OrdinalHyperparameter):
        return tuple(hp.sequence)
    return (hp.value,) if isinstance(hp, Constant) else ()


def _is_word(value: Any) -> bool:
    return any(map(_is_word, value)) if isinstance(value, tuple | list) else isinstance(value, str)


def _called(value: Any, words: list[tuple[Any, str]]) -> Any:
    """What a value is called; itself if it is no word."""
    return next((called for word, called in words if word == value), value) if _is_word(value) else value


def _neutral(index: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    rest, letter = divmod(index, len(_LETTERS))
    return (_neutral(rest - 1) if rest else "") + _LETTERS[letter]
