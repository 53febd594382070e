"""`lm+gp`: a language model proposes candidates, a Gaussian process picks the one to try.

The model brings what the names and ranges of the hyperparameters tell, and candidates that are valid and new;
the process brings exact bookkeeping of what has been seen. Until there is something to fit, the model's first
answer is taken as it is. The model's samples share one prompt, so they are one batch over one prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)

from airtune.engine.proposers.base import Job, JobProposer, Untried, active_part
from airtune.engine.proposers.gaussian_process import (
    Floats,
    Vectors,
    levelled,
    log_expected_improvement,
    posterior_kernels,
)
from airtune.engine.proposers.lm import LMProposer, sample
from airtune.engine.proposers.optuna_based import one_thread
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Proposal
from airtune.grammars import DecodeError
from airtune.models import LanguageModel

SAMPLES = 16  # of the model, per proposal
START = 3  # told trials before the process has a say
# Candidates beside the model's: neighbours of the best trials, and uniform ones. Without them the process could only
# choose among what the model, which has seen no more than it, happens to say.
NEIGHBOURS, UNIFORM = 256, 128
_BEST = 4  # trials whose neighbours are looked at
_STEPS = (0.3, 0.1, 0.03, 0.01)  # standard deviations of a step, in units of a scale


class LMGPProposer(JobProposer):
    """Proposes the candidate of highest expected improvement among a language model's and its surroundings.

    Attributes:
        lm: The proposer whose requests, checks and transcripts are used.
    """

    name = "lm+gp"

    def __init__(self, model: LanguageModel, temperature: float | None = None) -> None:
        self.lm = LMProposer(model, temperature)

    def propose_jobs(self, jobs: Sequence[Job]) -> None:
        """Fill in every job's proposal, all the model's samples in one batch; None where a space is exhausted.

        Raises:
            ModelError: See `LMProposer.propose_jobs`.
        """
        early = [job for job in jobs if sum(t.loss is not None for t in job.history) < START]
        self.lm.propose_jobs(early)
        asked = []
        for job in (job for job in jobs if job not in early):
            request = self.lm.request(job.task, job.history, job.pending, job.seed)
            if request is not None:
                first = request.seed
                seeds = [first, *(derive_seed(first, k) for k in range(1, SAMPLES))]
                asked.append((job, [replace(request, seed=seed) for seed in seeds]))
        completions = iter(self.lm.model.generate([r for _, requests in asked for r in requests]))
        for job, requests in asked:
            untried = Untried(job.task, job.history, job.pending)
            said: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
            samples: list[dict[str, Any]] = []  # all of them: a replay chooses again without the model
            for request in requests:
                completion = next(completions)
                samples.append(sample(request, completion))
                try:
                    config = self.lm.accept(job.task, job.history, job.pending, request, completion, untried)
                except DecodeError as error:
                    job.rejected.append(
                        {"seed": request.seed, "text": completion.text, "reason": error.message}
                    )
                    continue
                said.setdefault(
                    completion.text, (config, self.lm.transcript(request, completion, 0, job.rejected))
                )
            if said:
                picked = self._pick(job, list(said.values()), untried)
                job.proposal = replace(picked, transcript={**(picked.transcript or {}), "samples": samples})
            else:  # the model alone, which tries again and says what went wrong
                self.lm.propose_jobs([job])

    def _pick(
        self, job: Job, said: Sequence[tuple[dict[str, Any], dict[str, Any]]], untried: Untried
    ) -> Proposal:
        space, vectors = job.task.space, Vectors(job.task.space)
        rng = np.random.default_rng(derive_seed(self.name, job.seed))
        told = sorted((t for t in job.history if t.loss is not None), key=lambda t: (t.loss, t.number))
        best = np.array([vectors.vector(_whole(space, trial.config)) for trial in told[:_BEST]])
        drawn = np.concatenate([_neighbours(vectors, best, rng), _uniform(vectors, rng)])
        rows = drawn
        if space.conditions:  # what is drawn has a value for every hyperparameter; some are inactive
            rows = np.array([vectors.vector(_config(space, vectors, row)) for row in drawn])
        points = vectors.points(
            np.concatenate([np.array([vectors.vector(config) for config, _ in said]), rows])
        )
        tried = vectors.points(np.array([vectors.vector(trial.config) for trial in job.history]))
        level = levelled(np.array([np.inf if t.loss is None else t.loss for t in job.history]))
        asked = [vectors.vector(trial.config) for trial in job.pending]
        pending = vectors.points(np.array(asked)) if asked else None
        with one_thread():
            kernels = posterior_kernels(tried, level, rng)
            value = log_expected_improvement(tried, level, points, *kernels, pending)
        own, other = value[: len(said)], value[len(said) :]
        config, transcript = said[int(own.argmax())]
        ranking = {
            "log_ei": [round(float(v), 6) for v in own],
            "best_other_log_ei": round(float(other.max()), 6),
        }
        transcript = {**transcript, "ranking": ranking}
        for i in np.argsort(-other, kind="stable"):
            if other[i] <= own.max():
                break
            admitted = untried.admit(_config(space, vectors, drawn[i]))
            if admitted is not None:
                return Proposal(admitted, f"{self.name}:gp", transcript)
        return Proposal(config, self.name, transcript)


def _whole(space: ConfigurationSpace, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with a value for every hyperparameter."""
    return {name: config.get(name, hp.default_value) for name, hp in space.items()}


