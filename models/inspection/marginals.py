"""The exact distribution of every hyperparameter, and of pairs of them, that a model's answer was drawn from.

The distribution of one hyperparameter sums over all values of those before it in the text. Where those prefixes are few
enough to open them all, it is exact without any condition (marginal); beyond, it is exact given the values before it in
the answer (conditional). Which of the two it is, is always told; nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from airtune.grammars import Grammar
from airtune.models.inspection.bins import Bins
from airtune.models.inspection.tree_walk import INACTIVE, Floats, Indices, Level, Walk, read_values
from airtune.models.types import AnswerDistribution, ModelError

BUDGET = 4096  # prefixes of answers opened for one walk
BINS = 40  # along a side of a pair


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """The distribution of one hyperparameter.

    Attributes:
        name: The hyperparameter.
        level: Its place in the order in which answers are written.
        given: The values before it that it is conditional on, by name; none if it is marginal.
        indices: (k,) lattice indices of the values that were resolved, ascending.
        mass: (k,) their probabilities.
        inactive: Probability that an answer does not have it.
        unresolved: Probability of what the budget did not reach.
        chosen: Index of the value that was proposed; None where the proposal does not have it.
    """

    name: str
    level: int
    given: Mapping[str, Any]
    indices: Indices
    mass: Floats
    inactive: float
    unresolved: float
    chosen: int | None

    @property
    def marginal(self) -> bool:
        """Whether it is unconditional."""
        return not self.given

    @property
    def entropy(self) -> float:
        """In bits, over the values; what is inactive or not resolved counts as one value each."""
        parts = np.array([*self.mass, self.inactive, self.unresolved])
        parts = parts[parts > 0]
        return abs(float(-(parts * np.log2(parts)).sum()))

    def of(self, index: int | None) -> float:
        """The probability of one index."""
        at = None if index is None else int(np.searchsorted(self.indices, index))
        found = at is not None and at < len(self.indices) and self.indices[at] == index
        return float(self.mass[at]) if found else 0.0

    @property
    def rank(self) -> int | None:
        """How many values are at least as likely as the chosen one, itself included; None without one."""
        return None if self.chosen is None else 1 + int((self.mass > self.of(self.chosen)).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The joint distribution of two hyperparameters, in exact masses of `Bins`.

    Attributes:
        first: The one that is written first.
        second: The other.
        given: As in `Density`.
        mass: (bins of the first, bins of the second) probabilities.
        inactive: Probability that an answer lacks one of them.
        unresolved: Probability of what the budget did not reach.
    """

    first: str
    second: str
    given: Mapping[str, Any]
    mass: Floats
    inactive: float
    unresolved: float


@dataclass(frozen=True, slots=True, eq=False)
class ProposalDensities:
    """The densities of one answer.

    Attributes:
        grammar: The language of the answers.
        univariate: One per hyperparameter that has a choice, in the order of the text.
        pairs: Of hyperparameters that stand one after the other in the answer.
        missing: Pairs that would have needed more than the budget.
        opened: Prefixes of answers that were opened in all.
        budget: Prefixes that one walk may open.
    """

    grammar: Grammar
    univariate: tuple[Density, ...]
    pairs: tuple[Pair, ...]
    missing: tuple[tuple[str, str], ...]
    opened: int
    budget: int


def proposal_densities(
    distribution: AnswerDistribution, token_ids: Sequence[int], budget: int = BUDGET
) -> ProposalDensities:
    """Work out the densities of one answer.

    Args:
        distribution: Of the answers to the prompt that the answer was given to.
        token_ids: The answer.
        budget: Prefixes of answers that one walk may open: more make more densities marginal, and take longer.

    Raises:
        ModelError: If the answer is not one of the grammar's, that is one of programs, or the budget is below 1.
    """
    if budget < 1:
        raise ModelError(
            "the budget must be 1 or more", value=budget, allowed="1, 2, ...", hint=f"{BUDGET}, say"
        )
    grammar = distribution.grammar
    if any(
        grammar.lattice.is_silent(level) and axis.size > 1 for level, axis in enumerate(grammar.lattice.axes)
    ):
        raise ModelError(
            "the text of a program shows its choices only later on: their densities are not worked out",
            value=grammar.hash,
            allowed="grammars of configurations",
            hint="ask for the program in the search space that it is a configuration of (`ProgramSpace.space`)",
        )
    written = b"".join(distribution.tokens[token] for token in token_ids)
    answer, node, _ = read_values(grammar, grammar.root, written, finished=True)
    if node.edges:
        raise ModelError(
            f"{written.decode(errors='replace')!r} is not an answer of this grammar", value=list(token_ids),
            hint="the answer was given under another grammar",
        )  # fmt: skip
    return _Densities(distribution, tuple(token_ids), dict(answer), budget).all()


