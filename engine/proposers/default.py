"""`default+X`: the space's default configuration first, then X."""

from __future__ import annotations

from collections.abc import Sequence

from airtune.engine.proposers.base import Untried
from airtune.engine.types import Proposal, Proposer, Task, Trial


class DefaultFirst:
    """Proposes the default configuration as long as it is untried, and otherwise what `inner` proposes.

    The default is taken to the canonical lattice first. Where that is forbidden, `inner` starts at once.
    """

    def __init__(self, inner: Proposer) -> None:
        self.inner = inner
        self.name = f"default+{inner.name}"

    def propose(
        self, task: Task, history: Sequence[Trial], pending: Sequence[Trial], seed: int, n: int = 1
    ) -> list[Proposal]:
        """See `airtune.engine.types.Proposer.propose`."""
        first = self.first(task, history, pending)
        if first is None:
            return self.inner.propose(task, history, pending, seed, n)
        if n <= 1:
            return [first][:n]
        number = 1 + max((trial.number for trial in (*history, *pending)), default=-1)
        pending = (*pending, Trial(number, first.config))
        return [first, *self.inner.propose(task, history, pending, seed, n - 1)]

    def first(self, task: Task, history: Sequence[Trial], pending: Sequence[Trial]) -> Proposal | None:
        """The default configuration, or None if it has been tried or may not be."""
        config = Untried(task, history, pending).admit(dict(task.space.get_default_configuration()))
        return None if config is None else Proposal(config, "default")
