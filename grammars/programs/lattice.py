"""The automaton over the text of programs, and how a text is read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain

from ConfigSpace import ConfigurationSpace

from ..automaton import STATE_BUDGET, Node, NodeFactory, Path
from ..axes import Axis
from ..canonical import canonical_axis
from ..emit import topological
from ..errors import GrammarError
from ..intervals import Intervals
from ..paths import PathLattice
from .unroll import Parts, Pick, Repeat, Some, Unrolled, Value, joined

_LONGEST = 40  # characters of what was expected, in errors


class ProgramLattice(PathLattice):
    """Programs as paths: what is decided, in the order of the text, with the code between it on the nodes.

    Choices are silent: which alternative it is shows in the code that follows.

    Args:
        unrolled: The program's rules, written out.
        space: The search space of what is decided.
        axes: One per hyperparameter; by default the canonical ones.

    Raises:
        GrammarError: If the automaton would have more states than the budget.
    """

    def __init__(
        self, unrolled: Unrolled, space: ConfigurationSpace, axes: Mapping[str, Axis] | None = None
    ) -> None:
        names = unrolled.names
        super().__init__(space, names, [axes[n] if axes else canonical_axis(space[n]) for n in names])
        self._spoken = frozenset(_spoken(unrolled.parts))
        self._parts = unrolled.parts

    @cached_property
    def factory(self) -> NodeFactory:
        """See `PathLattice.factory`."""
        lengths = [axis.max_bytes if level in self._spoken else 0 for level, axis in enumerate(self.axes)]
        return NodeFactory([""] * len(lengths), lengths, "")

    @cached_property
    def root(self) -> Node:
        """See `PathLattice.root`."""
        return self._before(self._parts, self.factory.end)

    def _before(self, parts: Parts, after: Node) -> Node:
        """The automaton of some parts and what comes after them."""
        make = self.factory.make
        for part in reversed(parts):
            if len(self.factory) > STATE_BUDGET:
                raise GrammarError(
                    f"this program space needs more than {STATE_BUDGET:,} states",
                    value=len(self.axes),
                    allowed=f"up to {STATE_BUDGET:,} states once repetitions and depths are written out",
                    hint="lower a depth, or a repetition within a repetition",
                )
            match part:
                case str():
                    after = self.factory.after(part, after)
                case Value(level):
                    after = make(level, [(((0, self.axes[level].size - 1),), after)])
                case Pick(level, branches):
                    after = make(level, [(_one(i), self._before(b, after)) for i, b in enumerate(branches)])
                case Repeat(level, low, items, between, lead):
                    written = [(lead, *items[0]), *((between, *item) for item in items[1:])]
                    runs = (joined(*chain(*written[:end])) for end in range(low, len(items) + 1))
                    after = make(level, [(_one(i), self._before(run, after)) for i, run in enumerate(runs)])
                case Some():
                    after = self._some(part, after)
        return after

    def _some(self, some: Some, after: Node) -> Node:
        # Per item: the automaton from there on where nothing was written yet, and where something was.
        first = later = after
        for level, item in reversed(list(zip(some.levels, some.items, strict=True))):
            written = self._before(item, later)
            begun = self.factory.after(some.lead, written)
            first = self.factory.make(level, [(_one(0), first), (_one(1), begun)])
            separated = self.factory.after(some.separator, written)
            later = self.factory.make(level, [(_one(0), later), (_one(1), separated)])
        return first

    @cached_property
    def digest(self) -> str:
        """See `PathLattice.digest`."""
        sha = hashlib.sha256(b"airtune programs 1\n")
        for level, axis in enumerate(self.axes):
            sha.update(json.dumps((self.names[level], axis.describe(), self.is_silent(level))).encode())
        order = topological(self.root)
        number = {id(node): at for at, node in enumerate(order)}
        for node in order:
            edges = [[inside, number[id(child)]] for inside, child in node.edges]
            sha.update(json.dumps([node.level, node.lead, edges]).encode())
        return sha.hexdigest()

    def is_silent(self, level: int) -> bool:
        """See `PathLattice.is_silent`."""
        return level not in self._spoken

    def read(self, text: str, root: Node) -> tuple[Path | None, str, int]:
        """See `PathLattice.read`. What a text leaves open is tried out, depth first, no state twice at one place."""
        seen: set[tuple[int, int]] = set()
        problem, farthest = "nothing is left in it", 0
        # A path is (its last index, the path before).
        ahead: list[tuple[Node, int, tuple[int, object] | None]] = [(root, 0, None)] if root.count else []
        while ahead:
            node, at, path = ahead.pop()
            if (id(node), at) in seen:
                continue
            seen.add((id(node), at))
            end = at + len(node.lead)
            same = text.startswith(node.lead, at)
            if same and not node.edges and end == len(text):
                return _indices(path), "", end
            if not same or not node.edges:
                common = end if same else at + _common(node.lead, text[at:end])
                if common >= farthest:
                    expected = node.lead[common - at :][:_LONGEST]
                    problem, farthest = f"expected {expected!r}" if expected else "expected the end", common
                continue
            moves = [(index, stop) for index, stop in self._values(node, text, end)]
            for index, stop in reversed(moves):
                child = node.follow(index)
                if child is not None:
                    ahead.append((child, stop, (index, path)))
            if not moves and end >= farthest:
                problem, farthest = f"no value of {self.names[node.level]!r}", end
        return None, problem, farthest

    def _values(self, node: Node, text: str, at: int) -> Iterator[tuple[int, int]]:
        """What may be read at a place: indices, and where each ends; the longest first."""
        if self.is_silent(node.level):
            pairs = (pair for inside, _ in node.edges for pair in inside)
            yield from ((index, at) for low, high in pairs for index in range(low, high + 1))
            return
        axis: Axis = self.axes[node.level]
        piece = text[at : at + axis.max_bytes]
        while piece and (found := axis.parse(piece, 0)) is not None:
            yield found[0], at + found[1]
            piece = piece[: found[1] - 1]


def _spoken(parts: Parts) -> Iterator[int]:
    """The levels of numbers."""
    for part in parts:
        match part:
            case Value(level):
                yield level
            case Pick(_, inner) | Repeat(_, _, inner) | Some(_, inner):
                for one in inner:
                    yield from _spoken(one)


def _one(index: int) -> Intervals:
    return ((index, index),)


def _common(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _indices(path: tuple[int, object] | None) -> Path:
    indices: list[int] = []
    while path is not None:
        indices.append(path[0])
        path = path[1]  # type: ignore[assignment]
    return tuple(reversed(indices))
