"""The pocket dialect: the grammar contract on its coarser lattice, its prompts, its limits."""

import re

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    Integer,
    OrdinalHyperparameter,
)

from airtune.benchmarks.measures.spaces import random_space
from airtune.grammars import DecodeError, SpaceError, canonical_lattice, lattice_grammar, space_grammar
from airtune.grammars.space_check import violation
from airtune.models import Dialect, ModelError, Observation, Problem
from airtune.models.dialects.pocket.codec import LETTERS
from airtune.models.dialects.pocket.dialect import MAX_TRIALS, PocketDialect
from airtune.models.pocket.training.release import build_tokenizer

DIALECT = PocketDialect()


def small_spaces(count: int) -> list[ConfigurationSpace]:
    """Random spaces that pocket can speak of."""
    spaces: list[ConfigurationSpace] = []
    seed = 0
    while len(spaces) < count:
        space = random_space(np.random.default_rng(seed))
        seed += 1
        try:
            DIALECT.grammar(space)
        except SpaceError:
            continue
        spaces.append(space)
    return spaces


def test_it_is_a_dialect() -> None:
    assert isinstance(DIALECT, Dialect)


def test_the_grammar_contract_holds_on_its_lattice() -> None:
    """Sound by ConfigSpace's own check, on the canonical lattice, bijective, bounded, and spelt in one way."""
    tokenizer = build_tokenizer()
    for space in small_spaces(40):
        grammar, canonical = DIALECT.grammar(space), space_grammar(space)
        rng = np.random.default_rng(0)
        for _ in range(25):
            config = grammar.sample(rng)
            text = grammar.encode(config)
            assert DIALECT.parse(text, grammar) == config
            assert grammar.accepts(text)
            assert len(text) <= grammar.max_length
            assert canonical.decode(canonical.encode(config)) == config
            if not grammar.approximate:
                assert violation(space, config) is None
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert tokenizer.decode(ids) == text
            spoken = [n for n in config if not isinstance(space[n], Constant)]
            assert len(ids) == len(spoken)  # one token each


def test_what_was_tried_cannot_be_said_again_even_from_off_the_lattice() -> None:
    space = ConfigurationSpace({"lr": (1e-3, 1.0), "n": (1, 3)})
    tried = {"lr": 0.5004, "n": 2}
    near = DIALECT.grammar(space).snap(tried)
    grammar = DIALECT.grammar(space, [tried])
    text = DIALECT.grammar(space).encode(near)
    assert not grammar.accepts(text)
    assert grammar.count() == DIALECT.grammar(space).count() - 1
    with pytest.raises(DecodeError):
        DIALECT.parse(text, grammar)


def test_small_discrete_spaces_are_complete() -> None:
    """Where a space has at most a thousand values per hyperparameter, pocket reaches all of it."""
    space = ConfigurationSpace({"a": (1, 40), "b": ["x", "y", "z"], "c": (1, 3)})
    assert DIALECT.grammar(space).count() == space_grammar(space).count() == 360


def test_bounds_are_reachable_and_bins_ascend() -> None:
    space = ConfigurationSpace(space=[Float("C", (2**-10, 2**10), log=True)])
    grammar = DIALECT.grammar(space)
    assert grammar.decode("a000") == {"C": 2**-10}
    assert grammar.decode("a999") == {"C": 2**10}
    values = [grammar.decode(grammar.encode(grammar.nth(i)))["C"] for i in range(0, grammar.count(), 37)]
    assert values == sorted(values)


def test_prompts_tell_the_worst_first_and_leave_pending_trials_out() -> None:
    space = ConfigurationSpace(space=[Float("x", (0.0, 1.0), default=0.5)])
    observations = (
        Observation({"x": 0.1}, 0.1), Observation({"x": 0.9}, 0.9), Observation({"x": 0.4}, None, "asked"),
        Observation({"x": 0.7}, None, "failed", "NaN"), Observation({"x": 0.3}, 0.3),
    )  # fmt: skip
    prompt = DIALECT.render(Problem("t", "ignored", space, "loss", observations))
    assert prompt == "<?>F[0][+e0]a499;a699=!a899=839a300=599a100=200>"
    query = DIALECT.render_query(Problem("t", "", space, "loss", observations[:1]), {"x": 0.2})
    assert query == "<?>F[0][+e0]a499;a100=200?a200"


def test_constants_and_inactive_hyperparameters_are_unspoken() -> None:
    space = ConfigurationSpace(
        space=[
            Categorical("kind", ["p", "q"], default="p"),
            Integer("k", (1, 5), default=2),
            Constant("z", 3),
        ]
    )
    space.add(EqualsCondition(space["k"], space["kind"], "q"))
    grammar = DIALECT.grammar(space)
    texts = {grammar.encode(grammar.nth(i)) for i in range(grammar.count())}
    assert texts == {"aA", "aBb000", "aBb250", "aBb500", "aBb749", "aBb999"}
    assert grammar.decode("aA") == {"kind": "p", "z": 3}
    seen = (Observation({"kind": "p", "z": 3}, 0.5),)
    assert DIALECT.render(Problem("t", "", space, "loss", seen)).endswith(";aA=200>")


def test_long_histories_are_thinned_to_the_best_and_a_spread_of_the_rest() -> None:
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    losses = np.linspace(0, 1, 150)
    seen = tuple(Observation({"x": float(v)}, float(v)) for v in losses)
    trials = DIALECT.render(Problem("t", "", space, "loss", seen)).split(";")[1]
    assert trials.count("=") == MAX_TRIALS
    assert trials.endswith("a000=200>")
    assert trials.startswith("a999=")


