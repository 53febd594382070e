"""A study's trials as a table that fits the terminal. Thousands of them take no longer than reading them does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from airtune.engine.cli.output import (
    config_words,
    encodable,
    free_source,
    loss_text,
    out,
    seconds_text,
    shown_text,
    value_text,
)

if TYPE_CHECKING:
    from airtune.engine.types import Trial
    from airtune.grammars import ProgramSpace

# Reasons for failures are one line; a table shows this much, `show --trial` and `--json` show all of it.
REASON_COLUMNS = 60
_NARROWEST = 4  # to which a column is folded
_BESIDE = 50  # columns of what stands beside a program
_PROGRAM = 60  # characters of a program where there is less room for it than that: two or three lines


def print_trials(
    trials: Sequence[Trial], metric: str, best: Trial | None, programs: ProgramSpace | None = None
) -> None:
    """Print the trials in order, the best one marked.

    One column per hyperparameter where that fits, if need be under headings of several lines. Else all are in one cell,
    of a program no more than there is room for, and why a trial failed is on a line of its own.

    Args:
        trials: In the order of their numbers.
        metric: What the loss is: its column's heading.
        best: The best trial, or None.
        programs: The program space that the configurations are of, or None.
    """
    from rich.text import Text

    shown = out()
    number = None if best is None else best.number
    longest = max(_PROGRAM, shown.width - _BESIDE)
    free = programs is None and any(free_source(trial.config) for trial in trials)
    ways = ((True, False), (True, True), (False, True))
    for spread, stacked in ways[2:] if free else ways:
        words = None if spread else _words(trials, programs, longest)
        columns, rows = _cells(trials, metric, number, words, stacked)
        rows = [[shown_text(cell, shown.encoding) for cell in row] for row in rows]
        widths = [max(map(_width, cells)) for cells in zip(*rows, strict=True)]
        if _total(widths) <= shown.width:
            break
    while _total(widths) > shown.width:
        wide = [i for i, letter in enumerate(columns) if letter == "L" and widths[i] > _NARROWEST]
        if not wide:
            break
        widths[max(wide, key=lambda i: widths[i])] -= 1
    head, *body = (_lines(columns, widths, row) for row in rows)
    rule = "─" if encodable("─") else "-"
    text = Text("\n").append(head, "bold").append("\n " + rule * (_total(widths) - 2) + " \n")
    for trial, lines in zip(trials, body, strict=True):
        text.append(lines + "\n", "bold green" if trial.number == number else None)
        # a column of its own would leave no room for the others
        if words is not None and trial.status != "told":
            margin = " " * (widths[0] + 4)
            status = _folded(
                shown_text(_status_text(trial), shown.encoding), max(1, shown.width - len(margin))
            )
            text.append("".join(f"{margin}{part}\n" for part in status))
    shown.print(text, soft_wrap=True)


def _words(trials: Sequence[Trial], programs: ProgramSpace | None, longest: int) -> list[str]:
    """A column of whole configurations, its heading first."""
    free = any(free_source(trial.config) for trial in trials)
    heading = "configuration" if programs is None and not free else "program"
    return [heading, *(config_words(programs, trial.config, longest) for trial in trials)]


def _cells(
    trials: Sequence[Trial], metric: str, best: int | None, words: Sequence[str] | None, stacked: bool
) -> tuple[str, list[list[str]]]:
    """Letters of the columns, "l" or "r", "L" of those that may be folded; and rows of cells, the headings first.

    `words` is a column for whole configurations; None for one per hyperparameter.
    """
    names = list(dict.fromkeys(name for trial in trials for name in trial.config))
    infos = list(dict.fromkeys(name for trial in trials for name in trial.info))
    failed = words is None and any(trial.status != "told" for trial in trials)
    values = [metric, *(name.replace("_", " ") for name in infos), "propose s", "evaluate s"]
    values = [heading.replace(" ", "\n") for heading in values] if stacked else values
    rows = [["trial", *(names if words is None else words[:1]), *values, *(["status"] if failed else [])]]
    for i, trial in enumerate(trials, 1):
        row = [f"* {trial.number}" if trial.number == best else str(trial.number)]
        if words is None:
            row += [value_text(trial.config[name]) if name in trial.config else "" for name in names]
        else:
            row.append(words[i])
        row.append("-" if trial.loss is None else loss_text(trial.loss))
        row += [loss_text(trial.info[name]) if name in trial.info else "" for name in infos]
        row += [seconds_text(trial.proposal_s), seconds_text(trial.evaluation_s)]
        rows.append([*row, _status_text(trial)] if failed else row)
    return "r" + ("r" * len(names) if words is None else "L") + "r" * len(values) + (
        "L" if failed else ""
    ), rows


def _lines(columns: str, widths: Sequence[int], row: Sequence[str]) -> str:
    """A row, of several lines where a cell is folded."""
    folded = [
        [part for line in cell.split("\n") for part in _folded(line, width)]
        for cell, width in zip(row, widths, strict=True)
    ]
    return "\n".join(
        " " + "   ".join(map(_padded, columns, widths, parts)) + " "
        for parts in zip_longest(*folded, fillvalue="")
    )


def _folded(line: str, width: int) -> list[str]:
    """A line in pieces of a width, broken at spaces where that is possible."""
    from textwrap import wrap

    from rich.cells import chop_cells

    if _width(line) <= width:
        return [line]
    words = wrap(line, width, break_long_words=False, break_on_hyphens=False)
    return [part for piece in words for part in chop_cells(piece, width)]


def _padded(letter: str, width: int, text: str) -> str:
    space = " " * (width - _width(text))
    return space + text if letter == "r" else text + space


def _width(cell: str) -> int:
    """Columns of a terminal; of several lines those of the longest."""
    from rich.cells import cell_len

    if cell.isascii() and "\n" not in cell:
        return len(cell)
    return max(map(cell_len, cell.split("\n")))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 3 * len(widths) - 1


def _status_text(trial: Trial) -> str:
    if trial.status != "failed":
        return "" if trial.status == "told" else trial.status
    reason = " ".join((trial.reason or "").split())
    short = reason if len(reason) <= REASON_COLUMNS else reason[: REASON_COLUMNS - 3] + "..."
    return f"failed: {short}" if short else "failed"
