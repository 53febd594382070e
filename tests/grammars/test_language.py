"""The grammar contract: sound, complete, bijective, bounded; the judge is ConfigSpace's own check."""

from __future__ import annotations

import re

import ConfigSpace as CS
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airtune.grammars import (
    DecodeError,
    EnumeratedAxis,
    GrammarError,
    Lattice,
    canonical_lattice,
    lattice_grammar,
    space_grammar,
    violation,
)
from tests.grammars.strategies import mutations, raw_product, raw_size, seeded_space, small_spaces

FIXED = settings(derandomize=True, max_examples=100, suppress_health_check=list(HealthCheck))


@FIXED
@given(small_spaces())
def test_language_is_exactly_what_the_judge_accepts(space: CS.ConfigurationSpace) -> None:
    _brute_force(space)


@pytest.mark.parametrize("seed", range(40))
def test_random_spaces_against_brute_force(seed: int) -> None:
    space = seeded_space(seed, max_size=4, large=False, floats=False)
    if raw_size(canonical_lattice(space)) <= 3000:
        _brute_force(space)
    else:
        _spot_checks(space, seed)


@pytest.mark.parametrize("seed", range(1000, 1030))
def test_large_random_spaces_are_sound_and_bijective(seed: int) -> None:
    _spot_checks(seeded_space(seed, max_size=10, min_count=30), seed)


def _brute_force(space: CS.ConfigurationSpace) -> None:
    grammar = space_grammar(space)
    assert not grammar.approximate
    expression = re.compile(grammar.regex()) if grammar.count() else None
    valid = 0
    texts = set()
    for config in raw_product(grammar.lattice):
        if violation(space, config) is None:
            valid += 1
            text = grammar.encode(config)
            texts.add(text)
            assert grammar.accepts(text)
            assert grammar.decode(text) == config
            assert len(text.encode()) <= grammar.max_length
            assert expression is not None
            assert expression.fullmatch(text)
        else:
            with pytest.raises(DecodeError):
                grammar.encode(config)
    assert valid == grammar.count() == len(texts)
    assert {grammar.encode(grammar.nth(i)) for i in range(valid)} == texts


