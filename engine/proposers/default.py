"""`default+X`: the space's default configuration first, then X."""

from __future__ import annotations

from collections.abc import Sequence

from airtune.engine.proposers.base import Remaining
from airtune.engine.types import Job, Proposal, Proposer


class DefaultFirst:
    """Proposes the default configuration as long as it is untried, and otherwise what `inner` proposes.

    The default is taken to the canonical lattice first. Where that is forbidden, `inner` starts at once.
    """

    def __init__(self, inner: Proposer) -> None:
        self.inner = inner
        self.name = f"default+{inner.name}"

    def propose(self, jobs: Sequence[Job]) -> None:
        """See `airtune.engine.types.Proposer.propose`."""
        for job in jobs:
            job.proposal = self.first(job)
        self.inner.propose([job for job in jobs if job.proposal is None])

    def first(self, job: Job) -> Proposal | None:
        """The default configuration, or None if it has been tried or may not be."""
        config = Remaining(job).admit(dict(job.task.space.get_default_configuration()))
        return None if config is None else Proposal(config, "default")
