"""The layered automaton over hyperparameters: what may follow once some values are known.

A node stands for the next hyperparameter to read together with what later conditions and forbidden clauses
still need to know. Edges carry sets of indices. Inactive hyperparameters are skipped, dead ends are cut, and
equal nodes are one object, so that every path from the root is a valid configuration and every prefix can be
completed.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from . import intervals
from .encoded_axis import EncodedAxis
from .errors import GrammarError
from .intervals import Intervals
from .logic import Formula, given, mentions, starts
from .rules import Rules

# What the mask engines hold (llguidance stops at 65,000 symbols); beyond it, forbidden clauses are left out.
STATE_BUDGET = 8_000
EDGE_BUDGET = 16_000
# Ranges of values looked at while building: a second or two of work.
WORK_BUDGET = 50_000

Path = tuple[int, ...]
Trie = dict[int, "Trie"]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A state of the automaton; compared by identity.

    Attributes:
        level: Position of the hyperparameter to read next; the number of hyperparameters at the end.
        edges: Index sets, disjoint, in order of their smallest member, and where they lead.
        count: Configurations from here.
        max_bytes: Longest text from here in bytes, the text's end included.
        lead: What is written before the value; at the end, what ends the text.
    """

    level: int
    edges: tuple[tuple[Intervals, Node], ...]
    count: int
    max_bytes: int
    lead: str

    def follow(self, index: int) -> Node | None:
        """Where an index leads, or None."""
        for inside, child in self.edges:
            if intervals.contains(inside, index):
                return child
        return None


class StateBudgetExceeded(Exception):
    """More states than the budget allows."""


class NodeFactory:
    """Makes nodes, giving back the same object for the same content.

    Args:
        leads: Per level, what is written before its value where a node does not say otherwise.
        value_bytes: Per level, the length of its longest value in bytes.
        closing: What ends a text.
    """

    def __init__(self, leads: Sequence[str], value_bytes: Sequence[int], closing: str) -> None:
        self._leads, self._value_bytes = leads, value_bytes
        self._known: dict[tuple[int, tuple[tuple[Intervals, int], ...], str], Node] = {}
        self.end = Node(len(leads), (), 1, len(closing.encode()), closing)
        self.dead = Node(len(leads), (), 0, 0, "")

    def fork(self) -> NodeFactory:
        """A factory with the same end and a memory of its own, which lives no longer than one grammar."""
        other = NodeFactory(self._leads, self._value_bytes, "")
        other.end, other.dead = self.end, self.dead
        return other

    def __len__(self) -> int:
        """How many nodes it made."""
        return len(self._known)

    def make(self, level: int, edges: Iterable[tuple[Intervals, Node]], lead: str | None = None) -> Node:
        """The node with these edges, merged by target, without the dead ones; `dead` if none is left."""
        by_child: dict[int, tuple[Node, list[Intervals]]] = {}
        for inside, child in edges:
            if child.count and inside:
                by_child.setdefault(id(child), (child, []))[1].append(inside)
        merged = sorted(
            ((intervals.union(sets), child) for child, sets in by_child.values()), key=lambda edge: edge[0]
        )
        if not merged:
            return self.dead
        written = self._leads[level] if lead is None else lead
        return self._node(level, tuple(merged), written)

    def after(self, text: str, node: Node) -> Node:
        """A node with more text written before it."""
        return self._node(node.level, node.edges, text + node.lead) if text and node.count else node

    def _node(self, level: int, edges: tuple[tuple[Intervals, Node], ...], lead: str) -> Node:
        key = (level, tuple((inside, id(child)) for inside, child in edges), lead)
        node = self._known.get(key)
        if node is None:
            count = sum(intervals.size(inside) * child.count for inside, child in edges) if edges else 1
            longest = len(lead.encode())
            if edges:
                longest += self._value_bytes[level] + max(child.max_bytes for _, child in edges)
            node = self._known[key] = Node(level, edges, count, longest, lead)
        return node


def build(rules: Rules, axes: Sequence[EncodedAxis], factory: NodeFactory) -> Node:
    """The automaton's root.

    Raises:
        StateBudgetExceeded: If it needs more than STATE_BUDGET states, EDGE_BUDGET ranges of values between
            them, or WORK_BUDGET ranges to find those.
    """
    # A state: the activity formulas still of use (one each), and the forbidden ones, all residual.
    State = tuple[tuple[Formula, ...], tuple[Formula, ...]]
    distinct = list(dict.fromkeys(f for f in rules.activity if f is not True))
    group = [distinct.index(f) if f is not True else None for f in rules.activity]
    last_use = {g: at for at, g in enumerate(group) if g is not None}
    first: State = (tuple(distinct), rules.forbidden)
    # Per level: state -> its moves (None: the hyperparameter is inactive, one move without a value).
    layers: list[dict[State, list[tuple[Intervals | None, State]]]] = []
    frontier: dict[State, None] = {first: None} if True not in rules.forbidden else {}
    states = edges = work = 0
    for at, axis in enumerate(axes):
        layer: dict[State, list[tuple[Intervals | None, State]]] = {}
        ahead: dict[State, None] = {}
        for state in frontier:
            ranges = _ranges(state, at, axis)
            work += len(ranges)
            if work > WORK_BUDGET:
                raise StateBudgetExceeded
            moves = layer[state] = _moves(state, at, axis, ranges, group[at], last_use)
            edges += sum(len(inside) for inside, _ in moves if inside is not None)
            ahead.update(dict.fromkeys(after for _, after in moves))
        layers.append(layer)
        frontier = ahead
        states += len(frontier)
        if states > STATE_BUDGET or edges > EDGE_BUDGET:
            raise StateBudgetExceeded
    nodes: dict[State, Node] = {state: factory.end for state in frontier}
    for at in range(len(axes) - 1, -1, -1):
        below: dict[State, Node] = {}
        for state, moves in layers[at].items():
            if len(moves) == 1 and moves[0][0] is None:
                below[state] = nodes[moves[0][1]]
            else:
                below[state] = factory.make(at, ((i, nodes[s]) for i, s in moves if i is not None))
        nodes = below
    return nodes.get(first, factory.dead)


