"""Random search: every hyperparameter uniform on its own scale, or every configuration as likely as any other."""

from __future__ import annotations

from functools import partial

import numpy as np

from airtune.engine.proposers.base import REDRAWS, OneByOne, Remaining, first_new, uniform_config
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


class UniformProposer(OneByOne):
    """Draws each configuration of the canonical lattice that is left with the same probability, by counting them.

    Where choices lead to more choices, most configurations lie behind few of them: of programs, say, most are the
    longest ones. `RandomProposer` draws each choice by itself, and so the short ones as often.
    """

    name = "uniform"

    def propose_for(self, job: Job) -> Proposal | None:
        """See `OneByOne.propose_for`."""
        config = Remaining(job).uniform(derive_seed(self.name, job.seed))
        return None if config is None else Proposal(config, self.name)
