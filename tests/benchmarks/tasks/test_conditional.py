"""The suite `development-conditional`: what its tasks are, and that nothing was trained on them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from airtune.benchmarks import get_task
from airtune.benchmarks.tasks.clusters import task_cluster
from airtune.benchmarks.tasks.conditional.forest import Forest
from airtune.benchmarks.tasks.conditional.tasks import TABLES, conditional_names
from airtune.grammars import space_grammar
from airtune.models.pocket.training.corpus.building import FAMILIES, batches
from airtune.models.pocket.training.corpus.notation import choice, number
from airtune.models.pocket.training.corpus.shards import Table, read

NAMES = conditional_names()
ONE_OF_EACH = {name.split("/")[1]: name for name in NAMES}


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return {f"{table.family}/{table.index}": table for table in read(TABLES)}


@pytest.mark.parametrize("name", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_a_task_has_a_finite_loss_everywhere_and_the_same_one_again(name: str) -> None:
    task, rng = get_task(name), np.random.default_rng(0)
    configs = [space_grammar(task.space).sample(rng) for _ in range(20)]
    losses = [task.objective(config) for config in configs]
    assert np.isfinite(losses).all()
    assert len(set(losses)) > 1
    assert losses == [get_task(name).objective(config) for config in configs]


def test_nothing_was_trained_on_its_tables(tables: dict[str, Table]) -> None:
    trained_on = {index for batch in batches(FAMILIES, 8) for _, index in batch.tables}
    assert max(trained_on) < min(table.index for table in tables.values())


def test_a_third_of_the_defaults_each_is_the_librarys_the_middle_and_drawn(tables: dict[str, Table]) -> None:
    """The middle is what ConfigSpace takes itself; a library's default, what the table says."""
    kinds = [name.rpartition("/")[2] for name in NAMES]
    assert min(kinds.count(kind) for kind in ("library", "middle", "drawn")) >= len(NAMES) // 3 - 1
    for name in NAMES:
        table = tables["/".join(name.split("/")[1:3])]
        given = get_task(name).space
        plain = ConfigurationSpace(space=[_without_default(hp) for hp in given.values()])
        for p in table.params:
            told, vector = given[p.name].default_value, given[p.name].to_vector
            if name.endswith("library"):
                place = p.choices[int(p.default)] if p.kind in "CO" else p.default
                assert told == (str(place) if p.kind == "C" else pytest.approx(place))
            if name.endswith("middle") and p.kind != "O":
                middle = vector(plain[p.name].default_value)
                assert abs(vector(told) - middle) <= (0 if p.kind == "C" else 0.02 + 1 / (p.upper - p.lower))


def _without_default(hp):  # type: ignore[no-untyped-def]
    kept = {f.name for f in dataclasses.fields(hp) if f.init} & {
        "name",
        "lower",
        "upper",
        "log",
        "choices",
        "sequence",
    }
    return type(hp)(**{name: getattr(hp, name) for name in kept})


def test_conditions_hold_in_the_space(tables: dict[str, Table]) -> None:
    conditional = {p.family for p in tables.values() if any(one.only for one in p.params)}
    assert {"xgboost_boosters", "boosting_or_linear", "choice_of_model", "sgd"} <= conditional
    name = next(name for name in NAMES if "/xgboost_boosters/" in name)
    space = get_task(name).space
    assert len(space) == 14
    grammar, rng = space_grammar(space), np.random.default_rng(1)
    for config in (grammar.sample(rng) for _ in range(50)):
        assert ("rate_drop" in config) == (config["booster"] == "dart")
        assert ("max_depth" in config) == (config["booster"] != "gblinear")


def test_a_forest_passes_over_what_does_not_matter(tables: dict[str, Table]) -> None:
    """The loss of the table is that of one of its eight numbers, with one that is active for one choice only."""
    rng = np.random.default_rng(0)
    params = (
        choice("kind", "a", "b"),
        number("F", "used", 0.0, 1.0, 0.5, only=("kind", ("a",))),
        *(number("F", f"idle{i}", 0.0, 1.0, 0.5) for i in range(6)),
    )
    codes = rng.integers(255, size=(300, 8)).astype(np.uint8)
    codes[:, 0] %= 2
    codes[codes[:, 0] == 1, 1] = 255
    loss = np.where(codes[:, 0] == 0, 0.1 + np.abs(codes[:, 1] / 254 - 0.8), 0.9)
    made = dataclasses.replace(
        next(iter(tables.values())), params=params, codes=codes, valid=loss.astype(np.float16)
    )
    forest = Forest(made)
    idle = {f"idle{i}": 0.3 for i in range(6)}
    there = [forest.loss({"kind": "a", "used": u, **idle}) for u in (0.1, 0.5, 0.8)]
    assert there[0] > there[1] + 0.1 > there[2] + 0.2
    assert there == pytest.approx([0.8, 0.4, 0.1], abs=0.1)
    assert forest.loss({"kind": "b", **idle}) == pytest.approx(0.9, abs=0.05)
    assert abs(forest.loss({"kind": "a", "used": 0.8, **idle, "idle3": 0.9}) - there[2]) < 0.05


def test_tasks_on_a_data_set_are_one_cluster() -> None:
    assert task_cluster("conditional/sgd/1000/middle") == task_cluster("conditional/sgd/1000/drawn")
    assert len({task_cluster(name) for name in NAMES}) == len(NAMES)
