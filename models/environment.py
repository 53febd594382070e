"""What libraries read from the environment: our settings around our own work, the user's for the user's programs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

# What was replaced in this process: name -> what the user had set, or None, and what we set.
_replaced: dict[str, tuple[str | None, str]] = {}


def set_ours(settings: Mapping[str, str]) -> None:
    """Set variables in this process and for the processes of ours that it starts; what was there is remembered."""
    for name, value in settings.items():
        current = os.environ.get(name)
        users, ours = _replaced.get(name, (current, current))
        _replaced[name] = (users if current == ours else current, value)
        os.environ[name] = value


def set_where_missing(settings: Mapping[str, str]) -> None:
    """`set_ours`, but for what the user has set."""
    set_ours({name: value for name, value in settings.items() if name not in os.environ})


def users_environment() -> dict[str, str]:
    """The environment as the user has it: without what was set by `set_ours` and is still so."""
    environment = dict(os.environ)
    for name, (users, ours) in _replaced.items():
        if environment.get(name) != ours:
            continue  # set by the user's program meanwhile
        if users is None:
            del environment[name]
        else:
            environment[name] = users
    return environment


@contextlib.contextmanager
def as_the_user_has_it() -> Iterator[None]:
    """The user's environment in this process for a while; what is changed within stays changed."""
    lent = users_environment()
    set_by_us = {name: ours for name, (_, ours) in _replaced.items() if os.environ.get(name) == ours}
    for name in set_by_us:
        _put(name, lent.get(name))
    try:
        yield
    finally:
        for name, ours in set_by_us.items():
            if os.environ.get(name) == lent.get(name):
                os.environ[name] = ours


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
