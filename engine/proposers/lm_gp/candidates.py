"""What `lm+gp` chooses among beside the answers: the whole space where it is small, else places worth a look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)

from airtune.engine.proposers.base import active_part
from airtune.engine.proposers.lm_gp.gaussian_process import Floats, Vectors
from airtune.grammars import canonical_grammar, once_per_space

# A space of so few configurations is looked at as a whole: ranking them costs less than looking for the best ones.
ENUMERABLE = 1000
# Else the surroundings of the best trials and uniform draws, and then twice the surroundings of the best of these.
NEIGHBOURS, UNIFORM = 256, 128
_BEST = 4  # trials whose neighbours are looked at
_STEPS = (0.3, 0.1, 0.03, 0.01)  # standard deviations of a step, in units of a scale
_FURTHER = 128  # neighbours in each further round
_LEADERS = 6  # candidates whose neighbours they are
_CLOSER = ((0.1, 0.03), (0.03, 0.01))  # their steps, round by round


class Candidates:
    """Configurations of a space as vectors of ConfigSpace, and back.

    Attributes:
        space: The search space.
        vectors: Its configurations as vectors and points.
    """

    def __init__(self, space: ConfigurationSpace) -> None:
        self.space = space
        self.vectors = Vectors(space)

    def whole(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with a value for every hyperparameter."""
        return {name: config.get(name, hp.default_value) for name, hp in self.space.items()}

    def config(self, row: Floats) -> dict[str, Any]:
        """The configuration of a vector that has a value for every hyperparameter."""
        values = self.whole(
            {name: _value(hp, v) for (name, hp), v in zip(self.vectors.varying.items(), row, strict=True)}
        )
        return active_part(self.space, values) if self.space.conditions else values

    def points(self, rows: Floats) -> Floats:
        """Points (m, columns) of vectors (m, hyperparameters), which have values for inactive ones, too."""
        if self.space.conditions:
            rows = self.vectors.vectors([self.config(row) for row in rows])
        return self.vectors.points(rows)

    def search(
        self,
        best: Sequence[Mapping[str, Any]],
        rank: Callable[[Floats], Floats],
        rng: np.random.Generator,
    ) -> tuple[Floats, Floats]:
        """Candidates, and how they rank.

        Args:
            best: The configurations of the best trials, best first.
            rank: Points (m, columns) -> (m,), larger is better.
            rng: Draws the candidates.

        Returns:
            Vectors (m, hyperparameters) and ranks (m,).
        """
        everything = _everything(self.space)
        if everything is not None:
            return everything, rank(self.points(everything))
        start = self.vectors.vectors([self.whole(config) for config in best[:_BEST]])
        rows = np.concatenate([self._neighbours(start, NEIGHBOURS, _STEPS, rng), self._uniform(rng)])
        ranks = rank(self.points(rows))
        for steps in _CLOSER:
            leaders = rows[np.argsort(-ranks, kind="stable")[:_LEADERS]]
            further = self._neighbours(leaders, _FURTHER, steps, rng)
            rows = np.concatenate([rows, further])
            ranks = np.concatenate([ranks, rank(self.points(further))])
        return rows, ranks

    def _uniform(self, rng: np.random.Generator) -> Floats:
        """Vectors (UNIFORM, hyperparameters) drawn uniformly on every hyperparameter's scale."""
        columns = [
            rng.integers(_levels(hp), size=UNIFORM).astype(float)
            if _levels(hp)
            else _legal(hp, rng.random(UNIFORM))
            for hp in self.vectors.varying.values()
        ]
        return np.stack(columns, axis=1)

    def _neighbours(
        self, centres: Floats, count: int, steps: Sequence[float], rng: np.random.Generator
    ) -> Floats:
        """Vectors (count, hyperparameters), each a step away from one of the centres."""
        turn = np.arange(count)
        rows = centres[turn % len(centres)].copy()
        size = np.array(steps)[turn % len(steps)]
        moving = rng.integers(1, min(3, rows.shape[1]) + 1, size=count)  # hyperparameters that move
        moved = rng.random(rows.shape).argsort(1) < moving[:, None]
        for j, hp in enumerate(self.vectors.varying.values()):
            step, levels = size * rng.standard_normal(count), _levels(hp)
            if isinstance(hp, CategoricalHyperparameter):
                there = rng.integers(levels, size=count).astype(float)
            elif levels:
                there = rows[:, j] + np.where(step < 0, -1, 1) * np.maximum(
                    1, np.rint(np.abs(step) * (levels - 1))
                )
            else:
                there = rows[:, j] + step
            rows[:, j] = np.where(moved[:, j], _legal(hp, there), rows[:, j])
        return rows


@once_per_space
def _everything(space: ConfigurationSpace) -> Floats | None:
    """The vectors of all configurations of a space, inactive hyperparameters at their defaults; None of a large one."""
    grammar = canonical_grammar(space)
    count = grammar.count()
    if count > ENUMERABLE:
        return None
    made = Candidates(space)
    return made.vectors.vectors([made.whole(grammar.nth(rank)) for rank in range(count)])


def _value(hp: Any, vector: float) -> Any:
    value = hp.to_value(np.float64(vector))
    return value.item() if isinstance(value, np.generic) else value


def _levels(hp: Any) -> int:
    """How many values a choice or an ordinal has; 0 for a number."""
    if isinstance(hp, CategoricalHyperparameter):
        return len(hp.choices)
    return len(hp.sequence) if isinstance(hp, OrdinalHyperparameter) else 0


def _legal(hp: Any, column: Floats) -> Floats:
    """Vector values moved to those that the hyperparameter's values have."""
    if isinstance(hp, IntegerHyperparameter):
        column = hp.to_vector(hp.to_value(np.clip(column, 0.0, 1.0)))
    return np.clip(column, 0.0, max(1, _levels(hp) - 1))
