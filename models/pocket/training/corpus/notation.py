"""How the families of search spaces are written down.

Defaults are the libraries'. Where that is 0 and the range is logarithmic, or no limit, the default is the nearest end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airtune.models.pocket.training.corpus.networks import Length

TOLERANCE = Length("tolerance", 1000)
Only = tuple[str, tuple[Any, ...]] | None


@dataclass(frozen=True, slots=True)
class Param:
    """A hyperparameter as its users write it.

    Attributes:
        name: What they call it.
        key: What the estimator calls it.
        kind: `F` float, `L` log float, `I` integer, `J` log integer, `O` ordinal, `C` categorical.
        lower: The lowest value; 0 for a choice.
        upper: The highest value; the number of choices for a choice.
        default: The library's default, the number of the choice for a choice; NaN where the space does not hold it.
        choices: The values of an ordinal or categorical.
        only: Active only where the choice of this name has one of these values.
    """

    name: str
    key: str
    kind: str
    lower: float
    upper: float
    default: float
    choices: tuple[Any, ...] = ()
    only: Only = None


@dataclass(frozen=True, slots=True)
class Family:
    """A search space as one kind of user writes it, and what is trained with it.

    Attributes:
        algorithm: What is run, see `fits`.
        params: The hyperparameters, parents before children.
        tasks: `c` classification, `r` regression, or both.
        length: How long a training is.
        short: A short training in its place, or None: this algorithm has none.
        fewest: A table tunes any `fewest` or more of the parameters, the others being at their default; 0: all.
        fixed: What is the same in every configuration, in the estimator's words.
        cost: Processor seconds of one configuration, roughly: what comes first.
        rows: Least and most rows of the data sets, all parts together.
        proba: Whether there are probabilities, and hence a log loss.
        pool: What tables draw their hyperparameters from, see `mixing`; empty: from `params`.
        defaults: Hyperparameters that are at their default and never tuned.
    """

    algorithm: str
    params: tuple[Param, ...]
    tasks: str = "cr"
    length: Length = TOLERANCE
    short: Length | None = None
    fewest: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    cost: float = 0.05
    rows: tuple[int, int] = (300, 4000)
    proba: bool = True
    pool: tuple[Param, ...] = ()
    defaults: tuple[Param, ...] = ()


def number(
    kind: str, name: str, lower: float, upper: float, default: float, key: str = "", only: Only = None
) -> Param:
    """A number; `kind` as in `Param`. A default outside the range is none."""
    inside = lower <= default <= upper
    return Param(name, key or name, kind, lower, upper, default if inside else float("nan"), (), only)


def choice(name: str, *values: Any, key: str = "", only: Only = None) -> Param:
    """A categorical whose default is its first value."""
    return Param(name, key or name, "C", 0, len(values), 0, values, only)


def ordinal(name: str, *values: float, default: float, key: str = "", only: Only = None) -> Param:
    """Ordered values."""
    place = float(values.index(default)) if default in values else float("nan")
    return Param(name, key or name, "O", 0, len(values), place, values, only)
