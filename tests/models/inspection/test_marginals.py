"""The densities of an answer, against the whole language written down: every text's probability, added up."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    ConfigurationSpace,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    OrdinalHyperparameter,
)

from airtune.grammars import Grammar, program_space, space_grammar
from airtune.models import LanguageModel, ModelError, Observation, Problem, Request, load_model
from airtune.models.inspection.bins import Bins
from airtune.models.inspection.distribution import answer_distribution
from airtune.models.inspection.marginals import ProposalDensities, proposal_densities
from airtune.models.inspection.tree_walk import read_values
from tests.models.exact import text_probabilities


def conditional() -> ConfigurationSpace:
    space = ConfigurationSpace({"a": ["x", "yy", "xy"], "n": (8, 12), "fix": 3, "flag": ["p", "q"]})
    space.add(EqualsCondition(space["n"], space["a"], "x"))
    x, q = ForbiddenEqualsClause(space["a"], "xy"), ForbiddenEqualsClause(space["flag"], "q")
    space.add(ForbiddenAndConjunction(x, q))
    return space


TRIED = [{"a": "x", "n": 9, "fix": 3, "flag": "p"}, {"a": "yy", "fix": 3, "flag": "q"}]


class Case:
    """One proposal of a model, and the probability of every answer it could have given."""

    def __init__(
        self, model: LanguageModel, temperature: float, seed: int, space: ConfigurationSpace
    ) -> None:
        tried = [t for t in TRIED if set(t) <= set(space)]
        observations = tuple(Observation(config, 1.0 / (i + 1)) for i, config in enumerate(tried))
        prompt = model.dialect.render(Problem("t", "", space, "loss", observations))
        self.grammar: Grammar = model.dialect.grammar(space, tried)
        self.distribution = answer_distribution(model, prompt, self.grammar, temperature)
        (self.answer,) = model.generate([Request(prompt, self.grammar, seed, temperature)])
        self.config = self.grammar.decode(self.answer.text)
        chances = text_probabilities(self.distribution)
        assert len(chances) == self.grammar.count()
        self.configs = [(self.grammar.decode(text), chance) for text, chance in chances.items()]

    def densities(self, budget: int) -> ProposalDensities:
        return proposal_densities(self.distribution, self.answer.token_ids, budget)

    def expected(self, names: tuple[str, ...], given: dict[str, Any]) -> dict[tuple[Any, ...], float]:
        """The distribution of some hyperparameters (None: inactive), given others, by adding up."""
        found: dict[tuple[Any, ...], float] = defaultdict(float)
        for config, chance in self.configs:
            if all(config.get(name) == value for name, value in given.items()):
                found[tuple(config.get(name) for name in names)] += chance
        whole = sum(found.values())
        return {key: chance / whole for key, chance in found.items()}


@pytest.fixture(scope="module", params=["pocket", "byte", "scripted"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    name = request.param
    return load_model(
        name if name in ("pocket", "scripted") else request.getfixturevalue(f"{name}_checkpoint")
    )


@pytest.mark.parametrize("temperature", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("budget", [1000, 12, 3])
def test_is_what_adding_up_gives(model: LanguageModel, temperature: float, budget: int) -> None:
    """Marginal where the budget allows, else conditional on the proposal's own path, and never anything else."""
    for seed in range(3):
        case = Case(model, temperature, seed, conditional())
        densities = case.densities(budget)
        assert densities.opened <= (1 + len(case.config)) * budget
        if budget == 1000:
            assert all(density.marginal for density in densities.univariate)
            assert {density.name for density in densities.univariate} == {"a", "n", "flag"}
            assert not densities.missing
        axes = dict(zip(case.grammar.lattice.names, case.grammar.lattice.axes, strict=True))
        for density in densities.univariate:
            assert density.mass.sum() + density.inactive + density.unresolved == pytest.approx(1, abs=1e-9)
            assert set(density.given) <= set(case.config)
            if density.unresolved:
                assert budget < 1000
                continue
            expected = case.expected((density.name,), dict(density.given))
            assert density.inactive == pytest.approx(expected.pop((None,), 0.0), abs=1e-5)
            told = {axes[density.name].value(int(i)): density.of(int(i)) for i in density.indices}
            for (value,), chance in expected.items():
                assert told.pop(value, 0.0) == pytest.approx(chance, abs=1e-5)
            assert all(rest == 0 for rest in told.values())
        for pair in densities.pairs:
            assert pair.mass.sum() + pair.inactive + pair.unresolved == pytest.approx(1, abs=1e-9)
            expected = case.expected((pair.first, pair.second), dict(pair.given))
            for (first, second), chance in expected.items():
                if first is not None and second is not None:
                    at = axes[pair.first].index(first), axes[pair.second].index(second)
                    assert pair.mass[at] == pytest.approx(chance, abs=1e-5)


