"""What a model believed when it made a proposal: the exact law of every hyperparameter, and of pairs of them.

The law of one hyperparameter sums over all that may be said before it. Where those beginnings are few enough to open
them all, it is exact without any condition (marginal); beyond, it is exact given what the proposal said before
(conditional). Which of the two it is, is always told; nothing is sampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from airtune.grammars import Grammar
from airtune.models.inspection.bins import Bins
from airtune.models.inspection.tree_walk import INACTIVE, Floats, Indices, Level, Said, Walk, read_on
from airtune.models.types import AnswerDistribution, ModelError

BUDGET = 4096  # beginnings of answers opened for one walk
BINS = 40  # along a side of a pair


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """The law of one hyperparameter.

    Attributes:
        name: The hyperparameter.
        level: Its place in the order in which answers are spoken.
        given: The values said before that it is conditional on, by name; none for a marginal law.
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
    """The joint law of two hyperparameters, in exact masses of `Bins`.

    Attributes:
        first: The one that is spoken first.
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
    """All of it, for one proposal.

    Attributes:
        grammar: The language of the answers.
        univariate: One per hyperparameter that has a choice, in speaking order.
        pairs: Of hyperparameters that the proposal speaks one after the other.
        missing: Pairs that would have needed more than the budget.
        opened: Beginnings of answers that were opened in all.
        budget: Beginnings that one walk may open.
    """

    grammar: Grammar
    univariate: tuple[Density, ...]
    pairs: tuple[Pair, ...]
    missing: tuple[tuple[str, str], ...]
    opened: int
    budget: int


def proposal_densities(
    law: AnswerDistribution, token_ids: Sequence[int], budget: int = BUDGET
) -> ProposalDensities:
    """Work out what a model believed.

    Args:
        law: Its law of the answers to the prompt of the proposal.
        token_ids: The answer it gave.
        budget: Beginnings of answers that one walk may open: more make more laws marginal, and take longer.

    Raises:
        ModelError: If the answer is not one of the grammar's, or the budget is below 1.
    """
    if budget < 1:
        raise ModelError(
            "the budget must be 1 or more", value=budget, allowed="1, 2, ...", hint=f"{BUDGET}, say"
        )
    written = b"".join(law.tokens[t] for t in token_ids)
    said, node, _ = read_on(law.grammar, law.grammar.root, written, finished=True)
    if node.edges:
        raise ModelError(
            f"{written.decode(errors='replace')!r} is not an answer of this grammar", value=list(token_ids),
            hint="the answer was given under another grammar",
        )  # fmt: skip
    return _Believer(law, tuple(token_ids), said, budget).densities()


class _Believer:
    def __init__(self, law: AnswerDistribution, token_ids: tuple[int, ...], said: Said, budget: int) -> None:
        self._law, self._grammar, self._tokens = law, law.grammar, law.tokens
        self._token_ids, self._said, self._budget = token_ids, said, budget
        grammar = law.grammar
        lattice = grammar.lattice
        self._names = lattice.names
        self._spoken = [
            i for i in range(len(lattice.axes)) if not lattice.is_silent(i) and lattice.axes[i].size > 1
        ]
        self._path = [level for level, _ in said if level in self._spoken]
        self._bins = {level: Bins(grammar, level, BINS) for level in self._spoken}
        self._densities: dict[int, Density] = {}
        self._pairs: dict[tuple[int, int], Pair] = {}
        self._opened = 0

    def densities(self) -> ProposalDensities:
        follow = list(zip(self._path, self._path[1:], strict=False))
        reached = self._unconditional(follow)
        for at, level in enumerate(self._path):
            after = self._path[at + 1] if at + 1 < len(self._path) else None
            if level not in self._densities or (after is not None and after not in reached and at > 0):
                self._conditional(level, after)
        return ProposalDensities(
            self._grammar,
            tuple(self._densities[level] for level in sorted(self._densities)),
            tuple(self._pairs[pair] for pair in follow if pair in self._pairs),
            tuple((self._names[a], self._names[b]) for a, b in follow if (a, b) not in self._pairs),
            self._opened,
            self._budget,
        )

    def _unconditional(self, follow: Sequence[tuple[int, int]]) -> set[int]:
        """Laws that need no condition, as far as the budget goes; the levels they were found for."""
        walk = Walk(self._law, self._budget)
        reached: set[int] = set()
        for found in walk.levels(walk.start(), self._spoken):
            # The first one has nothing before it: it is marginal however much of it could be resolved.
            if found.unresolved > 0 and reached:
                break
            reached.add(found.level)
            self._densities[found.level] = self._density(found, {})
            for first, second in follow:
                if second == found.level:
                    self._pairs[first, second] = self._pair(found, first, {})
        self._opened += self._budget - walk.left
        return reached

    def _conditional(self, level: int, after: int | None) -> None:
        """The law at a level given what the proposal said before, and jointly with the level it said next."""
        before = {known: index for known, index in self._said if known < level}
        given = {
            self._names[known]: self._grammar.lattice.axes[known].value(index)
            for known, index in before.items()
            if known in self._spoken
        }
        walk = Walk(self._law, self._budget, keep=before)
        levels = [level] if after is None else [level, after]
        for found in walk.levels(walk.start(self._beginning(level)), levels):
            if found.level == level:
                self._densities.setdefault(level, self._density(found, given))
            elif not found.unresolved:
                self._pairs[level, found.level] = self._pair(found, level, given)
        self._opened += self._budget - walk.left

    def _beginning(self, level: int) -> tuple[int, ...]:
        """The longest part of the proposal that says nothing yet of a level's value."""
        lead = self._grammar.lattice.lead(level).encode()
        written, longest = b"", 0
        for n, token in enumerate(self._token_ids, 1):
            written += self._tokens[token]
            _, node, rest = read_on(self._grammar, self._grammar.root, written, finished=False)
            if node.level < level or (node.level == level and lead.startswith(rest)):
                longest = n
        return self._token_ids[:longest]

    def _density(self, found: Level, given: Mapping[str, Any]) -> Density:
        level = found.level
        indices = np.concatenate([group.column(level) for group in found.groups] or [np.empty(0, np.int64)])
        mass = np.concatenate([group.mass for group in found.groups] or [np.empty(0)])
        whole = math.fsum(mass) + found.unresolved
        unique, at = np.unique(indices, return_inverse=True)
        summed = np.bincount(at, mass, len(unique)) / whole
        active = unique != INACTIVE
        return Density(
            self._names[level], level, given, unique[active], summed[active], float(summed[~active].sum()),
            found.unresolved / whole, dict(self._said).get(level),
        )  # fmt: skip

    def _pair(self, found: Level, first: int, given: Mapping[str, Any]) -> Pair:
        second = found.level
        rows, columns = self._bins[first], self._bins[second]
        shape = (len(rows.starts), len(columns.starts))
        grid = np.zeros(shape[0] * shape[1])
        whole, inactive = found.mass + found.unresolved, 0.0
        for group in found.groups:
            a, b = group.column(first), group.column(second)
            both = (a != INACTIVE) & (b != INACTIVE)
            inactive += float(group.mass[~both].sum())
            at = rows.of(a[both]) * shape[1] + columns.of(b[both])
            grid += np.bincount(at, group.mass[both], len(grid))
        return Pair(
            self._names[first], self._names[second], given, grid.reshape(shape) / whole, inactive / whole,
            found.unresolved / whole,
        )  # fmt: skip
