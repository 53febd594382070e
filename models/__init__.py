"""airtune.models: language models that answer under a grammar, and the dialects they speak.

Importing this package does not import torch; loading a model does. What loads and lists
them is read when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from airtune.models.types import (
    Completion,
    Dialect,
    LanguageModel,
    ModelError,
    Observation,
    PredictingDialect,
    Problem,
    Request,
    TextRequest,
    TextWriter,
)

if TYPE_CHECKING:
    from airtune.models.inventory import ModelInfo, list_models, model_info, verify_model
    from airtune.models.registry import load_model

__all__ = [
    "Completion",
    "Dialect",
    "LanguageModel",
    "ModelError",
    "ModelInfo",
    "Observation",
    "PredictingDialect",
    "Problem",
    "Request",
    "TextRequest",
    "TextWriter",
    "list_models",
    "load_model",
    "model_info",
    "verify_model",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "registry" if name == "load_model" else "inventory"
    return getattr(import_module(f"airtune.models.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