def _config(space: ConfigurationSpace, vectors: Vectors, row: Floats) -> dict[str, Any]:
    """The configuration of a vector that has a value for every hyperparameter."""
    values = _whole(
        space, {name: _value(hp, v) for (name, hp), v in zip(vectors.varying.items(), row, strict=True)}
    )
    return active_part(space, values) if space.conditions else values


def _value(hp: Any, vector: float) -> Any:
    value = hp.to_value(np.float64(vector))
    return value.item() if isinstance(value, np.generic) else value


def _levels(hp: Any) -> int:
    """How many values a choice or an ordinal has; 0 for a number."""
    if isinstance(hp, CategoricalHyperparameter):
        return len(hp.choices)
    return len(hp.sequence) if isinstance(hp, OrdinalHyperparameter) else 0


def _legal(hp: Any, column: Floats) -> Floats:
    """Vector values moved to those that the hyperparameter's values have."""
    if isinstance(hp, IntegerHyperparameter):
        column = hp.to_vector(hp.to_value(np.clip(column, 0.0, 1.0)))
    return np.clip(column, 0.0, max(1, _levels(hp) - 1))


def _uniform(vectors: Vectors, rng: np.random.Generator) -> Floats:
    """Vectors (UNIFORM, hyperparameters) drawn uniformly on every hyperparameter's scale."""
    columns = [
        rng.integers(_levels(hp), size=UNIFORM).astype(float)
        if _levels(hp)
        else _legal(hp, rng.random(UNIFORM))
        for hp in vectors.varying.values()
    ]
    return np.stack(columns, axis=1)


def _neighbours(vectors: Vectors, best: Floats, rng: np.random.Generator) -> Floats:
    """Vectors (NEIGHBOURS, hyperparameters) a step away from one of the best trials' vectors."""
    rows = best[np.arange(NEIGHBOURS) % len(best)].copy()
    size = np.array(_STEPS)[np.arange(NEIGHBOURS) % len(_STEPS)]
    count = rng.integers(1, min(3, rows.shape[1]) + 1, size=NEIGHBOURS)  # hyperparameters that move
    moved = rng.random(rows.shape).argsort(1) < count[:, None]
    for j, hp in enumerate(vectors.varying.values()):
        step, levels = size * rng.standard_normal(NEIGHBOURS), _levels(hp)
        if isinstance(hp, CategoricalHyperparameter):
            there = rng.integers(levels, size=NEIGHBOURS).astype(float)
        elif levels:
            there = rows[:, j] + np.where(step < 0, -1, 1) * np.maximum(
                1, np.rint(np.abs(step) * (levels - 1))
            )
        else:
            there = rows[:, j] + step
        rows[:, j] = np.where(moved[:, j], _legal(hp, there), rows[:, j])
    return rows
