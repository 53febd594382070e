"""What `lm+gp` chooses among beside the answers: the whole space where it is small, else promising places."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace, OrConjunction
from ConfigSpace.conditions import Conjunction
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)
from numpy.typing import NDArray

from airtune.engine.proposers.base import active_part
from airtune.engine.proposers.lm_gp.gaussian_process import Floats
from airtune.grammars import canonical_grammar, once_per_space

# A space of so few configurations is ranked as a whole: ranking them costs less than looking for the best ones.
ENUMERABLE = 1000
# Else neighbours of the incumbents and uniform draws, and then twice neighbours of the best of these.
NEIGHBOURS, UNIFORM = 256, 128
_INCUMBENTS = 4  # best trials whose neighbours are candidates
_STEPS = (0.3, 0.1, 0.03, 0.01)  # standard deviations of a step, in units of a scale
_CLOSE_NEIGHBOURS = 128  # in each further round
_CENTRES = 6  # best candidates, whose neighbours they are
_CLOSE_STEPS = ((0.1, 0.03), (0.03, 0.01))  # their steps, round by round


class Encoder:
    """Configurations as points in the unit cube, by way of ConfigSpace's vector form.

    Numbers and ordinals lie on their own scale, a categorical has one column per choice, and a conditional
    hyperparameter has one more column that says whether it is active (0.5 in its place where it is not).

    Attributes:
        varying: The hyperparameters that are not constants, in the order of the columns of a vector.
    """

    def __init__(self, space: ConfigurationSpace) -> None:
        self.varying = {name: hp for name, hp in space.items() if not isinstance(hp, Constant)}
        self._conditional = frozenset(space.conditional_hyperparameters)

    def vectors(self, configs: Sequence[Mapping[str, Any]]) -> Floats:
        """ConfigSpace's vector values (configurations, hyperparameters), NaN where inactive."""
        values = np.full((len(configs), len(self.varying)), np.nan)
        for j, (name, hp) in enumerate(self.varying.items()):
            active = [i for i, config in enumerate(configs) if name in config]
            given = [configs[i][name] for i in active]
            if isinstance(hp, CategoricalHyperparameter | OrdinalHyperparameter):
                values[active, j] = [float(hp.to_vector(value)) for value in given]
            elif given:  # one call for all: it costs as much as for one
                values[active, j] = hp.to_vector(np.array(given))
        return values

    def points(self, vectors: Floats) -> Floats:
        """Points (m, columns) of vectors (m, hyperparameters)."""
        columns: list[Floats] = [np.zeros(len(vectors))]  # never none
        for (name, hp), value in zip(self.varying.items(), vectors.T, strict=True):
            active = ~np.isnan(value)
            if isinstance(hp, CategoricalHyperparameter):
                columns += [(value == i) / math.sqrt(2) for i in range(len(hp.choices))]
            else:
                last = max(1, len(hp.sequence) - 1) if isinstance(hp, OrdinalHyperparameter) else 1
                columns.append(np.where(active, value / last, 0.5))
            if name in self._conditional:
                columns.append(active.astype(float))
        return np.stack(columns, axis=1)