def _spot_checks(space: CS.ConfigurationSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grammar = space_grammar(space)
    expression = re.compile(grammar.regex())
    for _ in range(10):
        config = grammar.sample(rng)
        if not grammar.approximate:
            assert violation(space, config) is None
        text = grammar.encode(config)
        assert grammar.decode(text) == config
        assert grammar.snap(config) == config
        assert len(text.encode()) <= grammar.max_length
        assert expression.fullmatch(text)
        for near in mutations(text, rng, 20):
            assert grammar.accepts(near) == bool(expression.fullmatch(near)), near
            if grammar.accepts(near):
                assert grammar.encode(grammar.decode(near)) == near


@pytest.mark.parametrize("seed", range(20))
def test_what_configspace_samples_snaps_onto_the_lattice(seed: int) -> None:
    """ConfigSpace's sampler is wrong on `<=` clauses (it negates them), so its draws are judged first."""
    space = seeded_space(seed + 500, max_size=6)
    space.seed(seed)
    grammar = space_grammar(space)
    for config in space.sample_configuration(5):
        values = dict(config)
        if violation(space, values) is None:
            snapped = _snap_or_none(grammar, values)
            if snapped is not None:
                assert snapped.keys() == values.keys()
                assert grammar.approximate or violation(space, snapped) is None
                assert grammar.snap(snapped) == snapped


def _snap_or_none(grammar, values):  # type: ignore[no-untyped-def]
    """None where a condition's narrow range has no lattice point in it."""
    try:
        return grammar.snap(values)
    except DecodeError:
        return None


@FIXED
@given(small_spaces(), st.randoms(use_true_random=False))
def test_exclusion_is_exact(space: CS.ConfigurationSpace, random) -> None:  # type: ignore[no-untyped-def]
    lattice = canonical_lattice(space)
    base = lattice_grammar(lattice)
    everything = [base.nth(i) for i in range(base.count())]
    tried = random.sample(everything, random.randint(0, len(everything)))
    grammar = lattice_grammar(lattice, tried)
    left = [config for config in everything if config not in tried]
    assert grammar.count() == len(left)
    uttered = {base.encode(grammar.nth(i)) for i in range(len(left))}
    assert uttered == {base.encode(config) for config in left}
    expression = re.compile(grammar.regex()) if left else None
    for config in everything:
        text = base.encode(config)
        assert grammar.accepts(text) == (config in left)
        assert bool(expression and expression.fullmatch(text)) == (config in left)


def test_exclusions_off_the_lattice_exclude_their_nearest() -> None:
    space = CS.ConfigurationSpace({"x": (0.0, 1.0), "k": ["a", "b"]})
    base = space_grammar(space)
    grammar = space_grammar(space, [{"x": 0.12345, "k": "a"}, {"x": 0.1231, "k": "a"}])
    assert grammar.count() == base.count() - 1
    assert not grammar.accepts('{"k":"a","x":0.123}')
    assert grammar.accepts('{"k":"b","x":0.123}')


def test_a_thousand_exclusions_count_exactly() -> None:
    space = seeded_space(3, min_size=6, max_size=8, min_count=10_000)
    lattice = canonical_lattice(space)
    base = lattice_grammar(lattice)
    rng = np.random.default_rng(0)
    tried = [base.sample(rng) for _ in range(1000)]
    grammar = lattice_grammar(lattice, tried)
    different = {base.encode(config) for config in tried}
    assert grammar.count() == base.count() - len(different)
    assert not any(grammar.accepts(text) for text in different)


def test_exhausted_space_is_an_empty_grammar() -> None:
    space = CS.ConfigurationSpace({"k": ["a", "b"]})
    grammar = space_grammar(space, [{"k": "a"}, {"k": "b"}])
    assert grammar.count() == 0
    assert not grammar.accepts('{"k":"a"}')
    for emit in (grammar.regex, grammar.lark, grammar.gbnf):
        with pytest.raises(GrammarError, match="empty"):
            emit()
    with pytest.raises(GrammarError, match="empty"):
        grammar.sample(np.random.default_rng(0))


def test_lattice_without_a_valid_configuration_counts_zero() -> None:
    space = CS.ConfigurationSpace({"a": (0, 3)})
    space.add(CS.ForbiddenLessThanClause(space["a"], 2), CS.ForbiddenGreaterThanClause(space["a"], 2))
    assert space_grammar(space).count() == 1
    coarse = Lattice(space, {"a": EnumeratedAxis([("0", 0), ("3", 3)], ordered=True)})
    grammar = lattice_grammar(coarse, [{"a": 2}])
    assert grammar.count() == 0
    assert not grammar.accepts('{"a":0}')
    with pytest.raises(GrammarError, match="empty"):
        grammar.lark()


def test_sample_is_uniform() -> None:
    """Chi-square over all 80 configurations, 8000 draws; false alarm probability 1e-6 (seed fixed)."""
    from scipy.stats import chi2

    space = CS.ConfigurationSpace({"k": ["a", "b"], "n": (1, 60), "m": (1, 30)})
    space.add(
        CS.EqualsCondition(space["n"], space["k"], "a"), CS.EqualsCondition(space["m"], space["k"], "b")
    )
    lattice = canonical_lattice(space)
    tried = [{"k": "a", "n": n} for n in range(1, 11)]
    grammar = lattice_grammar(lattice, tried)
    rng = np.random.default_rng(7)
    seen: dict[str, int] = {}
    for _ in range(8000):
        text = grammar.encode(grammar.sample(rng))
        seen[text] = seen.get(text, 0) + 1
    assert grammar.count() == 80
    expected = 8000 / 80
    statistic = sum(
        (seen.get(grammar.encode(grammar.nth(i)), 0) - expected) ** 2 / expected for i in range(80)
    )
    assert statistic < chi2.isf(1e-6, 79)


def test_huge_spaces_are_arithmetic() -> None:
    space = CS.ConfigurationSpace({f"x{i}": (0, 10**12) for i in range(8)})
    space.add(CS.ForbiddenGreaterThanClause(space["x0"], 6 * 10**11))
    grammar = space_grammar(space)
    assert grammar.count() == (6 * 10**11 + 1) * (10**12 + 1) ** 7
    config = grammar.sample(np.random.default_rng(0))
    assert grammar.decode(grammar.encode(config)) == config


def test_relation_of_two_large_axes_is_approximate_and_says_so() -> None:
    space = CS.ConfigurationSpace({"a": (0, 10**9), "b": (0, 10**9)})
    space.add(CS.ForbiddenGreaterThanRelation(space["a"], space["b"]))
    assert space_grammar(space).approximate


@pytest.mark.parametrize("clause", [CS.ForbiddenLessThanRelation, CS.ForbiddenGreaterThanEqualsRelation])
def test_relation_of_two_large_axes_forbids_nearly_all_it_should(clause: type) -> None:
    """Never too much, and of what is left nearly everything is valid: redraws are rare."""
    first = 10 if clause is CS.ForbiddenLessThanRelation else 10**7  # a valid default
    sides = [CS.Integer("a", (0, 10**9), default=first), CS.Integer("b", (5, 10**8), default=10**6)]
    space = CS.ConfigurationSpace(space=sides)
    space.add(clause(space["b"], space["a"]))
    grammar = space_grammar(space)
    rng = np.random.default_rng(0)
    drawn = [grammar.sample(rng) for _ in range(1000)]
    wrong = sum(violation(space, config) is not None for config in drawn)
    assert grammar.approximate
    assert wrong < 40
    free = space_grammar(CS.ConfigurationSpace(space=sides))
    for config in (free.sample(rng) for _ in range(1000)):
        assert violation(space, config) is not None or grammar.accepts(free.encode(config))


def test_relation_of_a_small_and_a_large_axis_is_exact() -> None:
    space = CS.ConfigurationSpace({"a": (0, 50), "b": (0, 10**9)})
    space.add(CS.ForbiddenGreaterThanRelation(space["a"], space["b"]))
    grammar = space_grammar(space)
    assert not grammar.approximate
    assert grammar.count() == sum(10**9 + 1 - a for a in range(51))


def test_independent_conditional_branches_do_not_multiply() -> None:
    space = CS.ConfigurationSpace()
    for i in range(20):
        switch = CS.CategoricalHyperparameter(f"use{i:02}", ["no", "yes"])
        child = CS.UniformFloatHyperparameter(f"x{i:02}", 0, 1)
        space.add(switch, child, CS.EqualsCondition(child, switch, "yes"))
    grammar = space_grammar(space)
    assert grammar.count() == 1002**20
    assert len(grammar.regex()) < 4000
    assert len(grammar.gbnf()) < 8000


def test_child_of_an_inactive_parent_follows_the_judge() -> None:
    """ConfigSpace holds `NotEquals` of an inactive parent (NaN != x), and no other condition."""
    space = CS.ConfigurationSpace({"a": ["off", "on"], "b": ["p", "q"], "c": (1, 2), "d": (1, 2)})
    space.add(
        CS.EqualsCondition(space["b"], space["a"], "on"), CS.EqualsCondition(space["c"], space["b"], "p")
    )
    grammar = space_grammar(space)
    assert grammar.accepts('{"a":"off","d":1}')
    assert not grammar.accepts('{"a":"off","c":1,"d":1}')
    assert grammar.accepts('{"a":"on","b":"p","c":2,"d":1}')


def test_hash_depends_on_language_only() -> None:
    space = CS.ConfigurationSpace({"k": ["a", "b"], "n": (1, 5)})
    one = space_grammar(space, [{"k": "a", "n": 1}, {"k": "b", "n": 2}])
    two = space_grammar(space, [{"k": "b", "n": 2}, {"n": 1, "k": "a"}, {"k": "a", "n": 1}])
    assert one == two
    assert one.hash == two.hash
    assert hash(one) == hash(two)
    assert one.hash != space_grammar(space).hash


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"k": "a", "n": 6}, "not on the lattice"),
        ({"k": "c", "n": 1}, "not on the lattice"),
        ({"k": "a"}, "active hyperparameters"),
        ({"k": "a", "n": 1, "m": 2}, "unknown hyperparameter 'm'"),
        ({"k": "a", "n": 1.5}, "not on the lattice"),
        ({"k": "a", "n": float("nan")}, "not a finite number"),
        ({"k": "a", "n": "1"}, "not a finite number"),
    ],
)
def test_encode_refuses_with_a_reason(config: dict[str, object], message: str) -> None:
    grammar = space_grammar(CS.ConfigurationSpace({"k": ["a", "b"], "n": (1, 5)}))
    with pytest.raises(DecodeError, match=re.escape(message)):
        grammar.encode(config)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"k":"a"}', '{"k": "a","n":1}', '{"n":1,"k":"a"}', '{"k":"a","n":01}']
)
def test_decode_refuses_what_is_not_canonical(text: str) -> None:
    grammar = space_grammar(CS.ConfigurationSpace({"k": ["a", "b"], "n": (1, 5)}))
    with pytest.raises(DecodeError, match="not in the grammar's language"):
        grammar.decode(text)


