"""The data of `cifar10/*`: 5,620 images of CIFAR-10 (Krizhevsky, 2009), in the file `cifar10_5k.npz`.

475 training images and 87 test images of each of the ten classes, pixels as they were published, from the beginnings of
CIFAR-10's batches. The split is fixed: of each class's training images, in the order of the file, the first 380 are for
training and the other 95 for validation; the test images are for testing. The loss is the share of wrong classes.
"""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from airtune.benchmarks.tasks.data_folder import DataFile
from airtune.engine.evaluation.programs import ProgramData
from airtune.engine.types import TaskError

FILE = DataFile(
    "cifar10",
    "cifar10_5k.npz",
    "20c4c6da91f361be4f333d0edc4cf1f6d3ab2b42156a9d72bea7fd1cdfeddc43",
    "4,750 training and 870 test images of CIFAR-10, drawn as docs/how-to/programs.md says",
)
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
TRAINING = 380  # of each class


@lru_cache(maxsize=2)
def image_data(path: Path) -> ProgramData:
    """The images in their parts, as the module says; numbers from 0 to 1, (rows, 3, 32, 32); read once per process.

    Raises:
        TaskError: If the file cannot be read, is another one, or lacks an array.
    """
    return read_images(path, FILE.read(path), TRAINING)


def read_images(path: Path, content: bytes, training: int) -> ProgramData:
    """The images in the content of such a file.

    Args:
        path: For errors.
        content: NPZ.
        training: Images of each class to train on; the rest of the training images is for validation.

    Raises:
        TaskError: If an array is missing.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            x_train, y_train, x_test, y_test = (file[name] for name in ARRAYS)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise TaskError(
            f"{str(path)!r} lacks what the tasks cifar10/* need: {error}",
            value=str(path),
            allowed=f"the arrays {', '.join(ARRAYS)}",
            hint=f"restore the file: {FILE.words}",
        ) from error
    first = np.concatenate([np.flatnonzero(y_train == one)[:training] for one in np.unique(y_train)])
    chosen = np.isin(np.arange(len(y_train)), first)
    return ProgramData(
        _part(x_train[chosen], y_train[chosen]),
        _part(x_train[~chosen], y_train[~chosen]),
        _part(x_test, y_test),
        "error",
    )


def _part(x: NDArray[np.uint8], y: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Channels before pixels, numbers from 0 to 1."""
    return (x.transpose(0, 3, 1, 2) / 255).astype(np.float32), y.astype(np.int64)


def halved(data: ProgramData, training: int) -> ProgramData:
    """The same with half as many pixels to a side, means of 2 x 2, and only the first so many training images."""
    (train_x, train_y), (x, y), test = data.train, data.validation, data.test
    return ProgramData(
        (_half(train_x[:training]), train_y[:training]), (_half(x), y), test and (_half(test[0]), test[1]), data.score
    )  # fmt: skip


def _half(x: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, channels, height, width = x.shape
    found: NDArray[np.float32] = x.reshape(rows, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
    return found
