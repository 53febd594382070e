"""`cmaes`: CMA-ES on the unit cube, made stateless by replaying the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ConfigSpace.hyperparameters import Hyperparameter, NumericalHyperparameter, OrdinalHyperparameter
from numpy.typing import NDArray

from airtune.engine.proposers.base import REDRAWS, OneByOne, active_part, first_new, losses, sample_value
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Proposal, Trial

SIGMA = 0.3  # of the cube's side: about three standard deviations span it, starting from its middle


class CMAESProposer(OneByOne):
    """Covariance matrix adaptation (the `cmaes` package's CMA, its default population size).

    The dimensions are the floats, integers and ordinals, each on the unit interval of its own scale, inactive
    ones at their defaults. Every full generation of the history is told in order, then the next candidate is
    drawn. Choices are drawn uniformly, as in Optuna's CmaEsSampler; in a space of nothing else this is
    uniform search, and the origin says so: "cmaes+uniform". Failed trials are
    told as the worst, those near the best trial as the least bad.
    """

    name = "cmaes"

    def propose_for(self, job: Job) -> Proposal | None:
        """See `OneByOne.propose_for`."""
        space = job.task.space
        rng = np.random.RandomState(derive_seed("cmaes", job.seed) % 2**32)
        cube = {name: hp for name, hp in space.items() if _has_order(hp)}
        search = _replay(cube, job.history, derive_seed("cma", job.seed) % 2**32) if cube else None

        def draw() -> dict[str, Any]:
            values = {name: sample_value(hp, rng) for name, hp in space.items()}
            if search is not None:
                point = search.ask()
                values.update(
                    {name: _from_unit(hp, u) for (name, hp), u in zip(cube.items(), point, strict=False)}
                )
            return active_part(space, values)

        # Without a dimension to search in, go straight to the uniform draw.
        return first_new(self.name, job, draw, REDRAWS if cube else 0)


def _replay(cube: dict[str, Hyperparameter[Any, Any]], history: Sequence[Trial], seed: int) -> Any:
    """A CMA that has been told the history's full generations; `seed` drives what it asks next."""
    from cmaes import CMA

    dimensions = max(2, len(cube))  # older versions refuse one dimension: a second one then lies idle
    search = CMA(
        mean=np.full(dimensions, 0.5),
        sigma=SIGMA,
        bounds=np.tile([0.0, 1.0], (dimensions, 1)),
        seed=seed,
    )
    if not any(trial.loss is not None for trial in history):
        return search
    points = [_point(cube, trial, dimensions) for trial in history]
    told = list(zip(points, _ranked(points, history), strict=True))
    size = search.population_size
    for start in range(0, len(told) - size + 1, size):
        search.tell(told[start : start + size])
    return search


def _ranked(points: Sequence[NDArray[np.float64]], history: Sequence[Trial]) -> list[float]:
    """Losses to rank the trials by: failures are the worst, and of those the nearest to the best trial the least bad.

    Were they all alike, a generation of failures would move the search to any of them.
    """
    found = losses(history)
    best = points[min((trial.loss, i) for i, trial in enumerate(history) if trial.loss is not None)[1]]
    failed = [trial.loss is None for trial in history]
    order = np.argsort(np.argsort(found, kind="stable"), kind="stable")  # the search goes by ranks alone
    return [
        float(len(found) + np.linalg.norm(point - best)) if bad else float(rank)
        for point, bad, rank in zip(points, failed, order, strict=True)
    ]


def _point(cube: dict[str, Hyperparameter[Any, Any]], trial: Trial, dimensions: int) -> NDArray[np.float64]:
    """The trial's place in the cube, of shape (dimensions,)."""
    point = np.full(dimensions, 0.5)
    for i, (name, hp) in enumerate(cube.items()):
        point[i] = _to_unit(hp, trial.config.get(name, hp.default_value))
    return point


def _has_order(hp: Hyperparameter[Any, Any]) -> bool:
    """Whether nearby values mean nearby things, and there is more than one value."""
    if isinstance(hp, OrdinalHyperparameter):
        return len(hp.sequence) > 1
    return isinstance(hp, NumericalHyperparameter)


def _to_unit(hp: Hyperparameter[Any, Any], value: Any) -> float:
    vector = float(hp.to_vector(value))
    return vector / (len(hp.sequence) - 1) if isinstance(hp, OrdinalHyperparameter) else vector


def _from_unit(hp: Hyperparameter[Any, Any], unit: float) -> Any:
    if isinstance(hp, OrdinalHyperparameter):
        return hp.sequence[round(unit * (len(hp.sequence) - 1))]
    return hp.to_value(np.float64(min(max(unit, 0.0), 1.0)))
