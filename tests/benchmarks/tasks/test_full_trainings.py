"""Tasks of full trainings: of tables that `pocket` does not read, and of those as they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from airtune.benchmarks import get_task
from airtune.benchmarks.running.suites import SUITES
from airtune.benchmarks.tasks import full_trainings
from airtune.engine.types import TaskError
from airtune.grammars import space_grammar
from airtune.models.pocket.training import long_tables
from airtune.models.pocket.training.corpus.building import HELD_OUT_ALGORITHMS
from airtune.models.pocket.training.tables import Table, to_value

SUITE, REPORTED = SUITES["development-full"].tasks, SUITES["unseen-full"].tasks


def config_at(table: Table, row: int) -> dict[str, object]:
    return {
        p.role: str(p.choices[round(u * len(p.choices) - 0.5)]) if p.kind == "C" else to_value(p, float(u))
        for p, u in zip(table.params, table.unit[row], strict=True)
        if not math.isnan(u)
    }


def test_none_is_of_a_table_that_is_trained_on() -> None:
    """Bug: the reason of a table not looked at."""
    held = {f"full/{family}/{i}": reason for reason, family, i, _ in long_tables.read_all() if reason}
    assert {held[name] for name in SUITE} == {"table", "family"}
    assert {held[name] for name in REPORTED} == {"algorithm"}
    trained = {family for reason, family, _, _ in long_tables.read_all() if reason is None}
    whole = [name.split("/")[1] for name in SUITE if held[name] == "family"]
    assert whole
    assert not trained & set(whole)
    assert {name.split("/")[1] for name in REPORTED} == set(HELD_OUT_ALGORITHMS)


def test_no_family_of_spaces_has_more_than_three() -> None:
    families = [name.split("/")[1] for name in (*SUITE, *REPORTED)]
    assert max(families.count(family) for family in families) == 3


@pytest.mark.parametrize("name", [*SUITE[::4], *REPORTED[::4]])
def test_a_row_has_its_own_loss_and_every_configuration_one(name: str) -> None:
    task, (_, table) = get_task(name), full_trainings._tables()[name]
    assert not table.short
    for row in range(0, len(table.loss), 9):
        if math.isfinite(table.loss[row]) and (abs(table.unit - table.unit[row]) < 1e-6).all(1).sum() == 1:
            found = task.objective(config_at(table, row))
            assert found == pytest.approx(float(table.loss[row]), abs=0.05)
    rng = np.random.default_rng(0)
    drawn = [task.objective(space_grammar(task.space).sample(rng)) for _ in range(10)]
    assert len(set(drawn)) > 1
    assert min(drawn) >= 0


def test_where_the_nearest_row_failed_the_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a failed row farther away does not make a loss infinite."""
    name = SUITE[0]
    _, table = full_trainings._tables()[name]
    row = int(np.argmax(np.isfinite(table.loss)))
    config, before = config_at(table, row), table.loss.copy()
    others = before.copy()
    others[:] = np.inf
    others[row] = before[row]
    monkeypatch.setattr(full_trainings, "_tables", lambda: {name: ("table", _with(table, others))})
    objective = full_trainings.FullObjective(name)
    assert objective(config) == pytest.approx(float(before[row]))
    others[row] = np.inf
    assert objective(config) == math.inf


def _with(table: Table, loss: np.ndarray) -> Table:
    return Table(table.params, table.unit, loss, table.budget, table.short)


def test_an_unknown_one_is_told_in_our_words() -> None:
    with pytest.raises(TaskError, match="unknown task 'full/no_such/0'"):
        get_task("full/no_such/0")


LISTED = SUITES["development-lists"].tasks


def test_those_with_lists_are_the_same_without_conditions() -> None:
    free = [name for name in SUITE if not get_task(name).space.conditions]
    assert list(LISTED) == [f"{name}@lists" for name in free]
    assert len(LISTED) > 50


@pytest.mark.parametrize("name", LISTED[::5])
def test_lists_hold_values_of_the_range_and_losses_stay(name: str) -> None:
    """Bug: positions in place of values; a default that is not the nearest value."""
    task, whole = get_task(name), get_task(name.removesuffix("@lists"))
    task.space.seed(0)
    for config in (task.space.get_default_configuration(), *task.space.sample_configuration(5)):
        assert task.objective(dict(config)) == whole.objective(dict(config))
    for hp in task.space.values():
        before = whole.space[hp.name]
        if not hasattr(before, "lower"):
            assert hp == before
            continue
        assert 2 <= len(hp.sequence) <= 10
        assert before.lower <= min(hp.sequence)
        assert max(hp.sequence) <= before.upper
        assert list(hp.sequence) == sorted(set(hp.sequence))
        steps = np.array([before.to_vector(v) for v in hp.sequence])
        away = np.abs(steps - before.to_vector(before.default_value))
        assert away[hp.sequence.index(hp.default_value)] == pytest.approx(away.min())
