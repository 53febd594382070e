"""The tasks `moved/TASK`: a task whose numbers are told on other ranges, the same in all else.

What a model may remember of a task, such as that 0.001 is a good learning rate, is of no use there; a search that goes
by what it was told loses nothing. A hyperparameter on a linear scale is multiplied and shifted, one on a logarithmic
scale is multiplied (its scale stays what it was), whole numbers stay whole: those on a linear range are only shifted.
The numbers of an ordinal are replaced one by one. Words, true and false stay (the dialects' names=hidden replaces
words). So a configuration stands for exactly one of the task's, and has its loss; on the logarithmic range of a whole
number several stand for the same, the nearest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from airtune.benchmarks import get_task
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Task, TaskError
from airtune.grammars import programs_of

PREFIX = "moved/"
FACTORS = (7, 11, 13, 17)
SHIFTS = (2, 3, 4)  # in widths of the range
FAR = 20.0  # numbers whose largest is as many times the least are on a logarithmic scale
_VALUES = ("value", "values", "default_value", "sequence", "lower", "upper")
_NAMED = ("left", "right")


def unmoved(name: str) -> str:
    """The name of the task that a moved one is made of; its own of any other."""
    return name.removeprefix(PREFIX)


@dataclass(frozen=True, slots=True)
class MovedObjective:
    """Evaluates the configuration that a moved one stands for. Picklable.

    Attributes:
        task: The name of the moved task's original.
    """

    task: str

    def __call__(self, config: Mapping[str, Any]) -> Any:
        """What the original's objective returns."""
        original, moves = _moves(self.task)
        return original.objective({name: moves[name].back(value) for name, value in config.items()})


@dataclass(frozen=True, slots=True)
class _Move:
    """A hyperparameter's values as they are told, and what they stand for."""

    there: Callable[[Any], Any]
    back: Callable[[Any], Any]


def moved_task(name: str) -> Task:
    """The moved task of that name.

    Raises:
        TaskError: If there is no such task, or its space has what cannot be moved.
    """
    if unmoved(name).startswith(PREFIX):
        raise TaskError(
            f"task {name!r} would be moved twice", value=name, allowed=f"{PREFIX!r} once", hint=f"use {unmoved(name)!r}"
        )  # fmt: skip
    original, moves = _moves(unmoved(name))
    if programs_of(original.space) is not None:
        raise TaskError(
            f"task {name!r}: programs cannot be moved, whose numbers are in their source code",
            value=name,
            allowed="tasks with a search space",
            hint=f"use {original.name!r}",
        )
    space = _moved_space(original.space, moves)
    return replace(
        original, name=PREFIX + original.name, space=space, objective=MovedObjective(original.name)
    )


@lru_cache(maxsize=64)
def _moves(name: str) -> tuple[Task, dict[str, _Move]]:
    task = get_task(name)
    return task, {hp.name: _move(task, hp) for hp in task.space.values()}


def _move(task: Task, hp: Any) -> _Move:
    seed = derive_seed("moved", task.name, hp.name)
    factor, shift = FACTORS[seed % len(FACTORS)], SHIFTS[seed // len(FACTORS) % len(SHIFTS)]
    if isinstance(hp, Constant | CategoricalHyperparameter):
        return _Move(_same, _same)
    if isinstance(hp, OrdinalHyperparameter):
        return _replaced([_plain(value) for value in hp.sequence], factor, shift)
    if isinstance(hp, UniformIntegerHyperparameter) and not hp.log:
        by = shift * (hp.upper - hp.lower)
        return _Move(lambda value: int(value) + by, lambda value: int(value) - by)
    if isinstance(hp, UniformIntegerHyperparameter):
        return _Move(lambda value: int(value) * factor, lambda value: _within(hp, round(value / factor)))
    if isinstance(hp, UniformFloatHyperparameter):
        more = 0.0 if hp.log else _short(factor * shift * (hp.upper - hp.lower), 2)
        return _Move(
            lambda value: _short(factor * value + more), lambda value: _within(hp, (value - more) / factor)
        )
    raise TaskError(
        f"task {PREFIX + task.name!r}: the {type(hp).__name__} {hp.name!r} cannot be moved",
        value=hp.name,
        allowed="uniform floats and integers, ordinals, categoricals and constants",
        hint=f"use {task.name!r}",
    )


def _replaced(values: list[Any], factor: int, shift: int) -> _Move:
    """The move of an ordinal's numbers; words stay."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _Move(_same, _same)
    low, high = min(values), max(values)
    far = low > 0 and high >= FAR * low
    more = 0 if far else _short(factor * shift * (high - low), 2)
    whole = all(isinstance(value, int) for value in values)
    new = [int(factor * value + more) if whole else _short(factor * value + more) for value in values]
    there, back = dict(zip(values, new, strict=True)), dict(zip(new, values, strict=True))
    if len(back) < len(values):
        raise TaskError(f"an ordinal's numbers {values} cannot be told apart when moved", value=values)
    return _Move(there.__getitem__, back.__getitem__)


def _moved_space(space: ConfigurationSpace, moves: Mapping[str, _Move]) -> ConfigurationSpace:
    """The space in its own JSON form with every value of it moved."""

    def moved(piece: Mapping[str, Any]) -> dict[str, Any]:
        if any(key in piece for key in _NAMED):
            raise TaskError(
                "a space whose hyperparameters are compared with each other cannot be moved",
                value=[piece.get(key) for key in _NAMED],
                allowed="spaces without forbidden relations",
                hint="use the task as it is",
            )
        made: dict[str, Any] = {}
        name = piece.get("parent", piece.get("name"))
        for key, value in piece.items():
            if key in ("clauses", "conditions"):
                made[key] = [moved(part) for part in value]
            elif key in _VALUES and name in moves:
                many = key in ("values", "sequence")
                made[key] = [moves[name].there(one) for one in value] if many else moves[name].there(value)
            else:
                made[key] = value
        return made

    whole: dict[str, Any] = space.to_serialized_dict()
    pieces = {
        key: [moved(one) for one in whole[key]] for key in ("hyperparameters", "conditions", "forbiddens")
    }
    return ConfigurationSpace.from_serialized_dict(
        json.loads(json.dumps({**whole, **pieces}, default=_plain))
    )


def _plain(value: Any) -> Any:
    """A NumPy scalar as the plain Python value."""
    return value.item() if hasattr(value, "item") else value


def _same(value: Any) -> Any:
    return value


def _short(value: float, digits: int = 10) -> float:
    """A float without the last bits that arithmetic leaves behind."""
    return float(f"{value:.{digits}g}")


def _within(hp: Any, value: Any) -> Any:
    return min(max(value, hp.lower), hp.upper)
