"""Airtune inside other tools: an Optuna sampler and export, a Ray Tune searcher, objectives on a Ray cluster.

Nothing of the engine imports this package, and each name loads its tool only when it is first used:
Optuna comes with Airtune; Ray is the extra `airtune[ray]`, PostgreSQL's driver the extra `airtune[postgres]`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airtune.engine.integrations.optuna.export import export_to_optuna
    from airtune.engine.integrations.optuna.sampler import AirtuneSampler
    from airtune.engine.integrations.ray.executor import RayExecutor
    from airtune.engine.integrations.ray.search import AirtuneSearch

_HOME = {
    "AirtuneSampler": "optuna.sampler",
    "AirtuneSearch": "ray.search",
    "RayExecutor": "ray.executor",
    "export_to_optuna": "optuna.export",
}

__all__ = ["AirtuneSampler", "AirtuneSearch", "RayExecutor", "export_to_optuna"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found  # the next access finds it without coming here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
