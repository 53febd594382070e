"""Tables as text: Markdown, and the terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table as RichTable

from airtune.benchmarks.analysis.statistics import Estimate, Row


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text: a title, column heads, rows of cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As GitHub Markdown; all columns but the first are aligned to the right."""
        lines = [
            f"**{self.title}**",
            "",
            "| " + " | ".join(self.columns) + " |",
            "|---" + "|---:" * (len(self.columns) - 1) + "|",
            *("| " + " | ".join(row) + " |" for row in self.rows),
        ]
        return "\n".join(lines)

    def rich(self) -> RichTable:
        """For the terminal: intervals under their figures, so that it fits 80 columns."""
        table = RichTable(
            title=escape(self.title),
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1),
        )
        for i, column in enumerate(self.columns):
            head = column if i == 0 else _stacked(column)
            table.add_column(
                escape(head), justify="left" if i == 0 else "right", overflow="fold", no_wrap=i > 0
            )
        for row in self.rows:
            table.add_row(*(escape(cell.replace(" [", "\n[")) for cell in row))
        return table


def _stacked(head: str) -> str:
    """A column's head on two lines where it has two parts: `default+gp`, `win/tie/loss`, `mean rank`."""
    for mark in ("+", "/tie/", " "):
        before, found, after = head.partition(mark)
        if found:
            return f"{before}{found.rstrip()}\n{after}"
    return head


def row_cells(row: Row, rank: bool = True) -> tuple[str, ...]:
    """A row's cells after its name."""
    cells = [_interval(row.beats, 0), _interval(row.median_change, 1), _interval(row.mean_change, 1)]
    if rank:
        cells.append(_interval(row.rank, 2))
    return (*cells, f"{row.wins}/{row.ties}/{row.losses}")


def _interval(estimate: Estimate, digits: int) -> str:
    if math.isnan(estimate.value):
        return "-"
    bounds = max(0, digits - 1)  # an interval's ends are rough anyway
    return f"{estimate.value:.{digits}f} [{estimate.low:.{bounds}f}, {estimate.high:.{bounds}f}]"


def percent(share: float) -> str:
    """A share in percent with two digits; a dash for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.2f}"
