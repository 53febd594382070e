"""Building HPOBench's tables, stopping and going on. On made-up data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import build_hpobench_tables as building
import pyarrow as pa
import pytest
from build_hpobench_tables import build
from hpobench_grids import Setting, shipped_setting
from hpobench_pieces import compute, fingerprint
from hpobench_pieces import pieces as pieces_of
from pyarrow import parquet

from airtune.benchmarks.tasks.hpobench.models import SEEDS
from airtune.benchmarks.tasks.hpobench.shipped_tables import read_table
from airtune.engine.types import TaskError

SCRIPT = Path(building.__file__)
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


def run_build(csv_folder: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [
        *(sys.executable, str(SCRIPT), "--data", str(csv_folder)),
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
    assert command.startswith("python scripts/build_hpobench_tables.py --data DIR --models svm")


def test_assembly_takes_the_seeds_that_all_points_have(csv_folder: Path, tmp_path: Path) -> None:
    grid = {"C": tuple(2.0**k for k in range(6)), "gamma": KERNEL.grid["gamma"]}
    one, three = (Setting("svm", grid, 0, SEEDS[:n]) for n in (1, 3))  # 30 points: 2 pieces per seed
    arguments: Any = (["car"], ["published"], csv_folder, tmp_path)
    assert build([one], *arguments, assemble_only=True) == []
    build([one], *arguments)
    last = [piece for piece in pieces_of([three], *arguments[:2]) if piece.seed == SEEDS[2]]
    for piece in last[:1]:  # a seed begun and not finished
        compute(piece, csv_folder, piece.file(tmp_path, fingerprint(csv_folder, "car")))
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
