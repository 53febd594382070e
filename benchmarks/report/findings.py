"""A comparison in plain words: the headline, the sentences under it, the notes on method."""

from __future__ import annotations

from collections.abc import Mapping

from airtune.benchmarks.analysis.comparison import RANDOM
from airtune.benchmarks.analysis.numbers import interval, number, p_words, significant
from airtune.benchmarks.analysis.statistics import NEAR_ZERO, RESAMPLES, Row
from airtune.benchmarks.report.comparison_tables import report_tables, spread_of_test
from airtune.benchmarks.report.controls import KNOW_NOTHING_MODEL
from airtune.benchmarks.report.report import Report
from airtune.benchmarks.running.suites import get_suite
from airtune.grammars.errors import counted


def report_markdown(report: Report) -> str:
    """All tables, and what their figures are."""
    notes = [f"{what}. {how}" for what, how in method_notes(report)]
    return "\n\n".join([*(table.markdown() for table in report_tables(report)), *notes]) + "\n"


def focal_row(report: Report, budget: int) -> Row:
    """The row that the page is about: of the focal method, else of the method with the best rank."""
    rows = report.rows[budget]
    found = next((row for row in rows if row.method == report.focal), None)
    return found or min(
        (row for row in rows if row.method != RANDOM), key=lambda r: r.rank.value, default=rows[0]
    )


def headline(report: Report) -> str:
    """One sentence: who is ahead, the method or random search, and whether that means anything."""
    budget = report.budgets[-1]
    row = focal_row(report, budget)
    if row.method == RANDOM:
        return f"Random search on {counted(row.tasks, 'task')}, {counted(budget, 'evaluation')}"
    name, after = (
        report.label(row.method),
        f"of {counted(row.tasks, 'task')} after {counted(budget, 'evaluation')}",
    )
    said = f"{name} beats random search on {row.wins} {after}"
    if row.losses > row.wins:
        said = f"Random search beats {name} on {row.losses} {after}"
    elif row.losses == row.wins:
        said = f"{name} and random search are level: each is better on {row.wins} {after}"
    pairs = (*report.model_adds.get(budget, ()), *report.pairwise.get(budget, ()))
    pair = next((p for p in pairs if (p.row.method, p.row.reference) == (row.method, RANDOM)), None)
    if pair is None:
        return said
    meant = "this may be chance"
    if pair.verdict in ("better", "worse"):
        as_counted = row.wins > row.losses if pair.verdict == "better" else row.losses > row.wins
        meant = "more than chance" if as_counted else f"over all tasks it is significantly {pair.verdict}"
    return f"{said}: {meant} ({_p(pair.p)})"


def sentences(report: Report) -> list[str]:
    """What the figures say, each in a sentence or two."""
    budget = report.budgets[-1]
    row = focal_row(report, budget)
    name = report.label(row.method)
    said = [
        f"At the median task its best validation loss after {counted(budget, 'evaluation')} is "
        f"{_moved(row.median_change.value)} random search’s, in the mean over the tasks "
        f"{_moved(row.mean_change.value)} it (95 % intervals, where negative is above: "
        f"{interval(row.median_change, 1)} % and {interval(row.mean_change, 1)} %)."
    ]
    best = min(report.rows[budget], key=lambda r: r.rank.value)
    of = len(report.comparison.methods)
    if best.method == row.method:
        said.append(f"Its mean rank, {number(row.rank.value, 2)} of {of}, is the best of all methods.")
    else:
        said.append(
            f"Its mean rank is {number(row.rank.value, 2)} of {of}; the best is {report.label(best.method)}’s, "
            f"{number(best.rank.value, 2)}."
        )
    pairs = report.pairwise.get(budget, ())
    clear = [
        f"{pair.verdict} than {report.label(pair.row.reference)} ({_p(pair.p)})"
        for pair in pairs
        if pair.verdict in ("better", "worse")
    ]
    if pairs:
        verdict = (
            f"{name} is {', '.join(clear)}" if clear else f"no difference between {name} and another method"
        )
        said.append(
            f"Tested over the tasks, with Holm’s correction, {verdict}{'' if clear else ' is significant'}"
            f"{', and no other difference is significant' if clear and len(clear) < len(pairs) else ''}."
        )
    return [sentence.replace("=\u00a0<", "<") for sentence in said]


def model_note(report: Report) -> str:
    """How to read what the model adds."""
    pairs = report.model_adds[report.budgets[-1]]
    note = (
        "Tasks won, tied and lost, the change at the median task with its 95 % interval, and whether the difference "
        "is more than chance would give (5 %, over data sets, Holm’s correction over the rows). What a model is worth "
        "is the difference to the same proposer around a model that knows nothing, and what it takes from the names "
        "the difference to itself with the names hidden"
    )
    if any(one.what == KNOW_NOTHING_MODEL for one in pairs):
        return f"{note}."
    return f"{note}: that control is not among the methods here, so how much of it is the proposer’s is not told."


def tiles(report: Report) -> list[dict[str, str]]:
    """The four figures at the top: value, interval, and what it is."""
    budget = report.budgets[-1]
    row = focal_row(report, budget)
    test, base = report.test_errors[budget][row.method], report.test_errors[budget][RANDOM]
    mine, other = (spread_of_test(report, method, budget) for method in (row.method, RANDOM))
    moved = row.median_change.value
    made = [
        (f"{number(row.beats.value, 0)} %", interval(row.beats, 0), "of tasks where it beats random search"),
        (
            f"{number(abs(moved), 1)} %",
            f"{interval(row.median_change, 1)}, negative is higher",
            f"{'higher' if moved < 0 else 'lower'} loss than random search, median task",
        ),
        (
            number(row.rank.value, 2),
            interval(row.rank, 2),
            f"mean rank of {len(report.comparison.methods)} methods",
        ),
    ]
    if test == test:
        made.append(
            (
                significant(test),
                f"{mine and f'{mine}, '}random search {significant(base)} {other}".rstrip(),
                "test loss, ± standard error over seeds" if mine else "test loss, mean over tasks",
            )
        )
    return [{"value": value, "sub": sub, "label": label} for value, sub, label in made]


