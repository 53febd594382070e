"""A comparison in plain words: the headline, the sentences under it, the notes on method."""

from __future__ import annotations

from airtune.benchmarks.analysis.comparison import RANDOM
from airtune.benchmarks.analysis.significance import LEVEL
from airtune.benchmarks.analysis.statistics import NEAR_ZERO, RESAMPLES, Row
from airtune.benchmarks.report.cells import interval, number, p_value
from airtune.benchmarks.report.tables import Report, ceiling_words, focal_of


def focal_row(report: Report, budget: int) -> Row:
    """The row that the page is about: of the first language model, else of the method with the best rank."""
    focal = focal_of(report.comparison.methods)
    rows = report.rows[budget]
    found = next((row for row in rows if row.method == focal), None)
    return found or min(
        (row for row in rows if row.method != RANDOM), key=lambda r: r.rank.value, default=rows[0]
    )


def headline(report: Report) -> str:
    """One sentence: how often the method beats random search."""
    budget = report.budgets[-1]
    row = focal_row(report, budget)
    return (
        f"{report.label(row.method)} beats random search on {row.wins} of {row.tasks} tasks "
        f"after {budget} evaluations"
    )


def sentences(report: Report) -> list[str]:
    """What the figures say, each in a sentence or two."""
    budget = report.budgets[-1]
    row = focal_row(report, budget)
    name = report.label(row.method)
    said = [
        f"At the median task its best validation loss after {budget} evaluations is "
        f"{_moved(row.median_change.value)} random search’s (95 % interval of the change "
        f"{interval(row.median_change, 1)} %); over the tasks the mean change is "
        f"{number(row.mean_change.value, 1)} % {interval(row.mean_change, 1)}."
    ]
    pairs = [pair for pair in report.pairwise.get(budget, ()) if pair.reference.startswith("default+")]
    if pairs:
        parts = [
            f"{pair.wins} better, {pair.ties} equal, {pair.losses} worse than {report.label(pair.reference)}"
            for pair in pairs
        ]
        said.append(
            f"Against classical search that is given the default configuration first, {name} is, counting tasks: "
            + "; ".join(parts)
            + "."
        )
    best = min(report.rows[budget], key=lambda r: r.rank.value)
    of = len(report.comparison.methods)
    if best.method == row.method:
        said.append(f"Its mean rank, {number(row.rank.value, 2)} of {of}, is the best of all methods.")
    else:
        said.append(
            f"Its mean rank is {number(row.rank.value, 2)} of {of}; the best is {report.label(best.method)}’s, "
            f"{number(best.rank.value, 2)}."
        )
    tests = list(zip(report.pairwise.get(budget, ()), report.p_values.get(budget, ()), strict=True))
    clear = [
        f"{'better' if pair.median_change.value > 0 else 'worse'} than {report.label(pair.reference)} "
        f"(p\u00a0=\u00a0{p_value(p)})"
        for pair, p in tests
        if p <= LEVEL
    ]
    if tests:
        verdict = (
            f"{name} is {', '.join(clear)}" if clear else f"no difference between {name} and another method"
        )
        said.append(
            f"Tested over the tasks, with Holm’s correction, {verdict}{'' if clear else ' is significant'}"
            f"{', and no other difference is significant' if clear and len(clear) < len(tests) else ''}."
        )
    return said


def tiles(report: Report) -> list[dict[str, str]]:
    """The four figures at the top: value, interval, and what it is."""
    budget = report.budgets[-1]
    row = focal_row(report, budget)
    test, base = report.test_errors[budget][row.method], report.test_errors[budget][RANDOM]
    made = [
        {
            "value": f"{number(row.beats.value, 0)} %",
            "sub": interval(row.beats, 0),
            "label": "of tasks beat random search",
        },
        {
            "value": f"{number(row.median_change.value, 1)} %",
            "sub": interval(row.median_change, 1),
            "label": "lower loss than random search, median task",
        },
        {
            "value": number(row.rank.value, 2),
            "sub": interval(row.rank, 2),
            "label": f"mean rank of {len(report.comparison.methods)} methods",
        },
    ]
    if test == test:
        made.append(
            {
                "value": f"{number(100 * test, 2)} %",
                "sub": f"random search {number(100 * base, 2)} %",
                "label": "test error, mean over tasks",
            }
        )
    return made


def method_notes(report: Report) -> list[tuple[str, str]]:
    """How the figures are made: (what, how)."""
    comparison = report.comparison
    exact = int(comparison.exact.sum())
    regret = (
        "(best so far − best known) / (reference − best known): 0 is the best known, 1 what one random evaluation "
        "is expected to give. "
    )
    if exact:
        regret += "On table tasks both are exact: the table’s minimum and its mean. "
    if exact < len(report.tasks):
        regret += (
            "Elsewhere the best known is the optimum of a toy function or the lowest loss that any study saw, and "
            "the reference the mean loss of all of random search’s evaluations. "
        )
    notes = [
        (
            "Figure of a method on a task",
            "Its best validation loss within the evaluations, averaged over seeds.",
        ),
        ("Beats", "The share of tasks on which that figure is below random search’s; a tie is not a win."),
        (
            "Change",
            "(random − method) / |random| of that figure, in percent: positive is better. Tasks on which random "
            f"search’s figure is zero have none. Without the tasks on which it is below {NEAR_ZERO} the mean is given "
            "too where that differs.",
        ),
        (
            "Mean rank",
            "1 is the best of all methods on a task, ties share their places; averaged over the tasks.",
        ),
        ("Normalised regret", regret.strip()),
        (
            "Intervals",
            f"95 % percentile intervals of {RESAMPLES} bootstrap resamples, the same for all methods: data sets with "
            "replacement, each with all its tasks (a task that shares no data set counts as one), and for each task "
            "seeds.",
        ),
        (
            "Tests",
            "Two-sided exact Wilcoxon signed-rank tests. Over tasks: of the differences of mean normalised regret, "
            "Holm’s correction over the methods compared at that number of evaluations. Over seeds, task by task: of "
            "the paired studies’ best losses, Holm’s correction over all tasks and methods of the table; on table "
            "tasks with random search’s own runs. Differences within rounding are ties.",
        ),
        (
            "Failures",
            "A trial that failed has no loss and uses up its evaluation. Until a study has a loss, its best is the "
            "worst loss that any study saw on the task (on a table task, the worst in the table).",
        ),
        ("Test error", "Of the configuration that was chosen on validation, the earliest of equals."),
    ]
    if exact:
        which = "all tasks" if exact == len(report.tasks) else f"{exact} of the {len(report.tasks)} tasks"
        notes.append(
            (
                "Random search, exact",
                f"On {which}, which are tables, random search’s figures are its exact expectations by order "
                "statistics for draws without replacement (our random search never repeats), not averages of runs.",
            )
        )
    if ceilings := comparison.ceilings():
        notes.append(("What there is to win", f"{ceiling_words(ceilings)}."))
    notes.append(
        (
            "Seeds",
            "Studies of one number are a pair: they are resampled and tested together. What they share is the default "
            "where both begin with it and, between language models behind one proposer, the seed; the random numbers "
            "of different proposers are their own, since a study’s seed is made of task, proposer and number.",
        )
    )
    return notes


def _moved(change: float) -> str:
    if change != change:
        return "not to be compared with"
    return f"{number(abs(change), 1)} % {'below' if change > 0 else 'above'}" if change else "equal to"
