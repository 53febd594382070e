"""Settings of backends, which come as JSON from the command line: known ones, and of the types that they have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from airtune.models.types import ModelError

_OURS = ("dialect", "name")  # keyword arguments that are no settings
_WORDS: dict[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", NoneType: "null",
    Mapping: "a JSON object",
}  # fmt: skip


def require_settings(model: Any, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a backend does not have, and values of another type than it takes.

    A text where a truth value belongs would be taken for true, be it "False".

    Args:
        model: The backend's class.
        settings: By name.

    Raises:
        ModelError: Naming the first such setting.
    """
    parameters = inspect.signature(model).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _OURS]
    others = any(p.kind is p.VAR_KEYWORD for p in parameters)  # which are passed on
    own = {p.name for p in parameters} - {*known}
    hints = get_type_hints(model.__init__)
    for key, value in settings.items():
        if key not in known:
            if others and key not in own:
                continue
            raise ModelError.unknown(f"setting of the {model.backend} backend", key, known)
        types = get_args(hints[key]) or (hints[key],)
        types = (hints[key],) if get_origin(hints[key]) in (Callable, Mapping) else types
        kinds = [get_origin(one) or one for one in types]
        if not any(_is(value, kind) for kind in kinds):
            raise ModelError(
                f"the setting {key} of the {model.backend} backend cannot be {value!r}",
                value=value,
                allowed=", ".join(_WORDS[kind] for kind in kinds if kind in _WORDS) or None,
                hint=f"write {key}={str(value).lower()}"
                if bool in kinds and str(value) in ("True", "False")
                else None,
            )


def _is(value: object, kind: Any) -> bool:
    if isinstance(value, bool) and kind in (int, float):
        return False
    return isinstance(value, (int, float) if kind is float else kind)
