"""Bins: neighbouring values of a hyperparameter taken together, on the scale it is drawn on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ConfigSpace.hyperparameters import NumericalHyperparameter
from numpy.typing import NDArray

from airtune.grammars import Grammar
from airtune.models.inspection.tree_walk import Floats, Indices


class Bins:
    """Neighbouring values of a hyperparameter taken together: for drawing, and for the masses of pairs.

    Args:
        grammar: The grammar, for its lattice.
        level: The hyperparameter's.
        most: Bins at most; choices are never taken together.

    Attributes:
        starts: (b,) first index of each bin.
        edges: (b + 1,) where they begin and end on the unit interval of the hyperparameter's (log) scale.
        labels: The choices' texts, or None for numbers.
        log: Whether the scale is logarithmic.
        integer: Whether the values are whole numbers.
    """

    def __init__(self, grammar: Grammar, level: int, most: int) -> None:
        self._axis, self._hp = grammar.lattice.axes[level], grammar.space[grammar.lattice.names[level]]
        size = self._axis.size
        self.log = bool(getattr(self._hp, "log", False))
        self.integer = isinstance(self._axis.value(0), int)
        self.labels: list[str] | None = None
        if not isinstance(self._hp, NumericalHyperparameter):
            self.starts = np.arange(size, dtype=np.int64)
            self.edges = np.linspace(0.0, 1.0, size + 1)
            self.labels = [_label(self._axis.value(i)) for i in range(size)]
            return
        # A whole number is as wide as any other: the scale begins half before the first and ends half after the last.
        half = 0.5 if self.integer else 0.0
        self._ends = float(self._hp.lower) - half, float(self._hp.upper) + half
        wanted = (
            [self._axis.nearest(self.value(i / most)) for i in range(most)] if size > most else range(size)
        )
        self.starts = np.array(sorted({0, *wanted}), dtype=np.int64)
        pairs = [(self._axis.value(i - 1), self._axis.value(i)) for i in self.starts[1:].tolist()]
        self.edges = np.array([0.0, *((self.unit(a) + self.unit(b)) / 2 for a, b in pairs), 1.0])

    def unit(self, value: Any) -> float:
        """Where a value lies on the unit interval of the scale; a choice in the middle of its bin."""
        if self.labels is not None:
            return (self._axis.nearest(value) + 0.5) / self._axis.size
        low, high = self._ends
        return float(
            math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)
        )

    def value(self, unit: float) -> float:
        """The inverse of `unit`, for numbers."""
        low, high = self._ends
        return float(low * (high / low) ** unit if self.log else low + unit * (high - low))

    def of(self, indices: Indices) -> NDArray[np.intp]:
        """The bins that lattice indices are in."""
        return np.searchsorted(self.starts, indices, side="right") - 1

    def masses(self, indices: Indices, mass: Floats) -> Floats:
        """(b,) the probability of each bin, of values with the probabilities `mass`."""
        return np.asarray(np.bincount(self.of(indices), mass, len(self.starts)), dtype=np.float64)


def _label(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.2g}"
    return text if len(text) <= 6 else f"{value:.0e}"
