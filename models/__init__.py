"""airtune.models: language models that answer under a grammar, and the dialects they speak.

Importing this package does not import torch; loading a model does.
"""

from airtune.models.base import (
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
from airtune.models.registry import ModelInfo, list_models, load_model, model_info, verify_model

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
