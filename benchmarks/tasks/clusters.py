"""Which tasks are one piece of evidence: those on the same data set."""

from __future__ import annotations

ONE_DATA_SET = ("nyc_taxi", "cifar10")  # families whose tasks are on one
BY_DATA_SET = ("hpobench", "original", "sklearn")  # whose tasks are FAMILY/ALGORITHM/DATA SET[@OPTION,...]


def task_cluster(task: str) -> str:
    """The name of the data set that a task is on; of a task without one, its own name.

    A method that is lucky on a data set is so with several algorithms: intervals draw clusters, not tasks.

    >>> task_cluster("hpobench/svm/credit-g"), task_cluster("hpobench/mlp/credit-g@epochs=9")
    ('hpobench/credit-g', 'hpobench/credit-g')
    >>> task_cluster("sklearn/program/digits-images"), task_cluster("toy/branin")
    ('sklearn/digits', 'toy/branin')
    """
    task = task.removeprefix("moved/").removesuffix("-images")  # in another form, but on the same data
    family, *rest = task.partition("@")[0].split("/")
    if family in ONE_DATA_SET:
        return family
    if family == "conditional":  # SPACE/DATA SET/DEFAULT, each data set with one space
        return task.rpartition("/")[0]
    return f"{family}/{rest[-1]}" if family in BY_DATA_SET and rest else task
