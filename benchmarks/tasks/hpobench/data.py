"""HPOBench's eight data sets: read from a local folder, split and pre-processed as HPOBench does.

The folder (`--data` or the environment variable AIRTUNE_HPOBENCH_CSV) holds one CSV file per data set, whose last
column `target` is the class, and an `index.json`: a list with, per data set, `name`, `file`, `sha256` and
`categorical_columns`. No data are part of Airtune.

Splits: 10 % test, then 33 % of the rest validation, both stratified with seed 1. HPOBench takes fold 0 of OpenML's
10-fold split as test rows, whose indices only OpenML has: ours are as many rows, but other ones. Who has OpenML can put
them into `splits/{name in index.json}.json` as {"train": [rows], "test": [rows]}, and they are used. Pre-processing
(`hpobench/dependencies/ml/data_manager.py`): categorical columns first, most frequent value for missing ones, one-hot;
then numeric columns, median for missing ones, standard scaling; all fitted on the training rows.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.engine.types import TaskError
from airtune.grammars import unknown_name

CSV_VARIABLE = "AIRTUNE_HPOBENCH_CSV"
SPLIT_SEED = 1  # HPOBench's `global_seed`
TEST_SIZE = 0.1
VALIDATION_SIZE = 0.33

Part = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is known of a data set without its file.

    Attributes:
        index_name: Its name in `index.json` (OpenML's name).
        openml_task: The OpenML task that HPOBench uses.
        words: What is predicted, for descriptions.
    """

    index_name: str
    openml_task: int
    words: str


DATASETS: Mapping[str, DataSet] = {
    "credit-g": DataSet(
        "credit-g",
        31,
        "classifying loan applicants as good or bad credit risks "
        "(1000 samples, 7 numeric and 13 categorical features, 2 classes, the larger one 70 %)",
    ),
    "vehicle": DataSet(
        "vehicle",
        53,
        "classifying vehicles by features of their silhouettes (846 samples, 18 features, 4 balanced classes)",
    ),
    "kc1": DataSet(
        "kc1",
        3917,
        "predicting defects of software modules from code metrics "
        "(2109 samples, 21 features, 2 classes, the larger one 85 %)",
    ),
    "phoneme": DataSet(
        "phoneme",
        9952,
        "telling nasal from oral vowels (5404 samples, 5 features, 2 classes, the larger one 71 %)",
    ),
    "blood-transfusion": DataSet(
        "blood-transfusion-service-center",
        10101,
        "predicting whether a blood donor returns (748 samples, 4 features, 2 classes, the larger one 76 %)",
    ),
    "australian": DataSet(
        "Australian",
        146818,
        "deciding credit card applications "
        "(690 samples, 6 numeric and 8 categorical features, 2 classes, the larger one 56 %)",
    ),
    "car": DataSet(
        "car",
        146821,
        "rating the acceptability of cars "
        "(1728 samples, 6 categorical features, 4 classes, the largest one 70 %)",
    ),
    "segment": DataSet(
        "segment",
        146822,
        "classifying image regions by what they show (2310 samples, 16 features, 7 balanced classes)",
    ),
}


@dataclass(frozen=True, slots=True)
class Split:
    """A data set in three parts: features of shape (samples, features), pre-processed; labels."""

    train: Part
    validation: Part
    test: Part


