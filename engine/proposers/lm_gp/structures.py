"""Where `lm+gp` looks for candidates of the process's own: in the whole space, or near what the model wrote.

Programs keep the structure that the model gave them, in its answers or in the best trials; the numbers are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from ConfigSpace import ConfigurationSpace

from airtune.engine.proposers.lm_gp.candidates import Candidates
from airtune.engine.proposers.lm_gp.gaussian_process import Floats

# Whose numbers are searched: the answers of highest acquisition, and the best trials. Each takes as many candidates as
# a whole space does.
ANSWERS, TRIALS = 4, 2

Config: TypeAlias = Mapping[str, Any]


class Numbers(Candidates):
    """The programs of one structure: what is not a number stays as it is.

    Args:
        whole: The candidates of the whole space.
        config: A program of this structure.
        names: The numbers of all programs.

    Attributes:
        space: Those of its numbers, of which none is conditional any more.
    """

    def __init__(self, whole: Candidates, config: Config, names: Collection[str]) -> None:
        space = ConfigurationSpace()
        space.add([hp for name, hp in whole.space.items() if name in config and name in names])
        super().__init__(space)
        self._whole, self._config = whole, config
        self._vector = whole.encoder.vectors([config])
        self._columns = [list(whole.encoder.varying).index(name) for name in self.encoder.varying]

    def config(self, row: Floats) -> dict[str, Any]:
        """See `Candidates.config`: a whole program's."""
        return {**self._config, **super().config(row)}

    def points(self, rows: Floats) -> Floats:
        """See `Candidates.points`: where whole programs are."""
        vectors = np.repeat(self._vector, len(rows), axis=0)
        vectors[:, self._columns] = rows
        return self._whole.encoder.points(vectors)


def search(
    whole: Candidates,
    answers: Sequence[Config],
    best: Sequence[Config],
    acquisition: Callable[[Floats], Floats],
    rng: np.random.Generator,
) -> Sequence[tuple[Candidates, Floats, Floats]]:
    """Candidates with their vectors and acquisition values: all that there are, and of programs structure by structure.

    Args:
        whole: The candidates of the whole space.
        answers: What the model wrote, highest acquisition first.
        best: The configurations of the best trials, best first.
        acquisition: See `Candidates.search`.
        rng: Draws the candidates.
    """
    names = _numbers(whole.space)
    if names is None:
        return [(whole, *whole.search(best, acquisition, rng))]

    def structure(config: Config) -> frozenset[tuple[str, Any]]:
        return frozenset((name, value) for name, value in config.items() if name not in names)

    found = []
    for one in dict.fromkeys(map(structure, [*answers[:ANSWERS], *best[:TRIALS]])):
        alike = [config for config in (*best, *answers) if structure(config) == one]
        made = Numbers(whole, alike[0], names)
        if made.encoder.varying:
            found.append((made, *made.search(alike, acquisition, rng)))
    return found


def _numbers(space: ConfigurationSpace) -> frozenset[str] | None:
    """The numbers of a space of programs, None of any other."""
    if not any(
        hp.meta for hp in space.values()
    ):  # few spaces say anything more: theirs is not loaded in vain
        return None
    from airtune.grammars import programs_of

    programs = programs_of(space)
    return None if programs is None else programs.numbers
