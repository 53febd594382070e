"""Tasks to tune and measure on, suites of them, and statistics: the upper room of Airtune."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airtune.engine.types import Task

__all__ = ["get_task", "needs_data", "task_names"]

NEED_DATA = ("cifar10", "nyc_taxi")  # families of tasks
IN_A_TABLE = ("cifar10/cnn-table",)  # those of them that need none


def needs_data(name: str) -> bool:
    """Whether the task of that name, or the one that is moved, takes a folder of data that are not part of Airtune."""
    name = name.removeprefix("moved/")
    return name.partition("/")[0] in NEED_DATA and name not in IN_A_TABLE


def task_names() -> list[str]:
    """The names of all built-in tasks: sklearn tasks at full fidelity, hpobench tasks as tabulated."""
    from airtune.benchmarks.tasks.cifar10.tasks import cifar10_names
    from airtune.benchmarks.tasks.hpobench.tasks import hpobench_names
    from airtune.benchmarks.tasks.nyc_taxi.tasks import nyc_taxi_names
    from airtune.benchmarks.tasks.programs import program_names
    from airtune.benchmarks.tasks.sklearn import sklearn_names
    from airtune.benchmarks.tasks.toy import toy_names

    return [
        *toy_names(),
        *sklearn_names(),
        *program_names(),
        *nyc_taxi_names(),
        *cifar10_names(),
        *hpobench_names(),
    ]


def _is_program_space(name: str) -> bool:
    from airtune.grammars import shipped_spaces  # all of program spaces, which most tasks do not need

    return name in shipped_spaces()


def get_task(name: str, data: Path | None = None) -> Task:
    """The built-in task of that name, for example "toy/branin" or "sklearn/rf/digits@trees=16".

    Imports the tasks of its family alone.

    Args:
        name: One of `task_names()`; sklearn tasks may carry a fidelity suffix (see `sklearn_tasks`), hpobench
            tasks other options (see `hpobench.tasks`), and any "moved/" in front (see `tasks.moved`).
        data: The folder of the data that the tasks of some families need; by default the environment's AIRTUNE_DATA.

    Raises:
        TaskError: If there is no such task, it has no such fidelity or option, or its data are not there.
    """
    from airtune.engine.types import TaskError

    if name.endswith((".json", ".free", ".space")) or ("/" not in name and _is_program_space(name)):
        own = "--data FILE --target COLUMN --score mse|mae|error"
        option, other = ("--space", "--command '...'") if name.endswith(".json") else ("--program-space", own)
        raise TaskError(
            f"{name!r} is a search space, and no task", value=name, allowed=f"a task, or {option} {name}",
            hint=f"airtune tune {option} {shlex.quote(name)} {other}",
        )  # fmt: skip
    family = name.partition("/")[0]
    if data is not None and (family == "moved" or not needs_data(name)):
        if needs_data(name):
            raise TaskError(
                f"task {name!r} takes its data folder from the environment", value=str(data),
                allowed="the environment variable AIRTUNE_DATA=DIR", hint=f"AIRTUNE_DATA={data} instead of --data",
            )  # fmt: skip
        raise TaskError(
            f"task {name!r} needs no data folder", value=str(data),
            allowed=f"--data with {', '.join(filter(needs_data, task_names()))}, or with --program-space",
            hint="leave --data out",
        )  # fmt: skip
    make: Callable[[str], Task]
    if family == "moved":
        from airtune.benchmarks.tasks.moved import moved_task

        return moved_task(name)
    if family == "hpobench":
        from airtune.benchmarks.tasks.hpobench.tasks import hpobench_task

        return hpobench_task(name)  # reads the name itself
    if family == "original":
        from airtune.benchmarks.tasks.original.tasks import original_task

        return original_task(name)
    if family == "toy":
        from airtune.benchmarks.tasks.toy import toy_names, toy_task

        known, make = toy_names(), toy_task
    elif name.startswith("sklearn/program/"):
        from airtune.benchmarks.tasks.programs import program_names, sklearn_program_task

        known, make = program_names(), sklearn_program_task
    elif family == "sklearn":
        from airtune.benchmarks.tasks.sklearn import sklearn_names, sklearn_task

        known, make = sklearn_names(), sklearn_task
    elif family == "nyc_taxi":
        from airtune.benchmarks.tasks.nyc_taxi.tasks import nyc_taxi_names, nyc_taxi_task

        known, make = nyc_taxi_names(), partial(nyc_taxi_task, folder=data)
    elif family == "cifar10":
        from airtune.benchmarks.tasks.cifar10.tasks import cifar10_names, cifar10_task

        known, make = cifar10_names(), partial(cifar10_task, folder=data)
    elif family in ("dev", "unseen"):
        from airtune.benchmarks.tasks.development import development_task

        return development_task(name)  # reads the name itself
    elif family == "full":
        from airtune.benchmarks.tasks.full_trainings import (
            CHOOSE,
            REPORT,
            full_names,
            full_task,
            listed_names,
        )

        known, make = [*full_names(CHOOSE + REPORT), *listed_names()], full_task
    elif family == "conditional":
        from airtune.benchmarks.tasks.conditional.tasks import conditional_names, conditional_task

        known, make = conditional_names(), conditional_task
    else:
        from airtune.benchmarks.tasks.sklearn import sklearn_names
        from airtune.benchmarks.tasks.toy import toy_names

        every = [*toy_names(), *sklearn_names(), "hpobench/{svm,lr,rf,mlp,xgb}/{data set}"]
        every += [
            "original/{mlp,hpolib,nasbench201}/{data set}",
            "sklearn/program/{data set}",
            "nyc_taxi/{mlp,program}",
            "cifar10/{cnn,cnn-table,program}",
            "moved/{one of these}",
        ]
        raise TaskError.unknown("task", name, every)
    if (name.partition("@")[0] if family == "sklearn" else name) not in known:
        raise TaskError.unknown("task", name, known)
    return make(name)