def test_a_small_budget_is_conditional(model: LanguageModel) -> None:
    case = Case(model, 1.0, 0, conditional())
    densities = case.densities(3)
    assert densities.univariate[0].marginal
    assert densities.univariate[-1].given  # what came before it
    assert densities.univariate[-1].given == {
        n: v for n, v in case.config.items() if n in densities.univariate[-1].given
    }


def test_numbers_are_certain_only_at_their_end() -> None:
    grammar = space_grammar(ConfigurationSpace({"n": (1, 130), "x": Float("x", (0.1, 10.0), log=True)}))

    def certain(text: str, finished: bool = False) -> list[Any]:
        found, _, _ = read_values(grammar, grammar.root, text.encode(), finished=finished)
        return [grammar.lattice.axes[level].value(index) for level, index in found]

    assert certain('{"n":1') == certain('{"n":13') == certain('{"n":130') == []
    assert certain('{"n":13,') == certain('{"n":13,"x"') == [13]
    whole = grammar.encode({"n": 7, "x": 0.25})
    assert certain(whole[:-1]) == [7]
    assert certain(whole) == [7, 0.25]
    space = ConfigurationSpace({"name": ["a,b", "a", "λ"]})
    words = space_grammar(space)
    for choice in ("a,b", "a", "λ"):
        text = words.encode({"name": choice}).encode()
        assert [len(read_values(words, words.root, text[:n], finished=False)[0]) for n in (0, 9, 10)] == [
            0,
            0,
            0,
        ]
        assert len(read_values(words, words.root, text, finished=True)[0]) == 1


def test_digits_that_the_budget_does_not_reach(model: LanguageModel) -> None:
    """Two hundred numbers: with a small budget their mass is told as not resolved, and what is told is exact."""
    case = Case(model, 1.0, 0, ConfigurationSpace(space=[OrdinalHyperparameter("n", [*range(1, 201)])]))
    whole = case.expected(("n",), {})
    (density,) = case.densities(30).univariate
    assert density.mass.sum() + density.unresolved == pytest.approx(1, abs=1e-9)
    axis = case.grammar.lattice.axes[0]
    for index in density.indices:
        # with digits a number may be resolved although other ways to write it are not: never more than the truth
        assert density.of(int(index)) == pytest.approx(whole[(axis.value(int(index)),)], abs=1e-5)
    if model.name == "pocket":
        assert density.unresolved == 0
    else:
        assert 0 < density.unresolved < 1
        assert case.densities(2000).univariate[0].unresolved == 0


def test_entropy_and_rank() -> None:
    case = Case(load_model("scripted"), 1.0, 3, conditional())
    for density in case.densities(1000).univariate:
        parts = [*density.mass, density.inactive]
        assert density.entropy == pytest.approx(-sum(p * np.log2(p) for p in parts if p > 0))
        if density.chosen is not None:
            assert density.rank == 1 + sum(p > density.of(density.chosen) for p in density.mass)
        else:
            assert density.rank is None


@pytest.mark.parametrize(
    "space",
    [
        ConfigurationSpace({"x": Float("x", (1e-6, 10.0), log=True)}),
        ConfigurationSpace({"x": (1, 10**9)}),
        ConfigurationSpace({"x": (3, 5)}),
        ConfigurationSpace({"x": (0.0, 1.0)}),
        ConfigurationSpace({"x": ["u", "v", "w"]}),
    ],
)
@pytest.mark.parametrize("dialect", ["pocket", "scripted"])
def test_bins_hold_all_values_in_order(space: ConfigurationSpace, dialect: str) -> None:
    grammar = load_model(dialect).dialect.grammar(space)
    bins, axis = Bins(grammar, 0, 40), grammar.lattice.axes[0]
    assert (np.diff(bins.edges) > 0).all()
    assert (bins.edges[0], bins.edges[-1]) == (0, 1)
    picked = np.unique(np.linspace(0, axis.size - 1, 500).astype(np.int64))
    at = bins.of(picked)
    assert (np.diff(at) >= 0).all()
    assert (at.min(), at.max()) == (0, len(bins.starts) - 1)
    units = np.array([bins.unit(axis.value(int(i))) for i in picked])
    assert ((bins.edges[at] <= units + 1e-9) & (units <= bins.edges[at + 1] + 1e-9)).all()


def test_bad_input() -> None:
    case = Case(load_model("scripted"), 1.0, 0, conditional())
    with pytest.raises(ModelError, match="budget"):
        case.densities(0)
    programs = program_space('p: P = "f({n})" | "g({n})"  n: int = 1 .. 3').grammar()
    model = load_model("scripted")
    answers = answer_distribution(model, "?", programs)
    (drawn,) = model.generate([Request("?", programs, 0)])
    with pytest.raises(ModelError, match="choices only later"):
        proposal_densities(answers, drawn.token_ids or ())
    with pytest.raises(ModelError, match="not an answer"):
        proposal_densities(case.distribution, case.answer.token_ids[:3])
