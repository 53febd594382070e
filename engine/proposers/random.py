"""Random search: every hyperparameter uniform on its own scale."""

from __future__ import annotations

from functools import partial

import numpy as np

from airtune.engine.proposers.base import REDRAWS, OneByOne, first_new, uniform_config
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Job, Proposal


class RandomProposer(OneByOne):
    """Draws every hyperparameter from its own distribution; conditions and forbidden clauses then apply.

    The draw is the one that `ConfigurationSpace.sample_configuration` makes, but from a generator of its own,
    so that it does not move the space's, and bounded where forbidden clauses leave little.
    """

    name = "random"

    def propose_for(self, job: Job) -> Proposal | None:
        """See `OneByOne.propose_for`."""
        rng = np.random.RandomState(derive_seed("random", job.seed) % 2**32)
        return first_new(self.name, job, partial(uniform_config, job.task.space, rng), REDRAWS)