class Candidates:
    """Configurations of a space as vectors of ConfigSpace, and back.

    Attributes:
        space: The search space.
        encoder: Takes its configurations to vectors and points.
    """

    def __init__(self, space: ConfigurationSpace) -> None:
        self.space = space
        self.encoder = Encoder(space)

    def completed(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with a value for every hyperparameter."""
        return {name: config.get(name, hp.default_value) for name, hp in self.space.items()}

    def config(self, row: Floats) -> dict[str, Any]:
        """The configuration of a vector that has a value for every hyperparameter."""
        values = self.completed(
            {name: _value(hp, v) for (name, hp), v in zip(self.encoder.varying.items(), row, strict=True)}
        )
        return active_part(self.space, values) if self.space.conditions else values

    def points(self, rows: Floats) -> Floats:
        """Points (m, columns) of vectors (m, hyperparameters), which have values for inactive ones, too."""
        if self.space.conditions:
            rows = np.where(self.active(rows), rows, np.nan)
        return self.encoder.points(rows)

    def active(self, rows: Floats) -> NDArray[np.bool_]:
        """Where hyperparameters are active (m, hyperparameters), of vectors that have values for inactive ones, too.

        All rows at once: making hundreds of configurations took most of a proposal's time.
        """
        place = {name: j for j, name in enumerate(self.encoder.varying)}
        vectors = np.zeros((len(self.space), len(rows)))  # in the space's order; a constant is 0
        for i, name in enumerate(self.space):  # parents before children
            if name in place:
                vectors[i] = rows[:, place[name]]
            for condition in self.space.parent_conditions_of[name]:
                vectors[i, ~_holds(condition, vectors)] = np.nan
        order = [self.space.index_of[name] for name in place]
        return np.asarray(~np.isnan(vectors[order].T))

    def search(
        self,
        best: Sequence[Mapping[str, Any]],
        acquisition: Callable[[Floats], Floats],
        rng: np.random.Generator,
    ) -> tuple[Floats, Floats]:
        """Candidates and their acquisition values.

        Args:
            best: The configurations of the best trials, best first.
            acquisition: Points (m, columns) -> (m,), larger is better.
            rng: Draws the candidates.

        Returns:
            Vectors (m, hyperparameters) and values (m,).
        """
        all_vectors = _all_vectors(self.space)
        if all_vectors is not None:
            return all_vectors, acquisition(self.points(all_vectors))
        start = self.encoder.vectors([self.completed(config) for config in best[:_INCUMBENTS]])
        rows = np.concatenate([self._neighbours(start, NEIGHBOURS, _STEPS, rng), self._uniform(rng)])
        scores = acquisition(self.points(rows))
        for steps in _CLOSE_STEPS:
            centres = rows[np.argsort(-scores, kind="stable")[:_CENTRES]]
            further = self._neighbours(centres, _CLOSE_NEIGHBOURS, steps, rng)
            rows = np.concatenate([rows, further])
            scores = np.concatenate([scores, acquisition(self.points(further))])
        return rows, scores

    def _uniform(self, rng: np.random.Generator) -> Floats:
        """Vectors (UNIFORM, hyperparameters) drawn uniformly on every hyperparameter's scale."""
        columns = [
            rng.integers(_levels(hp), size=UNIFORM).astype(float)
            if _levels(hp)
            else _legal(hp, rng.random(UNIFORM))
            for hp in self.encoder.varying.values()
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
        for j, hp in enumerate(self.encoder.varying.values()):
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
def _all_vectors(space: ConfigurationSpace) -> Floats | None:
    """The vectors of all configurations of a space, inactive hyperparameters at their defaults; None of a large one."""
    grammar = canonical_grammar(space)
    count = grammar.count()
    if count > ENUMERABLE:
        return None
    made = Candidates(space)
    return made.encoder.vectors([made.completed(grammar.nth(rank)) for rank in range(count)])


def _holds(condition: Any, vectors: Floats) -> NDArray[np.bool_]:
    """Where (m,) a condition holds of vectors (hyperparameters, m), NaN where inactive: a parent has to be active."""
    if isinstance(condition, Conjunction):
        parts = [_holds(one, vectors) for one in condition.components]
        return np.asarray((np.any if isinstance(condition, OrConjunction) else np.all)(parts, axis=0))
    there = ~np.isnan(vectors[condition.parent_vector_id])
    return np.asarray(there & condition.satisfied_by_vector_array(vectors))


def _value(hp: Any, vector: float) -> Any:
    value = hp.to_value(np.float64(vector))
    return value.item() if isinstance(value, np.generic) else value


def _levels(hp: Any) -> int:
    """How many values a choice or an ordinal has; 0 for a number."""
    if isinstance(hp, CategoricalHyperparameter):
        return len(hp.choices)
    return len(hp.sequence) if isinstance(hp, OrdinalHyperparameter) else 0


def _legal(hp: Any, column: Floats) -> Floats:
    """Vector values (m,) moved to the nearest that stand for a value of the hyperparameter."""
    if isinstance(hp, IntegerHyperparameter):
        column = hp.to_vector(hp.to_value(np.clip(column, 0.0, 1.0)))
    return np.clip(column, 0.0, _levels(hp) - 1 if _levels(hp) else 1.0)
