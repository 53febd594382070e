"""The tables of a comparison, for the terminal, Markdown and the page alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from airtune.benchmarks.analysis.comparison import RANDOM, Array
from airtune.benchmarks.analysis.costs import Costs, costs_table
from airtune.benchmarks.analysis.numbers import DASH, estimated, number, p_value, significant, sortable
from airtune.benchmarks.analysis.statistics import Row, change
from airtune.benchmarks.analysis.table import Cell, Column, Table
from airtune.benchmarks.report.controls import Pair
from airtune.benchmarks.report.report import Report
from airtune.grammars.errors import counted

_BLANK = Cell(DASH, kind="none")


def report_tables(report: Report) -> list[Table]:
    """All that is printed, in its order: what the model adds comes first."""
    budgets, last = report.budgets, report.budgets[-1]
    return [
        *(model_adds(report, budget) for budget in budgets if budget in report.model_adds),
        *(against_random(report, budget) for budget in budgets),
        *(against_each(report, budget) for budget in budgets if budget in report.pairwise),
        by_task(report, last, report.tasks),
        proposals(report),
    ]


def model_adds(report: Report, budget: int) -> Table:
    """The methods whose models know something against what tells how much that adds."""
    added = report.model_adds[budget]
    methods = list(dict.fromkeys(one.row.method for one in added))
    tested = any(one.test is not None for one in added)
    columns = [
        *([Column("method", number=False)] if len(methods) > 1 else []),
        Column("against", number=False),
        Column(
            "win/tie/loss" + ("; test" if tested else ""),
            "tasks on which the method is better, equal, worse; under it the same of test errors",
        ),
        Column("median change %", "(other − method) / |other|, positive is better"),
        Column(
            "p (Holm)",
            "Wilcoxon signed-rank test over data sets, Holm’s correction over the rows of this table",
        ),
        Column("in words", "what the test says of the method at 5 %", number=False),
    ]
    if tested:
        columns.append(Column("test median change %", "of the configuration chosen on validation", wide=True))
    rows = []
    for one in added:
        name = report.label(one.row.reference)
        cells = [_name(report, one.row.method)] if len(methods) > 1 else []
        cells += [
            Cell(name, one.what, name, "name"),
            _tally(one.row, one.test),
            estimated(one.row.median_change, 1),
            Cell(p_value(one.p), sort=one.p),
            Cell(one.verdict, sort=one.verdict),
        ]
        if tested:
            cells.append(estimated(one.test.median_change, 1) if one.test else _BLANK)
        rows.append(cells)
    whose = f"model adds: {report.label(methods[0])}" if len(methods) == 1 else "models add"
    return Table(f"What the {whose}, {counted(budget, 'evaluation')}", columns, rows)


def against_random(report: Report, budget: int) -> Table:
    """Every method against random search, in the order of their mean ranks."""
    rows = sorted(report.rows[budget], key=lambda row: row.rank.value)
    near = any(row.tasks_far < row.tasks for row in rows)
    far = Column(
        "mean change far from 0, %", "without the tasks on which random search is within 0.01 of 0", wide=True
    )
    columns = [
        Column("method", number=False),
        Column("beats %", "share of tasks on which it is better than random search"),
        Column("median change %", "(random − method) / |random|, positive is better"),
        Column("mean change %", "the same, mean over the tasks"),
        *([far] if near else []),
        Column("mean rank", "among all methods, 1 is best"),
        Column("win/tie/loss", "tasks, against random search"),
        Column(
            "test loss",
            "of the configuration chosen on validation, mean over the tasks; of one task ± standard error over seeds",
        ),
    ]
    made = []
    for row in rows:
        changes = [estimated(row.beats, 0), estimated(row.median_change, 1), estimated(row.mean_change, 1)]
        changes += [estimated(row.mean_change_far, 1)] if near else []
        test = report.test_errors[budget][row.method]
        spread = spread_of_test(report, row.method, budget)
        made.append(
            [
                _name(report, row.method),
                *([_BLANK] * len(changes) if row.method == RANDOM else changes),
                estimated(row.rank, 2),
                _BLANK if row.method == RANDOM else _tally(row),
                Cell(significant(test), spread, sort=sortable(test)),
            ]
        )
    plan = report.plan
    size = f"{counted(len(report.tasks), 'task')}, {counted(plan.seeds, 'seed')}"
    title = f"{plan.suite}: {counted(budget, 'evaluation')}, {size}, against {RANDOM}"
    return Table(f"{title}; positive changes are better", columns, made)


def spread_of_test(report: Report, method: str, budget: int, task: str | None = None) -> str:
    """`± 0.0012`, the standard error over seeds of the test loss on a task of a single data set; empty elsewhere.

    Args:
        report: The comparison.
        method: Whose.
        budget: Evaluations.
        task: One of its tasks; by default the only one, if it is.
    """
    spreads = report.test_spreads(budget)[method]
    value = spreads[task] if task else next(iter(spreads.values())) if len(spreads) == 1 else math.nan
    return "" if math.isnan(value) else f"± {significant(value, 2)}"


def against_each(report: Report, budget: int) -> Table:
    """The focal method against every other."""
    pairs = report.pairwise[budget]
    columns = [
        Column("against", number=False),
        Column("beats %", "share of tasks on which it is better"),
        Column("median change %", "(other − method) / |other|, positive is better"),
        Column("mean change %"),
        Column("win/tie/loss", "tasks"),
        Column(
            "p (Holm)", "Wilcoxon signed-rank test over tasks, Holm’s correction over the rows of this table"
        ),
    ]
    rows = [
        [
            _name(report, pair.row.reference),
            estimated(pair.row.beats, 0),
            estimated(pair.row.median_change, 1),
            estimated(pair.row.mean_change, 1),
            _tally(pair.row),
            Cell(p_value(pair.p), sort=pair.p),
        ]
        for pair in pairs
    ]
    return Table(f"{_focal(report)} against the others, {counted(budget, 'evaluation')}", columns, rows)


def over_seeds(report: Report, budget: int) -> Table:
    """On how many tasks, each tested by itself over seeds, the focal method is better and worse."""
    columns = [
        Column("against", number=False),
        Column("better", "tasks on which it is better at 5 %, each test by itself"),
        Column("worse", "tasks on which it is worse"),
        Column("better (Holm)", "the same with Holm’s correction over all tests of this table"),
        Column("worse (Holm)"),
        Column("tasks tested"),
    ]
    rows = [[_name(report, pair.row.reference), *_counts(pair)] for pair in report.pairwise[budget]]
    return Table(f"{_focal(report)} task by task over seeds, {counted(budget, 'evaluation')}", columns, rows)


def _counts(pair: Pair) -> list[Cell]:
    v = pair.verdicts
    counts = (v.better, v.worse, v.better_holm, v.worse_holm, v.tasks)
    return [Cell(str(n), sort=n) if v.tasks else _BLANK for n in counts]


def changes(report: Report, budget: int) -> tuple[tuple[str, ...], Array]:
    """Change against random search in percent: the methods but random, and shape (methods, tasks)."""
    comparison = report.comparison
    means = comparison.best[..., budget - 1].mean(axis=2)
    base = means[comparison.methods.index(RANDOM)]
    kept = tuple(m for m in report.display_order if m != RANDOM)
    moved = [change(means[comparison.methods.index(m)], base) for m in kept]
    return kept, np.reshape(moved, (len(kept), len(base)))


def change_text(value: float) -> str:
    """A change as the heat map shows it: whole percents with a sign."""
    if math.isnan(value):
        return DASH
    return f"{value:+.0f}".replace("-", "−") if round(value) else "0"


def heat(report: Report, budget: int) -> Table:
    """Change against random search, task by method."""
    methods, values = changes(report, budget)
    columns = [Column("task", number=False), *(Column(report.label(method)) for method in methods)]
    rows = [
        [
            Cell(name, sort=t, kind="name"),
            *(Cell(change_text(v), "", sortable(v), "heat", None if math.isnan(v) else max(-1.0, min(1.0, v / 100)))
              for v in map(float, values[:, t])),
        ]
        for t, name in enumerate(short_names(report.tasks))
    ]  # fmt: skip
    title = f"Change against random search by task, {counted(budget, 'evaluation')}"
    return Table(title, columns, rows, kind="heatmap")


def by_task(report: Report, budget: int, names: Sequence[str]) -> Table:
    """Mean best losses, task by method, and test errors under them; `names` are those of the tasks."""
    methods = report.display_order
    means, tests = report.means[budget], report.task_tests(budget)
    columns = [Column("task", number=False), *(Column(report.label(method)) for method in methods)]
    rows = []
    for t, task in enumerate(report.tasks):
        lowest = min(means[m][task] for m in methods)
        cells = [Cell(names[t], sort=t, kind="name")]
        for method in methods:
            loss, test = means[method][task], tests[method][task]
            spread = spread_of_test(report, method, budget, task)
            sub = "" if math.isnan(test) else f"test {significant(test, 3)} {spread}".rstrip()
            kind = "best" if loss <= lowest + 1e-12 * abs(lowest) else ""
            cells.append(Cell(significant(loss), sub, sortable(loss), kind))
        rows.append(cells)
    return Table(
        f"best loss after {counted(budget, 'evaluation')}, mean over seeds (toy: loss − optimum)",
        columns,
        rows,
    )


def short_names(tasks: Sequence[str]) -> list[str]:
    """The tasks' names without the suite that they all begin with: a phone is narrow."""
    heads = {task.partition("/")[0] for task in tasks}
    return [task.partition("/")[2] if len(heads) == 1 and "/" in task else task for task in tasks]