def test_what_it_cannot_speak_of_is_a_clear_error() -> None:
    many = ConfigurationSpace({f"x{i}": (0.0, 1.0) for i in range(len(LETTERS) + 1)})
    with pytest.raises(SpaceError, match="25 hyperparameters") as caught:
        DIALECT.grammar(many)
    assert "at most 24" in str(caught.value)
    wide = ConfigurationSpace({"c": [f"v{i}" for i in range(33)]})
    with pytest.raises(SpaceError, match="33 choices"):
        DIALECT.render(Problem("t", "", wide, "loss"))


def test_the_default_lattice_is_finer_than_its_own() -> None:
    space = ConfigurationSpace(space=[Float("lr", (1e-5, 1e-1), log=True)])
    assert 990 < DIALECT.grammar(space).count() <= 1000 < lattice_grammar(canonical_lattice(space)).count()


def test_a_grid_of_numbers_is_told_as_the_number() -> None:
    """An ordinal with numeric values is a grid on a range: the model reads its kind, range and positions."""
    grid = ConfigurationSpace(
        space=[
            OrdinalHyperparameter("C", [0.01, 0.1, 1.0, 10.0, 100.0], default_value=1.0),
            OrdinalHyperparameter("max_depth", [1, 2, 3, 5, 8], default_value=5),
            OrdinalHyperparameter("depth", [1, 2, 3], default_value=1),
            OrdinalHyperparameter("size", ["small", "large"]),
        ]
    )
    dialect = PocketDialect()
    prompt = dialect.render(Problem("x", "", grid, "loss"))
    assert prompt == (
        "<C>L[+e-2][+e2]a500<depth>I[+e0][+e0.5]b000<max_depth>J[+e0][+e1]c773<width>O[0][+e0.5]d000;>"
    )
    grammar = dialect.grammar(grid)
    assert grammar.count() == 5 * 5 * 3 * 2
    assert grammar.encode({"C": 0.1, "depth": 2, "max_depth": 8, "size": "large"}) == "a250b500c999d999"


def test_a_grid_too_fine_for_its_scale_keeps_its_ranks() -> None:
    values = [1.0, 1.0001, 2.0]
    space = ConfigurationSpace(space=[OrdinalHyperparameter("x", values)])
    grammar = PocketDialect().grammar(space)
    assert [grammar.encode({"x": v}) for v in values] == ["a000", "a500", "a999"]


def told(space: ConfigurationSpace, **settings: object) -> str:
    """The header of a space in the second alphabet."""
    return PocketDialect(**settings).render(Problem("t", "", space, "loss"))  # type: ignore[arg-type]


def test_the_second_alphabet_tells_words_and_how_long_a_training_is() -> None:
    space = ConfigurationSpace(
        space=[
            Categorical("optimizer", ["Adam", "mine", "sgd"], default="sgd"),
            Float("svm_C", (1e-2, 1e2), log=True, default=1.0),
            Constant("max_iter", 8),
            Constant("verbose", 1),
        ]
    )
    assert told(space) == "<epochs>K[+e1]<optimizer>C[0][+e0.5]aA{adam}aC{sgd}aC<C>L[+e-2][+e2]b500;>"
    first = PocketDialect(alphabet=1).render(Problem("t", "", space, "loss"))
    assert first == "<optimizer>C[0][+e0.5]aC<?>L[+e-2][+e2]b500;>"
    assert told(space, names="hidden") == "<?>C[0][+e0.5]aC<?>L[+e-2][+e2]b500;>"
    other = ConfigurationSpace({"x": (0.0, 1.0), "depth": (1, 3)})
    assert told(other) == PocketDialect(alphabet=1).render(Problem("t", "", other, "loss"))
    assert PocketDialect(alphabet=1).name == "pocket+alphabet=1"
    with pytest.raises(ModelError, match="alphabet cannot be 3"):
        PocketDialect(alphabet=3)


def test_names_that_change_places_change_nothing_but_the_roles() -> None:
    """A liar's names: same tokens otherwise, and the answers' language is the same."""
    names = ["learning_rate", "momentum", "weight_decay"]
    ranges = [(1e-4, 1.0), (1e-3, 0.9), (1e-8, 1e-1)]

    def space(order: list[int]) -> ConfigurationSpace:
        return ConfigurationSpace(
            space=[Float(names[i], ranges[j], log=True) for i, j in zip(range(3), order, strict=True)]
        )

    def parts(order: list[int]) -> list[tuple[str, str]]:
        return re.findall(r"<(\w+)>(L\[[^<]*\])", told(space(order)))

    own = [facts for _, facts in parts([0, 1, 2])]
    for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1]):
        assert parts(order) == [(name, own[i]) for name, i in zip(names, order, strict=True)]
    assert len(set(own)) == 3


def test_words_move_with_their_choices() -> None:
    orders = [["rbf", "poly", "mine"], ["poly", "mine", "rbf"]]
    told_of = [told(ConfigurationSpace(space=[Categorical("kernel", o, default="rbf")])) for o in orders]
    assert told_of == ["<kernel>C[0][+e0.5]aA{rbf}aB{poly}aA;>", "<kernel>C[0][+e0.5]aA{poly}aC{rbf}aC;>"]