class _Densities:
    def __init__(
        self,
        distribution: AnswerDistribution,
        token_ids: tuple[int, ...],
        answer: Mapping[int, int],
        budget: int,
    ) -> None:
        self._distribution, self._grammar = distribution, distribution.grammar
        self._token_ids, self._answer, self._budget = token_ids, answer, budget
        lattice = self._grammar.lattice
        self._names, self._axes = lattice.names, lattice.axes
        self._varying = [
            i for i, axis in enumerate(lattice.axes) if axis.size > 1 and not lattice.is_silent(i)
        ]
        self._bins = {level: Bins(self._grammar, level, BINS) for level in self._varying}
        self._walks: list[Walk] = []
        self._single: dict[int, Density] = {}
        self._pairs: dict[tuple[int, int], Pair] = {}

    def all(self) -> ProposalDensities:
        path = [level for level in self._answer if level in self._varying]
        follow = list(pairwise(path))
        for found in self._levels(self._varying, {}):
            # The first one has nothing before it: it is marginal however much of it could be resolved.
            if found.unresolved > 0 and self._single:
                break
            self._single[found.level] = self._density(found, {})
            for first, second in follow:
                if second == found.level:
                    self._pairs[first, second] = self._pair(found, first, {})
        reached = set(self._single)
        for at, level in enumerate(path):
            after = path[at + 1 : at + 2]
            if level not in reached or (at > 0 and not reached.issuperset(after)):
                self._conditional(level, after)
        return ProposalDensities(
            self._grammar,
            tuple(self._single[level] for level in sorted(self._single)),
            tuple(self._pairs[pair] for pair in follow if pair in self._pairs),
            tuple((self._names[a], self._names[b]) for a, b in follow if (a, b) not in self._pairs),
            sum(self._budget - walk.left for walk in self._walks),
            self._budget,
        )

    def _conditional(self, level: int, after: Sequence[int]) -> None:
        """The density at a level given the answer's values before it, and jointly with the level that comes after."""
        before = {known: index for known, index in self._answer.items() if known < level}
        given = {self._names[i]: self._axes[i].value(before[i]) for i in self._varying if i in before}
        for found in self._levels([level, *after], before, self._start(level)):
            if found.level == level:
                self._single.setdefault(level, self._density(found, given))
            elif not found.unresolved:
                self._pairs[level, found.level] = self._pair(found, level, given)

    def _levels(
        self, levels: Sequence[int], given: Mapping[int, int], start: Sequence[int] = ()
    ) -> Iterator[Level]:
        walk = Walk(self._distribution, self._budget, given)
        self._walks.append(walk)
        return walk.levels(levels, start)

    def _start(self, level: int) -> tuple[int, ...]:
        """The longest prefix of the answer that says nothing yet of a level's value."""
        written, longest = b"", 0
        for n, token in enumerate(self._token_ids, 1):
            written += self._distribution.tokens[token]
            _, node, rest = read_values(self._grammar, self._grammar.root, written, finished=False)
            if node.level < level or (node.level == level and node.lead.encode().startswith(rest)):
                longest = n
        return self._token_ids[:longest]

    def _density(self, found: Level, given: Mapping[str, Any]) -> Density:
        level, mass = found.level, found.mass()
        whole = float(mass.sum()) + found.unresolved
        indices, at = np.unique(found.column(level), return_inverse=True)
        summed = np.bincount(at, mass, len(indices)) / whole
        active = indices != INACTIVE
        return Density(
            self._names[level], level, given, indices[active], summed[active], float(summed[~active].sum()),
            found.unresolved / whole, self._answer.get(level),
        )  # fmt: skip

    def _pair(self, found: Level, first: int, given: Mapping[str, Any]) -> Pair:
        second, mass = found.level, found.mass()
        rows, columns = self._bins[first], self._bins[second]
        a, b = found.column(first), found.column(second)
        both = (a != INACTIVE) & (b != INACTIVE)
        grid = np.zeros((len(rows.starts), len(columns.starts)))
        np.add.at(grid, (rows.of(a[both]), columns.of(b[both])), mass[both])
        whole = float(mass.sum()) + found.unresolved
        return Pair(
            self._names[first], self._names[second], given, grid / whole, float(mass[~both].sum()) / whole,
            found.unresolved / whole,
        )  # fmt: skip
