"""Of a study over programs: their source code in colours, how they hang together, and what their structure is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from difflib import unified_diff
from functools import lru_cache
from typing import Any

from markupsafe import Markup

from airtune.benchmarks.analysis.numbers import DASH, aligned, significant, sortable
from airtune.benchmarks.analysis.programs import (
    ChoiceMade,
    ancestors,
    choices_made,
    differing,
    lineage,
)
from airtune.benchmarks.analysis.table import Cell, Column, Table
from airtune.benchmarks.report.program_figures import MOST_CHOICES, ancestry_figure, structure_figure
from airtune.benchmarks.report.proposals import Shown
from airtune.benchmarks.report.style import Output, draw
from airtune.engine import StudyFile
from airtune.engine.cli.output import value_text, visible
from airtune.engine.cli.programs import stored_programs
from airtune.engine.storage.study_file import StudyRecord
from airtune.engine.types import Trial, best_of
from airtune.grammars import ProgramSpace

MOST_CHARACTERS = 2_000_000  # of all programs on a page, colours included
MOST_CHANGES = 6  # of a program against the one before it, in words
MOST_DRAWN = 2000  # trials in the figure of ancestry


def highlighted(source: str) -> Markup:
    """Source code as HTML with a class for each kind of word, for the page's colours."""
    from pygments import highlight

    return Markup(highlight(visible(source), *_highlighting()))


@lru_cache(maxsize=1)
def _highlighting() -> tuple[Any, Any]:
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return PythonLexer(stripnl=False), HtmlFormatter(nowrap=True, classprefix="c-")


def difference(before: str, after: str) -> Markup:
    """The unified difference of two sources as HTML: a class for each line that went, or came."""
    told = list(unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm=""))[2:]
    kinds = {"+": "ins", "-": "del", "@": "at"}
    return Markup("").join(
        Markup('<span class="{}">{}</span>').format(kinds.get(line[:1], "same"), visible(line) + "\n")
        for line in told
    )


def changes(programs: ProgramSpace, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What was decided otherwise, in words, choices first, and how many decisions came and went with it."""
    names = sorted(differing(before, after), key=lambda name: name not in programs.structure)
    both = [name for name in names if name in before and name in after]
    return {
        "words": [(name, value_text(before[name]), value_text(after[name])) for name in both[:MOST_CHANGES]],
        "more": max(0, len(both) - MOST_CHANGES),
        "new": sum(name not in before for name in names),
        "gone": sum(name not in after for name in names),
        "count": len(names),
    }


def programs_part(
    programs: ProgramSpace,
    trials: Sequence[Trial],
    metric: str,
    export: Callable[[int], str],
    suffix: str,
    out: Output,
) -> dict[str, Any]:
    """What the page shows of the study's programs; figures are drawn.

    Args:
        programs: Their program space.
        trials: All of the study, in the order of their numbers.
        metric: What the loss is.
        export: The command that writes a trial's program.
        suffix: Of the figures' names.
        out: Where they go.
    """
    by_number = {trial.number: trial for trial in trials}
    parents, best = ancestors(trials), best_of(trials)
    line = [] if best is None else lineage(best.number, parents)
    ended = [trial for trial in trials if trial.status != "asked"]
    choices = choices_made(trials, programs.structure)
    with_losses = [one for one in choices if sum(bool(some.losses) for some in one.alternatives) > 1]
    drawn = ended if len(ended) <= MOST_DRAWN else ended[-MOST_DRAWN:]
    told = [trial for trial in drawn if trial.loss is not None]
    return {
        "best": None if best is None else highlighted(programs.render(best.config)),
        "export": None if best is None else export(best.number),
        "line": [_step(programs, by_number, parents, number) for number in line],
        "ancestry": (
            draw(lambda: ancestry_figure(drawn, parents, line, metric), f"ancestry{suffix}", out)
            if len(told) > 1
            else ""
        ),
        "structure": (
            draw(lambda: structure_figure(with_losses, metric), f"structure{suffix}", out)
            if with_losses
            else ""
        ),
        "shown": min(len(with_losses), MOST_CHOICES),
        "choices": len(choices),
        "table": _table(choices) if choices else None,
        "parents": parents,
    }


def _step(
    programs: ProgramSpace, trials: Mapping[int, Trial], parents: Mapping[int, int], number: int
) -> dict[str, Any]:
    trial, parent = trials[number], parents.get(number)
    return {
        "number": number,
        "loss": "failed" if trial.loss is None else significant(trial.loss, 5),
        "changes": None if parent is None else changes(programs, trials[parent].config, trial.config),
    }


def add_programs(
    proposals: Sequence[dict[str, Any]],
    programs: ProgramSpace,
    trials: Sequence[Trial],
    parents: Mapping[int, int],
    room: int,
) -> int:
    """Put each proposal's program in, and what is new in it, as long as there is room; return the room that is left."""
    by_number = {trial.number: trial for trial in trials}
    for proposal in proposals:
        trial = by_number[proposal["number"]]
        source, parent = programs.render(trial.config), parents.get(trial.number)
        proposal["config"] = programs.outline(trial.config, 100) or DASH
        transcript = proposal["transcript"]
        if transcript is not None and transcript["text"] == source:
            transcript["text"] = "the program above"
        if room <= 0:
            continue
        proposal["program"] = highlighted(source)
        if parent is not None:
            near = by_number[parent].config
            proposal["nearest"] = {"number": parent, **changes(programs, near, trial.config)}
            proposal["difference"] = difference(programs.render(near), source)
        room -= len(proposal["program"]) + len(proposal["difference"])
    return room


def add_stored_programs(file: StudyFile, shown: Sequence[Shown], studies: Sequence[StudyRecord]) -> None:
    """Put programs into the proposals of the shown studies that are over them, as long as there is room."""
    manifests, room = {study.name: study.manifest for study in studies}, MOST_CHARACTERS
    for entry in shown:
        programs = stored_programs(manifests[entry.name])
        if programs is not None:
            trials = file.trials(entry.name)
            room = add_programs(entry.proposals, programs, trials, ancestors(trials), room)


def _table(choices: Sequence[ChoiceMade]) -> Table:
    columns = [
        Column("choice", number=False),
        Column("explains", "share of the ranks of the losses, of those that have the choice"),
        Column("alternative", number=False),
        Column("with a loss"),
        Column("failed"),
        Column("best"),
        Column("median"),
    ]
    pairs = [(choice, one) for choice in choices for one in choice.alternatives]
    lowest = [min(one.losses) if one.losses else None for _, one in pairs]
    medians = [one.median for _, one in pairs]
    texts = zip(aligned(lowest), aligned(medians), strict=True)
    rows = []
    for (choice, one), least, median, (best, middle) in zip(pairs, lowest, medians, texts, strict=True):
        explains = "too few" if choice.explains is None else f"{100 * choice.explains:.0f} %"
        rows.append(
            [
                Cell(choice.name, sort=choice.name, kind="name"),
                Cell(explains, sort=sortable(math.nan if choice.explains is None else choice.explains)),
                Cell(value_text(one.value)[:60], sort=str(one.value)[:60]),
                Cell(str(len(one.losses)), sort=len(one.losses)),
                Cell(str(one.failed), sort=one.failed),
                Cell(best, sort=sortable(least)),
                Cell(middle, sort=sortable(median)),
            ]
        )
    return Table("Loss by structure", columns, rows)
