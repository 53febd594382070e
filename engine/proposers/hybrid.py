"""`hybrid`: a language model for the first trials, then a Gaussian process (arXiv 2312.04528, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from airtune.engine.proposers.lm import LMProposer
from airtune.engine.proposers.optuna import GPProposer
from airtune.engine.types import Job
from airtune.models import LanguageModel

FIRST = 10  # trials from the model, as in the paper


class HybridProposer:
    """Proposes what the language model answers for the first FIRST trials, and then what `gp` does.

    Attributes:
        lm: Proposes first.
        then: Proposes afterwards, from all trials.
    """

    name = "hybrid"

    def __init__(self, model: LanguageModel, temperature: float | None = None) -> None:
        self.lm = LMProposer(model, temperature)
        self.then = GPProposer()

    def propose(self, jobs: Sequence[Job]) -> None:
        """Fill in every job's proposal, all that the model makes in one batch.

        Raises:
            ModelError: See `LMProposer.propose`.
        """
        early = [len(job.history) + len(job.pending) < FIRST for job in jobs]
        self.lm.propose([job for job, first in zip(jobs, early, strict=True) if first])
        self.then.propose([job for job, first in zip(jobs, early, strict=True) if not first])
