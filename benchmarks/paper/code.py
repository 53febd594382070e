"""`code`: programs as configurations, beside random search on hyperparameters of one model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from airtune.benchmarks.analysis.comparison import RANDOM, Array
from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.paper.against_random import worst
from airtune.benchmarks.paper.compared import Compared, estimated, label, mean
from airtune.benchmarks.paper.protocol import Protocol, filled
from airtune.benchmarks.paper.results import Line, Result, Table, of_claim
from airtune.benchmarks.paper.words import figure, without_interval
from airtune.grammars.errors import counted

PROGRAMS, NUMBERS = "programs", "hyperparameters"  # the arms
CONTROL = "programs drawn by a model that knows nothing"


def evaluate(protocol: Protocol, arms: Mapping[str, Compared]) -> Result:
    """Test losses of what was chosen, and how many times as large those of random search on hyperparameters are."""
    programs, numbers = arms[PROGRAMS], arms[NUMBERS]
    look, part = programs.last, protocol.part
    lines: list[Line] = []
    for template in (one for one in programs.arm.methods if "{model" in one):
        for model in protocol.models:
            method = filled(template, model)
            control = filled(template.partition("{")[0] + "{control@code}", model)
            known = programs.has(control) and control != method
            for key, of in (("test", _test), ("ratio", lambda arm, name, at: _ratio(arm, name, numbers, at))):
                line = of_claim(
                    part.claim(key), of(programs, method, look), arm=PROGRAMS, method=label(method),
                    against=CONTROL if known else "", control=of(programs, control, look) if known else None,
                    lead=method == filled(part.lead, protocol.models[0]),
                )  # fmt: skip
                lines.append(line)
    leads = [line for line in lines if line.lead]
    test, ratio = leads
    drawn = (
        f" ({without_interval(test.control, '')} around a model that knows nothing)" if test.control else ""
    )
    return Result(
        verdict=worst(leads),
        answer=f"The program that {test.method} chose in {counted(look, 'evaluation')} has a test loss of "
        f"{figure(test.ours, '')}"
        f"{drawn}; random search on hyperparameters has {figure(ratio.ours, '')} times as much (the paper: 2.75e-4, "
        "and 13.6 times as much).",
        lines=tuple(lines),
        tables=tuple(_table(one) for one in arms.values()),
        notes=("Every program parses, by its grammar; those that failed did so when they were run.",),
    )  # fmt: skip


def _tests(one: Compared, method: str, look: int) -> Array:
    """Test losses of what was chosen, shape (tasks, seeds)."""
    return one.comparison.test[one.comparison.methods.index(method), :, :, look - 1]


def _test(one: Compared, method: str, look: int) -> Estimate:
    return mean(_tests(one, method, look), one.comparison.clusters)


def _ratio(one: Compared, method: str, numbers: Compared, look: int) -> Estimate:
    """Random search's mean test loss on hyperparameters over the method's on programs."""
    values = np.stack([_tests(one, method, look), _tests(numbers, RANDOM, look)])
    return estimated(
        values,
        one.comparison.clusters,
        lambda m: np.nanmean(m[..., 1, :], axis=-1) / np.nanmean(m[..., 0, :], axis=-1),
    )


def _table(one: Compared) -> Table:
    look = one.last
    rows = []
    for method in one.comparison.methods:
        test, seen = _tests(one, method, look), one.best(method, look)
        mine = [trial for run in one.runs if run.method == method for trial in run.trials[:look]]
        failed = sum(trial.status == "failed" for trial in mine)
        spread = (
            f" ± {float(test.mean(axis=0).std(ddof=1)) / test.shape[1] ** 0.5:.2g}"
            if test.shape[1] > 1
            else ""
        )
        cells = (
            f"{test.mean():.3g}{spread}",
            f"{seen.mean():.3g}",
            f"{failed} of {len(mine)}" if mine else "–",
        )
        rows.append((float(test.mean()), (label(method), *cells)))
    after = f"{counted(look, 'evaluation')}, {counted(one.plan.seeds, 'seed')}"
    title = f"{one.arm.name}: losses after {after} (± the standard error)"
    heads = ("method", "test loss", "validation loss", "failed")
    return Table(title, heads, tuple(row for _, row in sorted(rows, key=lambda pair: pair[0])))
