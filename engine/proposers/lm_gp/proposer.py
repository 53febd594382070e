"""`lm+gp`: a language model proposes candidates, a Gaussian process picks the one to try.

The model brings what the names and ranges of the hyperparameters tell, and candidates that are valid and new;
the process brings exact bookkeeping of what has been seen. Until there is something to fit, the model's first
answer is taken as it is. The model's samples share one prompt, so they are one batch over one prefix.

Of programs the model writes the structure and the process chooses the numbers: its own candidates are programs that the
model wrote, now or before, with other numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from airtune.engine.proposers.base import Remaining, one_thread
from airtune.engine.proposers.lm import Answer, LMProposer
from airtune.engine.proposers.lm_gp.candidates import Candidates
from airtune.engine.proposers.lm_gp.gaussian_process import (
    Floats,
    GaussianProcess,
    sample_kernels,
    standardised,
)
from airtune.engine.proposers.lm_gp.structures import search
from airtune.engine.proposers.lm_gp.subset import KERNEL_TRIALS, PROCESS_TRIALS, subset
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Proposal
from airtune.models import LanguageModel

FITTED_FROM = 3  # told trials
SAMPLES = 16  # of the model, per proposal
# From so many trials on, fewer: an answer is seldom the best candidate then, and costs most of a proposal's time.
LATE, LATE_SAMPLES = 10, 4


class LMGPProposer:
    """Proposes the candidate of highest expected improvement among a language model's and its surroundings.

    Attributes:
        lm: The proposer whose requests, checks and transcripts are used.
    """

    name = "lm+gp"

    def __init__(self, model: LanguageModel, temperature: float | None = None) -> None:
        self.lm = LMProposer(model, temperature)

    def propose(self, jobs: Sequence[Job]) -> None:
        """Fill in every job's proposal, all the model's samples in one batch; None where a space is exhausted.

        Raises:
            ModelError: See `LMProposer.propose`.
        """
        early = [sum(t.loss is not None for t in job.history) < FITTED_FROM for job in jobs]
        self.lm.propose([job for job, is_early in zip(jobs, early, strict=True) if is_early])
        later = [job for job, is_early in zip(jobs, early, strict=True) if not is_early]
        answered = self.lm.sample(later, lambda job: SAMPLES if len(job.history) < LATE else LATE_SAMPLES)
        with one_thread():
            for job, answers in answered:
                remaining = Remaining(job)
                usable = self.lm.usable(job, answers, remaining)
                if usable:
                    picked = self._pick(job, usable, remaining)
                    # All of them: a replay chooses again without the model.
                    samples = [answer.short() for answer in answers]
                    job.proposal = replace(
                        picked, transcript={**(picked.transcript or {}), "samples": samples}
                    )
        # What is left without a proposal: the model alone, which tries again and says what went wrong.
        self.lm.propose([job for job, _ in answered if job.proposal is None])

    def _pick(
        self, job: Job, usable: Sequence[tuple[Answer, dict[str, Any]]], remaining: Remaining
    ) -> Proposal:
        """The candidate of highest expected improvement: one of the model's, or a better one of the process's own."""
        candidates = Candidates(job.task.space)
        encoder = candidates.encoder

        def points(configs: Iterable[Mapping[str, Any]]) -> Floats:
            return encoder.points(encoder.vectors(list(configs)))

        rng = np.random.default_rng(derive_seed(self.name, job.seed))
        x = points(trial.config for trial in job.history)
        y = standardised(np.array([np.inf if t.loss is None else t.loss for t in job.history]))
        pending = points(trial.config for trial in job.pending) if job.pending else None
        few, many = subset(x, y, KERNEL_TRIALS), subset(x, y, PROCESS_TRIALS)
        process = GaussianProcess(x, y, *sample_kernels(x[few], y[few], rng), pending, many)
        log_ei = process.log_expected_improvement(points(config for _, config in usable))
        told = sorted((t for t in job.history if t.loss is not None), key=lambda t: (t.loss, t.number))
        best = [trial.config for trial in told]
        written = [usable[i][1] for i in np.argsort(-log_ei, kind="stable")]
        searched = search(candidates, written, best, process.log_expected_improvement, rng)
        places = [(made, row) for made, rows, _ in searched for row in rows]
        other_log_ei = np.concatenate([np.empty(0), *(values for *_, values in searched)])
        answer, config = usable[int(log_ei.argmax())]
        ranking: dict[str, Any] = {"log_ei": [round(float(v), 6) for v in log_ei]}
        if len(other_log_ei):
            ranking["best_other_log_ei"] = round(float(other_log_ei.max()), 6)
        transcript = {
            **self.lm.transcript(answer.request, answer.completion, 0, job.rejected),
            "ranking": ranking,
        }
        for i in np.argsort(-other_log_ei, kind="stable"):
            if other_log_ei[i] <= log_ei.max():
                break
            made, row = places[i]
            admitted = remaining.admit(made.config(row))
            if admitted is not None:
                return Proposal(admitted, f"{self.name}:gp", transcript)
        return Proposal(config, self.name, transcript)
