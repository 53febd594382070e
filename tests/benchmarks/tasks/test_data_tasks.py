"""`nyc_taxi/*` and `cifar10/*`: what is made of their data, what trains on them, what is said where there are none."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import os
import pickle
import runpy
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ConfigSpace import CategoricalHyperparameter

from airtune.benchmarks import get_task
from airtune.benchmarks.analysis.comparison import Run
from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.runner import run_suite
from airtune.benchmarks.running.suites import get_suite
from airtune.benchmarks.tasks import data_folder
from airtune.benchmarks.tasks.cifar10 import cnn
from airtune.benchmarks.tasks.cifar10 import data as images
from airtune.benchmarks.tasks.cifar10 import tasks as image_tasks
from airtune.benchmarks.tasks.clusters import task_cluster
from airtune.benchmarks.tasks.networks import predictions
from airtune.benchmarks.tasks.nyc_taxi import data as trips
from airtune.benchmarks.tasks.nyc_taxi import mlp
from airtune.benchmarks.tasks.nyc_taxi import tasks as trip_tasks
from airtune.engine.cli.app import main
from airtune.engine.evaluation.program_script import PROGRAM
from airtune.engine.types import TaskError
from tests.engine.sandbox.here import needs_sandbox

RNG = np.random.default_rng(5)


def trip(number: int) -> dict[str, str]:
    x, y = RNG.normal(size=2) / 50
    seconds = {0: 9, 1: 10, 2: 7200, 3: 7201}.get(number, round(120 + 5e4 * (abs(x) + abs(y)) + number % 7))
    return {
        "id": f"id{number}", "vendor_id": str(1 + number % 2),
        "pickup_datetime": f"2016-03-{1 + number % 28:02d} {number % 24:02d}:30:00",
        "dropoff_datetime": "2016-12-31 00:00:00",
        "passenger_count": "1", "pickup_longitude": "-73.98", "pickup_latitude": "40.75",
        "dropoff_longitude": str(-73.98 + x), "dropoff_latitude": str(40.75 + y),
        "store_and_fwd_flag": "NY"[number % 40 == 0], "trip_duration": str(seconds),
    }  # fmt: skip


def table(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return gzip.compress(text.getvalue().encode())


TRIPS = [trip(number) for number in range(304)]
PARTS = {"train": 200, "validation": 50, "test": 50}


def pictures(count: int) -> dict[str, Any]:
    """Noise, brighter from class to class."""
    y = np.arange(count, dtype=np.uint8) % 10
    noise = RNG.integers(0, 64, (count, 32, 32, 3), dtype=np.uint8)
    return {"x": noise + (19 * y)[:, None, None, None], "y": y}


COLOURS = {
    f"{kind}_{part}": array
    for part, count in (("train", 80), ("test", 30))
    for kind, array in pictures(count).items()
}


def packed(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with small files in the place of the data, which are then taken for the right ones."""
    monkeypatch.delenv(data_folder.DATA_VARIABLE, raising=False)
    for module, used, content in (
        (trips, trip_tasks, table(TRIPS)),
        (images, image_tasks, packed(**COLOURS)),
    ):
        file = replace(module.FILE, sha256=hashlib.sha256(content).hexdigest())
        monkeypatch.setattr(module, "FILE", file)
        monkeypatch.setattr(used, "FILE", file)
        (tmp_path / file.family).mkdir()
        (tmp_path / file.family / file.name).write_bytes(content)
    monkeypatch.setattr(trips, "ROWS", PARTS)
    monkeypatch.setattr(images, "TRAINING", 6)
    yield tmp_path
    for cached in (trips.taxi_data, images.image_data, image_tasks.small_images):
        cached.cache_clear()


def test_trips(folder: Path) -> None:
    """Every number by hand: which trips, which target, which features, and the parts are disjoint."""
    data = trips.taxi_data(trips.FILE.find(folder))
    assert data.test is not None
    parts = [data.train, data.validation, data.test]
    assert [x.shape for x, _ in parts] == [(size, 11) for size in PARTS.values()]
    found = {tuple(row[[7, 8]]): (row, target) for x, y in parts for row, target in zip(x, y, strict=True)}
    assert len(found) == 300
    kept = [one for one in TRIPS if 10 <= int(one["trip_duration"]) <= 7200]
    assert len(kept) == 302  # two that the parts have no room for
    seen = 0
    for one in kept:
        key = float(one["dropoff_longitude"]), float(one["dropoff_latitude"])
        if (pair := found.get(key)) is None:
            continue
        seen += 1
        row, target = pair
        assert target == pytest.approx(math.log(int(one["trip_duration"]) / 10) / math.log(720))
        at = datetime.fromisoformat(one["pickup_datetime"])
        days = (at.date() - date(1970, 1, 1)).days
        assert row.tolist() == [
            float(one["vendor_id"]), days, at.weekday(), at.hour + 0.5, 1.0, -73.98, 40.75, *key,
            float(one["store_and_fwd_flag"] == "N"), float(one["store_and_fwd_flag"] == "Y"),
        ]  # fmt: skip
    assert seen == 300


