"""The development tasks: there, deterministic, and none of what is reported on."""

from pathlib import Path

import numpy as np
import pytest

from airtune.benchmarks import get_task
from airtune.benchmarks.running.suites import SUITES, get_suite
from airtune.benchmarks.tasks import development
from airtune.benchmarks.tasks.development import development_names
from airtune.engine.types import TaskError
from airtune.grammars import AirtuneError, space_grammar
from airtune.models.pocket.training import tables
from airtune.models.pocket.training.algorithms import HELD_OUT

EVERY = [*development_names(), *development_names("unseen")]


@pytest.mark.parametrize("name", [n for n in EVERY if n.endswith("/0")])
def test_a_task_has_a_finite_loss_everywhere_and_the_same_one_again(name: str) -> None:
    task, rng = get_task(name), np.random.default_rng(0)
    configs = [space_grammar(task.space).sample(rng) for _ in range(20)]
    losses = [task.objective(config) for config in configs]
    assert np.isfinite(losses).all()
    assert len(set(losses)) > 1
    assert losses == [get_task(name).objective(config) for config in configs]


def test_no_task_is_reported_on_and_chosen_with() -> None:
    chosen_with = {task for name in SUITES if name.startswith("development") for task in SUITES[name].tasks}
    reported = {"hpobench", "hpobench-published", "original", "original-mlp", "unseen", "unseen-full"}
    assert reported < set(SUITES)
    assert not chosen_with & {task for name in reported for task in SUITES[name].tasks}


def test_unseen_tasks_are_of_algorithms_and_functions_that_nothing_was_trained_or_chosen_on() -> None:
    kinds = [{name.split("/")[1] for name in development_names(family)} for family in ("dev", "unseen")]
    assert {kind for kind in kinds[1] if not kind.startswith("function")} == set(HELD_OUT)
    assert not kinds[0] & set(HELD_OUT)
    config = {"x00": 0.3, "x01": 0.6}
    losses = [
        get_task(f"{family}/function2/{i}").objective(config)
        for family in ("dev", "unseen")
        for i in range(8)
    ]
    assert len(set(losses)) == len(losses)


def test_between_rows_a_loss_is_interpolated() -> None:
    """A search that goes on near a good row finds something else there, and nothing beyond its neighbours."""
    from airtune.benchmarks.tasks.development import _tables
    from airtune.models.pocket.training.tables import to_value

    table = _tables()["svm"][0]
    best = int(table.loss.argmin())
    unit = table.unit[best] * 0.98 + 0.01
    config = {p.role: to_value(p, float(u)) for p, u in zip(table.params, unit, strict=True)}
    loss = get_task("dev/svm/0").objective(config)
    assert table.loss.min() < loss < table.loss.max()


def test_the_best_row_of_a_table_can_be_found() -> None:
    """A configuration at a row of a table has that row's loss."""
    from airtune.benchmarks.tasks.development import _tables
    from airtune.models.pocket.training.tables import to_value

    table = _tables()["svm"][0]
    best = int(table.loss.argmin())
    config = {p.role: to_value(p, float(u)) for p, u in zip(table.params, table.unit[best], strict=True)}
    assert get_task("dev/svm/0").objective(config) == pytest.approx(float(table.loss[best]), abs=1e-3)


def test_unseen_tasks_are_made_anew_from_a_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rows than a real table has; built once, in the caches, and read from there by whoever comes next."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tables, "ROWS", 6)
    development._table.cache_clear()
    rng = np.random.default_rng(0)
    for kind in (*HELD_OUT, "function4"):
        task = get_task(f"unseen/{kind}/0@seed=7")
        configs = [space_grammar(task.space).sample(rng) for _ in range(5)]
        losses = [task.objective(config) for config in configs]
        assert np.isfinite(losses).all()
        development._table.cache_clear()
        monkeypatch.setattr(tables, "build_table", None)
        assert [get_task(task.name).objective(config) for config in configs] == losses
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(tables, "ROWS", 6)
    assert len(list((tmp_path / "airtune" / "unseen-7").iterdir())) == len(HELD_OUT)
    config = {f"x{i:02d}": 0.3 for i in range(4)}
    others = [get_task(f"unseen/function4/0{seed}").objective(config) for seed in ("", "@seed=7", "@seed=8")]
    assert len(set(others)) == 3
    development._table.cache_clear()


def test_suites_are_made_anew_and_moved() -> None:
    plain, anew = get_suite("unseen").tasks, get_suite("unseen@seed=12").tasks
    assert anew == tuple(f"{name}@seed=12" for name in plain)
    assert get_suite("moved/unseen@seed=12").tasks == tuple(f"moved/{name}" for name in anew)
    assert get_suite("toy/branin").tasks == ("toy/branin",)
    assert get_suite("moved/toy/branin").tasks == ("moved/toy/branin",)
    for name in ("unseen@seed=-1", "unseen@seed=x", "unseen@seed=4294967296", "development@seed=1", "unsen"):
        with pytest.raises(AirtuneError) as error:
            get_suite(name)
        assert error.value.hint
    for name in (
        "unseen/function2/0@sed=1",
        "dev/function2/0@seed=1",
        "unseen/function2/99@seed=1",
        "dev/nope/0",
    ):
        with pytest.raises(TaskError) as wrong:
            get_task(name)
        assert wrong.value.allowed
