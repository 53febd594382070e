"""Is there a program that two configurations write?

The automaton over the text is followed twice at once, in two ways that have parted and have read the same text. Two
ways that meet again, in one state or at the end, are two derivations of one program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations

from .. import derivatives
from ..automaton import Node
from ..emit import topological
from ..errors import GrammarError
from ..paths import PathLattice
from ..pattern import EMPTY, Pattern

# Pairs of states looked at: some seconds of work.
PAIR_BUDGET = 100_000


@dataclass(frozen=True, slots=True)
class _InText:
    """Within the text before a node's value: `at` characters of it are read, and some are left."""

    node: Node
    at: int


@dataclass(frozen=True, slots=True)
class _InValue:
    """Within a number; what may be left of it, and the node after it."""

    rest: frozenset[Pattern]
    node: Node


_State = _InText | _InValue | None  # None: the end
_Pair = tuple[_State, _State]


def check_unambiguous(lattice: PathLattice) -> None:
    """Refuse a lattice of which two configurations have one text.

    Raises:
        GrammarError: If there are such, with the text; or if that could not be found out within the budget.
    """
    twice = _Search(lattice).run()
    if twice is not None:
        raise GrammarError(
            f"this program space is ambiguous: two configurations write the same program\n{twice}",
            value=twice,
            allowed="rules by which every program has one derivation",
            hint="change or remove one of the alternatives that write the same text",
        )


