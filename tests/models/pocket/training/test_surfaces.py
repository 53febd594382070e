"""Tables read as surfaces: faithful to their rows, legal, and never the same twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from airtune.models.dialects.pocket.codec import HEAD_ID
from airtune.models.pocket.training.algorithms import ALGORITHMS, HELD_OUT
from airtune.models.pocket.training.curriculum import by_size, draw, split_tables
from airtune.models.pocket.training.episodes import Episodes
from airtune.models.pocket.training.surfaces import Surface, cut, features, fit, tables_to_mix
from airtune.models.pocket.training.table_episodes import column_order, from_surfaces
from airtune.models.pocket.training.tables import Table, active_roles, default_value, to_unit, to_value

KNOWN = [name for name in ALGORITHMS if name not in HELD_OUT]


def table_of(name: str, index: int = 0) -> Table:
    """A table that is trained on."""
    return split_tables()[0][name][index]


def points_of(table: Table, unit: np.ndarray) -> np.ndarray:
    """Positions with NaN where inactive, as a process's points."""
    active = ~np.isnan(unit)
    return features(table.params, np.where(active, unit, 0.5), active)


def surface_of(table: Table, seed: int) -> Surface:
    rng = np.random.default_rng(seed)
    return Surface(rng, [table], column_order(rng, table))


@pytest.mark.parametrize("name", ["svm", "logistic", "components", "histogram_boosting"])
def test_a_process_predicts_rows_that_it_was_not_given(name: str) -> None:
    explained = []
    for index in range(4):
        table = table_of(name, index)
        process = fit(Table(table.params, table.unit[:120], table.loss[:120]))
        y = (table.loss - table.loss[:120].mean()) / table.loss[:120].std()
        gap = process(points_of(table, table.unit[120:])) - y[120:]
        explained.append(1 - (gap**2).mean() / y[120:].var())
    assert np.median(explained) > 0.7


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("seed", range(3))
def test_a_surface_is_its_table_told_in_other_words(name: str, seed: int) -> None:
    """Whatever the order, the ranges and the order of the choices: the same configuration has the same value."""
    table = table_of(name, seed)
    surface = surface_of(table, seed)
    unit = surface.snap(np.random.default_rng(seed).uniform(size=(30, len(surface.params))))
    active = surface.active(unit)
    theirs = {p.role: p for p in table.params}
    row = np.full((30, len(table.params)), np.nan)
    place = {p.role: i for i, p in enumerate(table.params)}
    for m in range(30):
        config = {p.role: to_value(p, float(u)) for p, u in zip(surface.params, unit[m], strict=True)}
        assert active_roles(tuple(surface.params), config) == active[m].tolist()
        for j, p in enumerate(surface.params):
            if active[m, j]:
                row[m, place[p.role]] = to_unit(theirs[p.role], config[p.role])
    expected = fit(table)(points_of(table, row))
    np.testing.assert_allclose(surface.value(unit, active), expected, atol=2e-3)


@pytest.mark.parametrize("name", KNOWN)
def test_positions_are_those_of_values_and_stay_where_they_are(name: str) -> None:
    surface = surface_of(table_of(name), 5)
    unit = surface.snap(np.random.default_rng(1).uniform(size=(40, len(surface.params))))
    assert (unit >= 0).all()
    assert (unit <= 1).all()
    np.testing.assert_allclose(surface.snap(unit), unit, atol=1e-9)
    for j, p in enumerate(surface.params):
        if p.kind != "C":
            said = [to_unit(p, to_value(p, float(u))) for u in unit[:, j]]
            np.testing.assert_allclose(said, unit[:, j], atol=1e-9)
    default = surface.default()
    np.testing.assert_allclose([to_unit(p, default_value(p)) for p in surface.params], default, atol=1e-6)


def test_a_cut_range_is_a_part_of_the_range_with_the_default_in_it() -> None:
    rng, narrower = np.random.default_rng(0), 0
    for algorithm in ALGORITHMS.values():
        for p in algorithm.params:
            for _ in range(20):
                new = cut(rng, p)
                assert replace(new, lower=p.lower, upper=p.upper, default=p.default) == p
                if p.kind == "C":
                    assert new == p
                    continue
                narrower += new.upper - new.lower < p.upper - p.lower
                slack = 1e-9 * (p.upper - p.lower)
                assert p.lower - slack <= new.lower < new.upper <= p.upper + slack
                assert new.lower <= new.default <= new.upper
    assert narrower > 500


def test_only_tables_of_the_same_hyperparameters_are_mixed() -> None:
    tables = split_tables()[0]["xgboost"]  # most of its tables tune a part of the hyperparameters
    rng, mixed = np.random.default_rng(0), 0
    for table in tables:
        some = tables_to_mix(rng, table, tables)
        assert some[0] is table
        assert len({tuple(p.role for p in t.params) for t in some}) == 1
        mixed += len(some) == 2
    assert 0 < mixed < len(tables)


def test_a_mixture_lies_between_its_tables() -> None:
    tables = [table_of("svm", 0), table_of("svm", 1)]
    rng = np.random.default_rng(4)
    mixture = Surface(rng, tables, [0, 1])
    unit = mixture.snap(rng.uniform(size=(50, 2)))
    active = mixture.active(unit)
    parts = []
    for table in tables:
        row = np.array(
            [
                [
                    to_unit(q, to_value(p, float(u)))
                    for p, q, u in zip(mixture.params, table.params, at, strict=True)
                ]
                for at in unit
            ]
        )
        parts.append(fit(table)(points_of(table, row)))
    value = mixture.value(unit, active)
    low, high = np.minimum(*parts), np.maximum(*parts)
    assert ((low - 1e-3 <= value) & (value <= high + 1e-3)).all()


def test_episodes_on_surfaces_differ_from_one_another_and_are_drawn_from_the_seed() -> None:
    table = table_of("kernel_svm")
    lengths = np.arange(12) % 7

    def episodes(seed: int) -> Episodes:
        return from_surfaces(np.random.default_rng(seed), [[table]] * 12, 6, lengths)

    one, two = episodes(1), episodes(1)
    for name in one.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert len({points.tobytes() for points in one.points}) == 12
    rows = {tuple(np.round(row, 5)) for row in np.nan_to_num(table.unit, nan=0.5).tolist()}
    numbers = [tuple(np.round(row, 5)) for row in one.points[:, 1:].reshape(-1, 5).tolist()]
    assert not rows & set(numbers)
    roles = {HEAD_ID[f"<{p.role}>"] for p in table.params} | {HEAD_ID["<?>"]}
    assert set(np.unique(one.header[:, :, 0]).tolist()) <= roles


def test_a_draw_of_every_size_is_legal() -> None:
    sized = by_size(split_tables()[0])
    for step in range(12):
        e = draw(np.random.default_rng([9, step]), sized, 600, borrow=True, surfaces=True)
        for name in ("points", "proposals", "queries", "default"):
            values = getattr(e, name)
            assert ((values >= 0) & (values <= 1)).all(), name
        assert np.isfinite(e.query_losses).all()