def method_notes(report: Report) -> list[tuple[str, str]]:
    """How the figures are made: (what, how)."""
    comparison, suite = report.comparison, get_suite(report.plan.suite)
    exact, tasks = int(comparison.exact.sum()), len(report.tasks)
    regret = (
        "(best so far − best known) / (reference − best known): 0 is the best known, 1 the median of one random "
        "evaluation; what is worse counts as 1, since single losses of some tables are a billion times the median. "
    )
    if exact:
        regret += "On table tasks both are exact: the table’s minimum and its median. "
    if exact < tasks:
        regret += (
            "Elsewhere the best known is the optimum of a toy function or the lowest loss that any study saw, and "
            "the reference the median of all of random search’s evaluations. "
        )
    sets = len(set(comparison.clusters))
    notes = [
        (
            "Tasks",
            suite.words
            if report.tasks == suite.tasks
            else f"{tasks} of the {len(suite.tasks)} of the suite {suite.name}",
        ),
        (
            "Figure of a method on a task",
            "Its best validation loss within the evaluations, averaged over seeds; of toy functions, loss − optimum",
        ),
        (
            "Beats",
            "The share of tasks on which that figure is below random search’s; a tie is not a win",
        ),
        (
            "Change",
            "(random − method) / |random| of that figure, in percent: positive is better. Tasks on which random "
            f"search’s figure is zero have none. Without the tasks on which it is within {NEAR_ZERO} of zero the mean "
            "is given too where that differs",
        ),
        (
            "Mean rank",
            "1 is the best of all methods on a task, ties share their places; averaged over the tasks",
        ),
        ("Normalised regret", regret.strip().rstrip(".")),
        (
            "Intervals",
            f"95 % percentile intervals of {RESAMPLES} bootstrap resamples, the same for all methods: data sets with "
            "replacement, each with all its tasks (a task that shares no data set counts as one), and for each task "
            "seeds. A share on which all data sets agree goes at least as far as Clopper and Pearson’s exact interval "
            "for so many data sets",
        ),
        (
            "Tests",
            "Two-sided exact Wilcoxon signed-rank tests, in which differences within rounding are ties. Over tasks: "
            "of the differences of mean normalised regret. Over seeds, task by task: of the paired studies’ best "
            "losses; on table tasks with random search’s own runs. The tests that one table shows at one number of "
            "evaluations are one family: Holm’s correction"
            + (
                f". Tests over tasks take the {tasks} tasks as independent, though they are on {sets} data sets; the "
                "intervals do not, nor do the tests of what the model adds, over the data sets’ means"
                if sets < tasks
                else ""
            ),
        ),
        (
            "Failures",
            "A trial that failed has no loss and uses up its evaluation. Until a study has a loss, its best is the "
            "worst loss that any study saw on the task (on a table task, the worst in the table); so is every loss "
            "that is missing from a mean",
        ),
        (
            "Test error",
            "Of the configuration that was chosen on validation, the earliest of equals; where there is none, the "
            "worst that any method’s choice had. Of a single task with its standard error over seeds",
        ),
        ("Seconds of a proposal", "Those of a batch are shared out evenly over its studies"),
    ]
    if exact:
        which = "all tasks" if exact == tasks else f"{exact} of the {tasks} tasks"
        notes.append(
            (
                "Random search, exact",
                f"On {which}, which are tables, random search’s figures are exact: expectations by order statistics "
                "for draws without replacement (our random search never repeats), not averages of runs",
            )
        )
    if report.plan.noise is not None:
        notes.append(
            (
                "Noise",
                f"{report.plan.noise} on every loss that a search saw. A search's best is the configuration with the "
                "lowest loss that it saw; all figures are its true loss, so they may rise",
            )
        )
    if ceilings := comparison.ceilings():
        notes.append(("What there is to win", ceiling_words(ceilings)))
    notes.append(
        (
            "Seeds",
            "Studies of one number are a pair: they are resampled and tested together. What they share is the default "
            "where both begin with it and, between language models behind one proposer, the seed; the random numbers "
            "of different proposers are their own, since a study’s seed is made of task, proposer and number",
        )
    )
    if report.left_out:
        notes.append(("Left out, because no method got any loss", ", ".join(report.left_out)))
    return [(what, f"{how}.") for what, how in notes]


def ceiling_words(ceilings: Mapping[int, tuple[float, float]]) -> str:
    """What there was to win, in one sentence without its full stop."""
    each = (
        f"{median:.1f} and {mean:.1f} at {counted(budget, 'evaluation')}"
        for budget, (median, mean) in ceilings.items()
    )
    return (
        "A method that knew the best point of every table would show a median and a mean change (in percent) of "
        + ", ".join(each)
    )


def _moved(change: float) -> str:
    if change != change:
        return "not to be compared with"
    return f"{number(abs(change), 1)} % {'below' if change > 0 else 'above'}" if change else "equal to"


def _p(p: float) -> str:
    return p_words(p).replace(" ", "\u00a0")  # not broken over two lines