def proposals(report: Report) -> Table:
    """How long proposals took, and how many were not the method's own."""
    columns = [
        Column("method", number=False),
        Column("mean seconds", "per proposal; a batch’s seconds are shared out evenly over its studies"),
        Column("drawn uniformly instead %", "the method’s own suggestions were all taken or not valid"),
    ]
    rows = [
        [
            _name(report, method),
            Cell(significant(seconds, 3), sort=seconds),
            Cell(number(100 * report.redrawn[method], 2), sort=report.redrawn[method]),
        ]
        for method, seconds in report.proposal_s.items()
    ]
    return Table("proposals", columns, rows)


def costs(report: Report, found: Sequence[Costs]) -> Table | None:
    """What the methods that ask a model took; None where there are none."""
    asking = [one for one in found if one.said]
    return costs_table(asking, {one.method: report.label(one.method) for one in asking}) if asking else None


def _focal(report: Report) -> str:
    return report.label(report.focal or RANDOM)


def _name(report: Report, method: str) -> Cell:
    kind = "name focal" if method == report.focal else "name"
    return Cell(report.label(method), sort=report.label(method), kind=kind)


def _tally(row: Row, test: Row | None = None) -> Cell:
    sub = f"({test.wins}/{test.ties}/{test.losses})" if test else ""
    return Cell(f"{row.wins}/{row.ties}/{row.losses}", sub, sort=row.wins - row.losses)
