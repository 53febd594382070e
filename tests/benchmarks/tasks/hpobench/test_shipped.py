"""The tables in the package: all of HPOBench's 32 tasks in both protocols, whole, small and traceable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hpobench_grids import GRIDS, TABLE_SPECS

from airtune.benchmarks import get_task, task_names
from airtune.benchmarks.running.suites import SUITES
from airtune.benchmarks.tasks.hpobench.data import CSV_VARIABLE, DATASETS
from airtune.benchmarks.tasks.hpobench.models import PROTOCOLS, SEEDS
from airtune.benchmarks.tasks.hpobench.published_tables import DATA_VARIABLE
from airtune.benchmarks.tasks.hpobench.shipped_tables import SHIPPED, read_table, table_file
from airtune.benchmarks.tasks.hpobench.spaces import (
    FIDELITIES,
    grid_configs,
    grid_default,
    grid_size,
)
from airtune.benchmarks.tasks.hpobench.task_names import parse_name
from airtune.benchmarks.tasks.hpobench.tasks import hpobench_names, table_losses

# (rows, test rows, validation rows): those of HPOBench, as the denominators of its accuracies show.
PARTS = {
    "credit-g": (1000, 100, 297),
    "vehicle": (846, 85, 252),
    "kc1": (2109, 211, 627),
    "phoneme": (5404, 541, 1605),
    "blood-transfusion": (748, 75, 223),
    "australian": (690, 69, 205),
    "car": (1728, 173, 514),
    "segment": (2310, 231, 687),
}
NAMES = [name for suite in SUITES for name in SUITES[suite].tasks if suite.startswith("hpobench")]
FILES = sorted(SHIPPED.glob("*.parquet"))


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh install has neither the data sets nor HPOBench's own tables."""
    monkeypatch.delenv(CSV_VARIABLE, raising=False)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


def test_the_papers_32_tasks_are_there_in_both_protocols() -> None:
    for suite, protocol in (("hpobench", "clean"), ("hpobench-published", "published")):
        parsed = [parse_name(name) for name in SUITES[suite].tasks]
        assert len(set(parsed)) == 32
        assert {(p.model, p.dataset) for p in parsed} == {
            (model, dataset) for model in ("svm", "lr", "rf", "mlp") for dataset in DATASETS
        }
        assert {p.protocol for p in parsed} == {protocol}
    assert set(NAMES) == set(hpobench_names()) <= set(task_names())


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < 5e6


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_metadata_are_complete(path: Path) -> None:
    table = read_table(path)
    meta, (model, _, protocol) = table.metadata, path.stem.split("-")
    assert path == table_file(SHIPPED, model, TABLE_SPECS[model].fidelity, protocol)
    assert (meta["format"], meta["model"], meta["protocol"]) == (1, model, protocol)
    assert protocol in PROTOCOLS
    fidelity = FIDELITIES[model]
    assert meta["fidelity"] == (
        {"name": fidelity.name, "value": TABLE_SPECS[model].fidelity, "full": fidelity.full}
        if fidelity
        else None
    )
    assert table.grid == GRIDS[model]
    assert tuple(meta["seeds"]) == SEEDS[: len(meta["seeds"])]
    assert list(meta["datasets"]) == list(DATASETS)
    for dataset, facts in meta["datasets"].items():
        rows = facts["train_rows"] + facts["validation_rows"] + facts["test_rows"]
        assert (rows, facts["test_rows"], facts["validation_rows"]) == PARTS[dataset]
        assert len(facts["sha256"]) == 64
    assert {"python", "numpy", "scipy", "scikit-learn"} <= set(meta["versions"])
    assert meta["cpu_seconds"] > 0
    assert meta["diverged"] == 0
    assert meta["command"].startswith("airtune bench build-tables --data DIR")


@pytest.mark.parametrize("name", NAMES)
def test_every_task_looks_up_what_its_table_has(name: str) -> None:
    task, parsed = get_task(name), parse_name(name)
    losses = table_losses(name)
    assert losses is not None
    grid = GRIDS[parsed.model]
    for errors in losses:
        assert errors.shape == (grid_size(grid),)
        assert errors.dtype == np.float64
        assert np.all((errors >= 0) & (errors <= 1))
    assert len(np.unique(losses[0])) > 5  # there is something to tune
    default = dict(task.space.get_default_configuration())
    assert default == grid_default(parsed.model, grid)
    configs = list(grid_configs(grid))
    row = configs.index(default)
    assert task.objective(default) == {"loss": losses[0][row], "test_loss": losses[1][row]}
    if parsed.protocol == "clean":  # the default is not the answer (fitted rows may make it one)
        assert losses[0][row] > losses[0].min()
    assert losses[0].min() < losses[0].max() - 0.01
    assert (FIDELITIES[parsed.model] is None) == ("instead of" not in task.description)


@pytest.mark.parametrize("dataset", DATASETS)
def test_published_errors_are_lower_because_the_rows_were_fitted(dataset: str) -> None:
    for model in ("svm", "rf"):
        fidelity = "" if model == "svm" else f"@trees={TABLE_SPECS[model].fidelity}"
        clean = table_losses(f"hpobench/{model}/{dataset}{fidelity}")
        published = table_losses(
            f"hpobench/{model}/{dataset}{fidelity or '@'}{',' * bool(fidelity)}published"
        )
        assert clean is not None
        assert published is not None
        assert published[0].min() < clean[0].min() + 1e-9


def test_tables_load_neither_scikit_learn_nor_xgboost() -> None:
    code = (
        "import sys; from airtune.benchmarks import get_task; t = get_task('hpobench/svm/credit-g'); "
        "t.objective(dict(t.space.get_default_configuration())); "
        "print([m for m in ('sklearn', 'xgboost', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