def _ranges(
    state: tuple[tuple[Formula, ...], tuple[Formula, ...]], at: int, axis: EncodedAxis
) -> list[tuple[int, int]]:
    """The axis' indices in ranges (ends included) within which no formula can tell one from another."""
    size = axis.axis.size
    involved = [f for part in state for f in part if mentions(f, at)]
    edges = sorted({0, size} | {e for f in involved for e in starts(f, at) if 0 < e < size})
    return [(low, high - 1) for low, high in pairwise(edges)]


def _moves(
    state: tuple[tuple[Formula, ...], tuple[Formula, ...]],
    at: int,
    axis: EncodedAxis,
    ranges: Sequence[tuple[int, int]],
    group: int | None,
    last_use: Mapping[int, int],
) -> list[tuple[Intervals | None, tuple[tuple[Formula, ...], tuple[Formula, ...]]]]:
    activity, forbidden = state

    def after(index: int | None) -> tuple[tuple[Formula, ...], tuple[Formula, ...]] | None:
        residual = list(dict.fromkeys(given(f, at, index) for f in forbidden))
        if any(f is True for f in residual):
            return None
        # A formula whose last child has been read says nothing any more.
        pending = tuple(given(f, at, index) if last_use[g] > at else False for g, f in enumerate(activity))
        return pending, tuple(f for f in residual if f is not False)

    active = True if group is None else activity[group]
    if not isinstance(active, bool):
        raise GrammarError("a child is read before its parents", value=axis.hp.name)
    if not active:
        skipped = after(None)
        return [] if skipped is None else [(None, skipped)]
    moves: dict[tuple[tuple[Formula, ...], tuple[Formula, ...]], list[tuple[int, int]]] = {}
    for low, high in ranges:
        state_after = after(low)
        if state_after is not None:
            moves.setdefault(state_after, []).append((low, high))
    return [(intervals.union([tuple(found)]), state_after) for state_after, found in moves.items()]


def subtract(node: Node, tried: Trie, factory: NodeFactory) -> Node:
    """The automaton without the paths in a trie of index tuples, all of which it accepts."""
    if not tried:
        return factory.dead if node.level == factory.end.level else node
    spans = sorted((low, high, at) for at, (inside, _) in enumerate(node.edges) for low, high in inside)
    mine: list[list[int]] = [[] for _ in node.edges]
    for index in sorted(tried):
        low, high, at = spans[bisect_right(spans, (index, math.inf)) - 1]
        if low <= index <= high:
            mine[at].append(index)
    edges: list[tuple[Intervals, Node]] = []
    for (inside, child), taken in zip(node.edges, mine, strict=True):
        edges.append((intervals.without(inside, taken), child))
        for (
            index
        ) in taken:  # no generator: with one, half as many levels would be deep enough for Python's stack
            edges.append((((index, index),), subtract(child, tried[index], factory)))
    return factory.make(node.level, edges, node.lead)


def used_up(node: Node, tried: Trie, most: int) -> list[int]:
    """Indices after which nothing is left without the paths in a trie: those that `subtract` would cut, ascending.

    Args:
        node: Where the trie starts.
        tried: Some of the paths from there.
        most: How many those are at most: where everything leads to more, they need not be counted.
    """
    if not tried or all(child.count > most for _, child in node.edges):
        return []
    found = ((index, node.follow(index), rest) for index, rest in sorted(tried.items()))
    return [index for index, child, rest in found if child is None or child.count <= leaves(rest)]


def leaves(tried: Trie) -> int:
    """How many paths are in a trie; the empty one is the end of a path."""
    return sum(map(leaves, tried.values())) if tried else 1


def only(node: Node, tried: Trie, factory: NodeFactory) -> Node:
    """The automaton of nothing but the paths in a trie."""
    if not node.edges:
        return node
    edges: list[tuple[Intervals, Node]] = []
    for index, rest in sorted(tried.items()):
        child = node.follow(index)
        if child is not None:
            edges.append((((index, index),), only(child, rest, factory)))
    return factory.make(node.level, edges, node.lead)


def trie_of(paths: Iterable[Path]) -> Trie:
    """Index tuples as nested mappings; the end of a path is an empty one."""
    root: Trie = {}
    for path in paths:
        node = root
        for index in path:
            node = node.setdefault(index, {})
    return root