def test_what_gives_a_trip_away_changes_nothing(folder: Path) -> None:
    changed = [{**one, "dropoff_datetime": "1999-01-01 00:00:00", "id": "x"} for one in TRIPS]
    before, after = (trips.read_trips(folder, table(rows), PARTS) for rows in (TRIPS, changed))
    np.testing.assert_array_equal(before.train[0], after.train[0])
    again = trips.read_trips(folder, table(TRIPS), PARTS)
    np.testing.assert_array_equal(before.validation[1], again.validation[1])  # the split is fixed


def test_images(folder: Path) -> None:
    data = images.image_data(images.FILE.find(folder))
    assert data.test is not None
    assert [x.shape for x, _ in (data.train, data.validation, data.test)] == [
        (n, 3, 32, 32) for n in (60, 20, 30)
    ]
    x, y = COLOURS["x_train"], COLOURS["y_train"]
    np.testing.assert_allclose(data.train[0][7], x[7].transpose(2, 0, 1) / 255, atol=1e-6)
    np.testing.assert_array_equal(data.train[1], y[:60])
    np.testing.assert_array_equal(data.validation[1], y[60:])
    np.testing.assert_array_equal(np.bincount(data.train[1]), [6] * 10)
    small = images.halved(data, 40)
    assert small.train[0].shape == (40, 3, 16, 16)
    assert small.train[0].dtype == np.float32
    np.testing.assert_allclose(small.train[0][3, 1, 2, 5], data.train[0][3, 1, 4:6, 10:12].mean(), rtol=1e-6)
    assert small.test is not None
    np.testing.assert_array_equal(small.test[1], data.test[1])


