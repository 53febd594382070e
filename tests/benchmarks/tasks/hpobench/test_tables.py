"""Tables as tasks; names; HPOBench's own files. On made-up data."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from build_hpobench_tables import build
from hpobench_grids import Setting
from pyarrow import parquet

from airtune.benchmarks import get_task
from airtune.benchmarks.tasks.hpobench.data import CSV_VARIABLE, DATASETS, load_split
from airtune.benchmarks.tasks.hpobench.models import SEEDS, evaluate
from airtune.benchmarks.tasks.hpobench.published_tables import DATA_VARIABLE
from airtune.benchmarks.tasks.hpobench.shipped_tables import read_table
from airtune.benchmarks.tasks.hpobench.spaces import grid_configs
from airtune.benchmarks.tasks.hpobench.task_names import parse_name
from airtune.benchmarks.tasks.hpobench.tasks import hpobench_names, table_losses
from airtune.engine.types import Task, TaskError
from airtune.grammars import space_grammar

KERNEL = Setting(
    "svm",
    {"C": (2.0**-10, 0.125, 1.0, 1024.0), "gamma": (2.0**-10, 2.0**-6, 0.125, 2.0, 1024.0)},
    0,
    SEEDS[:2],
)
FOREST = Setting(
    "rf",
    {"max_depth": (1, 50), "min_samples_split": (2, 32), "max_features": (0.0, 0.444444, 1.0),
     "min_samples_leaf": (1,)},
    16,
    SEEDS[:2],
)  # fmt: skip


@pytest.fixture(scope="module")
def built(csv_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of an SVM and a random forest, small grids, on two data sets."""
    out = tmp_path_factory.mktemp("tables")
    written = build(
        [KERNEL, FOREST], ["vehicle", "car"], ["clean", "published"], csv_folder, out, command="test"
    )
    assert [path.name for path in written] == [
        "svm-full-clean.parquet",
        "svm-full-published.parquet",
        "rf-16-clean.parquet",
        "rf-16-published.parquet",
    ]
    return out


@pytest.fixture
def shipped(built: Path, csv_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The built tables in the place of the package's, and the data folder in the environment."""
    for module in ("shipped_tables", "tasks"):
        monkeypatch.setattr(f"airtune.benchmarks.tasks.hpobench.{module}.SHIPPED", built)
    monkeypatch.setenv(CSV_VARIABLE, str(csv_folder))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return built


@pytest.mark.parametrize(
    ("name", "points"), [("svm/car", 20), ("svm/vehicle@published", 20), ("rf/car@trees=16,published", 12)]
)
def test_a_look_up_is_a_fresh_evaluation(shipped: Path, csv_folder: Path, name: str, points: int) -> None:
    task = get_task(f"hpobench/{name}")
    parsed = parse_name(task.name)
    split = load_split(csv_folder, parsed.dataset)
    assert space_grammar(task.space).count() == points
    losses = table_losses(task.name)
    assert losses is not None
    assert losses[0].shape == losses[1].shape == (points,)
    objective = pickle.loads(pickle.dumps(task.objective))
    seeds = (665,) if parsed.model == "svm" and parsed.protocol == "clean" else (665, 1319)
    grid = list(
        grid_configs(read_table(shipped / f"{parsed.model}-{parsed.fidelity or 'full'}-clean.parquet").grid)
    )
    for row in np.random.default_rng(0).choice(points, 6, replace=False):
        config = grid[row]
        made = [
            evaluate(
                parsed.model, config, split, fidelity=parsed.fidelity, protocol=parsed.protocol, seed=seed
            )
            for seed in seeds
        ]
        found = objective(config)
        assert found["loss"] == pytest.approx(np.mean([m.validation_errors for m in made]) / 36, abs=1e-12)
        assert found["test_loss"] == pytest.approx(np.mean([m.test_errors for m in made]) / 12, abs=1e-12)
        assert found == {"loss": losses[0][row], "test_loss": losses[1][row]}


def test_live_tasks_agree_with_the_table_on_its_grid(shipped: Path) -> None:
    table, live = get_task("hpobench/svm/car"), get_task("hpobench/svm/car@live")
    assert live.name == "hpobench/svm/car@live"
    assert live.space["C"].lower == 2**-10
    assert table_losses(live.name) is None
    for config in ({"C": 1.0, "gamma": 0.125}, {"C": 1024.0, "gamma": 2.0**-10}):
        assert live.objective(config) == table.objective(config)
    with pytest.raises(TaskError, match="not on the table's grid"):
        table.objective({"C": 1.5, "gamma": 0.125})


def test_descriptions_name_model_data_fidelity_and_protocol(shipped: Path) -> None:
    def words(name: str) -> str:
        task: Task = get_task(f"hpobench/{name}")
        return task.description

    assert "16 trees instead of 512" in words("rf/car@trees=16")
    assert "held-out validation set" in words("rf/car@trees=16")
    assert "mean over 2 training seeds" in words("rf/car@trees=16")
    assert "published protocol" in words("svm/car@published")
    assert "rating the acceptability of cars" in words("svm/car")
    assert "instead of" not in words("svm/car@live")


def test_without_a_table_a_task_is_live_or_says_what_is_missing(
    shipped: Path, csv_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = get_task("hpobench/lr/car@iter=10,published")
    result = task.objective(dict(task.space.get_default_configuration()))
    assert 0 <= result["loss"] <= 1
    monkeypatch.delenv(CSV_VARIABLE)
    with pytest.raises(TaskError, match="no table of it ships") as raised:
        get_task("hpobench/rf/car")
    assert "hpobench/rf/car@trees=16, hpobench/rf/car@trees=16,published" in raised.value.allowed
    assert CSV_VARIABLE in raised.value.hint
    with pytest.raises(TaskError, match=CSV_VARIABLE):
        get_task("hpobench/rf/car@live")
    assert "hpobench/rf/car@trees=16,published" in hpobench_names()
    assert len(hpobench_names()) == 4 * len(DATASETS)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("hpobench/svm/car", "hpobench/svm/car"),
        ("hpobench/rf/kc1@published,trees=64", "hpobench/rf/kc1@trees=64,published"),
        ("hpobench/rf/kc1@live,published", "hpobench/rf/kc1@published,live"),
        ("hpobench/mlp/segment@epochs=243", "hpobench/mlp/segment"),
    ],
)
def test_names_have_one_spelling(name: str, canonical: str) -> None:
    assert str(parse_name(name)) == canonical
    assert parse_name(canonical) == parse_name(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hpobench/svn/car", "did you mean 'svm'"),
        ("hpobench/svm/cars", "did you mean 'car'"),
        ("hpobench/svm", "hpobench/MODEL/DATA"),
        ("hpobench/svm/car@trees=16", "svm has no fidelity"),
        ("hpobench/rf/car@trees=15", "trees=N with N from 16 to 512, published, live"),
        ("hpobench/rf/car@rounds=50", "trees=N"),
        ("hpobench/rf/car@", "trees=N"),
        ("hpobench/rf/car@publish", "trees=N"),
        ("hpobench/rf/car@published,published", "given twice"),
        ("hpobench/rf/car@trees=16,trees=32", "given twice"),
    ],
)
def test_bad_names_are_explained(name: str, says: str) -> None:
    with pytest.raises(TaskError) as raised:
        get_task(name)
    assert says in str(raised.value)
    assert raised.value.hint


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    parquet.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    for path in tmp_path.iterdir():
        with pytest.raises(TaskError, match="is no table of"):
            read_table(path)


