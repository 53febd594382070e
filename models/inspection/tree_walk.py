"""A walk through the tree of answers, value by value: how much probability goes where, nothing sampled.

A node of the tree is a beginning of an answer in tokens. The walk opens all of them, level by level of the space, until
every beginning has said the hyperparameter in question; the masses then add up to its exact law. What would need more
beginnings than the budget allows is not walked, and is told as mass that is not resolved.
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
Said = tuple[tuple[int, int], ...]  # (level, index) of the values said so far
INACTIVE = -1  # the index of a hyperparameter that an answer does not have


@dataclass(frozen=True, slots=True)
class State:
    """A beginning of an answer.

    Attributes:
        tokens: Its token ids.
        said: The values that are certain in it.
        node: The grammar's state after those.
        rest: What is written after them, not certain yet: a number that may go on.
        log_mass: The log-probability of the beginning (nats).
    """

    tokens: tuple[int, ...]
    said: Said
    node: Node
    rest: bytes
    log_mass: float


@dataclass(slots=True)
class Level:
    """The law of the hyperparameters up to one level, as far as it was walked.

    Attributes:
        level: The level that every resolved beginning has said.
        groups: Resolved beginnings, those that differ in their last token alone together.
        unresolved: Mass of beginnings that were not opened, for want of budget.
    """

    level: int
    groups: list[Group] = field(default_factory=list)
    unresolved: float = 0.0

    @property
    def size(self) -> int:
        """How many beginnings it holds, those without any mass left out."""
        return sum(int(np.count_nonzero(group.mass)) for group in self.groups)

    @property
    def mass(self) -> float:
        """Of all its beginnings."""
        return math.fsum(float(group.mass.sum()) for group in self.groups)


@dataclass(frozen=True, slots=True)
class Group:
    """Beginnings of one parent: `parent` and one of some tokens (or the parent itself, where it has none).

    Attributes:
        parent: The beginning they share.
        kids: What each token makes of it.
        mass: (k,) probabilities.
    """

    parent: State
    kids: Kids
    mass: Floats

    def column(self, level: int) -> Indices:
        """(k,) the index each has at a level that all have said; INACTIVE where it has none."""
        for known, index in self.parent.said:
            if known == level:
                return np.full(len(self.mass), index, dtype=np.int64)
        return self.kids.column(level)

    def states(self) -> Iterator[State]:
        """The beginnings one by one."""
        for token, (said, node, rest), mass in zip(self.kids.tokens, self.kids.after, self.mass, strict=True):
            tokens = self.parent.tokens if token is None else (*self.parent.tokens, int(token))
            log_mass = math.log(mass) if mass > 0 else -math.inf
            yield State(tokens, (*self.parent.said, *said), node, rest, log_mass)


class Kids:
    """What some tokens add to a beginning: certain values, the grammar's state, what is not certain yet."""

    def __init__(self, tokens: Sequence[int | None], after: Sequence[tuple[Said, Node, bytes]]) -> None:
        self.tokens, self.after = tokens, after
        self._columns: dict[int, Indices] = {}

    def column(self, level: int) -> Indices:
        """See `Group.column`."""
        if level not in self._columns:
            found = (dict(said).get(level, INACTIVE) for said, _, _ in self.after)
            self._columns[level] = np.fromiter(found, dtype=np.int64, count=len(self.after))
        return self._columns[level]


