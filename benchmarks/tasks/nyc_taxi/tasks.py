"""The tasks `nyc_taxi/mlp`, a search space, and `nyc_taxi/program`, a program space; see `data` for what they learn."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from airtune.benchmarks.tasks.nyc_taxi.data import FILE, taxi_data
from airtune.benchmarks.tasks.nyc_taxi.mlp import MlpObjective, mlp_space
from airtune.engine.evaluation.program_script import loading_with_airtune
from airtune.engine.evaluation.programs import program_task
from airtune.engine.types import Task

if TYPE_CHECKING:
    from airtune.grammars import ProgramSpace

_WORDS = (
    "a table of taxi trips in New York City (5,000 of 2016) that predicts how long a trip takes: the logarithm of its "
    "seconds, scaled to 0..1, from vendor, day, weekday and hour, number of passengers, longitude and latitude of "
    "pickup and dropoff. The loss is the mean squared error on held-out trips."
)


def nyc_taxi_names() -> list[str]:
    """The names of the tasks, whether or not the data are there."""
    return ["nyc_taxi/mlp", "nyc_taxi/program"]


def trip_programs() -> ProgramSpace:
    """The program space of `nyc_taxi/program`."""
    from airtune.grammars.programs import ProgramSpace, program_space, read_rules

    own = files(__package__).joinpath("trips.space").read_text(encoding="utf-8")
    return ProgramSpace((*read_rules(own), *program_space("tabular_regression").rules[1:]))


def nyc_taxi_task(name: str, folder: Path | None = None) -> Task:
    """The task of that name, one of `nyc_taxi_names()`.

    Args:
        name: Of the task.
        folder: Of the data; None: the environment's.

    Raises:
        TaskError: If the data are not there, or are others.
    """
    path = FILE.find(folder)
    taxi_data(path)  # refuses it now, not in the first trial
    if name == "nyc_taxi/mlp":
        words = f"Tune a multilayer perceptron and its optimiser (PyTorch) for {_WORDS}"
        return Task(name, mlp_space(), MlpObjective(path), "validation mse", words)
    from airtune.engine import Sandbox

    return program_task(
        name,
        trip_programs(),
        partial(taxi_data, path),
        Sandbox(),
        metric="validation mse",
        description=f"Write the program that learns best {_WORDS}",
        loading=loading_with_airtune(
            "the folder of the data",
            "from airtune.benchmarks.tasks.nyc_taxi.data import FILE, taxi_data",
            "taxi_data(FILE.find())",
        ),
        score="mse",
    )
