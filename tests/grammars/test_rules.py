"""Each kind of condition and clause by itself: the automaton's configurations are those that ConfigSpace accepts."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import ConfigSpace as CS
import pytest
from ConfigSpace import forbidden as F

from airtune.grammars import SpaceError, canonical_lattice, space_grammar, violation
from airtune.grammars.encoded_axis import EncodedAxis
from airtune.grammars.logic import Atom
from airtune.grammars.rules import compile_rules, effective_conditions
from tests.grammars.strategies import raw_product


def space(n: int = 2, m: int = 3) -> CS.ConfigurationSpace:
    """Five hyperparameters; the defaults of two of them, which ConfigSpace lets no clause forbid, can be chosen."""
    made = CS.ConfigurationSpace()
    made.add(
        CS.UniformIntegerHyperparameter("n", 1, 4, default_value=n),
        CS.UniformIntegerHyperparameter("m", 2, 5, default_value=m),
        CS.CategoricalHyperparameter("kind", ["a", "b", "c"], default_value="c"),
        CS.OrdinalHyperparameter("level", ["low", "mid", "high"]),
        CS.CategoricalHyperparameter("child", ["x", "y"]),
    )
    return made


Piece = Callable[[CS.ConfigurationSpace], Any]
CONDITIONS: dict[str, Piece] = {
    "equals": lambda s: CS.EqualsCondition(s["child"], s["kind"], "b"),
    "not equals": lambda s: CS.NotEqualsCondition(s["child"], s["kind"], "b"),
    "less": lambda s: CS.LessThanCondition(s["child"], s["n"], 3),
    "greater": lambda s: CS.GreaterThanCondition(s["child"], s["n"], 3),
    "less, ordinal": lambda s: CS.LessThanCondition(s["child"], s["level"], "mid"),
    "in": lambda s: CS.InCondition(s["child"], s["n"], [1, 4]),
    "in choices": lambda s: CS.InCondition(s["child"], s["kind"], ["a", "c"]),
    "and": lambda s: CS.AndConjunction(
        CS.EqualsCondition(s["child"], s["kind"], "a"), CS.GreaterThanCondition(s["child"], s["n"], 1)
    ),
    "or": lambda s: CS.OrConjunction(
        CS.EqualsCondition(s["child"], s["kind"], "a"), CS.LessThanCondition(s["child"], s["m"], 4)
    ),
}
# Where the defaults 2 and 3 would be forbidden.
DEFAULTS = {
    "less": (3, 3),
    "less or equal": (4, 3),
    "greater or equal": (1, 3),
    "n < m": (4, 2),
    "n <= m": (4, 2),
}
CLAUSES: dict[str, Piece] = {
    "equals": lambda s: F.ForbiddenEqualsClause(s["kind"], "b"),
    "in": lambda s: F.ForbiddenInClause(s["n"], [1, 3]),
    "less": lambda s: F.ForbiddenLessThanClause(s["n"], 3),
    "less or equal": lambda s: F.ForbiddenLessThanEqualsClause(s["n"], 3),
    "greater": lambda s: F.ForbiddenGreaterThanClause(s["n"], 2),
    "greater or equal": lambda s: F.ForbiddenGreaterThanEqualsClause(s["n"], 2),
    "and": lambda s: F.ForbiddenAndConjunction(
        F.ForbiddenEqualsClause(s["kind"], "a"), F.ForbiddenInClause(s["m"], [2, 5])
    ),
    "or": lambda s: F.ForbiddenOrConjunction(
        F.ForbiddenEqualsClause(s["kind"], "a"), F.ForbiddenEqualsClause(s["n"], 4)
    ),
    "n == m": lambda s: F.ForbiddenEqualsRelation(s["n"], s["m"]),
    "n < m": lambda s: F.ForbiddenLessThanRelation(s["n"], s["m"]),
    "n <= m": lambda s: F.ForbiddenLessThanEqualsRelation(s["n"], s["m"]),
    "n > m": lambda s: F.ForbiddenGreaterThanRelation(s["n"], s["m"]),
    "n >= m": lambda s: F.ForbiddenGreaterThanEqualsRelation(s["n"], s["m"]),
}


def check(made: CS.ConfigurationSpace) -> int:
    """Compare with ConfigSpace's own check, configuration by configuration; how many are valid."""
    grammar = space_grammar(made)
    assert not grammar.approximate
    valid = [config for config in raw_product(grammar.lattice) if violation(made, config) is None]
    assert grammar.count() == len(valid)
    assert sorted(grammar.encode(config) for config in valid) == sorted(
        grammar.encode(grammar.nth(rank)) for rank in range(len(valid))
    )
    return len(valid)


