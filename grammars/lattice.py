"""Lattices: which values a space's configurations may take, and how they are put together into one text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Constant, OrdinalHyperparameter

from .automaton import Node, NodeFactory, StateBudgetExceeded, build
from .axes import Axis
from .encoded_axis import EncodedAxis
from .errors import DecodeError, GrammarError, SpaceError, unknown_name
from .intervals import closest, contains
from .logic import RELATION_SIZES
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


class Lattice:
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
            message, allowed, hint = unknown_name("hyperparameter", name, list(space))
            raise SpaceError(message, value=name, allowed=allowed, hint=hint)
        self.space = space
        self.notation = notation or Notation()
        self.names = reading_order(space)
        missing = [name for name in self.names if name not in axes]
        if missing:
            raise SpaceError("hyperparameters without an axis", value=missing, hint="give one axis for each")
        self.axes: tuple[Axis, ...] = tuple(axes[name] for name in self.names)
        self._known = frozenset(self.names)
        kinds = CategoricalHyperparameter | OrdinalHyperparameter | Constant
        self._choices = frozenset(i for i, name in enumerate(self.names) if isinstance(space[name], kinds))
        self._nearest: dict[object, tuple[int, ...] | None] = {}
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
        lengths = [
            len(self.lead(i).encode()) + (0 if self.is_silent(i) else axis.max_bytes)
            for i, axis in enumerate(self.axes)
        ]
        return NodeFactory(lengths, len(self.closing.encode()))

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
        """The automaton of all configurations."""
        return self._built[0]

    @property
    def approximate(self) -> bool:
        """Whether the automaton also has configurations that a forbidden clause excludes."""
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

    def path(self, config: Mapping[str, Any], *, snap: bool) -> tuple[int, ...]:
        """The indices of a configuration in reading order, of its active hyperparameters.

        Args:
            config: Active hyperparameters only.
            snap: Take the nearest lattice configuration with the same active hyperparameters; otherwise the
                values must be on the lattice exactly.

        Raises:
            DecodeError: If there is none.
        """
        found = self._search(*self._indices(config, snap=snap))
        if found is None:
            raise DecodeError(
                "no lattice configuration has this set of active hyperparameters and choices",
                value=dict(config),
                allowed="what the space's conditions and forbidden clauses permit",
                hint="give exactly the active hyperparameters, with values that no clause forbids",
            )
        return found

    def nearest_path(self, config: Mapping[str, Any]) -> tuple[int, ...] | None:
        """`path` of the nearest lattice configuration, or None where there is none; remembered.

        Raises:
            DecodeError: If the configuration names an unknown hyperparameter or choice.
        """
        # With types: 1, 1.0 and True are equal, and not the same choice.
        key: object = tuple((name, type(value), value) for name, value in config.items())
        try:
            hash(key)
        except TypeError:  # a list, for example
            key = json.dumps(list(config.items()), default=repr)
        if key not in self._nearest:
            self._nearest[key] = self._search(*self._indices(config, snap=True))
        return self._nearest[key]

    def _indices(self, config: Mapping[str, Any], *, snap: bool) -> tuple[dict[int, int], set[int]]:
        """Per level the index wanted, and the levels at which no other will do."""
        for name in config:
            if name not in self._known:
                message, allowed, hint = unknown_name("hyperparameter", name, self.names)
                raise DecodeError(message, value=name, allowed=allowed, hint=hint)
        wanted: dict[int, int] = {}
        fixed: set[int] = set()
        for level, (name, axis) in enumerate(zip(self.names, self.axes, strict=True)):
            if name in config:
                try:
                    wanted[level] = axis.nearest(config[name]) if snap else axis.index(config[name])
                except DecodeError as e:
                    raise DecodeError(
                        f"{name!r}: {e.message}", value=e.value, allowed=e.allowed, hint=e.hint
                    ) from e
                if not snap or level in self._choices:
                    fixed.add(level)
        return wanted, fixed

    def _straight(self, wanted: Mapping[int, int]) -> tuple[int, ...] | None:
        """The path of exactly these indices, whose levels ascend, or None."""
        node: Node | None = self.root
        for level, index in wanted.items():
            if node is None or node.level != level:
                return None
            node = node.follow(index)
        return tuple(wanted.values()) if node and not node.edges and node.count else None

    def _search(self, wanted: Mapping[int, int], fixed: set[int]) -> tuple[int, ...] | None:
        """Depth first, the nearest index first; a node that failed once fails always."""
        straight = self._straight(wanted)  # the first that the search would find
        if straight is not None:
            return straight
        failed: set[int] = set()
        remaining = sorted(wanted)

        def visit(node: Node, read: int) -> tuple[int, ...] | None:
            if read == len(remaining):
                return () if not node.edges and node.count else None
            level = remaining[read]
            if node.level != level or id(node) in failed:
                return None
            target = wanted[level]
            options = [
                (abs(closest(inside, target) - target), closest(inside, target), child)
                for inside, child in node.edges
                if level not in fixed or contains(inside, target)
            ]
            for _, index, child in sorted(options, key=lambda option: option[:2]):
                rest = visit(child, read + 1)
                if rest is not None:
                    return (index, *rest)
            failed.add(id(node))
            return None

        return visit(self.root, 0)