def write_published(folder: Path, *, subsample: bool = True) -> Path:
    """A file of HPOBench's layout: float32 grid, two fidelities, two subsamples, two seeds."""
    rows = [
        {"alpha": float(np.float32(alpha)), "eta0": float(np.float32(eta0)), "iter": iterations, "seed": seed,
         **({"subsample": part} if subsample else {}),
         "result": {"function_value": 0.0, "cost": 1.0, "info": {
             "val_scores": {"acc": 1 - (alpha * 0.5 + (iterations == 10) * 0.1 + (seed == 665) * 0.02), "f1": 0.0},
             "test_scores": {"acc": 1 - eta0 * 0.25 * part, "f1": 0.0}}}}
        for alpha in (1e-5, 2.1544347e-3, 1.0) for eta0 in (1e-5, 1.0)
        for iterations in (10, 1000) for part in (0.5, 1.0) for seed in (665, 1319)
    ]  # fmt: skip
    path = folder / "lr" / "146821" / "lr_146821_data.parquet.gzip"
    path.parent.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), path, compression="gzip")
    (path.parent / "lr_146821_metadata.json").write_text(json.dumps({"exp_args": {}}))
    return path


def test_hpobenchs_own_tables_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_published(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.delenv(CSV_VARIABLE, raising=False)
    task = get_task("hpobench/lr/car@published")
    assert list(task.space["alpha"].sequence) == [1e-05, 0.00215443, 1.0]
    assert dict(task.space.get_default_configuration()) == {"alpha": 0.00215443, "eta0": 1.0}
    assert "mean over 2 training seeds" in task.description
    found = pickle.loads(pickle.dumps(task.objective))({"alpha": 1.0, "eta0": 1.0})
    assert found == pytest.approx({"loss": 0.51, "test_loss": 0.25})
    assert get_task("hpobench/lr/car@iter=10,published").objective({"alpha": 1.0, "eta0": 1e-05})[
        "loss"
    ] == pytest.approx(0.61)
    losses = table_losses("hpobench/lr/car@published")
    assert losses is not None
    assert losses[0].shape == (6,)
    with pytest.raises(TaskError, match="does not have this fidelity") as raised:
        get_task("hpobench/lr/car@iter=11,published")
    assert raised.value.allowed == "10, 1000"
    with pytest.raises(TaskError, match=r"not in .*") as raised:
        get_task("hpobench/lr/kc1@published")
    assert "lr/3917/lr_3917_data.parquet.gzip" in raised.value.allowed
    # another protocol than that of HPOBench's tables
    with pytest.raises(TaskError, match="no table of it ships"):
        get_task("hpobench/lr/car")


def test_a_torn_table_of_hpobench_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_published(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    table = parquet.read_table(path)
    parquet.write_table(table.slice(0, 40), path)
    with pytest.raises(TaskError, match="1 of 6 grid points are not there"):
        get_task("hpobench/lr/car@published")
    parquet.write_table(table.drop_columns(["alpha"]), path)
    with pytest.raises(TaskError, match="columns are missing"):
        get_task("hpobench/lr/car@iter=10,published")