@pytest.mark.parametrize("name", CONDITIONS)
def test_condition(name: str) -> None:
    made = space()
    everything = space_grammar(made).count()
    made.add(CONDITIONS[name](made))
    assert 0 < check(made) < everything


@pytest.mark.parametrize("name", CLAUSES)
def test_forbidden_clause(name: str) -> None:
    made = space(*DEFAULTS.get(name, (2, 3)))
    everything = space_grammar(made).count()
    made.add(CLAUSES[name](made))
    assert 0 < check(made) < everything


def test_two_clauses_and_a_condition_together() -> None:
    made = space()
    made.add(CONDITIONS["or"](made), CLAUSES["in"](made), CLAUSES["n > m"](made))
    check(made)


def encoded(made: CS.ConfigurationSpace) -> list[EncodedAxis]:
    lattice = canonical_lattice(made)
    return [EncodedAxis(made[name], axis) for name, axis in zip(lattice.names, lattice.axes, strict=True)]


def test_without_rules_all_is_active_and_nothing_forbidden() -> None:
    rules = compile_rules(space(), encoded(space()), size=16)
    assert rules.activity == (True,) * 5
    assert rules.forbidden == ()
    assert not rules.approximate


def test_a_clause_given_twice_counts_once_and_one_that_never_holds_not_at_all() -> None:
    made = space()
    made.add(CLAUSES["equals"](made))
    once = compile_rules(made, encoded(made), size=16).forbidden
    made.add(F.ForbiddenLessThanClause(made["n"], 1))  # no value is below 1
    assert len(once) == 1
    assert compile_rules(made, encoded(made), size=16).forbidden == once


def test_values_that_are_forbidden_one_by_one_are_one_formula() -> None:
    """Bug: each of 15,000 clauses was looked at for each of 30,000 values, which took minutes."""
    made = space()
    made.add(F.ForbiddenEqualsClause(made["n"], 1), F.ForbiddenGreaterThanClause(made["n"], 3))
    made.add(F.ForbiddenInClause(made["m"], [2, 5]), CLAUSES["equals"](made), CLAUSES["or"](made))
    forbidden = compile_rules(made, encoded(made), size=16).forbidden
    values = sorted(f.inside for f in forbidden if isinstance(f, Atom))
    assert values == [((0, 0), (3, 3)), ((0, 0), (3, 3)), ((1, 1),)]
    assert len(forbidden) == 4  # the OR is left as it is
    assert check(made) == 2 * 2 * 1 * 3 * 2


@pytest.mark.parametrize(("size", "approximate"), [(4, False), (3, True)])
def test_a_relation_is_approximate_where_both_sides_exceed_the_size(size: int, approximate: bool) -> None:
    made = space(*DEFAULTS["n < m"])
    made.add(CLAUSES["n < m"](made))
    assert compile_rules(made, encoded(made), size=size).approximate is approximate


def test_equivalent_conditions_on_a_parent_are_one_object() -> None:
    made = CS.ConfigurationSpace()
    parent = CS.CategoricalHyperparameter("p", ["a", "b"])
    children = [CS.UniformIntegerHyperparameter(name, 0, 1) for name in ("c", "d", "e")]
    made.add(parent, *children)
    made.add(*(CS.EqualsCondition(child, parent, "a") for child in children[:2]))
    made.add(CS.EqualsCondition(children[2], parent, "b"))
    found = effective_conditions(made)
    assert set(found) == {"c", "d", "e"}
    assert found["c"] is found["d"]
    assert found["e"] is not found["c"]


def conjunctions(
    parts: Sequence[str] = ("x", "y"), kinds: Sequence[Any] = (CS.AndConjunction, CS.OrConjunction)
) -> CS.ConfigurationSpace:
    """Two hyperparameters with conjunctions of the same conditions."""
    made = CS.ConfigurationSpace()
    a, n = CS.Categorical("a", ["x", "y", "z"]), CS.Integer("n", (1, 4), default=3)
    made.add(a, n, CS.Integer("p", (1, 3)), CS.Integer("q", (1, 3)))
    for name, kind, values in zip("pq", kinds, (["x", "y"], list(parts)), strict=True):
        made.add(kind(CS.InCondition(made[name], a, values), CS.GreaterThanCondition(made[name], n, 2)))
    return made