class Walk:
    """See the module's docstring.

    Args:
        law: The model's law of the answers.
        budget: Beginnings to open, at most.
        keep: Values (by level) that an answer must have to count: what is conditioned on.
    """

    def __init__(self, law: AnswerDistribution, budget: int, keep: Mapping[int, int] | None = None) -> None:
        self._law, self._grammar, self._tokens = law, law.grammar, law.tokens
        self.left, self._keep = budget, dict(keep or {})
        self._kids: dict[
            tuple[int, bytes, int, bytes], tuple[Kids, NDArray[np.intp], Kids, NDArray[np.intp]]
        ] = {}

    def start(self, tokens: Sequence[int] = ()) -> State:
        """A beginning of an answer, as the whole of the walk: its mass is 1."""
        written = b"".join(self._tokens[t] for t in tokens)
        said, node, rest = read_on(self._grammar, self._grammar.root, written, finished=False)
        return State(tuple(int(t) for t in tokens), said, node, rest, 0.0)

    def levels(self, start: State, levels: Sequence[int]) -> Iterator[Level]:
        """The law at each of some ascending levels; ends early, after the first that is not wholly resolved.

        A level that would need more beginnings than are left is not begun.
        """
        open_: list[State] = [start]
        for level in levels:
            found = self._walk(open_, level)
            yield found
            if found.unresolved > 0 or found.size > self.left:
                return
            open_ = [
                state for group in found.groups for state in group.states() if state.log_mass > -math.inf
            ]

    def _walk(self, open_: Sequence[State], level: int) -> Level:
        found = Level(level)
        while open_:
            done = [state for state in open_ if state.node.level > level]
            found.groups += [_alone(state) for state in done]
            asked = [state for state in open_ if state.node.level <= level]
            if len(asked) > self.left:  # the likeliest first
                asked.sort(key=lambda state: -state.log_mass)
                found.unresolved += math.fsum(math.exp(state.log_mass) for state in asked[self.left :])
                asked = asked[: self.left]
            self.left -= len(asked)
            laws = self._law.next_tokens([state.tokens for state in asked])
            open_ = []
            for state, law in zip(asked, laws, strict=True):
                open_ += self._open(state, law, level, found)
        return found

    def _open(self, state: State, law: NextTokens, level: int, found: Level) -> list[State]:
        """Add what is certain after one more token to `found`; return what is not."""
        forced = b"".join(self._tokens[t] for t in law.forced)
        ended = not len(law.allowed)
        said, node, rest = read_on(self._grammar, state.node, state.rest + forced, finished=ended)
        if not self._fits(said):
            return []
        parent = State((*state.tokens, *law.forced), (*state.said, *said), node, rest, state.log_mass)
        if ended or node.level > level:  # what was computed of its next token is not needed here
            found.groups.append(_alone(parent))
            return []
        key = (id(node), rest, level, law.allowed.tobytes())
        if key not in self._kids:
            self._kids[key] = self._sort(node, rest, level, law.allowed)
        certain, at, others, others_at = self._kids[key]
        mass = np.exp(state.log_mass + law.logprobs)
        found.groups.append(Group(parent, certain, mass[at]))
        return [one for one in Group(parent, others, mass[others_at]).states() if one.log_mass > -math.inf]

    def _sort(
        self, node: Node, rest: bytes, level: int, allowed: NDArray[np.intp]
    ) -> tuple[Kids, NDArray[np.intp], Kids, NDArray[np.intp]]:
        """The tokens after which a level is certain, and the others; each with its positions in `allowed`."""
        parts: tuple[list[Any], list[Any]] = ([], [])
        for at, token in enumerate(allowed.tolist()):
            written = self._tokens[token]
            after = read_on(self._grammar, node, rest + written, finished=not written)
            if self._fits(after[0]):
                parts[after[1].level <= level].append((token, after, at))
        result: list[Any] = []
        for part in parts:
            result += [
                Kids([t for t, _, _ in part], [a for _, a, _ in part]),
                np.array([i for *_, i in part], np.intp),
            ]
        return result[0], result[1], result[2], result[3]

    def _fits(self, said: Said) -> bool:
        return all(self._keep.get(level, index) == index for level, index in said)


def _alone(state: State) -> Group:
    return Group(state, Kids([None], [((), state.node, state.rest)]), np.exp(np.array([state.log_mass])))


def read_on(grammar: Grammar, node: Node, written: bytes, *, finished: bool) -> tuple[Said, Node, bytes]:
    """Read the values that are certain in a beginning of a text.

    A number is certain only once something else follows it, or the text is finished: `1` may still become `12`.

    Args:
        grammar: The language.
        node: Where to read on from.
        written: What is written after the last certain value.
        finished: Whether nothing follows.

    Returns:
        The values read, the state after them, and what is left.
    """
    lattice, said = grammar.lattice, []
    while node.edges:
        level = node.level
        if lattice.is_silent(level):
            node = node.edges[0][1]
            continue
        lead = lattice.lead(level).encode()
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
        said.append((level, index))
        written, node = written[len(lead) + len(text[:end].encode()) :], child
    return tuple(said), node, written


def _next_text(grammar: Grammar, node: Node) -> str:
    """What is written at a state before any value: the next name, or the end."""
    while node.edges and grammar.lattice.is_silent(node.level):
        node = node.edges[0][1]
    return grammar.lattice.lead(node.level) if node.edges else grammar.lattice.closing
