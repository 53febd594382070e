"""What a table says of any configuration: the mean of many randomised trees over its rows.

Extremely randomised trees (Geurts et al., 2006) are smooth where they are many, and pass over hyperparameters that do
not matter, as distances to rows would not in fourteen dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.training.corpus.drawing import LEVELS, code_of
from airtune.models.pocket.training.corpus.notation import Param
from airtune.models.pocket.training.corpus.shards import Table, positions

TREES = 64
LEAF = 3  # rows of a leaf at least: a data set's noise is no structure
_INACTIVE = -0.5  # apart from all positions of a scale


class Forest:
    """The loss of any configuration of a table's space.

    Args:
        table: Its rows; one that could not be trained counts as the worst of the others.
    """

    def __init__(self, table: Table) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        self._params = table.params
        loss = table.valid.astype(float)
        loss = np.where(np.isfinite(loss), loss, loss[np.isfinite(loss)].max())
        self._offset = float(np.median(loss)) / 20  # losses have long tails, and some are 0
        forest = ExtraTreesRegressor(TREES, min_samples_leaf=LEAF, random_state=0)
        forest.fit(self._features(positions(table)), np.log(loss + self._offset))
        self._trees = [one.tree_ for one in forest.estimators_]

    def loss(self, config: Mapping[str, Any]) -> float:
        """The expected loss; choices by their names."""
        place = [position(p, config[p.name]) if p.name in config else np.nan for p in self._params]
        return float(self.losses(np.array([place], dtype=np.float32))[0])

    def losses(self, places: NDArray[np.float32]) -> NDArray[np.float64]:
        """The expected losses (m,) at places (m, hyperparameters), see `position`; NaN: inactive."""
        features = self._features(places)
        log_loss = np.mean([tree.predict(features)[:, 0] for tree in self._trees], axis=0)
        return np.asarray(np.exp(log_loss) - self._offset)

    def _features(self, places: NDArray[np.float32]) -> NDArray[np.float32]:
        """One column for a number, one for each choice of a categorical."""
        columns: list[NDArray[Any]] = []
        for p, place in zip(self._params, places.T, strict=True):
            if p.kind == "C":
                columns += [np.floor(place * len(p.choices)) == i for i in range(len(p.choices))]
            else:
                columns.append(np.where(np.isnan(place), _INACTIVE, place))
        return np.stack(columns, axis=1).astype(np.float32)


def position(p: Param, value: Any) -> float:
    """Where a value lies on the unit interval of its scale; a choice, by its name, in the middle of its share."""
    if p.kind in "CO":
        return (names_of(p).index(value) + 0.5) / len(p.choices)
    return code_of(p, value) / LEVELS


def names_of(p: Param) -> Sequence[Any]:
    """What the choices of a categorical are called, or the values of an ordinal."""
    return [str(choice) for choice in p.choices] if p.kind == "C" else list(p.choices)