def test_two_conditions_that_configspace_takes_for_one_are_refused_and_the_advice_helps() -> None:
    """ConfigSpace 430: of `p | a and n`, `q | a or n` it uses the first for both; 12 of 56 configurations were lost."""
    with pytest.raises(SpaceError, match="'p' and 'q' for the same") as caught:
        space_grammar(conjunctions())
    assert "in another order" in str(caught.value.hint)
    assert space_grammar(conjunctions(["y", "x"])).count() == 56
    both = space_grammar(conjunctions(kinds=[CS.AndConjunction, CS.AndConjunction]))
    assert both.count() == 8 + 4 * 9


def test_a_condition_that_compares_with_several_values_is_refused_with_the_way_out() -> None:
    made = space()
    made.add(CS.EqualsCondition(made["child"], made["n"], 2))
    (condition,) = effective_conditions(made).values()
    condition.vector_value = [0.1, 0.2]  # type: ignore[union-attr]
    with pytest.raises(SpaceError, match="compares with") as caught:
        compile_rules(made, encoded(made), size=16)
    assert "one value of the hyperparameter" in str(caught.value.allowed)
    assert caught.value.hint == "for one of several values, use the condition or clause that says so: IN"
    assert caught.value.value == str(condition)


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        (CONDITIONS["equals"], "condition"),
        (CLAUSES["equals"], "forbidden clause"),
        (CLAUSES["n > m"], "forbidden relation"),
    ],
)
def test_kinds_that_are_not_known_are_refused(piece: Piece, kind: str) -> None:
    """A subclass may compare in any way: it is never taken for its parent class."""
    made = space()
    one = piece(made)
    one.__class__ = type("Own", (type(one),), {})
    made.add(one)
    with pytest.raises(SpaceError, match=f"{kind} Own is not known") as caught:
        compile_rules(made, encoded(made), size=16)
    assert "ConfigSpace 1.2" in str(caught.value.allowed)


def test_thresholds_between_and_beyond_the_points() -> None:
    (axis,) = (one for one in encoded(space()) if one.hp.name == "n")
    for op in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        for constant in (-1.0, *axis.vectors, 0.5, 2.0):
            wanted = [i for i, vector in enumerate(axis.vectors) if op(vector, constant)]
            found = [i for low, high in axis.where(op, constant) for i in range(low, high + 1)]
            assert found == wanted


@pytest.mark.parametrize("last", [CS.EqualsCondition, CS.NotEqualsCondition, CS.InCondition])
def test_a_chain_of_conditions_follows_the_check_where_the_parent_is_inactive(last: type) -> None:
    """An inactive parent satisfies "not equals" alone: no other condition may be left as holding there."""
    made = CS.ConfigurationSpace()
    first = CS.CategoricalHyperparameter("first", ["a", "b"])
    second = CS.CategoricalHyperparameter("second", ["c", "d", "e"])
    third = CS.UniformIntegerHyperparameter("third", 0, 2)
    made.add(first, second, third)
    made.add(CS.EqualsCondition(second, first, "a"))
    made.add(last(third, second, ["c", "d"] if last is CS.InCondition else "c"))
    check(made)


def test_choices_of_weight_0_are_not_in_the_language() -> None:
    """Bug: `random` never drew them while another choice was left, and every other proposer did."""
    made = CS.ConfigurationSpace()
    made.add(
        CS.CategoricalHyperparameter("kind", ["a", "b", "c"], weights=[0.9, 0, 0.1]),
        CS.CategoricalHyperparameter("sizes", [(1,), (2, 3)], weights=[0, 1]),
        CS.CategoricalHyperparameter("named", ["x", "y", "z"], weights=[0, 1, 0], default_value="z"),
        CS.CategoricalHyperparameter("child", ["x", "y"], weights=[1, 0]),
    )
    made.add(CS.EqualsCondition(made["child"], made["kind"], "a"))
    grammar = space_grammar(made)
    found = [grammar.nth(rank) for rank in range(grammar.count())]
    assert {(c["kind"], c["sizes"], c["named"], c.get("child")) for c in found} == {
        (kind, (2, 3), named, "x" if kind == "a" else None) for kind in "ac" for named in "yz"
    }
    assert len(found) == 4
