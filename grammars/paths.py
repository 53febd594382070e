"""Paths: configurations as tuples of indices, over axes in reading order and the automaton on them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Constant, OrdinalHyperparameter

from .automaton import Node, NodeFactory, Path
from .axes import Axis
from .errors import DecodeError
from .intervals import closest, contains


class PathLattice(ABC):
    """Configurations whose values lie on axes, each with one path, and one text along it.

    What a value is written between is up to the automaton's nodes (`Node.lead`): keys and commas of one line of JSON,
    or the source code around a number.

    Args:
        space: The search space; it must not be changed afterwards.
        names: The hyperparameters in reading order, parents before children.
        axes: One axis each. Axes of numbers ascend.
    """

    def __init__(self, space: ConfigurationSpace, names: Sequence[str], axes: Sequence[Axis]) -> None:
        self.space, self.names, self.axes = space, tuple(names), tuple(axes)
        self._known = frozenset(self.names)
        kinds = CategoricalHyperparameter | OrdinalHyperparameter | Constant
        self._choices = frozenset(i for i, name in enumerate(self.names) if isinstance(space[name], kinds))
        self._nearest: dict[object, tuple[int, ...] | None] = {}

    @property
    @abstractmethod
    def root(self) -> Node:
        """The automaton of all configurations."""

    @property
    @abstractmethod
    def factory(self) -> NodeFactory:
        """Makes the automaton's nodes."""

    @property
    def approximate(self) -> bool:
        """Whether the automaton also has configurations that a forbidden clause excludes."""
        return False

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of all that defines the language."""

    @abstractmethod
    def is_silent(self, level: int) -> bool:
        """Whether the value at a level is never written: the text around it says it all."""

    @abstractmethod
    def read(self, text: str, root: Node) -> tuple[Path | None, str, int]:
        """Parse a text from the left: (path, "", end), or (None, what is wrong, where).

        Args:
            text: The text.
            root: The lattice's own automaton, or a part of it.
        """

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
                raise DecodeError.unknown("hyperparameter", name, self.names)
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