@pytest.mark.parametrize("seed", range(8))
def test_the_straight_way_is_the_one_that_the_search_finds(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most configurations lie on the lattice and need no search; it must not matter which way is taken."""
    space = seeded_space(seed, max_size=6)
    lattice, rng = canonical_lattice(space), np.random.default_rng(seed)
    configs = [lattice_grammar(lattice).sample(rng) for _ in range(20)]
    space.seed(seed)
    configs += [dict(config) for config in space.sample_configuration(20)]  # off the lattice
    quick = [lattice.nearest_path(config) for config in configs]
    assert any(quick)
    monkeypatch.setattr(Lattice, "_straight", lambda *_: None)
    slow = canonical_lattice(space)
    assert [slow.nearest_path(config) for config in configs] == quick


@pytest.mark.parametrize("seed", range(8))
def test_what_is_excluded_is_counted_without_the_automaton(seed: int) -> None:
    """`count`, `accepts` and `decode` work on the lattice's own automaton and say what the subtracted one says."""
    space = seeded_space(seed, max_size=5)
    whole, rng = space_grammar(space), np.random.default_rng(seed)
    tried = [whole.sample(rng) for _ in range(min(30, whole.count()))]
    grammar = lattice_grammar(whole.lattice, tried)
    count, refused = grammar.count(), [not grammar.accepts(whole.encode(config)) for config in tried]
    assert all(refused)
    assert "root" not in vars(grammar)
    assert count == grammar.root.count
    assert grammar.root.max_bytes <= grammar.max_length == whole.max_length
    with pytest.raises(DecodeError, match=r"excluded|nothing is left"):
        grammar.decode(whole.encode(tried[0]))
    if count:
        left = grammar.sample(rng)
        assert grammar.decode(grammar.encode(left)) == left
        assert left not in tried
