"""What a language model cannot speak about, told before the first trial."""

from __future__ import annotations

import warnings

from ConfigSpace import ConfigurationSpace

from airtune.engine.proposers import load_proposer
from airtune.engine.proposers.base import check_limits
from airtune.engine.types import Proposer
from airtune.grammars import SpaceError

# Takes every space, and needs no model.
INSTEAD = "tpe"


class LimitWarning(UserWarning):
    """A search space is beyond a language model's limits, and another proposer proposes."""


def within_limits(proposer: Proposer, space: ConfigurationSpace) -> tuple[Proposer, str | None]:
    """Who proposes in a space: the proposer; or another one, and why, where it is beyond the limits of its model."""
    try:
        check_limits(proposer, space)
    except SpaceError as error:
        first = "default+" if proposer.name.startswith("default+") else ""
        return load_proposer(first + INSTEAD), error.message
    return proposer, None


def warn_of_limits(why: str) -> None:
    """Tell the user, once a search, that another proposer proposes."""
    warnings.warn(f"{why}; {INSTEAD} proposes instead", LimitWarning, stacklevel=3)
