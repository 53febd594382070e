"""Lattices: which values a space's configurations may take, and how they are put together into one text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ConfigSpace import ConfigurationSpace

from .automaton import Node, NodeFactory, Path, StateBudgetExceeded, build
from .axes import Axis
from .encoded_axis import EncodedAxis
from .errors import GrammarError, SpaceError
from .logic import RELATION_SIZES
from .paths import PathLattice
from .rules import Rules, compile_rules
from .space_check import check_space


@dataclass(frozen=True, slots=True)
class Notation:
    """How the texts of a configuration's active hyperparameters are put together.

    Attributes:
        opening: Before everything.
        separator: Between two spoken hyperparameters.
        closing: After everything.
        keys: Whether the name is written before the value, as a JSON string and a colon.
        silent: Names that are never written: constants, whose value the reader knows.
    """

    opening: str = "{"
    separator: str = ","
    closing: str = "}"
    keys: bool = True
    silent: frozenset[str] = frozenset()

    @classmethod
    def bare(cls, silent: frozenset[str] = frozenset()) -> Notation:
        """No keys, separators or braces: the texts joined; every axis must then be prefix-free."""
        return cls("", "", "", keys=False, silent=silent)


def reading_order(space: ConfigurationSpace) -> tuple[str, ...]:
    """Parents before children, each child as soon as its last parent was read, otherwise the space's order.

    Children next to their parents keep the automaton small: nothing has to be remembered for long.
    """
    placed: dict[str, None] = {}

    def place(name: str) -> None:
        stack = [name]
        while stack:
            one = stack.pop()
            if one in placed or any(parent.name not in placed for parent in space.parents_of[one]):
                continue
            placed[one] = None
            ready = {child.name for child in space.children_of[one]}
            stack.extend(n for n in reversed(list(space)) if n in ready)

    for name in space:
        if not space.parents_of[name]:
            place(name)
    return tuple(placed)


class Lattice(PathLattice):
    """A space, one axis per hyperparameter, and a notation; the automaton over it is built once and kept.

    Args:
        space: The search space; it must not be changed afterwards.
        axes: One axis per hyperparameter name. Axes of numbers ascend.
        notation: How texts are put together.

    Attributes:
        names: The hyperparameters in reading order.

    Raises:
        SpaceError: If the space or an axis is not usable, or the notation would be ambiguous.
    """

    def __init__(
        self, space: ConfigurationSpace, axes: Mapping[str, Axis], notation: Notation | None = None
    ) -> None:
        check_space(space)
        for name in axes.keys() - set(space):
            raise SpaceError.unknown("hyperparameter", name, space)
        self.notation = notation or Notation()
        names = reading_order(space)
        missing = [name for name in names if name not in axes]
        if missing:
            raise SpaceError("hyperparameters without an axis", value=missing, hint="give one axis for each")
        super().__init__(space, names, [axes[name] for name in names])
        self._check_notation()

    def _check_notation(self) -> None:
        for name, axis in zip(self.names, self.axes, strict=True):
            if name in self.notation.silent and axis.size != 1:
                raise SpaceError(
                    f"{name!r} cannot be silent: it has {axis.size} values", value=name, allowed="constants"
                )
            if not self.notation.separator and name not in self.notation.silent and not axis.prefix_free:
                raise SpaceError(
                    f"without a separator the texts of {name!r} would be ambiguous",
                    value=name,
                    allowed="axes of which no text is a prefix of another",
                    hint="use texts of one length, or a notation with a separator",
                )

    def lead(self, level: int) -> str:
        """What is written before the value of the hyperparameter at a level, its name included."""
        name = self.names[level]
        if name in self.notation.silent:
            return ""
        # The first in reading order is unconditional, so "first" does not depend on the configuration.
        text = self.notation.opening if level == self._first_spoken else self.notation.separator
        return text + (json.dumps(name, ensure_ascii=False) + ":" if self.notation.keys else "")

    def is_silent(self, level: int) -> bool:
        """Whether the hyperparameter at a level is never written."""
        return self.names[level] in self.notation.silent

    @cached_property
    def _first_spoken(self) -> int:
        return next((i for i in range(len(self.names)) if not self.is_silent(i)), len(self.names))

    @property
    def closing(self) -> str:
        """What is written at the end; the opening too, where nothing is ever spoken."""
        nothing = self._first_spoken == len(self.names)
        return (self.notation.opening if nothing else "") + self.notation.closing

    @cached_property
    def factory(self) -> NodeFactory:
        """Makes the automaton's nodes."""
        lengths = [0 if self.is_silent(i) else axis.max_bytes for i, axis in enumerate(self.axes)]
        return NodeFactory([self.lead(i) for i in range(len(lengths))], lengths, self.closing)

    @cached_property
    def _built(self) -> tuple[Node, bool]:
        encoded = [
            EncodedAxis(self.space[name], axis) for name, axis in zip(self.names, self.axes, strict=True)
        ]
        for rules in self._ever_fewer_rules(encoded):
            try:
                return build(rules, encoded, self.factory), rules.approximate
            except StateBudgetExceeded:
                continue
        raise GrammarError(
            "the conditions of this space need more states than the budget allows",
            value=len(self.names),
            hint="split the space, or make fewer hyperparameters depend on the same far parents",
        )

    def _ever_fewer_rules(self, encoded: Sequence[EncodedAxis]) -> Iterator[Rules]:
        """The rules, then with ever coarser relations, then without forbidden clauses: each forbids less."""
        for size in RELATION_SIZES:
            rules = compile_rules(self.space, encoded, size=size)
            yield rules
        yield Rules(rules.activity, (), approximate=True)

    @property
    def root(self) -> Node:
        """See `PathLattice.root`."""
        return self._built[0]

    @property
    def approximate(self) -> bool:
        """See `PathLattice.approximate`."""
        return self._built[1]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that defines the language: axes, notation, automaton."""
        sha = hashlib.sha256(b"airtune grammar 1\n")
        for level, axis in enumerate(self.axes):
            parts = (self.names[level], self.lead(level), axis.describe(), self.is_silent(level))
            sha.update(json.dumps(parts).encode())
        sha.update(json.dumps(self.closing).encode())
        number: dict[int, int] = {}
        order = [self.root]
        number[id(self.root)] = 0
        for node in order:
            for _, child in node.edges:
                if id(child) not in number:
                    number[id(child)] = len(number)
                    order.append(child)
            sha.update(json.dumps([node.level, [[i, number[id(c)]] for i, c in node.edges]]).encode())
        return sha.hexdigest()

    def read(self, text: str, root: Node) -> tuple[Path | None, str, int]:
        """See `PathLattice.read`."""
        node, pos, path = root, 0, []
        if not node.count:
            return None, "nothing is left in it", 0
        while node.edges:
            level = node.level
            if self.is_silent(level):
                found: tuple[int, int] | None = (0, pos)
            else:
                lead = self.lead(level)
                if not text.startswith(lead, pos):
                    return None, f"expected {lead!r}", pos
                pos += len(lead)
                found = self.axes[level].parse(text, pos)
            if found is None:
                return None, f"no value of {self.names[level]!r}", pos
            index, end = found
            child = node.follow(index)
            if child is None:
                return None, f"{text[pos:end]!r} is excluded or forbidden here", pos
            path.append(index)
            node, pos = child, end
        if text[pos:] != self.closing:
            return None, f"expected {self.closing!r} and the end", pos
        return tuple(path), "", len(text)
