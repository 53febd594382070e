"""Tables of full trainings as episodes: what is read and held out, headers, parts of tables, histories of searches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from airtune.models.dialects.pocket.words import TOKEN_ID, role_token
from airtune.models.pocket.training import long_tables
from airtune.models.pocket.training.algorithms import Param, choice
from airtune.models.pocket.training.corpus import building, shards
from airtune.models.pocket.training.corpus.building import MIXED
from airtune.models.pocket.training.corpus.drawing import config_of, has_default
from airtune.models.pocket.training.corpus.notation import number, ordinal
from airtune.models.pocket.training.corpus.problems import Problem, make_problem
from airtune.models.pocket.training.curriculum import by_size, draw, split_tables
from airtune.models.pocket.training.episodes import Episodes
from airtune.models.pocket.training.long_tables import SHARDS, compressed, load, param_of, table_of
from airtune.models.pocket.training.searches import by_process, local_moves
from airtune.models.pocket.training.surfaces import Surface
from airtune.models.pocket.training.table_episodes import (
    from_surfaces,
    from_tables,
    slice_of,
    used_at_most,
)
from airtune.models.pocket.training.tables import Table, default_value, to_unit, to_value

UNKNOWN = TOKEN_ID["<?>"]


@cache
def made() -> list[shards.Table]:
    return [table for file in sorted(SHARDS.glob("*.npz")) for table in shards.read(file)]


def test_what_is_read_are_the_configurations_and_losses_of_the_shards() -> None:
    checked = 0
    for one in made()[::5]:
        table = table_of(one)
        if table is None:
            continue
        for row in range(0, len(one.valid), 7):
            config = config_of(one.params, one.codes[row], default=has_default(one.params) and row == 0)
            for j, p in enumerate(table.params):
                assert np.isnan(table.unit[row, j]) == (p.role not in config)
                if p.role in config:
                    value = to_value(p, float(table.unit[row, j]))
                    assert value == (
                        config[p.role] if p.kind == "C" else pytest.approx(config[p.role], rel=1e-4, abs=1e-6)
                    )
                    checked += 1
        order = np.argsort(one.valid, kind="stable")
        assert (np.diff(table.loss[order][np.isfinite(table.loss[order])]) >= 0).all()
        assert (np.isinf(table.loss) == np.isinf(one.valid)).all()
    assert checked > 300


def test_losses_keep_their_order_and_their_size_below_the_median() -> None:
    loss = np.array([0.2, 0.1, 0.3, 900.0, np.inf, 0.25, 0.15])
    found = compressed(loss)
    assert found[4] == np.inf
    assert (np.argsort(found) == np.argsort(loss)).all()
    assert found[1] == 0
    assert found[0] == pytest.approx((0.2 - 0.1) / (0.225 - 0.1))
    assert found[3] < 12
    assert (compressed(np.array([0.1, 0.1, 0.1, 0.4])) >= 0).all()  # half of it ties with the best


def test_lists_of_numbers_are_told_as_the_number_and_a_missing_default_is_the_middle() -> None:
    batch = param_of(ordinal("batch_size", 16, 32, 64, 128, default=0))
    assert (batch.kind, batch.lower, batch.upper, batch.default) == ("J", 16, 128, 64)
    assert to_value(batch, to_unit(batch, 32)) == 32
    assert param_of(ordinal("depth", 1, 2, 3, default=3)).default == 3
    assert param_of(number("L", "lambda", 1e-4, 1.0, 9.0)).default == pytest.approx(1e-2)
    assert param_of(number("F", "share", 0.2, 0.6, 9.0)).default == pytest.approx(0.4)


def test_what_is_held_out_is_never_trained_on() -> None:
    training, kept = load()
    every = {(one.family, building.held_out(one.family, one.algorithm, one.index)) for one in made()}
    assert set(training) <= {family for family, reason in every if reason is None}
    for reason in long_tables.REASONS:
        assert set(kept[reason]) <= {family for family, why in every if why == reason}
        assert kept[reason]
    assert not set(training) & (set(kept["family"]) | set(kept["algorithm"]))
    count = sum(len(v) for v in training.values()) + sum(len(v) for d in kept.values() for v in d.values())
    assert 0.8 * len(made()) < count <= len(made())


def test_a_stage_before_there_were_mixed_spaces_reads_none() -> None:
    """Or the shipped weights could not be trained again."""
    everything, (training, kept) = load(), load(mixed=False)
    names = set(training) | {family for found in kept.values() for family in found}
    assert not any(name.startswith("mixed_") for name in names)
    assert names == {
        n for n in (*everything[0], *(f for d in everything[1].values() for f in d)) if n not in MIXED
    }


def problem_of(one: shards.Table) -> Problem:
    """The data set of a table, drawn again."""
    rows = building.rows_of((building.FAMILIES | MIXED)[one.family], one.index)
    return make_problem(one.problem["seed"], one.problem["classes"] == 0, rows)


def hashes(x: np.ndarray) -> set[bytes]:
    """Of each row, as it is and with every column standardised."""
    spread = x.std(0)
    forms = (x, (x - x.mean(0)) / np.where(spread > 0, spread, 1.0))
    return {
        hashlib.sha256(np.round(row + 0.0, 3).tobytes()).digest()
        for form in forms
        for row in form.astype(np.float32)
    }


def test_no_row_of_a_data_set_of_the_benchmarks_is_in_the_tables() -> None:
    """By hashes, of scikit-learn's own data sets; each table's data are what the generator draws from its seed."""
    theirs: set[bytes] = set()
    for name in ("iris", "wine", "breast_cancer", "digits", "diabetes"):
        x = np.asarray(getattr(datasets, f"load_{name}")(return_X_y=True)[0], dtype=float)
        found = hashes(x)
        assert found & hashes(x[::3])  # hashes would find a row
        theirs |= found
    for one in made()[::9]:
        problem = problem_of(one)
        assert problem.facts == one.problem
        assert not hashes(np.concatenate(problem.x)) & theirs


def some_long(short: bool) -> Iterator[Table]:
    training, _ = load()
    return (t for group in training.values() for t in group if t.budget and t.short == short)


@pytest.mark.parametrize("short", [True, False])
def test_a_header_says_how_long_a_short_training_is_and_sometimes_a_full_one(short: bool) -> None:
    table = next(some_long(short))
    assert table.budget is not None
    for make in (
        from_tables,
        lambda rng, t, n, length, **more: from_surfaces(rng, [[x] for x in t], n, length, **more),
    ):
        episodes = make(np.random.default_rng(0), [table] * 120, 4, np.full(120, 4), alphabet=2)
        named = (episodes.header[:, :, 0] != UNKNOWN).any(1)
        told = (episodes.budget >= 0).all(1)
        assert (
            episodes.budget[told]
            == [TOKEN_ID[f"<{table.budget[0]}>"], TOKEN_ID["K"], episodes.budget[told][0, 2]]
        ).all()
        assert not told[~named].any()
        assert told[named].all() if short else 0.2 < told[named].mean() < 0.6
        first = make(np.random.default_rng(0), [table] * 120, 4, np.full(120, 4))
        assert (first.budget < 0).all()
        assert first.words.shape[2] == 0
    tuned = replace(table, params=(replace(table.params[0], role=table.budget[0]), *table.params[1:]))
    episodes = from_tables(np.random.default_rng(0), [tuned] * 40, 4, np.full(40, 4), alphabet=2)
    assert (episodes.budget < 0).all()


def test_the_same_rows_are_shown_in_both_alphabets() -> None:
    tables = [t for group in load()[0].values() for t in group if len(t.params) == 3][:20]
    one, two = (
        from_tables(np.random.default_rng(4), tables, 6, np.full(len(tables), 5), alphabet=a) for a in (1, 2)
    )
    for field in ("points", "losses", "proposals", "queries", "default", "levels"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
    assert (one.header[:, :, 1:] == two.header[:, :, 1:]).all()
    assert (two.words >= 0).any()


WORDS = ("rbf", "poly", "mine", "linear")


def test_words_are_told_of_the_choices_that_they_are_of() -> None:
    """However the choices are shuffled: the row of a configuration has the choice that is called as its own."""
    params = (choice("kernel", *WORDS), Param("C", "L", 1e-2, 1e2, 1.0))
    unit = np.random.default_rng(0).uniform(size=(24, 2)).astype(np.float32)
    unit[:, 0] = (np.arange(24) % 4 + 0.5) / 4
    loss = (np.arange(24) % 4).astype(np.float32)  # the choice is the loss
    table = Table(params, unit, loss)
    rows = from_tables(np.random.default_rng(2), [table] * 30, 8, np.full(30, 8), alphabet=2)
    surfaces = from_surfaces(np.random.default_rng(2), [[table]] * 60, 8, np.full(60, 0), alphabet=2)
    checked, proposed = 0, []
    for episodes in (rows, surfaces):
        for i in range(len(episodes.points)):
            j = int(np.flatnonzero(episodes.categorical[i])[0])
            words = episodes.words[i, j].tolist()
            if max(words) < 0:  # hidden
                continue
            known = {words.index(TOKEN_ID[f"{{{w}}}"]): loss for loss, w in enumerate(WORDS) if w != "mine"}
            assert words.count(-1) == 1
            if episodes is surfaces:
                proposed.append(known.get(int(episodes.proposals[i, 0, j] * 4), 2))
                continue
            for point, lost in zip(episodes.points[i], episodes.losses[i], strict=True):
                assert known.get(int(point[j] * 4), 2) == lost
                checked += 1
    assert checked > 100
    assert np.mean(np.array(proposed) == 0) > 0.6  # a random function is added to some


class Plain:
    """Draws nothing: no range is cut, no choice is moved."""

    def uniform(self) -> float:
        return 1.0

    def permutation(self, count: int) -> np.ndarray:
        return np.arange(count)


@pytest.mark.parametrize("seed", range(12))
def test_a_part_of_a_table_is_the_table_with_the_rest_set(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = [t for g in load()[0].values() for t in g if used_at_most(t) >= 3]
    table = tables[rng.integers(len(tables))]
    plain: Any = Plain()
    order, row = slice_of(rng, table, 2)
    assert len(set(order)) == 2
    whole = Surface(plain, [table], range(len(table.params)))
    part = Surface(plain, [table], order, row)
    unit = part.snap(rng.uniform(size=(20, 2)).astype(np.float32))
    default = np.array([to_unit(p, default_value(p)) for p in table.params])
    there = np.tile(np.where(np.isnan(table.unit[row]), default, table.unit[row]), (20, 1)).astype(np.float32)
    there[:, order] = unit
    there = whole.snap(there)
    values = part.value(unit, part.active(unit))
    np.testing.assert_allclose(values, whole.value(there, whole.active(there)), atol=2e-3)


def bowl(u: np.ndarray, active: np.ndarray) -> np.ndarray:
    return np.asarray(((u - 0.3) ** 2).sum(2))


def everything(u: np.ndarray) -> np.ndarray:
    return np.ones(u.shape, dtype=bool)


def same(u: np.ndarray) -> np.ndarray:
    return u


def test_local_moves_change_one_or_two_places_of_the_best_so_far() -> None:
    first = np.random.default_rng(0).uniform(size=(40, 5)).astype(np.float32)
    trials = local_moves(np.random.default_rng(1), first, 15, bowl, everything, same)
    np.testing.assert_array_equal(trials[:, 0], first)
    value = bowl(trials, everything(trials))
    changed = []
    for i in range(40):
        for t in range(1, 15):
            best = trials[i, value[i, :t].argmin()]
            changed.append(int((trials[i, t] != best).sum()))
    assert set(changed) == {1, 2}
    assert np.mean(np.array(changed) == 2) == pytest.approx(0.3, abs=0.07)  # 560 draws: 3.5 standard errors


def test_a_process_goes_where_it_is_low() -> None:
    first = np.full((30, 2), 0.9, dtype=np.float32)
    none = np.zeros((30, 2), dtype=bool)
    trials = by_process(np.random.default_rng(1), first, none, 16, bowl, everything, same)
    np.testing.assert_array_equal(trials[:, 0], first)
    assert len(np.unique(trials[0], axis=0)) == 16
    value = bowl(trials, everything(trials))
    assert np.median(value[:, 3:].min(1)) < 0.01 < np.median(value[:, :3].min(1))


def test_batches_are_drawn_from_all_of_it() -> None:
    """Of several sizes: legal positions; new roles, lengths of trainings and words in some of them."""
    long, _ = load()
    sized = by_size(split_tables()[0])
    seen, sizes = set(), set()
    for step in range(60):
        rng = np.random.default_rng([1, step])
        episodes = draw(rng, sized, 800, borrow=True, surfaces=True, alphabet=2, long=long)
        if step < 6:  # a function of the seed
            again = draw(
                np.random.default_rng([1, step]),
                sized,
                800,
                borrow=True,
                surfaces=True,
                alphabet=2,
                long=long,
            )
            for field in Episodes.__dataclass_fields__:
                np.testing.assert_array_equal(getattr(episodes, field), getattr(again, field))
        assert ((episodes.points >= 0) & (episodes.points <= 1)).all()
        assert ((episodes.proposals >= 0) & (episodes.proposals <= 1)).all()
        sizes.add(episodes.points.shape[2])
        seen |= (
            set(np.unique(episodes.header[:, :, 0]))
            | set(np.unique(episodes.words))
            | set(np.unique(episodes.budget))
        )
    for token in ("<penalty>", "{l2}", "{true}", "<epochs>", "K", role_token("n_neighbors")):
        assert TOKEN_ID[token] in seen
    assert len(sizes) >= 6
