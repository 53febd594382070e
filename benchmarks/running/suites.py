"""Suites: named lists of tasks that methods are compared on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from airtune.benchmarks import needs_data
from airtune.benchmarks.tasks.cifar10.tasks import cifar10_names
from airtune.benchmarks.tasks.hpobench.models import Protocol
from airtune.benchmarks.tasks.hpobench.tasks import hpobench_names
from airtune.benchmarks.tasks.moved import PREFIX, unmoved
from airtune.benchmarks.tasks.nyc_taxi.tasks import nyc_taxi_names
from airtune.benchmarks.tasks.original.tasks import original_names
from airtune.benchmarks.tasks.programs import program_names
from airtune.benchmarks.tasks.sklearn import ALGORITHMS, DATA, sklearn_names
from airtune.benchmarks.tasks.toy import toy_names
from airtune.grammars import AirtuneError

# Fidelities at which a random configuration takes less than 0.1 s on average over the suite, on one core.
REDUCED: Mapping[str, str] = {"svm": "", "lr": "@iter=30", "rf": "@trees=16", "mlp": "@epochs=5"}
# Those of the tables of HPOBench's models that ship.
TABULATED: Mapping[str, str] = {"svm": "", "lr": "@iter=100", "rf": "@trees=64", "mlp": "@epochs=9"}
PAPER_MODELS = ("svm", "lr", "rf", "mlp")  # those of the paper's 32 HPOBench tasks


@dataclass(frozen=True)
class Suite:
    """A list of tasks.

    Attributes:
        name: What it is called by.
        list_tasks: Makes the list when it is first asked for: some suites need much to be imported for it.
        words: What it holds, for tables.
    """

    name: str
    list_tasks: Callable[[], Iterable[str]]
    words: str

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Task names for `airtune.benchmarks.get_task`."""
        return tuple(self.list_tasks())


def _reduced_names(suffixes: Mapping[str, str]) -> list[str]:
    return [f"sklearn/{algorithm}/{data}{suffixes[algorithm]}" for algorithm in ALGORITHMS for data in DATA]


def _development_names(family: str) -> list[str]:
    from airtune.benchmarks.tasks.development import development_names  # loads the training of pocket

    return development_names(family)


def _conditional_names() -> list[str]:
    from airtune.benchmarks.tasks.conditional.tasks import conditional_names  # loads the training of pocket

    return conditional_names()


def _full_names(report: bool) -> list[str]:
    from airtune.benchmarks.tasks import full_trainings as full  # loads the training of pocket

    return full.full_names(full.REPORT if report else full.CHOOSE)


def _listed_names() -> list[str]:
    from airtune.benchmarks.tasks.full_trainings import listed_names  # loads the training of pocket

    return listed_names()


def _hpobench(name: str, models: str, protocol: Protocol, chosen: tuple[str, ...]) -> Suite:
    """The shipped table tasks of the chosen models under a protocol."""
    rows = {"clean": "the training rows", "published": "a bootstrap of training and validation rows"}
    words = f"HPOBench, tables: {models} x 8 data sets, fitted on {rows[protocol]}"
    return Suite(name, partial(hpobench_names, chosen, protocol), words)


SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite("toy", toy_names, "6 two-dimensional functions"),
        Suite("sklearn", sklearn_names, "4 models x 4 data sets, full fidelity"),
        Suite(
            "sklearn-tables",
            partial(_reduced_names, TABULATED),
            "4 models x 4 data sets at the fidelity of HPOBench's tables "
            "(logistic regression 100 iterations, random forest 64 trees, multilayer perceptron 9 epochs)",
        ),
        Suite(
            "core",
            lambda: [*toy_names(), *_reduced_names(REDUCED)],
            "6 two-dimensional functions and 4 models x 4 data sets "
            "(logistic regression 30 iterations, random forest 16 trees, multilayer perceptron 5 epochs)",
        ),
        Suite(
            "programs",
            program_names,
            "programs of the program spaces that ship, run in the sandbox on 4 tables and images of scikit-learn",
        ),
        Suite(
            "nyc_taxi",
            nyc_taxi_names,
            "durations of taxi trips: hyperparameters of a multilayer perceptron, and programs (needs --data)",
        ),
        Suite(
            "cifar10",
            lambda: [name for name in cifar10_names() if needs_data(name)],
            "small images: hyperparameters of a convolutional network, and programs (needs --data)",
        ),
        Suite(
            "development",
            partial(_development_names, "dev"),
            "tables of 18 algorithms on generated data sets and random functions, for choosing designs on",
        ),
        Suite(
            "development-small",
            lambda: [name for name in _development_names("dev") if name.endswith("/0")],
            "the first table of each of 18 algorithms and a function of 2, 4 and 8 numbers: development, where a "
            "proposal takes seconds",
        ),
        Suite(
            "development-conditional",
            _conditional_names,
            "spaces as people write them, up to 14 hyperparameters, most of them conditional, with defaults that "
            "deserve trust and such that do not: development",
        ),
        Suite(
            "development-full",
            partial(_full_names, report=False),
            "algorithms trained as people train them, on generated data sets, in spaces that pocket was not trained on "
            "or tables of others: development",
        ),
        Suite(
            "development-lists",
            _listed_names,
            "those of the same that have no conditions, each number one of ten values: development",
        ),
        Suite(
            "unseen-full",
            partial(_full_names, report=True),
            "the same, of 5 algorithms that pocket was not trained on, for reporting",
        ),
        Suite(
            "unseen",
            partial(_development_names, "unseen"),
            "tables of 3 algorithms that pocket was not trained on and random functions, for reporting",
        ),
        _hpobench("hpobench", "4 models", "clean", PAPER_MODELS),
        _hpobench("hpobench-published", "4 models", "published", PAPER_MODELS),
        _hpobench("hpobench-xgb", "XGBoost", "clean", ("xgb",)),
        _hpobench("hpobench-xgb-published", "XGBoost", "published", ("xgb",)),
        Suite(
            "original",
            original_names,
            "tables as their authors published them: HPOBench's MLP on 8 data sets, HPOLib on 4, NAS-Bench-201 on 3",
        ),
        Suite(
            "original-mlp",
            lambda: [name for name in original_names() if name.startswith("original/mlp/")],
            "the tables of HPOBench's MLP as its authors published them, on 8 data sets",
        ),
    )
}


def get_suite(name: str, others: Iterable[str] = ()) -> Suite:
    """The suite of that name.

    A key of SUITES; "unseen@seed=N", which is made anew from a seed; the name of one task, which has a slash; and each
    on other ranges, "moved/" before it.

    Args:
        name: Of the suite.
        others: What else may be meant, for the error.

    Raises:
        AirtuneError: If there is none.
    """
    if name.startswith(PREFIX):
        inner = get_suite(unmoved(name), others)
        return Suite(name, lambda: [PREFIX + task for task in inner.tasks], f"{inner.words}, on other ranges")
    plain, at, option = name.partition("@")
    if at and plain == "unseen" and option.startswith("seed="):
        names = _unseen_again(name, option)
        return Suite(name, lambda: names, f"{SUITES[plain].words}, made anew from {option}")
    if "/" in name:
        return Suite(name, lambda: [name], "one task")
    if name not in SUITES:
        raise AirtuneError.unknown("suite", name, [*SUITES, *others])
    return SUITES[name]


def _unseen_again(name: str, option: str) -> list[str]:
    from airtune.benchmarks.tasks.development import development_names, seed_of

    seed = seed_of(option)
    if seed is None:
        raise AirtuneError(
            f"suite {name!r}: {option!r} is no seed",
            value=option,
            allowed="seed=N with N from 0 to 4294967295",
            hint="for example unseen@seed=7",
        )
    return development_names("unseen", seed)
