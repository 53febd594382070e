"""Search spaces from JSON: ConfigSpace's own format, and a short form to write by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.exceptions import ForbiddenValueError

from .errors import SpaceError
from .space_check import check_space, held, restore

# type -> (required fields, optional fields); "name" comes on top in ConfigSpace's form.
_RANGE = ("lower", "upper")
_MORE = ("log", "step", "q", "default_value", "default", "meta")
_TYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "uniform_float": (_RANGE, _MORE),
    "uniform_int": (_RANGE, _MORE),
    "normal_float": (("mu", "sigma", *_RANGE), _MORE),
    "normal_int": (("mu", "sigma", *_RANGE), _MORE),
    "beta_float": (("alpha", "beta", *_RANGE), _MORE),
    "beta_int": (("alpha", "beta", *_RANGE), _MORE),
    "categorical": (("choices",), ("weights", "default_value", "default", "meta")),
    "ordinal": (("sequence",), ("default_value", "default", "meta")),
    "constant": (("value",), ("meta",)),
}
_SHORT_NAMES = {"float": "uniform_float", "int": "uniform_int", "integer": "uniform_int"}
_TOP_FIELDS = (
    "name",
    "hyperparameters",
    "conditions",
    "forbiddens",
    "python_module_version",
    "json_format_version",
    "format_version",
)
_EXAMPLE = 'for example {"lr": {"type": "float", "lower": 1e-5, "upper": 0.1, "log": true}}'


def read_space(path: str | Path) -> ConfigurationSpace:
    """Read a search space from a JSON file; see `space_from_json`.

    Raises:
        SpaceError: If the file cannot be read, or what is in it is not a usable space.
    """
    if str(path).endswith(".free"):
        raise SpaceError(
            f"{str(path)!r} describes free programs, which have no exact grammar: they cannot be counted or drawn",
            value=str(path), allowed="a search space in JSON, or a program space (*.space)",
            hint=f"airtune tune --program-space {path} --data FILE --target COLUMN --score mse --proposer lm "
            "--dialect code --model MODEL",
        )  # fmt: skip
    try:
        from .files import read_file

        text = read_file(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise SpaceError(
            f"cannot read the space file {str(path)!r}: {e}",
            value=str(path),
            allowed="a readable JSON file in UTF-8",
            hint="check the path and its permissions",
        ) from e
    return space_from_json(text)


def space_from_json(text: str) -> ConfigurationSpace:
    """Build a search space from JSON text.

    Either ConfigSpace's own format (what `ConfigurationSpace.to_json` writes, or what was written before 1.0), or the
    short form: an object of hyperparameters, each with "type" float, int, categorical, ordinal or constant, and its
    fields.

    >>> space = space_from_json('{"lr": {"type": "float", "lower": 1e-5, "upper": 0.1, "log": true}}')
    >>> space["lr"].log, space["lr"].upper
    (True, 0.1)

    Raises:
        SpaceError: If it is not a usable space; the message names the value, what is allowed, and the fix.
    """
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as e:
        raise SpaceError(
            f"the space is not valid JSON: {e.msg} at line {e.lineno}, column {e.colno}",
            value=text[max(e.pos - 20, 0) : e.pos + 20],
            allowed="one JSON object, " + _EXAMPLE,
            hint="correct the JSON there",
        ) from e
    except (ValueError, RecursionError) as e:  # thousands of digits; brackets within brackets
        raise SpaceError(
            f"the space cannot be read: {e}",
            value=text[:40],
            allowed="numbers of some digits, and the nesting of " + _EXAMPLE,
            hint="simplify it",
        ) from e
    if not isinstance(data, dict):
        raise SpaceError(
            "the space is not a JSON object",
            value=data,
            allowed=_EXAMPLE,
            hint="write an object of hyperparameters",
        )
    if isinstance(data.get("hyperparameters"), list):
        if any(
            isinstance(one, dict) and one.get("type") == "free_program" for one in data["hyperparameters"]
        ):
            from .programs.free import free_from_items

            return free_from_items(data["hyperparameters"])
        spec = _full_form(data)
    else:
        spec = {"hyperparameters": [_item(name, fields) for name, fields in data.items()]}
    if not spec["hyperparameters"]:
        raise SpaceError(
            "the space is empty", value=text, allowed=_EXAMPLE, hint="add at least one hyperparameter"
        )
    if spec.get("conditions") or spec.get("forbiddens"):
        from .clause_check import check_clauses
        from .older_files import today_clause

        spec["forbiddens"] = list(map(today_clause, spec.get("forbiddens", ())))
        check_clauses(spec["hyperparameters"], spec.get("conditions", ()), spec["forbiddens"])
    try:
        space = ConfigurationSpace.from_serialized_dict(spec)
    except ForbiddenValueError as e:
        raise SpaceError(
            f"the default configuration is forbidden: {str(e).partition('clause: ')[2]}",
            value={item["name"]: item.get("default_value") for item in spec["hyperparameters"]},
            allowed="defaults that no forbidden clause excludes",
            hint='give one of the hyperparameters that the clause names another "default"',
        ) from e
    except Exception as e:  # ConfigSpace raises ValueError, TypeError, AttributeError and its own, bare ones
        raise SpaceError(
            f"the space cannot be built: {e}".strip().split("\n")[0],
            value=str(e),
            allowed="what ConfigSpace's JSON format describes",
            hint="correct the hyperparameter, condition or forbidden clause it names",
        ) from e
    restore(space, spec["hyperparameters"])
    check_space(space)
    return space


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise SpaceError(
                f"{key!r} is given twice",
                value=key,
                allowed="every name once",
                hint="rename or remove one of them",
            )
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise SpaceError(
        f"{name} is not a number that a space can have",
        value=name,
        allowed="finite numbers",
        hint="give a finite bound",
    )


def _full_form(data: dict[str, Any]) -> dict[str, Any]:
    _known_fields("the space", data, _TOP_FIELDS)
    items = []
    names: set[str] = set()
    for item in data["hyperparameters"]:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise SpaceError(
                "a hyperparameter has no name",
                value=item,
                allowed='an object with "name" and "type"',
                hint="name it",
            )
        name = item["name"]
        if name in names:
            raise SpaceError(
                f"the hyperparameter {name!r} is given twice",
                value=name,
                allowed="every name once",
                hint="rename one",
            )
        names.add(name)
        items.append(_item(name, {key: value for key, value in item.items() if key != "name"}))
    for field in ("conditions", "forbiddens"):
        if not isinstance(data.get(field, []), list) or not all(
            isinstance(x, dict) for x in data.get(field, [])
        ):
            raise SpaceError(
                f"{field!r} is not a list of objects",
                value=data[field],
                allowed="a list of objects, each with a type",
                hint="see ConfigurationSpace.to_json for the form",
            )
    return {**data, "hyperparameters": items}


def _item(name: str, fields: Any) -> dict[str, Any]:
    """One hyperparameter, checked, in ConfigSpace's form."""
    from .field_check import check_fields
    from .older_files import today_fields
    from .steps import stepped

    if not isinstance(fields, Mapping) or "type" not in fields:
        raise SpaceError(f"{name!r} has no type", value=fields, allowed=_EXAMPLE, hint='give it a "type"')
    fields = today_fields(fields)
    kind = fields["type"]
    full = _SHORT_NAMES.get(kind, kind) if isinstance(kind, str) else ""
    if full not in _TYPES:
        raise SpaceError.unknown("type", kind, [*_SHORT_NAMES, *_TYPES], where=repr(name))
    required, optional = _TYPES[full]
    _known_fields(repr(name), {k: v for k, v in fields.items() if k != "type"}, (*required, *optional))
    for field in required:
        if field not in fields:
            raise SpaceError(
                f"{name!r}: {field!r} is missing",
                value=dict(fields),
                allowed=", ".join(required),
                hint=f"add {field!r}",
            )
    item = {"type": full, "name": name, **{k: v for k, v in fields.items() if k not in ("type", "default")}}
    if "default" in fields:
        item["default_value"] = fields["default"]
    check_fields(name, full, item)
    return held(stepped(name, item))


def _known_fields(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for field in given:
        if field not in known:
            raise SpaceError.unknown("field", field, known, where=where)
