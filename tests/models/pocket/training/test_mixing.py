"""Spaces that nobody wrote: what they may hold, and that nothing held out gets into them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from airtune.models.pocket.training import long_tables
from airtune.models.pocket.training.corpus import __main__ as command
from airtune.models.pocket.training.corpus import building, shards
from airtune.models.pocket.training.corpus.building import FAMILIES, MIXED, held_out, held_out_whole
from airtune.models.pocket.training.corpus.drawing import config_of, draw_codes, estimator_words, space_of
from airtune.models.pocket.training.corpus.mixing import mixed
from airtune.models.pocket.training.corpus.problems import make_problem

DRAWS = 30


@pytest.mark.parametrize("name", MIXED)
def test_a_space_is_one_that_can_be_written(name: str) -> None:
    """Bugs: a child before its parent, a condition on what the space does not have, a default outside the range."""
    family = MIXED[name]
    for seed in range(DRAWS):
        drawn = mixed(family, np.random.default_rng(seed))
        assert drawn.params
        assert not drawn.pool
        names = [p.name for p in drawn.params]
        assert len(set(names)) == len(names)
        assert {p.key for p in drawn.params} <= {p.key for p in family.pool}
        assert not {p.key for p in drawn.params} & {p.key for p in drawn.defaults}
        for i, p in enumerate(drawn.params):
            assert p.lower < p.upper
            assert math.isnan(p.default) or p.lower <= p.default <= p.upper
            if p.only is not None:
                parent = drawn.params[names[:i].index(p.only[0])]
                assert parent.kind == "C"
                assert parent.only is None
                assert 0 < len(set(p.only[1]) & set(parent.choices)) < len(parent.choices)
                assert set(p.only[1]) <= set(parent.choices)


def test_spaces_differ_and_pairs_of_tables_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: the space drawn by the table's own number, so that no two surfaces can be mixed."""
    seen = []
    monkeypatch.setattr(
        building, "space_of", lambda family, *args: seen.append(family.params) or family.params
    )
    monkeypatch.setattr(building, "CONFIGURATIONS", 4)
    for index in range(8):
        building.build_table("mixed_sklearn_tree", MIXED["mixed_sklearn_tree"], index)
    assert seen[0::2] == seen[1::2]
    assert len({tuple(p.name for p in params) for params in seen}) > 2


def test_nothing_that_is_held_out_is_mixed_in() -> None:
    """Bug: the pool of all families, held out or not."""
    trained = {n: f for n, f in FAMILIES.items() if held_out_whole(n, f.algorithm) is None}
    allowed = {(f.algorithm, p) for f in trained.values() for p in f.params}
    for name, family in MIXED.items():
        assert name.removeprefix("mixed_") in trained
        assert {(family.algorithm, p) for p in family.pool} <= allowed
    reasons = [held_out(name, family.algorithm, i) for name, family in MIXED.items() for i in range(40)]
    assert set(reasons) == {None, "space"}
    assert 0.07 < reasons.count("space") / len(reasons) < 0.18  # one in eight
    assert held_out("mixed_svc", "svm", 6) == held_out("mixed_svc", "svm", 7)


def test_what_is_not_drawn_is_at_the_familys_default() -> None:
    """Bug: networks of another depth or another optimiser than the family's, where neither is tuned."""
    problem = make_problem(1, False, (300, 400))
    for seed in range(DRAWS):
        drawn = mixed(MIXED["mixed_torch_adam"], np.random.default_rng(seed))
        params = space_of(drawn, problem, False, np.random.default_rng(seed))
        config = config_of(params, draw_codes(params, 2, np.random.default_rng(seed))[1])
        words = estimator_words(drawn, params, config, False)
        keys = {p.key for p in drawn.params}
        assert "optimizer" in keys or words["optimizer"] == "adamw"
        assert "depth" in keys or words["depth"] == 2
        assert all(words[p.key] == config[p.name] for p in params if p.name in config)


def test_a_hyperparameter_that_a_fixed_choice_switches_off_is_not_tuned() -> None:
    """Momentum means nothing to Adam: it is told of networks trained with SGD, or behind a choice of optimisers."""
    for name in ("mixed_torch_adam", "mixed_sklearn_mlp", "mixed_torch_sgd"):
        for seed in range(DRAWS):
            params = {p.key: p for p in mixed(MIXED[name], np.random.default_rng(seed)).params}
            if "momentum" in params:
                free = params["momentum"].only is None
                assert free == ("optimizer" not in params)
                assert not free or name == "mixed_torch_sgd"


@pytest.mark.parametrize("name", ["mixed_sklearn_tree", "mixed_svr"])
def test_the_tables_in_the_repository_are_of_these_spaces(name: str) -> None:
    """Bug: a space drawn otherwise than when the tables were made, so that nobody can make them again."""
    for file in sorted(long_tables.SHARDS.glob("mixed*.npz"))[::4]:
        for one in shards.read(file):
            if one.family == name:
                key = building.hashed(f"space {name} {one.index // 2}")
                drawn = mixed(MIXED[name], np.random.default_rng(key))
                assert {p.name for p in one.params} <= {p.name for p in drawn.params}
                again = building.build_table(name, MIXED[name], one.index)
                assert repr(again.params) == repr(one.params)  # repr: a default may be NaN
                assert (again.codes == one.codes).all()
                np.testing.assert_allclose(again.valid, one.valid, rtol=0.02)
                return
    raise AssertionError("no table of it")


def test_the_command_line_makes_them_under_a_name_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: shards of mixed spaces called like those of written ones, which are then taken for made."""
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(command, "build", lambda *arguments: asked.append(arguments[3:]))
    command.main(["--out", str(tmp_path), "--mixed"])
    command.main(["--out", str(tmp_path)])
    assert asked == [(MIXED, "mixed"), (FAMILIES, "round")]
    names = [
        {batch.name for batch in building.batches(families, 2, prefix)}
        for families, prefix in ((MIXED, "mixed"), (FAMILIES, "round"))
    ]
    assert not names[0] & names[1]
