"""Building tables, stopping and going on, reading them as tasks; names; HPOBench's own files. On made-up data."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from airtune.benchmarks import get_task
from airtune.benchmarks.tasks.hpobench import build as building
from airtune.benchmarks.tasks.hpobench import hpobench_names, table_losses
from airtune.benchmarks.tasks.hpobench.build import Setting, build, shipped_setting
from airtune.benchmarks.tasks.hpobench.data import CSV_VARIABLE, DATASETS, load_split
from airtune.benchmarks.tasks.hpobench.models import SEEDS, evaluate
from airtune.benchmarks.tasks.hpobench.names import parse_name
from airtune.benchmarks.tasks.hpobench.original import DATA_VARIABLE
from airtune.benchmarks.tasks.hpobench.spaces import grid_configs
from airtune.benchmarks.tasks.hpobench.tables import read_table
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


def no_clock(path: Path) -> pa.Table:
    """A table's columns that no clock went into."""
    table = parquet.read_table(path)
    return table.select([name for name in table.column_names if not name.startswith("fit_seconds")])


def pieces(out: Path) -> dict[str, Any]:
    """A build's pieces without what a clock said."""
    found = {path.name: json.loads(path.read_text()) for path in (out / "pieces").glob("*.json")}
    for content in found.values():
        del content["seconds"], content["cpu_seconds"]
    return found


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
    for module in ("tables", "tasks"):
        monkeypatch.setattr(f"airtune.benchmarks.tasks.hpobench.{module}.SHIPPED", built)
    monkeypatch.setenv(CSV_VARIABLE, str(csv_folder))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return built


def test_a_table_says_where_its_numbers_come_from(built: Path) -> None:
    table = read_table(built / "svm-full-published.parquet")
    meta = table.metadata
    assert (meta["model"], meta["fidelity"], meta["protocol"]) == ("svm", None, "published")
    assert (meta["seeds"], meta["deterministic"], meta["diverged"]) == ([665, 1319], False, 0)
    assert list(meta["datasets"]) == ["vehicle", "car"]
    facts = meta["datasets"]["car"]
    assert (facts["train_rows"], facts["validation_rows"], facts["test_rows"]) == (72, 36, 12)
    assert len(facts["sha256"]) == 64
    assert {"python", "numpy", "scikit-learn", "xgboost-cpu"} <= set(meta["versions"]) | {"xgboost-cpu"}
    assert meta["cpu_seconds"] > 0
    assert meta["command"] == "test"
    clean = read_table(built / "svm-full-clean.parquet").metadata
    assert (clean["seeds"], clean["deterministic"]) == ([665], True)
    assert read_table(built / "rf-16-clean.parquet").metadata["fidelity"] == {
        "name": "trees",
        "value": 16,
        "full": 512,
    }
    columns = parquet.read_schema(built / "rf-16-clean.parquet")
    assert columns.field("max_depth").type == pa.uint8()
    assert columns.field("validation_errors_1319").type == pa.uint16()


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


def run_build(csv_folder: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [
        *(sys.executable, "-m", "airtune.engine.cli.app", "bench", "build-tables", "--data", str(csv_folder)),
        *("--models", "svm", "--datasets", "vehicle", "--protocols", "clean", "--out", str(out), *more),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


@pytest.fixture(scope="module")
def uninterrupted(csv_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same build as `run_build`'s, in this process."""
    out = tmp_path_factory.mktemp("uninterrupted")
    build([shipped_setting("svm")], ["vehicle"], ["clean"], csv_folder, out)
    return out


@pytest.mark.parametrize(("how", "jobs"), [(signal.SIGKILL, "1"), (signal.SIGINT, "2")])
def test_a_stopped_build_goes_on_and_ends_the_same(
    csv_folder: Path, uninterrupted: Path, tmp_path: Path, how: signal.Signals, jobs: str
) -> None:
    """441 points in 18 pieces."""
    process = run_build(csv_folder, tmp_path, "--jobs", jobs)
    assert process.stderr is not None
    for _ in range(3):
        assert "min left" in process.stderr.readline()
    process.send_signal(how)
    process.communicate(timeout=120)
    assert process.returncode == (1 if how is signal.SIGINT else -signal.SIGKILL)
    before = pieces(tmp_path)
    assert 3 <= len(before) < 18
    assert not list(tmp_path.glob("*.parquet"))
    process = run_build(csv_folder, tmp_path)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "svm-full-clean.parquet" in stdout
    assert stderr.count("min left") == 18 - len(before)
    assert pieces(tmp_path) == pieces(uninterrupted)
    path, other = (folder / "svm-full-clean.parquet" for folder in (tmp_path, uninterrupted))
    assert no_clock(path).to_pydict() == no_clock(other).to_pydict()
    command = read_table(path).metadata["command"]
    assert str(csv_folder) not in command
    assert command.startswith("airtune bench build-tables --data DIR --models svm")


def test_assembly_takes_the_seeds_that_all_points_have(csv_folder: Path, tmp_path: Path) -> None:
    grid = {"C": tuple(2.0**k for k in range(6)), "gamma": KERNEL.grid["gamma"]}
    one, three = (Setting("svm", grid, 0, SEEDS[:n]) for n in (1, 3))  # 30 points: 2 pieces per seed
    arguments: Any = (["car"], ["published"], csv_folder, tmp_path)
    assert build([one], *arguments, assemble_only=True) == []
    build([one], *arguments)
    last = [piece for piece in building.pieces([three], *arguments[:2]) if piece.seed == SEEDS[2]]
    for piece in last[:1]:  # a seed begun and not finished
        building.compute(
            piece, csv_folder, piece.file(tmp_path, building.read_data(csv_folder, "car").fingerprint)
        )
    (path,) = build([three], *arguments, assemble_only=True)
    assert read_table(path).metadata["seeds"] == [SEEDS[0]]


def test_bad_build_options_are_explained(csv_folder: Path, tmp_path: Path) -> None:
    for options, says in (
        (["--models", "svn"], "did you mean 'svm'"),
        (["--datasets", "cars"], "did you mean 'car'"),
        (["--protocols", "dirty"], "clean, published"),
        (["--seeds", "6"], "1 to 5"),
        (["--jobs", "0"], "1 or more"),
    ):
        with pytest.raises(TaskError) as raised:
            building.main(["--data", str(csv_folder), "--out", str(tmp_path), *options])
        assert says in str(raised.value)


def write_original(folder: Path, *, subsample: bool = True) -> Path:
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
    write_original(tmp_path)
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
    with pytest.raises(
        TaskError, match="no table of it ships"
    ):  # another protocol than that of HPOBench's tables
        get_task("hpobench/lr/car")


def test_a_torn_table_of_hpobench_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_original(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    table = parquet.read_table(path)
    parquet.write_table(table.slice(0, 40), path)
    with pytest.raises(TaskError, match="1 of 6 grid points are not there"):
        get_task("hpobench/lr/car@published")
    parquet.write_table(table.drop_columns(["alpha"]), path)
    with pytest.raises(TaskError, match="columns are missing"):
        get_task("hpobench/lr/car@iter=10,published")
