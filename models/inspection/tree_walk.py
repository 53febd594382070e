"""A walk through the tree of answers, value by value: how much probability goes where, nothing sampled.

A node of the tree is a prefix of an answer, in tokens. The walk opens all of them, level by level of the space, until
every prefix says what the hyperparameter in question is; the masses then add up to its exact distribution. What would
need more prefixes than the budget allows is not walked, and is told as mass that is not resolved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.grammars import Grammar
from airtune.grammars.automaton import Node
from airtune.models.types import AnswerDistribution, NextTokens

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Values = tuple[tuple[int, int], ...]  # (level, lattice index) of the hyperparameters that are certain so far
INACTIVE = -1  # the index of a hyperparameter that an answer does not have


@dataclass(frozen=True, slots=True)
class Prefix:
    """The start of an answer.

    Attributes:
        tokens: Its token ids.
        values: The values that are certain in it.
        node: The grammar's state after those.
        rest: What is written after them, not certain yet: a number that may go on.
        log_mass: Its log-probability (nats).
    """

    tokens: tuple[int, ...]
    values: Values
    node: Node
    rest: bytes
    log_mass: float


class Children:
    """What each of k continuations adds to a prefix.

    Args:
        tokens: The token ids of each: one, or none for the prefix itself.
        after: What `read_values` says of each: values, the grammar's state, what is not certain yet.
        certain: (k,) whether the level in question is certain after it.
        open: (k,) whether it is not, so that the walk goes on. Neither holds where what is conditioned on does not.
    """

    def __init__(
        self, tokens: Sequence[tuple[int, ...]], after: Sequence[tuple[Values, Node, bytes]], certain: Any, open: Any
    ) -> None:  # fmt: skip
        self.tokens, self.after, self.certain, self.open = tokens, after, certain, open
        self._columns: dict[int, Indices] = {}

    def column(self, level: int) -> Indices:
        """(k,) the index that each has at a level; INACTIVE where it has none."""
        if level not in self._columns:
            found = (dict(values).get(level, INACTIVE) for values, _, _ in self.after)
            self._columns[level] = np.fromiter(found, np.int64, len(self.after))
        return self._columns[level]


@dataclass(frozen=True, slots=True)
class Group:
    """The continuations of one prefix, and (k,) their probabilities: 0 for those that do not count here."""

    parent: Prefix
    children: Children
    mass: Floats

    def prefixes(self) -> Iterator[Prefix]:
        """Those with some mass, as prefixes."""
        for i in self.mass.nonzero()[0].tolist():
            values, node, rest = self.children.after[i]
            tokens, known = (*self.parent.tokens, *self.children.tokens[i]), (*self.parent.values, *values)
            yield Prefix(tokens, known, node, rest, math.log(self.mass[i]))


@dataclass(slots=True)
class Level:
    """The distribution of the hyperparameters up to one level, as far as it was walked.

    Attributes:
        level: The level at which every resolved prefix is certain.
        groups: Resolved prefixes.
        unresolved: Mass of prefixes that were not opened, for want of budget.
    """

    level: int
    groups: list[Group] = field(default_factory=list)
    unresolved: float = 0.0

    def mass(self) -> Floats:
        """(n,) probabilities of the resolved prefixes, in the order of `column`; some are 0."""
        return np.concatenate([np.empty(0), *(group.mass for group in self.groups)])

    def column(self, level: int) -> Indices:
        """(n,) the index that each has at a level; INACTIVE where it has none."""
        parts = [np.empty(0, np.int64)]
        for group in self.groups:
            known = dict(group.parent.values).get(level)
            parts.append(
                group.children.column(level) if known is None else np.full(len(group.mass), known, np.int64)
            )
        return np.concatenate(parts)

    def add(self, prefix: Prefix) -> None:
        """Add a resolved prefix."""
        children = Children([()], [((), prefix.node, prefix.rest)], True, False)
        self.groups.append(Group(prefix, children, np.exp(np.array([prefix.log_mass]))))


class Walk:
    """See the module's docstring.

    Args:
        distribution: Of the model's answers.
        budget: Prefixes to open, at most.
        given: Values (by level) that an answer must have to count: what is conditioned on.

    Attributes:
        left: What is left of the budget.
    """

    def __init__(
        self, distribution: AnswerDistribution, budget: int, given: Mapping[int, int] | None = None
    ) -> None:
        self._distribution, self._grammar = distribution, distribution.grammar
        self._tokens, self._given = distribution.tokens, dict(given or {})
        self.left = budget
        self._children: dict[tuple[int, bytes, int, bytes], Children] = {}

    def levels(self, levels: Sequence[int], start: Sequence[int] = ()) -> Iterator[Level]:
        """The distribution at each of some ascending levels; ends after the first that is not wholly resolved.

        A level that would need more prefixes than are left is not begun.

        Args:
            levels: Which.
            start: Token ids of the prefix that the walk begins at, whose mass is 1.
        """
        written = b"".join(self._tokens[token] for token in start)
        read = read_values(self._grammar, self._grammar.root, written, finished=False)
        open_ = [Prefix(tuple(map(int, start)), *read, 0.0)]
        for level in levels:
            found = self._walk(open_, level)
            yield found
            if found.unresolved > 0 or np.count_nonzero(found.mass()) > self.left:
                return
            open_ = [prefix for group in found.groups for prefix in group.prefixes()]

    def _walk(self, open_: Sequence[Prefix], level: int) -> Level:
        found = Level(level)
        while open_:
            asked = []
            for prefix in open_:
                asked.append(prefix) if prefix.node.level <= level else found.add(prefix)
            if len(asked) > self.left:  # the likeliest first
                asked.sort(key=lambda prefix: -prefix.log_mass)
                found.unresolved += math.fsum(math.exp(prefix.log_mass) for prefix in asked[self.left :])
                asked = asked[: self.left]
            self.left -= len(asked)
            following = self._distribution.next_tokens([prefix.tokens for prefix in asked])
            open_ = []
            for prefix, tokens in zip(asked, following, strict=True):
                open_ += self._open(prefix, tokens, found)
        return found

    def _open(self, prefix: Prefix, following: NextTokens, found: Level) -> list[Prefix]:
        """Add what is certain after one more token to `found`; return what is not."""
        forced = b"".join(self._tokens[token] for token in following.forced)
        ended = not len(following.allowed)
        values, node, rest = read_values(self._grammar, prefix.node, prefix.rest + forced, finished=ended)
        if not self._fits(values):
            return []
        tokens, known = (*prefix.tokens, *following.forced), (*prefix.values, *values)
        parent = Prefix(tokens, known, node, rest, prefix.log_mass)
        if ended or node.level > found.level:  # what was computed of its next token is not needed here
            found.add(parent)
            return []
        key = (id(node), rest, found.level, following.allowed.tobytes())
        if key not in self._children:
            self._children[key] = self._read(node, rest, found.level, following.allowed.tolist())
        children = self._children[key]
        mass = np.exp(prefix.log_mass + following.logprobs)
        found.groups.append(Group(parent, children, np.where(children.certain, mass, 0.0)))
        return list(Group(parent, children, np.where(children.open, mass, 0.0)).prefixes())

    def _read(self, node: Node, rest: bytes, level: int, tokens: Sequence[int]) -> Children:
        written = [self._tokens[token] for token in tokens]
        after = [read_values(self._grammar, node, rest + text, finished=not text) for text in written]
        fits = np.array([self._fits(values) for values, _, _ in after])
        certain = np.array([node.level > level for _, node, _ in after])
        return Children([(token,) for token in tokens], after, fits & certain, fits & ~certain)

    def _fits(self, values: Values) -> bool:
        return all(self._given.get(level, index) == index for level, index in values)


def read_values(
    grammar: Grammar, node: Node, written: bytes, *, finished: bool
) -> tuple[Values, Node, bytes]:
    """Read the values that are certain in a prefix of a text.

    A number is certain only once something else follows it, or the text is finished: `1` may still become `12`.

    Args:
        grammar: The language.
        node: Where to read on from.
        written: What is written after the last certain value.
        finished: Whether nothing follows.

    Returns:
        The values read, the state after them, and what is left.
    """
    lattice, values = grammar.lattice, []
    while node.edges:
        level = node.level
        if lattice.is_silent(level):
            node = node.edges[0][1]
            continue
        lead = node.lead.encode()
        if not written.startswith(lead):
            break
        text = written[len(lead) :].decode("utf-8", errors="ignore")  # a character may be cut in two
        parsed = lattice.axes[level].parse(text, 0)
        child = None if parsed is None else node.follow(parsed[0])
        if parsed is None or child is None:
            break
        index, end = parsed
        if not lattice.axes[level].prefix_free:
            after, expected = text[end:], _next_text(grammar, child)
            certain = (finished and not after) or (
                after and (expected.startswith(after) or after.startswith(expected))
            )
            if not certain or (after and not expected):
                break
        values.append((level, index))
        written, node = written[len(lead) + len(text[:end].encode()) :], child
    return tuple(values), node, written


def _next_text(grammar: Grammar, node: Node) -> str:
    """What is written at a state before any value: the next name, or the end."""
    while node.edges and grammar.lattice.is_silent(node.level):
        node = node.edges[0][1]
    return node.lead