def split_indices(
    labels: NDArray[np.int64], fold: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The fixed stratified split of a data set: indices of its training, validation and test samples.

    Args:
        labels: The class of every sample.
        fold: Indices of (training and validation, test) samples where they are given from outside.
    """
    from sklearn.model_selection import train_test_split

    rest, test = fold or train_test_split(
        np.arange(len(labels)), test_size=TEST_SIZE, stratify=labels, random_state=SPLIT_SEED
    )
    train, validation = train_test_split(
        rest, test_size=VALIDATION_SIZE, stratify=labels[rest], random_state=SPLIT_SEED
    )
    return train, validation, test


def data_folder(given: Path | None = None) -> Path:
    """The folder of the CSV files: the given one, or that of the environment.

    Raises:
        TaskError: If neither is there, or it holds no index.json.
    """
    text = os.environ.get(CSV_VARIABLE, "")
    if given is None and not text:
        raise TaskError(
            "HPOBench's data sets are needed here, and no folder was given",
            allowed=f"the environment variable {CSV_VARIABLE}, or --data DIR where a command has it",
            hint="DIR holds index.json and one CSV file per data set (last column: target)",
        )
    folder = given if given is not None else Path(text)
    if not (folder / "index.json").is_file():
        raise TaskError(
            f"{folder} is no folder of HPOBench data sets: it has no index.json",
            value=str(folder),
            allowed="a folder with index.json and one CSV file per data set",
            hint=f"check --data or {CSV_VARIABLE}",
        )
    return folder


@dataclass(frozen=True, slots=True)
class RawData:
    """A CSV file as read.

    Attributes:
        features: Of shape (samples, columns), as text; missing ones are empty.
        categorical: Which columns are categories.
        labels: 0, 1, ... in the order of the classes' names.
        sha256: Of the file.
        fold: Indices of (training and validation, test) samples from `splits/`, or None.
    """

    features: NDArray[np.object_]
    categorical: tuple[int, ...]
    labels: NDArray[np.int64]
    sha256: str
    fold: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None


def read_data(folder: Path, name: str) -> RawData:
    """Read one data set, and check it against the index.

    Args:
        folder: See `data_folder`.
        name: A key of `DATASETS`.

    Raises:
        TaskError: If it is not in the index, its file is missing, or the file is not the one that the index describes.
    """
    entry = _entry(folder, DATASETS[name].index_name)
    path = folder / str(entry["file"])
    if not path.is_file():
        raise TaskError(
            f"data set {name}: there is no file {path}",
            value=str(path),
            hint=f"index.json names it; put it into {folder}",
        )
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != entry["sha256"]:
        raise TaskError(
            f"data set {name}: {path} is not the file that index.json describes (SHA-256 differs)",
            value=sha256,
            allowed=str(entry["sha256"]),
            hint="restore the file, or correct index.json if the change is meant",
        )
    header, *rows = csv.reader(data.decode("utf-8").splitlines())
    if header[-1] != "target":
        raise TaskError(
            f"data set {name}: the last column of {path} must be the class",
            value=header[-1],
            allowed="target",
            hint="reorder or rename the columns",
        )
    table = np.array(rows, dtype=object)
    categorical = tuple(header.index(column) for column in entry["categorical_columns"])
    labels = np.unique(table[:, -1].astype(str), return_inverse=True)[1]
    fold = _read_fold(folder / "splits" / f"{DATASETS[name].index_name}.json", len(rows))
    return RawData(table[:, :-1], tuple(sorted(categorical)), labels.astype(np.int64), sha256, fold)


def _read_fold(path: Path, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    train, test = (np.array(content.get(part, []), dtype=np.int64) for part in ("train", "test"))
    if not np.array_equal(np.sort(np.concatenate([train, test])), np.arange(rows)):
        raise TaskError(
            f"{path} does not split the data set: every row must be in exactly one part",
            value=f"{len(train)} train and {len(test)} test rows",
            allowed=f'{{"train": [...], "test": [...]}} with rows 0 to {rows - 1}',
            hint="write OpenML's indices of repeat 0, fold 0, or remove the file",
        )
    return train, test


def _entry(folder: Path, index_name: str) -> Mapping[str, Any]:
    entries = {
        str(entry["name"]): entry for entry in json.loads((folder / "index.json").read_text(encoding="utf-8"))
    }
    if index_name not in entries:
        message, allowed, hint = unknown_name("data set", index_name, sorted(entries))
        raise TaskError(f"{message} in {folder / 'index.json'}", value=index_name, allowed=allowed, hint=hint)
    found: Mapping[str, Any] = entries[index_name]
    return found


def preprocess(raw: RawData, parts: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float64]]:
    """Encode, impute and scale, fitted on the first part.

    Args:
        raw: The data set.
        parts: Indices of samples; the first are the training samples.

    Returns:
        Per part, an array of shape (samples, one-hot columns of all categories, then numeric columns).
    """
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = range(raw.features.shape[1])
    numeric = [column for column in columns if column not in raw.categorical]
    blocks: list[list[NDArray[np.float64]]] = [[] for _ in parts]
    if raw.categorical:
        categories = raw.features[:, list(raw.categorical)].copy()
        categories[categories == ""] = np.nan
        encoder = make_pipeline(
            SimpleImputer(strategy="most_frequent"),
            OneHotEncoder(sparse_output=False, handle_unknown="ignore"),
        ).fit(categories[parts[0]])
        for block, part in zip(blocks, parts, strict=True):
            block.append(encoder.transform(categories[part]))
    if numeric:
        texts = raw.features[:, numeric]
        values = np.where(texts == "", "nan", texts).astype(np.float64)
        scaler = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(values[parts[0]])
        for block, part in zip(blocks, parts, strict=True):
            block.append(scaler.transform(values[part]))
    return [np.hstack(block) for block in blocks]


@lru_cache(maxsize=16)
def load_split(folder: Path, name: str) -> Split:
    """A data set, split and pre-processed; loaded once per process.

    Raises:
        TaskError: See `read_data`.
    """
    raw = read_data(folder, name)
    parts = split_indices(raw.labels, raw.fold)
    features = preprocess(raw, parts)
    return Split(*((x, raw.labels[part]) for x, part in zip(features, parts, strict=True)))
