"""airtune.models: language models that answer under a grammar, and the dialects they speak.

Importing this package does not import torch; loading a model does.
"""

from airtune.models.registry import ModelInfo, list_models, load_model, model_info, verify_model
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
