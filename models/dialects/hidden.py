"""A problem told under other names, to find out what a model takes from them and what it costs to be misled.

Hidden: in neutral words. Hyperparameters are called x1, x2, ..., choices that are words a, b, ...; the task's name,
description and metric, units, and the reasons of failures are left out. Order, ranges, scales, conditions and forbidden
clauses stay, so the hidden space has the same configurations in the same order.

Permuted: each hyperparameter under the name of the next one, the last under that of the first, so that what a model
believes of a name it believes of the wrong one. All else is as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Constant, OrdinalHyperparameter

from airtune.grammars import once_per_space
from airtune.models.types import Problem

NAMES = ("shown", "hidden", "permuted")  # what the setting `names` of a dialect can be
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NAMING = ("name", "child", "parent", "left", "right")  # what ConfigSpace's own form calls a name
_VALUES = ("value", "values", "default_value", "choices", "sequence")
_PARTS = ("clauses", "conditions")


@dataclass(frozen=True, eq=False)
class HiddenSpace:
    """A space and the same under other names.

    Attributes:
        space: Under other names.
        names: The hyperparameters' names in it, by their own.
        words: By hyperparameter, its choices that are called something else, and what they are called.
    """

    space: ConfigurationSpace
    names: Mapping[str, str]
    words: Mapping[str, list[tuple[Any, str]]]

    def hide(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration under the other names."""
        return {self.names[name]: _called(value, self.words[name]) for name, value in config.items()}

    def reveal(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration that one under the other names stands for."""
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
    return _told(space, names, words)


@once_per_space
def permuted_space(space: ConfigurationSpace) -> HiddenSpace:
    """The space with its names permuted, made once; of a single hyperparameter nothing is permuted."""
    own = list(space)
    return _told(space, dict(zip(own, [*own[1:], *own[:1]], strict=True)), {name: [] for name in own})


def _told(
    space: ConfigurationSpace, names: Mapping[str, str], words: Mapping[str, list[tuple[Any, str]]]
) -> HiddenSpace:
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


def told_space(
    space: ConfigurationSpace, names: str, configs: Sequence[Mapping[str, Any]] = ()
) -> tuple[ConfigurationSpace, Sequence[Mapping[str, Any]]]:
    """A space and configurations of it as a dialect with the setting `names` (one of NAMES) tells them."""
    if names == "shown":
        return space, configs
    told = hidden_space(space) if names == "hidden" else permuted_space(space)
    return told.space, [told.hide(config) for config in configs]


def told_problem(problem: Problem, names: str) -> Problem:
    """The problem as a dialect with the setting `names` (one of NAMES) tells it."""
    if names == "shown":
        return problem
    space, configs = told_space(problem.space, names, [o.config for o in problem.observations])
    seen = [replace(o, config=config) for o, config in zip(problem.observations, configs, strict=True)]
    if names == "permuted":
        return replace(problem, space=space, observations=tuple(seen))
    seen = [replace(o, reason=None) for o in seen]
    return Problem("task", "", space, "loss", tuple(seen), problem.budget)


def revealed(space: ConfigurationSpace, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that one of a told space stands for."""
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
