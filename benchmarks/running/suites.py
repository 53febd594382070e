"""Suites: named lists of tasks that methods are compared on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from airtune.benchmarks.tasks.development import development_names
from airtune.benchmarks.tasks.hpobench import hpobench_names
from airtune.benchmarks.tasks.hpobench.models import Protocol
from airtune.benchmarks.tasks.hpobench.names import parse_name
from airtune.benchmarks.tasks.hpobench.spaces import FIDELITIES, TABLE_SPECS
from airtune.benchmarks.tasks.sklearn import ALGORITHMS, DATA, sklearn_names
from airtune.benchmarks.tasks.toy import toy_names
from airtune.grammars import AirtuneError, unknown_name

# Fidelities at which a random configuration takes less than 0.1 s on average over the suite, on one core.
REDUCED: Mapping[str, str] = {"svm": "", "lr": "@iter=30", "rf": "@trees=16", "mlp": "@epochs=5"}


@dataclass(frozen=True, slots=True)
class Suite:
    """A list of tasks.

    Attributes:
        name: What it is called by.
        tasks: Task names for `airtune.benchmarks.get_task`.
        words: What it holds, for tables.
    """

    name: str
    tasks: tuple[str, ...]
    words: str


def _suffix(algorithm: str) -> str:
    """The end of a task's name at the fidelity of HPOBench's tables."""
    fidelity = FIDELITIES[algorithm]
    return "" if fidelity is None else f"@{fidelity.name}={TABLE_SPECS[algorithm].fidelity}"


def _reduced_names(suffixes: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        f"sklearn/{algorithm}/{data}{suffixes[algorithm]}" for algorithm in ALGORITHMS for data in DATA
    )


PAPER_MODELS = ("svm", "lr", "rf", "mlp")  # those of the paper's 32 HPOBench tasks


def _hpobench_names(models: Collection[str], protocol: Protocol) -> tuple[str, ...]:
    """The shipped table tasks of these models at the fidelity of `TABLE_SPECS`."""
    chosen = []
    for name in hpobench_names():
        parsed = parse_name(name)
        tabulated = parsed.model in models and parsed.fidelity == TABLE_SPECS[parsed.model].fidelity
        if tabulated and parsed.protocol == protocol:
            chosen.append(name)
    return tuple(chosen)


SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite("toy", tuple(toy_names()), "6 two-dimensional functions"),
        Suite("sklearn", tuple(sklearn_names()), "4 models x 4 data sets, full fidelity"),
        Suite(
            "sklearn-tables",
            _reduced_names({algorithm: _suffix(algorithm) for algorithm in ALGORITHMS}),
            "4 models x 4 data sets at the fidelity of HPOBench's tables "
            "(logistic regression 100 iterations, random forest 64 trees, multilayer perceptron 9 epochs)",
        ),
        Suite(
            "core",
            (*toy_names(), *_reduced_names(REDUCED)),
            "6 two-dimensional functions and 4 models x 4 data sets "
            "(logistic regression 30 iterations, random forest 16 trees, multilayer perceptron 5 epochs)",
        ),
        Suite(
            "development",
            tuple(development_names()),
            "tables of 18 algorithms on generated data sets and random functions, for choosing designs on",
        ),
        Suite(
            "unseen",
            tuple(development_names("unseen")),
            "tables of 3 algorithms that pocket never met and random functions, nothing chosen on them",
        ),
        Suite(
            "hpobench",
            _hpobench_names(PAPER_MODELS, "clean"),
            "HPOBench, tables: 4 models x 8 data sets, fitted on the training rows",
        ),
        Suite(
            "hpobench-published",
            _hpobench_names(PAPER_MODELS, "published"),
            "HPOBench, tables: 4 models x 8 data sets, fitted on a bootstrap of training and validation rows",
        ),
        Suite(
            "hpobench-xgb",
            _hpobench_names(("xgb",), "clean"),
            "HPOBench, tables: XGBoost x 8 data sets, fitted on the training rows",
        ),
        Suite(
            "hpobench-xgb-published",
            _hpobench_names(("xgb",), "published"),
            "HPOBench, tables: XGBoost x 8 data sets, fitted on a bootstrap of training and validation rows",
        ),
    )
}


def get_suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        AirtuneError: If there is none.
    """
    if name not in SUITES:
        message, allowed, hint = unknown_name("suite", name, SUITES)
        raise AirtuneError(message, value=name, allowed=allowed, hint=hint)
    return SUITES[name]
