"""A folder of small made-up data sets in the layout of HPOBench's, for tests that need one."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from airtune.benchmarks.tasks.hpobench.data import DATASETS


def write_csv_folder(folder: Path, rows: int = 120) -> Path:
    """All eight names, `rows` samples each: 3 numeric features, 2 categories, holes in both, 2 or 3 classes."""
    index = []
    for number, dataset in enumerate(DATASETS.values()):
        rng = np.random.default_rng(number)
        features = rng.normal(size=(rows, 3)) * (1, 10, 100)
        classes = 2 + number % 2
        target = (features[:, 0] + rng.normal(scale=0.5, size=rows) > 0).astype(int)
        target[: rows // 4 * (classes - 2)] = 2
        header = ["size", "weight, kg", "age", "colour", "kind", "target"]
        table = [
            [
                *(f"{value:.4f}" for value in line),
                f"c{rng.integers(3)}",
                f"k{rng.integers(2)}",
                f"class {label}",
            ]
            for line, label in zip(features, target, strict=True)
        ]
        table[5][1] = table[6][3] = table[7][3] = ""
        path = folder / f"{dataset.index_name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *table])
        index.append(
            {
                "name": dataset.index_name,
                "file": path.name,
                "categorical_columns": ["colour", "kind"],
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        )
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def csv_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv_folder(tmp_path_factory.mktemp("hpobench"))
