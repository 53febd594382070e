"""All kinds of faults, by the names that `python -m tests.faults --kinds` takes."""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.faults.damage import damaged
from tests.faults.harness import Lab
from tests.faults.kills import SETTINGS, kill_study, kill_worker
from tests.faults.signals import interrupt
from tests.faults.starvation import full_by_limit, full_for_real, hungry_objective, hungry_study, read_only
from tests.faults.table import Row


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        inject: Injects it so many times, and says what came of it.
        share: Of all SIGKILLs of studies; None for other kinds.
    """

    inject: Callable[[Lab, int], Row]
    share: float | None = None

    def times(self, sigkills: int, others: int) -> int:
        """How often, if studies are to be killed `sigkills` times in all."""
        return others if self.share is None else math.ceil(self.share * sigkills)


# Shares of the SIGKILLs, in hundredths: a run with a model or a comparison takes seconds, the others less.
_SHARES = dict(zip(SETTINGS, (24, 16, 16, 14, 8, 10, 8, 4), strict=True))


def _of(inject: Callable[..., Row], *what: Any) -> Callable[[Lab, int], Row]:
    return lambda lab, times: inject(lab, *what, times)


def _all() -> Iterator[tuple[str, Kind]]:
    for name in SETTINGS:
        yield f"kill/{name}", Kind(_of(kill_study, name), _SHARES[name] / 100)
    for name in ("worker process", "4 jobs"):
        yield f"worker/{name}", Kind(_of(kill_worker, name))
    for number in (signal.SIGINT, signal.SIGTERM):
        for how in ("once", "twice", "to all"):
            yield f"{number.name}/{how}", Kind(_of(interrupt, number, how))
    yield "disk/limit", Kind(full_by_limit)
    yield "disk/full", Kind(full_for_real)
    yield "read-only/before", Kind(_of(read_only, False))
    yield "read-only/meanwhile", Kind(_of(read_only, True))
    yield "memory/objective", Kind(hungry_objective)
    yield "memory/study", Kind(hungry_study)
    yield "damage/page", Kind(_of(damaged, "page"))
    yield "damage/truncation", Kind(_of(damaged, "truncation"))


KINDS = {re.sub(r"[^\w/]+", "-", name): kind for name, kind in _all()}
