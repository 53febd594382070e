"""Programs that learn the data sets that scikit-learn ships: `sklearn/program/{data}`, `sklearn/program/digits-images`.

A configuration is a program of a program space that ships with Airtune; it is run in the sandbox, and what it predicts
is scored here (`engine.evaluation.programs`). Data are split as for `sklearn/{model}/{data}`: 10 % test, then 33 % of
the rest validation, seed 1, of classes stratified. Features are as scikit-learn ships them, unscaled: that is the
program's business. Of classes the loss is the share of wrong ones. The target of `diabetes`, a number, is taken in
standard deviations of the training part, from its mean; the loss is the mean squared error, so that always predicting
the training part's mean has a loss of about 1.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from airtune.benchmarks.tasks.program_parts import load_parts
from airtune.engine.evaluation.program_script import Loading
from airtune.engine.evaluation.programs import ProgramData, program_task
from airtune.engine.types import Task


@dataclass(frozen=True, slots=True)
class Learnt:
    """A data set that programs learn.

    Attributes:
        loader: Of `sklearn.datasets`, without "load_".
        space: The program space, by name.
        score: How predictions are scored.
        words: What is predicted.
    """

    loader: str
    space: str
    score: str
    words: str

    @property
    def classes(self) -> bool:
        """Whether classes are predicted, and no numbers."""
        return self.score == "error"

    @property
    def images(self) -> bool:
        """Whether the features are images."""
        return self.space == "images"


DATA: Mapping[str, Learnt] = {
    "diabetes": Learnt(
        "diabetes",
        "pipeline_regression",
        "mse",
        "a table that predicts the progression of diabetes (442 patients, 10 numeric features)",
    ),
    "digits": Learnt(
        "digits",
        "pipeline_classification",
        "error",
        "a table of 8 x 8 images of handwritten digits (1797 samples, 64 features from 0 to 16, 10 classes)",
    ),
    "breast_cancer": Learnt(
        "breast_cancer",
        "pipeline_classification",
        "error",
        "a table that tells malignant from benign tumours (569 samples, 30 numeric features, 2 classes)",
    ),
    "wine": Learnt(
        "wine",
        "pipeline_classification",
        "error",
        "a table that tells wines by cultivar (178 samples, 13 numeric features, 3 classes)",
    ),
    "digits-images": Learnt(
        "digits",
        "images",
        "error",
        "images of handwritten digits (1797 of shape (1, 8, 8), pixels from 0 to 1, 10 classes)",
    ),
}


@lru_cache(maxsize=len(DATA))
def program_data(name: str) -> ProgramData:
    """The data of `sklearn/program/{name}`; loaded once per process."""
    learnt = DATA[name]
    train, validation, test = load_parts(learnt.loader, classes=learnt.classes, images=learnt.images)
    return ProgramData(train, validation, test, learnt.score)


def program_names() -> list[str]:
    """The names of all tasks."""
    return [f"sklearn/program/{data}" for data in DATA]


def sklearn_program_task(name: str) -> Task:
    """The task of that name, one of `program_names()`."""
    from airtune.engine import Sandbox
    from airtune.grammars import program_space

    data = name.removeprefix("sklearn/program/")
    learnt = DATA[data]
    loss = (
        "share of wrong classes"
        if learnt.score == "error"
        else "mean squared error, in units of the target's variance,"
    )
    return program_task(
        name,
        program_space(learnt.space),
        partial(program_data, data),
        Sandbox(),
        metric=f"validation {learnt.score}",
        description=f"Write the program that learns best {learnt.words}. "
        f"The loss is the {loss} on a held-out validation set.",
        loading=Loading(
            inspect.getsource(load_parts),
            f'load_parts("{learnt.loader}", classes={learnt.classes}, images={learnt.images})',
        ),
        score=learnt.score,
    )
