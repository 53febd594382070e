"""What the model believed at each proposal, as figures for the page of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airtune.engine import StudyFile

# A figure is a quarter of a megabyte at most: a page with more than these is slow on a phone.
MOST_CHARACTERS = 12_000_000


@dataclass(frozen=True, slots=True)
class Density:
    """Whether, and how, a report looks into the model.

    Attributes:
        model: The model's name or folder here; None for the recorded one.
        budget: See `airtune.models.inspection.marginals.proposal_densities`; None for its default.
        on_progress: Called with the number of proposals that are done, and of all.
    """

    model: str | None = None
    budget: int | None = None
    on_progress: Callable[[int, int], None] | None = None


def add_densities(
    file: StudyFile, name: str, proposals: Sequence[dict[str, Any]], density: Density, prefix: str
) -> bool:
    """Give each of a study's proposals that a language model made the figure of what it believed, under "density".

    Args:
        file: The study file.
        name: The study.
        proposals: As `airtune.benchmarks.report.proposals.show` makes them.
        density: How.
        prefix: Of the figures' names on the page, which are unique.

    Returns:
        Whether MOST_CHARACTERS cut them short.

    Raises:
        AirtuneError: See `airtune.engine.replay.inspect.Inspector`.
    """
    from airtune.benchmarks.report.density_figure import density_figure
    from airtune.benchmarks.report.style import inline
    from airtune.engine.replay.inspect import Inspector
    from airtune.models.inspection.marginals import BUDGET

    inspector = Inspector(file, name, density.model, density.budget or BUDGET)
    said = [one for one in proposals if one["transcript"] is not None]
    used = 0
    for done, one in enumerate(said, 1):
        view = inspector.inspect(one["number"])
        one["density"] = inline(lambda view=view: density_figure(view), f"{prefix}-{one['number']}")  # type: ignore[misc]
        used += len(one["density"])
        if density.on_progress is not None:
            density.on_progress(done, len(said))
        if used > MOST_CHARACTERS:
            return done < len(said)
    return False
