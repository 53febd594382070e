"""Answers that no grammar held: a configuration found in free text or JSON, and checked in every respect.

Servers with a strict JSON schema know neither ranges, conditions nor what was tried; others know nothing. What is
wrong with an answer is said in words that can be shown to the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ConfigSpace import Configuration, ConfigurationSpace
from ConfigSpace import hyperparameters as hp
from ConfigSpace.exceptions import (
    ActiveHyperparameterNotSetError,
    ForbiddenValueError,
    IllegalValueError,
    InactiveHyperparameterSetError,
)

from airtune.grammars import DecodeError, Grammar, canonical_axis
from airtune.models.types import ModelError

_READ = 16_384  # characters at the end of an answer; a configuration is far shorter
_INVALID = (
    ActiveHyperparameterNotSetError,
    ForbiddenValueError,
    IllegalValueError,
    InactiveHyperparameterSetError,
)
_KINDS = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (type(None), "null"))


def read_answer(text: str, grammar: Grammar) -> str:
    """The canonical text of the configuration that an answer names.

    An answer in the grammar's own language stands for itself. Otherwise the last JSON object in it counts,
    whatever is around it (prose, a markdown fence): its numbers are rounded to the search's resolution, nothing
    else is changed or filled in.

    Raises:
        DecodeError: If there is no such object, or it is not a configuration, is forbidden, or was tried.
    """
    text = text.strip()
    if grammar.accepts(text):
        return text
    given = _last_object(text[-_READ:])
    space = grammar.space
    config = {name: value for name, value in given.items() if not _left_out(space, name, value)}
    for name, value in config.items():
        config[name] = _value(space, name, value)
    try:
        Configuration(space, values=config)
    except _INVALID as error:
        raise DecodeError(_active_problem(space, config, error), value=text) from error
    snapped = grammar.snap(config)
    try:
        return grammar.encode(snapped)
    except DecodeError as error:
        raise DecodeError(f"{json.dumps(snapped)} was tried already", value=text) from error


def _last_object(text: str) -> dict[str, Any]:
    decoder = json.JSONDecoder(object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    found: dict[str, Any] | None = None
    problem, at = "it holds no JSON object", text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            problem, end = f"its JSON is broken: {error.msg}", at + 1
        except (ValueError, RecursionError):  # a number of thousands of digits, a thousand brackets
            problem, end = "its JSON holds more than a configuration", len(text)
        at = text.find("{", end)
    if found is None:
        raise DecodeError(problem, value=text)
    return found


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DecodeError(f"{twice[0]!r} is given twice", value=twice[0])
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise DecodeError(f"{name} is not a number", value=name)


def _left_out(space: ConfigurationSpace, name: str, value: Any) -> bool:
    """Whether null says that a hyperparameter is not active, as strict schemas must: they have no optional keys."""
    return (
        value is None
        and name in space
        and bool(space.parent_conditions_of[name])
        and not any(choice is None for choice in _choices(space[name]) or ())
    )


def _choices(parameter: Any) -> list[Any] | None:
    """The values to choose from, as plain Python; None of a number."""
    if not isinstance(parameter, hp.CategoricalHyperparameter | hp.OrdinalHyperparameter | hp.Constant):
        return None
    axis = canonical_axis(parameter)
    return [axis.value(index) for index in range(axis.size)]


def _value(space: ConfigurationSpace, name: str, value: Any) -> Any:
    """The value if the hyperparameter may have it, as the type it has."""
    if name not in space:
        raise DecodeError(f"there is no hyperparameter {name!r}; there are {', '.join(space)}", value=name)
    parameter: Any = space[name]
    if _choices(parameter) is not None:
        axis = canonical_axis(parameter)
        try:
            return axis.value(axis.index(value))
        except DecodeError as error:
            raise DecodeError(
                f"{name!r} cannot be {value!r}; it is one of {error.allowed}", value=value
            ) from error
    whole = isinstance(parameter, hp.IntegerHyperparameter)
    kind = "a whole number" if whole else "a number"
    lower, upper = parameter.lower, parameter.upper
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not lower <= value <= upper or (whole and value != int(value)):
        raise DecodeError(f"{name!r} cannot be {value!r}; it is {kind} from {lower} to {upper}", value=value)
    return int(value) if whole else float(value)


def _active_problem(space: ConfigurationSpace, config: Mapping[str, Any], error: Exception) -> str:
    """What is wrong with the set of hyperparameters, or with their combination."""
    missing = [name for name in space if not space.parent_conditions_of[name] and name not in config]
    if missing:
        return f"{', '.join(map(repr, missing))} must be given"
    if isinstance(error, ActiveHyperparameterNotSetError):
        return f"{error.hyperparameter.name!r} must be given: with the other values it is active"
    if isinstance(error, InactiveHyperparameterSetError):
        return f"{error.hyperparameter.name!r} must be left out: with the other values it is not active"
    return f"the combination is not allowed: {' '.join(str(error).split())}"


def complaint(answer: str, error: DecodeError) -> list[dict[str, str]]:
    """Chat messages: what the model said, and what is wrong with it."""
    ask = "Answer with another configuration, as one line of JSON in the format of the trials, nothing else."
    return [
        {"role": "assistant", "content": answer.encode("utf-8", "replace").decode()},
        {"role": "user", "content": f"That answer cannot be used: {error.message}. {ask}"},
    ]


def strict_schema(space: ConfigurationSpace) -> dict[str, Any]:
    """The space as a JSON schema in the subset that strict structured outputs know.

    All keys are required, a conditional one may be null, and there are no bounds, defaults or conditions:
    what the schema cannot say stands in descriptions, and `read_answer` checks it.

    Raises:
        ModelError: If a choice is neither text, number, boolean nor null.
    """
    properties: dict[str, Any] = {}
    parameter: Any
    for name, parameter in space.items():
        conditional = bool(space.parent_conditions_of[name])
        choices = _choices(parameter)
        if choices is not None:
            values = [*choices, *([None] if conditional and None not in choices else [])]
            kinds = list(dict.fromkeys(_kind(name, value) for value in values))
            one: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}
        else:
            number = "integer" if isinstance(parameter, hp.IntegerHyperparameter) else "number"
            one = {
                "type": [number, "null"] if conditional else number,
                "description": f"from {parameter.lower} to {parameter.upper}"
                + (", log scale" if getattr(parameter, "log", False) else ""),
            }
        if conditional:
            one["description"] = f"{one.get('description', '')}; null where it is not active".lstrip("; ")
        properties[name] = one
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _kind(name: str, value: Any) -> str:
    for python, kind in _KINDS:
        if isinstance(value, python):
            return kind
    raise ModelError(
        f"the choice {value!r} of {name!r} has no place in a strict JSON schema",
        value=value,
        allowed="text, numbers, booleans and null",
        hint="use constraint='none' or a server with grammars",
    )
