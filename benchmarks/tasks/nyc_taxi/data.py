"""The data of `nyc_taxi/*`: taxi trips in New York City, and how long they took.

They are 40,000 trips of the first half of 2016, of Kaggle's "New York City Taxi Trip Duration" (trip records of the
city's Taxi and Limousine Commission): the file `nyc_taxi_40k.csv.gz`, see `data_folder`. What is done to them, exactly:

1. Trips of less than 10 s and of more than 2 h are dropped: 39,864 are left.
2. The target is the logarithm of the duration in seconds, scaled to 0 at 10 s and 1 at 2 h:
   y = ln(duration / 10) / ln(7200 / 10). The loss is the mean squared error of y, so that a loss of L is a typical
   factor of exp(6.579 sqrt(L)) between the true duration and the predicted one.
3. Features: vendor_id; pickup_datetime as the day since 1970, the weekday and the hour with fractions (as
   `encode_column` does it); passenger_count; longitude and latitude of both ends; store_and_fwd_flag as two columns of
   0 and 1. Left out: id, and dropoff_datetime, which with pickup_datetime gives the duration away.
4. The split is fixed: in an order drawn with seed 0, the first 5,000 trips are for training, the next 3,000 for
   validation, the next 8,000 for testing. The others are not used: a training then takes seconds of one core.

`mlp` standardises features and target with the training part's means and deviations, and undoes the latter before it
scores; `program` gives features and targets as above to programs of the space `trips.space`, in the sandbox.

The paper (arXiv 2312.04528, section on code generation) does not say how it scaled the durations, which trips it used
or what its random search ranged over: losses here compare with each other, not with its own.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.tasks.data_folder import DataFile
from airtune.engine.evaluation.programs import ProgramData
from airtune.engine.evaluation.tables import encode_column
from airtune.engine.types import TaskError

FILE = DataFile(
    "nyc_taxi",
    "nyc_taxi_40k.csv.gz",
    "a41ae3f6df97f5db8af74be437d56c106af29fd0d0de3da78d9914dbc3eefe82",
    "40,000 rows of Kaggle's New York City Taxi Trip Duration, train.csv, drawn as docs/how-to/programs.md says",
)
COLUMNS = ("vendor_id", "pickup_datetime", "passenger_count", "pickup_longitude", "pickup_latitude",
           "dropoff_longitude", "dropoff_latitude", "store_and_fwd_flag")  # fmt: skip
TARGET = "trip_duration"
SHORTEST_S, LONGEST_S = 10.0, 7200.0
ROWS = {"train": 5_000, "validation": 3_000, "test": 8_000}


@lru_cache(maxsize=2)
def taxi_data(path: Path) -> ProgramData:
    """The trips in their parts, as the module says; read once per process.

    Raises:
        TaskError: If the file cannot be read, is another one, or lacks a column.
    """
    return read_trips(path, FILE.read(path), ROWS)


def read_trips(path: Path, content: bytes, rows: Mapping[str, int]) -> ProgramData:
    """The trips in the content of such a file.

    Args:
        path: For errors.
        content: CSV, compressed.
        rows: Of each part.

    Raises:
        TaskError: If a column is missing.
    """
    texts = io.StringIO(gzip.decompress(content).decode("utf-8"), newline="")
    reader = csv.DictReader(texts)
    missing = [name for name in (*COLUMNS, TARGET) if name not in (reader.fieldnames or ())]
    if missing:
        raise TaskError(
            f"{str(path)!r} has no column {missing[0]!r}, which the tasks nyc_taxi/* need",
            value=missing[0],
            allowed=", ".join((*COLUMNS, TARGET)),
            hint=f"restore the file: {FILE.words}",
        )
    trips = list(reader)
    duration = np.array([float(trip[TARGET]) for trip in trips])
    kept = (duration >= SHORTEST_S) & (duration <= LONGEST_S)
    columns: list[NDArray[np.float64]] = []
    for name in COLUMNS:
        columns += encode_column(name, [trip[name] for trip in trips]).values()
    x = np.stack(columns, axis=1)[kept]
    y = np.log(duration[kept] / SHORTEST_S) / np.log(LONGEST_S / SHORTEST_S)
    order, parts, place = np.random.RandomState(0).permutation(len(y)), [], 0
    for size in rows.values():
        chosen = order[place : place + size]
        parts.append((x[chosen], y[chosen]))
        place += size
    return ProgramData(parts[0], parts[1], parts[2], "mse")
