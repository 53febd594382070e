"""Tasks to tune and measure on, suites of them, and statistics: the upper room of Airtune."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airtune.engine.types import Task

__all__ = ["get_task", "task_names"]


def task_names() -> list[str]:
    """The names of all built-in tasks: sklearn tasks at full fidelity, hpobench tasks as tabulated."""
    from airtune.benchmarks.tasks.hpobench import hpobench_names
    from airtune.benchmarks.tasks.sklearn import sklearn_names
    from airtune.benchmarks.tasks.toy import toy_names

    return toy_names() + sklearn_names() + hpobench_names()


def get_task(name: str) -> Task:
    """The built-in task of that name, for example "toy/branin" or "sklearn/rf/digits@trees=16".

    Args:
        name: One of `task_names()`; sklearn tasks may carry a fidelity suffix (see `sklearn_tasks`), hpobench
            tasks other options (see `hpobench.tasks`).

    Raises:
        TaskError: If there is no such task, or it has no such fidelity or option.
    """
    from airtune.benchmarks.tasks.development import development_names, development_task
    from airtune.benchmarks.tasks.hpobench import hpobench_task
    from airtune.benchmarks.tasks.sklearn import sklearn_names, sklearn_task
    from airtune.benchmarks.tasks.toy import toy_names, toy_task
    from airtune.engine.types import TaskError
    from airtune.grammars.errors import unknown_name

    kind = name.partition("/")[0]
    if kind == "hpobench":
        return hpobench_task(name)
    families = {
        "toy": toy_names(), "sklearn": sklearn_names(),
        "dev": development_names(), "unseen": development_names("unseen"),
    }  # fmt: skip
    base = name.partition("@")[0] if kind == "sklearn" else name
    if base not in families.get(kind, ()):
        every = [*toy_names(), *sklearn_names(), "hpobench/{svm,lr,rf,mlp,xgb}/{data set}"]
        message, allowed, hint = unknown_name("task", name, families.get(kind, every))
        raise TaskError(message, value=name, allowed=allowed, hint=hint)
    make = {"toy": toy_task, "sklearn": sklearn_task, "dev": development_task, "unseen": development_task}
    return make[kind](name)