class _Search:
    def __init__(self, lattice: PathLattice) -> None:
        self._lattice = lattice
        self._above: dict[int, tuple[Node, int] | None] = {id(lattice.root): None}  # some way to each node
        self._after: dict[int, list[_State]] = {}
        self._parted: set[int] = set()
        self._left = cache(_left)
        self._ends = cache(self._open_ends)

    def run(self) -> str | None:
        """A text with two derivations, or None."""
        # Two states, what both read last, and what they read before: up to a node, or as another pair.
        queue: list[tuple[_Pair, str, Node | int]] = []
        known: set[frozenset[_State]] = set()

        def add(pair: _Pair, read: str, before: Node | int) -> None:
            if frozenset(pair) in known:
                return
            known.add(frozenset(pair))
            queue.append((pair, read, before))
            if len(queue) > PAIR_BUDGET:
                raise GrammarError(
                    "it takes too long to find out whether this program space is ambiguous",
                    value=len(queue),
                    allowed=f"up to {PAIR_BUDGET:,} pairs of states that read the same text",
                    hint="let alternatives differ early in their text, or lower a repetition",
                )

        def text(before: Node | int) -> str:
            read: list[str] = []
            while isinstance(before, int):
                _, last, before = queue[before]
                read.append(last)
            return self._upto(before) + "".join(reversed(read))

        for node in topological(self._lattice.root):
            for read, states in self._partings(node):
                for pair in combinations(states, 2):
                    if pair[0] == pair[1]:
                        return text(node) + read + _shortest(self._lattice, pair[0])
                    add(pair, read, node)
            for inside, child in node.edges:
                self._above.setdefault(id(child), (node, inside[0][0]))
        for at, (pair, _, _) in enumerate(queue):  # which grows
            for read, after in self._advance(*pair):
                if after[0] == after[1]:
                    return text(at) + read + _shortest(self._lattice, after[0])
                add(after, read, at)
        return None

    def _upto(self, node: Node) -> str:
        """Some text up to a node's value."""
        pieces = [node.lead]
        while (above := self._above[id(node)]) is not None:
            node, index = above
            if not self._lattice.is_silent(node.level):
                pieces.append(self._lattice.axes[node.level].text(index))
            pieces.append(node.lead)
        return "".join(reversed(pieces))

    def _partings(self, node: Node) -> Iterator[tuple[str, list[_State]]]:
        """Where ways part at a node: what was read of its value, and the states after it."""
        if not node.edges:
            return
        silent = self._lattice.is_silent(node.level)
        if id(node.edges) not in self._parted:
            yield "", self._behind(node)
        if silent:  # what parts at once behind these parted here, too
            self._parted.update(id(child.edges) for _, child in node.edges if not child.lead)
        else:
            for inside, child in node.edges:
                for read, rest in self._ends(self._lattice.axes[node.level].pattern(inside)):
                    yield read, [_InValue(rest, child), *self._start(child)]

    def _open_ends(self, pattern: Pattern) -> list[tuple[str, frozenset[Pattern]]]:
        """Where a value may end, and may go on: what was read of it, and what may be left."""
        found: dict[frozenset[Pattern], str] = {}
        seen = {frozenset([pattern]): ""}
        queue = list(seen)
        for rest in queue:  # which grows
            for char in sorted(_firsts_of(rest)):
                after, read = self._left(rest, char), seen[rest] + char
                if more := after - {EMPTY}:
                    if more not in seen:
                        seen[more] = read
                        queue.append(more)
                    if any(map(derivatives.may_end, after)):
                        found.setdefault(more, read)
        return [(read, rest) for rest, read in found.items()]

    def _start(self, node: Node) -> list[_State]:
        return [_InText(node, 0)] if node.lead else self._behind(node)

    def _behind(self, node: Node) -> list[_State]:
        """The states once the text before a node's value is read; one twice if two ways lead there."""
        if not node.edges:
            return [None]
        if id(node) not in self._after:
            found: list[_State] = []
            axis = self._lattice.axes[node.level]
            for inside, child in node.edges:
                if not self._lattice.is_silent(node.level):
                    found.append(_InValue(frozenset([axis.pattern(inside)]), child))
                else:  # several indices with one way on: no text tells them apart
                    found += self._start(child) * min(2, sum(high - low + 1 for low, high in inside))
            self._after[id(node)] = found
        return self._after[id(node)]

    def _advance(self, one: _State, other: _State) -> Iterator[tuple[str, _Pair]]:
        """What both may read, and where they are then."""
        if isinstance(one, _InText) and isinstance(other, _InText):
            n = min(len(one.node.lead) - one.at, len(other.node.lead) - other.at)
            read = one.node.lead[one.at : one.at + n]
            if other.node.lead.startswith(read, other.at):
                for pair in _pairs(self._skip(one, n), self._skip(other, n)):
                    yield read, pair
            return
        for char in sorted(_firsts(one) & _firsts(other)):
            for pair in _pairs(self._step(one, char), self._step(other, char)):
                yield char, pair

    def _skip(self, state: _InText, n: int) -> list[_State]:
        at = state.at + n
        return [_InText(state.node, at)] if at < len(state.node.lead) else self._behind(state.node)

    def _step(self, state: _State, char: str) -> list[_State]:
        if isinstance(state, _InText):
            return self._skip(state, 1) if state.node.lead[state.at] == char else []
        if state is None:
            return []
        rest = self._left(state.rest, char)
        more = rest - {EMPTY}
        found: list[_State] = [_InValue(more, state.node)] if more else []
        return found + (self._start(state.node) if any(map(derivatives.may_end, rest)) else [])


def _pairs(some: Iterable[_State], others: list[_State]) -> Iterator[_Pair]:
    return ((one, other) for one in some for other in others)


def _firsts(state: _State) -> frozenset[str]:
    """The characters that may come next."""
    if isinstance(state, _InText):
        return frozenset(state.node.lead[state.at])
    return frozenset() if state is None else _firsts_of(state.rest)


def _firsts_of(rest: frozenset[Pattern]) -> frozenset[str]:
    return frozenset[str]().union(*map(derivatives.firsts, rest))


def _left(rest: frozenset[Pattern], char: str) -> frozenset[Pattern]:
    """What may be left of a number once one more character is read."""
    return frozenset(after for one in rest for after in derivatives.after(one, char))


def _shortest(lattice: PathLattice, state: _State) -> str:
    """Some text from a state to the end."""
    if state is None:
        return ""
    if isinstance(state, _InValue):
        text, rest = "", state.rest
        while not any(map(derivatives.may_end, rest)):
            char = min(_firsts_of(rest))
            text, rest = text + char, _left(rest, char)
        return text + _shortest(lattice, _InText(state.node, 0))
    node, text = state.node, state.node.lead[state.at :]
    while node.edges:
        inside, child = node.edges[0]
        if not lattice.is_silent(node.level):
            text += lattice.axes[node.level].text(inside[0][0])
        node = child
        text += node.lead
    return text