SETTINGS: dict[str, dict[str, Any]] = {
    "nyc_taxi/mlp": {"epochs": 3, "batch_size": 32, "width": 16, "learning_rate": 0.01},
    "cifar10/cnn": {"epochs": 12, "batch_size": 32, "channels": 4, "learning_rate": 0.03},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_network_is_trained_the_same_way_each_time(name: str, folder: Path) -> None:
    """Whatever the process's random state and threads are; and they stay what they were."""
    task = get_task(name, folder)
    config = {**dict(task.space.get_default_configuration()), **SETTINGS[name]}
    torch.manual_seed(3)
    first, state = task.objective(config), torch.random.get_rng_state()
    threads = torch.get_num_threads()
    torch.manual_seed(4)
    assert pickle.loads(pickle.dumps(task.objective))(config) == first
    torch.manual_seed(3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert set(first) == {"loss", "test_loss"}
    assert name == "cifar10/cnn" or first["loss"] != first["test_loss"]
    # of guesses: 0.9, and for the trips more
    assert 0 < first["loss"] < (0.02 if name == "nyc_taxi/mlp" else 0.9)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_hyperparameter_matters(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not read would leave the network's outputs as they were; error rates of few images are too coarse."""
    made: list[float] = []

    def watched(model: Any, x: Any, rows: int = 1000) -> Any:
        found = predictions(model, x, rows)
        made.append(float(found.sum()))
        return found

    for module in (cnn, mlp):
        monkeypatch.setattr(module, "predictions", watched)
    task = get_task(name, folder)
    begin = {**dict(task.space.get_default_configuration()), **SETTINGS[name], "epochs": 2, "momentum": 0.9}
    for one in task.space.values():
        own = {**begin, "optimizer": "sgd"} if one.name == "momentum" else begin
        values = one.choices if isinstance(one, CategoricalHyperparameter) else [one.lower, one.upper]
        made.clear()
        for value in values:
            try:
                task.objective({**own, one.name: value})
            except ValueError:
                made.append(math.inf)  # it diverged, which is another end, too
        assert len(set(made)) > 2, one.name  # of the validation part and the test part


def test_divergence_is_a_failure(folder: Path) -> None:
    task = get_task("nyc_taxi/mlp", folder)
    config = {**dict(task.space.get_default_configuration()), **SETTINGS["nyc_taxi/mlp"]}
    with pytest.raises(ValueError, match="training diverged"):
        task.objective({**config, "optimizer": "sgd", "learning_rate": 1e6, "momentum": 0.99})


@needs_sandbox
def test_a_program_learns_trips(folder: Path) -> None:
    task = get_task("nyc_taxi/program", folder)
    assert "taxi" in task.description
    programs = task.objective.programs
    nearest = {**programs.default(), "estimator": "ridge", "ridge.alpha": 1.0}
    for name in [name for name in nearest if name.startswith(("boosting", "leaf", "leaves", "rounds"))]:
        del nearest[name]
    found = task.objective(nearest)
    assert 0 < found["loss"] < 0.05
    assert found == task.objective(nearest)
    assert get_task("cifar10/program", folder).objective.harness.data().train[0].shape == (60, 3, 16, 16)


@pytest.mark.parametrize("name", ["nyc_taxi/program", "cifar10/program"])
def test_a_program_as_a_script(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its losses are those of the task, to the bit; it finds the data in the folder that AIRTUNE_DATA names.

    In this process, where small files are taken for the right ones; `test_export_program.py` runs scripts outside.
    """
    task = get_task(name, folder)
    config = task.objective.programs.default()
    found = task.objective.in_sandbox(None)(config)
    script = task.objective.program_script.replace(PROGRAM, task.objective.programs.render(config))
    (folder / "train.py").write_text(script)
    monkeypatch.setenv("AIRTUNE_DATA", str(folder))
    capsys.readouterr()
    runpy.run_path(str(folder / "train.py"), run_name="__main__")
    assert json.loads(capsys.readouterr().out) == found


def test_where_data_lie(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TaskError, match="need data, and no folder was given") as raised:
        get_task("nyc_taxi/mlp")
    assert "AIRTUNE_DATA=DIR" in str(raised.value.allowed)
    assert "DIR/nyc_taxi/nyc_taxi_40k.csv.gz" in str(raised.value.hint)
    assert trips.FILE.sha256 in str(raised.value.hint)
    monkeypatch.setenv("AIRTUNE_DATA", str(folder))
    assert get_task("nyc_taxi/mlp").name == "nyc_taxi/mlp"
    assert get_task("cifar10/cnn", folder / "cifar10").name == "cifar10/cnn"
    with pytest.raises(TaskError, match=r"has no 'cifar10_5k\.npz'"):
        get_task("cifar10/cnn", folder / "nyc_taxi")
    with pytest.raises(TaskError, match="did you mean 'nyc_taxi/mlp'"):
        get_task("nyc_taxi/mpl", folder)


def test_another_file_is_refused(folder: Path) -> None:
    path = folder / "nyc_taxi/nyc_taxi_40k.csv.gz"
    path.write_bytes(table(TRIPS[:-1]))
    with pytest.raises(TaskError, match="SHA-256 differs") as raised:
        get_task("nyc_taxi/mlp", folder)
    assert raised.value.allowed == trips.FILE.sha256
    (folder / "cifar10/cifar10_5k.npz").write_bytes(b"")
    with pytest.raises(TaskError, match="SHA-256 differs"):
        get_task("cifar10/program", folder)


def test_missing_columns_and_arrays(folder: Path) -> None:
    rows = [{name: value for name, value in one.items() if name != "passenger_count"} for one in TRIPS]
    with pytest.raises(TaskError, match="no column 'passenger_count'"):
        trips.read_trips(folder, table(rows), PARTS)
    with pytest.raises(TaskError, match=r"lacks what the tasks .* need: .*y_test"):
        images.read_images(folder, packed(**{k: v for k, v in COLOURS.items() if k != "y_test"}), 6)


def test_the_pinned_files_are_those_that_the_documentation_names() -> None:
    text = (Path(__file__).parents[3] / "docs/how-to/programs.md").read_text(encoding="utf-8")
    for file in (trips.FILE, images.FILE):
        assert file.name in text
        assert file.sha256 in text


@pytest.mark.parametrize("name", ["nyc_taxi/mlp", "cifar10/cnn"])
def test_the_command_line(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before a study is made."""
    monkeypatch.chdir(folder)
    for arguments, says in (([], "AIRTUNE_DATA"), (["--data", "elsewhere"], "elsewhere")):
        with pytest.raises(SystemExit) as ended:
            main(["tune", name, "--proposer", "random", *arguments])
        assert ended.value.code == 2
        assert says in capsys.readouterr().err
    assert not (folder / "airtune.sqlite").exists()


def test_a_comparison(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `airtune bench nyc_taxi --data DIR` runs it, on the search space alone; without data, nothing is begun."""
    monkeypatch.setitem(get_suite("nyc_taxi").__dict__, "tasks", ("nyc_taxi/mlp",))
    plan = Plan(suite="nyc_taxi", methods=("default+random",), seeds=2, budget=2)
    with pytest.raises(TaskError, match="AIRTUNE_DATA"):
        run_suite(plan, folder / "out", jobs=1)
    monkeypatch.setitem(os.environ, "AIRTUNE_DATA", str(folder))
    runs: list[Run] = run_suite(plan, folder / "out", jobs=1)
    assert [len(run.trials) for run in runs] == [2, 2]
    assert runs[0].trials[0].loss == runs[1].trials[0].loss  # the default
    assert {task_cluster(name) for name in ("nyc_taxi/mlp", "nyc_taxi/program")} == {"nyc_taxi"}
