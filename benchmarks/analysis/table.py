"""The one table: for the terminal, for Markdown, and, through the page's template, for HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_PLAIN = str.maketrans({"−": "-", "–": "-", "’": "'"})  # consoles may lack the characters of a page


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        head: Its head.
        title: What it means.
        number: Whether it holds numbers: those stand on the right.
        wide: Whether it is left out where there are 80 columns: shown on the page alone.
    """

    head: str
    title: str = ""
    number: bool = True
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, a smaller text after it, what it is sorted by, its classes, and its tint from -1 to 1."""

    text: str
    sub: str = ""
    sort: float | str = ""
    kind: str = ""
    tint: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its title, columns and rows, and its class on the page."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    kind: str = ""

    @classmethod
    def of_texts(cls, title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
        """From texts: names in the first column, and numbers in the others."""
        columns = [Column(head, number=i > 0) for i, head in enumerate(heads)]
        return cls(
            title,
            columns,
            [[Cell(name, "", name, "name"), *(Cell(text, "", _number(text)) for text in texts)]
             for name, *texts in rows],
        )  # fmt: skip

    def markdown(self) -> str:
        """As GitHub Markdown; all columns but the first are aligned to the right."""
        heads, rows = self._narrow()
        lines = [
            f"**{self.title.translate(_PLAIN)}**",
            "",
            "| " + " | ".join(heads) + " |",
            "|---" + "|---:" * (len(heads) - 1) + "|",
            *("| " + " | ".join(f"{text} {sub}".rstrip() for text, sub in row) + " |" for row in rows),
        ]
        return "\n".join(lines)

    def rich(self) -> RichTable:
        """For the terminal: the smaller texts under the others, so that it fits 80 columns."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table as RichTable

        table = RichTable(
            title=escape(self.title.translate(_PLAIN)), title_justify="left", title_style="bold",
            box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1),
        )  # fmt: skip
        heads, rows = self._narrow()
        for i, head in enumerate(heads):
            words = escape(_stacked(head) if i else head)
            table.add_column(words, justify="right" if i else "left", overflow="fold", no_wrap=i > 0)
        for row in rows:
            table.add_row(*(escape(f"{text}\n{sub}" if sub else text) for text, sub in row))
        return table

    def _narrow(self) -> tuple[list[str], list[list[tuple[str, str]]]]:
        """Heads, and texts with their smaller texts, of the columns that are not for the page alone."""
        kept = [i for i, column in enumerate(self.columns) if not column.wide]
        return [self.columns[i].head.translate(_PLAIN) for i in kept], [
            [(row[i].text.translate(_PLAIN), row[i].sub.translate(_PLAIN)) for i in kept] for row in self.rows
        ]


def _stacked(head: str) -> str:
    """A column's head on two lines where it has two parts: `default+gp`, `win/tie/loss`, `mean rank`."""
    for mark in ("+", "/tie/", " "):
        before, found, after = head.partition(mark)
        if found:
            return f"{before}{found.rstrip()}\n{after}"
    return head


def _number(text: str) -> float | str:
    """What a text is sorted by: its first number, or nothing where it has none."""
    try:
        return float(text.split()[0].translate(_PLAIN))
    except (ValueError, IndexError):
        return ""
