"""Proposers: given a task and its trials so far, the configuration to try next. All are stateless.

The module of a proposer is imported when it is asked for by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from airtune.engine.types import Proposer
from airtune.grammars import AirtuneError, unknown_name
from airtune.models import LanguageModel

__all__ = ["PROPOSERS", "load_proposer", "needs_model"]

PROPOSERS: Mapping[str, str] = {
    "lm": "a language model",
    "lm+gp": "a language model's answers, ranked by a Gaussian process",
    "lm+self": "a language model's answers, ranked by its own prediction of their scores (pocket)",
    "hybrid": "a language model for ten trials, then gp",
    "random": "random search, uniform on every hyperparameter's scale",
    "uniform": "every configuration that is left as likely as any other",
    "local": "one or two hyperparameters of the incumbent drawn again",
    "tpe": "tree-structured Parzen estimator (Optuna)",
    "gp": "Gaussian process with expected improvement (Optuna)",
    "cmaes": "covariance matrix adaptation (cmaes)",
    "smac": "random forest with expected improvement (SMAC; the extra 'smac')",
}
_ASKING_A_MODEL: Mapping[str, str] = {
    "lm": "lm.LMProposer",
    "lm+gp": "lm_gp.proposer.LMGPProposer",
    "lm+self": "lm_self.LMSelfProposer",
    "hybrid": "hybrid.HybridProposer",
}
_CLASSICAL: Mapping[str, str] = {
    "random": "random.RandomProposer",
    "uniform": "random.UniformProposer",
    "local": "local.LocalProposer",
    "tpe": "optuna.TPEProposer",
    "gp": "optuna.GPProposer",
    "cmaes": "cmaes.CMAESProposer",
    "smac": "smac.SMACProposer",
}


def needs_model(name: str) -> bool:
    """Whether the proposer called `name` asks a language model."""
    return name.removeprefix("default+") in _ASKING_A_MODEL


def load_proposer(
    name: str, model: str | LanguageModel | None = None, temperature: float | None = None
) -> Proposer:
    """The proposer called `name`: one of `PROPOSERS`, or "default+" and one of them.

    Args:
        name: For example "tpe" or "default+lm".
        model: The language model or its name, for names with "lm"; the others take no notice of it, and load none.
        temperature: The language model's sampling temperature; None for its dialect's own.

    Raises:
        AirtuneError: If there is no such proposer, or it needs a model and has none.
        ModelError: If the model cannot be loaded.
    """
    inner = str(name).removeprefix("default+")
    if inner not in PROPOSERS:
        message, allowed, hint = unknown_name(
            "proposer", str(name), [*PROPOSERS, *(f"default+{p}" for p in PROPOSERS)]
        )
        raise AirtuneError(message, value=name, allowed=allowed, hint=hint)
    arguments: tuple[LanguageModel, float | None] | tuple[()] = ()
    if inner in _ASKING_A_MODEL:
        if model is None:
            raise AirtuneError(
                f"proposer {name!r} needs a language model and was given none",
                value=name,
                hint="pass model=load_model('pocket'), or use a proposer that needs none, such as 'tpe'",
            )
        if isinstance(model, str):
            from airtune.models import load_model

            model = load_model(model)
        arguments = (model, temperature)
    module, _, kind = {**_ASKING_A_MODEL, **_CLASSICAL}[inner].rpartition(".")
    made: Proposer = getattr(importlib.import_module(f"{__name__}.{module}"), kind)(*arguments)
    if inner == name:
        return made
    from airtune.engine.proposers.default import DefaultFirst

    return DefaultFirst(made)
