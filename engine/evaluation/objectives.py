"""Objectives that are named rather than passed: "module:attribute"."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from airtune.engine.evaluation.outcome import is_interrupt
from airtune.engine.evaluation.result import one_line
from airtune.engine.types import TaskError
from airtune.grammars import unknown_name


def load_objective(spec: str) -> Callable[[Any], Any]:
    """The callable that "module:attribute" names; modules of the current folder can be named too.

    Raises:
        TaskError: If there is no such module or attribute, or it cannot be imported or called.
    """
    module_name, colon, attribute = spec.partition(":")
    is_path = "/" in module_name or "\\" in module_name or module_name.startswith(".")
    if not (module_name and colon and attribute) or is_path:
        raise TaskError(
            f"objective {spec!r} is not of the form module:attribute",
            value=spec,
            allowed="a module's name, a colon and the name of a callable in it, for example train:loss",
            hint="name the module as in an import: no slashes, no .py",
        )
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        itself = missing == module_name or module_name.startswith(f"{missing}.")
        hint = "run airtune in the module's folder, or put that on PYTHONPATH"
        if not itself:
            hint = f"module {module_name!r} imports it: install it"
        elif module_name.endswith(".py"):
            hint = f"name the module, not its file: {module_name.removesuffix('.py')}:{attribute}"
        raise TaskError(
            f"there is no module {missing!r} (objective {spec!r})",
            value=spec,
            allowed="module:attribute, with a module that Python can import from here",
            hint=hint,
        ) from error
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise TaskError(
            f"module {module_name!r} cannot be imported: {one_line(f'{type(error).__name__}: {error}')}",
            value=spec,
            allowed="a module that can be imported",
            hint=f"`python -c 'import {module_name}'` shows the traceback",
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in dir(found) if not name.startswith("_")]
            _, allowed, hint = unknown_name("attribute", part, public)
            raise TaskError(
                f"module {module_name!r} has no attribute {attribute!r}",
                value=spec,
                allowed=allowed,
                hint=hint,
            )
        found = getattr(found, part)
    if not callable(found):
        raise TaskError(
            f"objective {spec!r} cannot be called: it is {one_line(repr(found))}",
            value=spec,
            allowed="a function of one configuration (a dict) that returns the loss",
            hint="name a function",
        )
    return found  # type: ignore[no-any-return]
