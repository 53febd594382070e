"""`local`: random steps from the incumbent, the control of everything that exploits what it has found."""

from __future__ import annotations

from typing import Any

import numpy as np

from airtune.engine.proposers.base import (
    REDRAWS,
    OneByOne,
    active_part,
    first_new,
    sample_value,
    uniform_config,
)
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Proposal

TWO_AT_ONCE = 0.3  # probability that a step changes two hyperparameters instead of one


class LocalProposer(OneByOne):
    """Sets one of the incumbent's active hyperparameters, sometimes two, to new values.

    The incumbent is the told trial of the lowest loss, the earliest of several. A new value is drawn as random search
    draws it: uniformly on the range, the logarithm's range or the choices. What the step makes inactive is dropped,
    what it makes active is drawn too, and all else stays. A step to what has been tried is drawn again. While no trial
    has a loss, all is drawn as random search does.
    """

    name = "local"

    def propose_for(self, job: Job) -> Proposal | None:
        """See `OneByOne.propose_for`."""
        space = job.task.space
        rng = np.random.RandomState(derive_seed(self.name, job.seed) % 2**32)
        told = [trial for trial in job.history if trial.loss is not None]
        incumbent = min(told, key=lambda trial: (trial.loss, trial.number)).config if told else {}
        movable = [name for name in incumbent if space[name].size > 1]

        def draw() -> dict[str, Any] | None:
            if not told:
                return uniform_config(space, rng)
            count = 2 if rng.random_sample() < TWO_AT_ONCE else 1
            moved = {movable[i] for i in rng.permutation(len(movable))[:count]}
            values = {name: sample_value(hp, rng) for name, hp in space.items()}
            values.update((name, value) for name, value in incumbent.items() if name not in moved)
            return active_part(space, values)

        return first_new(self.name, job, draw, REDRAWS)
