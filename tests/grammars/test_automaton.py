"""The automaton's operations against plain sets of paths, on automata small enough to list."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import ConfigSpace as CS
import pytest

from airtune.grammars import automaton, canonical_lattice, space_grammar
from airtune.grammars.automaton import Node, NodeFactory, Path
from airtune.grammars.encoded_axis import EncodedAxis
from airtune.grammars.rules import compile_rules

BYTES = (3, 2, 5)


def paths(node: Node) -> set[Path]:
    return set(walk(node))


def walk(node: Node) -> Iterator[Path]:
    if not node.edges and node.count:
        yield ()
    for inside, child in node.edges:
        for low, high in inside:
            for index in range(low, high + 1):
                yield from ((index, *rest) for rest in walk(child))


def full(factory: NodeFactory, sizes: tuple[int, ...] = (4, 3, 2)) -> Node:
    """All index tuples below the sizes."""
    node = factory.end
    for level in range(len(sizes) - 1, -1, -1):
        node = factory.make(level, [(((0, sizes[level] - 1),), node)])
    return node


@pytest.fixture
def factory() -> NodeFactory:
    return NodeFactory(["", "", ""], BYTES, "}")


def test_the_full_automaton(factory: NodeFactory) -> None:
    root = full(factory)
    assert paths(root) == set(itertools.product(range(4), range(3), range(2)))
    assert (root.count, root.level, root.max_bytes) == (24, 0, sum(BYTES) + 1)
    assert (factory.end.level, factory.end.count, factory.end.max_bytes) == (3, 1, 1)
    assert (factory.dead.level, factory.dead.count) == (3, 0)


def test_equal_nodes_are_one_object_and_edges_to_one_child_are_one(factory: NodeFactory) -> None:
    one = factory.make(2, [(((0, 0),), factory.end), (((1, 1),), factory.end)])
    assert one is factory.make(2, [(((0, 1),), factory.end)])
    assert one.edges == ((((0, 1),), factory.end),)
    assert factory.make(1, [(((0, 1),), factory.end)]) is not one
    assert factory.fork().make(2, [(((0, 1),), factory.end)]) is not one
    assert factory.fork().end is factory.end
    assert factory.fork().dead is factory.dead


def test_dead_and_empty_edges_are_cut(factory: NodeFactory) -> None:
    assert factory.make(2, []) is factory.dead
    assert factory.make(2, [(((0, 1),), factory.dead), ((), factory.end)]) is factory.dead
    kept = factory.make(2, [(((0, 1),), factory.dead), (((3, 3),), factory.end)])
    assert kept.edges == ((((3, 3),), factory.end),)


def test_edges_stand_in_the_order_of_their_smallest_member(factory: NodeFactory) -> None:
    small = factory.make(2, [(((0, 0),), factory.end)])
    large = factory.make(2, [(((0, 4),), factory.end)])
    node = factory.make(1, [(((2, 3),), small), (((0, 0), (5, 6)), large)])
    assert [inside for inside, _ in node.edges] == [((0, 0), (5, 6)), ((2, 3),)]
    assert node.count == 3 * 5 + 2 * 1
    assert node.max_bytes == BYTES[1] + BYTES[2] + 1


def test_the_longest_text_is_that_of_the_longest_branch() -> None:
    ends = NodeFactory(["", ""], (7, 2), "")
    short = ends.end
    long = ends.make(1, [(((0, 0),), ends.end)])
    assert ends.make(0, [(((0, 0),), short), (((1, 1),), long)]).max_bytes == 9


def test_follow(factory: NodeFactory) -> None:
    one = factory.make(2, [(((0, 0),), factory.end)])
    node = factory.make(1, [(((0, 0), (3, 4)), one), (((2, 2),), factory.end)])
    assert [node.follow(i) for i in range(-1, 6)] == [None, one, None, factory.end, one, one, None]


def some_paths(seed: int, root: Node) -> list[Path]:
    every = sorted(paths(root))
    return random.Random(seed).sample(every, random.Random(seed + 1000).randint(0, len(every)))


@pytest.mark.parametrize("seed", range(60))
def test_subtract_only_leaves_and_used_up(factory: NodeFactory, seed: int) -> None:
    root = automaton.subtract(full(factory), automaton.trie_of([(1, 1, 1), (2, 0, 0)]), factory)
    tried = some_paths(seed, root)
    trie = automaton.trie_of(tried)
    left = automaton.subtract(root, trie, factory.fork())
    assert paths(left) == paths(root) - set(tried)
    assert left.count == root.count - len(tried)
    if tried:
        assert paths(automaton.only(root, trie, factory.fork())) == set(tried)
        assert automaton.leaves(trie) == len(tried)
    gone = {path[0] for path in paths(root)} - {path[0] for path in paths(left)}
    assert automaton.used_up(root, trie, len(tried)) == sorted(gone)


def test_nothing_tried_changes_nothing(factory: NodeFactory) -> None:
    root = full(factory)
    assert automaton.subtract(root, {}, factory) is root
    assert automaton.subtract(factory.end, {}, factory) is factory.dead  # the empty path itself
    assert automaton.used_up(root, {}, 0) == []
    assert automaton.leaves({}) == 1
    assert automaton.trie_of([]) == {}


def test_only_takes_no_notice_of_paths_that_are_not_there(factory: NodeFactory) -> None:
    root = full(factory)
    trie = automaton.trie_of([(9, 0, 0), (1, 2, 1)])
    assert paths(automaton.only(root, trie, factory)) == {(1, 2, 1)}
    assert automaton.used_up(root, automaton.trie_of([(9, 0, 0)]), 10) == [9]


def test_used_up_may_be_told_that_all_branches_are_larger(factory: NodeFactory) -> None:
    root = full(factory)
    trie = automaton.trie_of([(0, b, c) for b in range(3) for c in range(2)])
    assert automaton.used_up(root, trie, 6) == [0]
    assert automaton.used_up(root, trie, 5) == []  # every branch has 6: with at most 5 tried, none is counted


# A child of each of several parents: independent rules, whose states multiply.
def conditional(size: int) -> CS.ConfigurationSpace:
    made = CS.ConfigurationSpace()
    for i in range(size):
        parent = CS.UniformIntegerHyperparameter(f"p{i}", 0, 9)
        child = CS.UniformIntegerHyperparameter(f"c{i}", 0, 3)
        made.add(parent, child)
        made.add(CS.GreaterThanCondition(child, parent, 4))
    return made


@pytest.mark.parametrize(("budget", "least"), [("STATE_BUDGET", 6), ("EDGE_BUDGET", 6), ("WORK_BUDGET", 8)])
def test_a_budget_is_a_bound_that_may_be_reached(
    budget: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parent leaves two states (its child active or not), a child one; a parent has two ranges, a child one each."""
    lattice = canonical_lattice(conditional(2))
    encoded = [
        EncodedAxis(lattice.space[n], axis) for n, axis in zip(lattice.names, lattice.axes, strict=True)
    ]
    rules = compile_rules(lattice.space, encoded, size=16)
    monkeypatch.setattr(automaton, budget, least)
    assert automaton.build(rules, encoded, lattice.factory).count == 25**2
    monkeypatch.setattr(automaton, budget, least - 1)
    with pytest.raises(automaton.StateBudgetExceeded):
        automaton.build(rules, encoded, lattice.factory)


def test_rules_of_independent_branches_count_as_enumerated() -> None:
    one = space_grammar(conditional(1)).count()
    assert one == 5 + 5 * 4
    assert space_grammar(conditional(3)).count() == one**3
