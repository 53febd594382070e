"""The tasks `cifar10/cnn`, a search space, and `cifar10/program`, a program space; see `data` for what they learn.

Programs are given less, so that one takes a minute of one core and not an hour: 1,000 training images, and of all
images the means of 2 x 2 pixels, (rows, 3, 16, 16). `cifar10/cnn-table` is a table, see there. Losses of one task do
not compare with those of another.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

from airtune.benchmarks.tasks.cifar10.cnn import CnnObjective, cnn_space
from airtune.benchmarks.tasks.cifar10.data import FILE, halved, image_data
from airtune.benchmarks.tasks.cifar10.table import EPOCHS, TABLE_TASK, TableObjective, grid_space, read_table
from airtune.engine.evaluation.program_script import loading_with_airtune
from airtune.engine.evaluation.programs import ProgramData, program_task
from airtune.engine.types import Task

FEW = 1_000  # training images of `cifar10/program`
_WORDS = "colour images of ten kinds of animals and vehicles"
_LOSS = "The loss is the share of wrong classes on held-out images."


@lru_cache(maxsize=2)
def small_images(path: Path) -> ProgramData:
    """The data of `cifar10/program`; made once per process.

    Raises:
        TaskError: See `image_data`.
    """
    return halved(image_data(path), FEW)


def cifar10_names() -> list[str]:
    """The names of the tasks, whether or not the data are there."""
    return ["cifar10/cnn", TABLE_TASK, "cifar10/program"]


def cifar10_task(name: str, folder: Path | None = None) -> Task:
    """The task of that name, one of `cifar10_names()`.

    Args:
        name: Of the task.
        folder: Of the data; None: the environment's. The table needs none.

    Raises:
        TaskError: If the data, or the table, are not there or are others.
    """
    network = "a convolutional network and its optimiser (PyTorch)"
    words = f"Tune {network} for {_WORDS} (3,800 of 32 x 32 pixels"
    if name == TABLE_TASK:
        read_table()  # as below
        words += f", {EPOCHS} epochs). {_LOSS}"
        return Task(name, grid_space(), TableObjective(), "validation error", words)
    path = FILE.find(folder)
    image_data(path)  # refuses it now, not in the first trial
    if name == "cifar10/cnn":
        return Task(name, cnn_space(), CnnObjective(path), "validation error", f"{words}). {_LOSS}")
    from airtune.engine import Sandbox
    from airtune.grammars import program_space

    return program_task(
        name,
        program_space("images"),
        partial(small_images, path),
        Sandbox(),
        metric="validation error",
        description=f"Write the program that learns best {_WORDS} ({FEW:,} of shape (3, 16, 16)). {_LOSS}",
        loading=loading_with_airtune(
            "the folder of the data",
            "from airtune.benchmarks.tasks.cifar10.tasks import FILE, small_images",
            "small_images(FILE.find())",
        ),
        score="error",
    )
