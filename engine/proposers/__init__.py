"""Proposers: given a task and its trials so far, the configuration to try next. All are stateless."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from airtune.engine.proposers.base import Job, JobProposer
from airtune.engine.proposers.cmaes import CMAESProposer
from airtune.engine.proposers.default import DefaultFirst
from airtune.engine.proposers.hybrid import HybridProposer
from airtune.engine.proposers.lm import LMProposer
from airtune.engine.proposers.lm_gp.proposer import LMGPProposer
from airtune.engine.proposers.lm_self import LMSelfProposer
from airtune.engine.proposers.optuna import GPProposer, TPEProposer
from airtune.engine.proposers.random import RandomProposer
from airtune.engine.proposers.smac import SMACProposer
from airtune.engine.types import Proposer
from airtune.grammars import AirtuneError, unknown_name
from airtune.models import LanguageModel

__all__ = ["PROPOSERS", "Job", "LMProposer", "make_proposer", "needs_model", "propose_all"]

PROPOSERS: Mapping[str, str] = {
    "lm": "a language model",
    "lm+gp": "a language model's answers, ranked by a Gaussian process",
    "lm+self": "a language model's answers, ranked by its own prediction of their scores (pocket)",
    "hybrid": "a language model for ten trials, then gp",
    "random": "random search, uniform on every hyperparameter's scale",
    "tpe": "tree-structured Parzen estimator (Optuna)",
    "gp": "Gaussian process with expected improvement (Optuna)",
    "cmaes": "covariance matrix adaptation (cmaes)",
    "smac": "random forest with expected improvement (SMAC; the extra 'smac')",
}

_CLASSICAL: Mapping[str, Callable[[], Proposer]] = {
    "random": RandomProposer,
    "tpe": TPEProposer,
    "gp": GPProposer,
    "cmaes": CMAESProposer,
    "smac": SMACProposer,
}


# Those that ask a language model.
_ASKING: Mapping[str, Callable[[LanguageModel, float | None], Proposer]] = {
    "lm": LMProposer,
    "lm+gp": LMGPProposer,
    "lm+self": LMSelfProposer,
    "hybrid": HybridProposer,
}


def needs_model(name: str) -> bool:
    """Whether the proposer called `name` asks a language model."""
    return name.removeprefix("default+") in _ASKING


def make_proposer(
    name: str, *, model: LanguageModel | None = None, temperature: float | None = None
) -> Proposer:
    """The proposer called `name`: one of `PROPOSERS`, or "default+" and one of them.

    Args:
        name: For example "tpe" or "default+lm".
        model: The language model, for names with "lm"; the others take no notice of it.
        temperature: The language model's sampling temperature; None for its dialect's own.

    Raises:
        AirtuneError: If there is no such proposer, or it needs a model and has none.
    """
    inner = name.removeprefix("default+")
    if inner not in PROPOSERS:
        message, allowed, hint = unknown_name(
            "proposer", name, [*PROPOSERS, *(f"default+{p}" for p in PROPOSERS)]
        )
        raise AirtuneError(message, value=name, allowed=allowed, hint=hint)
    if inner in _ASKING:
        if model is None:
            raise AirtuneError(
                f"proposer {name!r} needs a language model and was given none",
                value=name,
                hint="pass model=load_model('pocket'), or use a proposer that needs none, such as 'tpe'",
            )
        made: Proposer = _ASKING[inner](model, temperature)
    else:
        made = _CLASSICAL[inner]()
    return DefaultFirst(made) if inner != name else made


def propose_all(proposer: Proposer, jobs: Sequence[Job]) -> None:
    """Fill in `proposal` of every job; None stays where a space is exhausted.

    A language model gets all of its requests in one batch per round; the others propose one after another.
    """
    if isinstance(proposer, DefaultFirst):
        for job in jobs:
            job.proposal = proposer.first(job.task, job.history, job.pending)
        propose_all(proposer.inner, [job for job in jobs if job.proposal is None])
    elif isinstance(proposer, JobProposer):
        proposer.propose_jobs(jobs)
    else:
        for job in jobs:
            job.proposal = next(iter(proposer.propose(job.task, job.history, job.pending, job.seed)), None)
