"""The table of faults."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

HEADER = ["kind", "injected", "lost", "twice", "exports equal", "the user is told"]


@dataclass
class Row:
    """A row of the table: what became of all faults of one kind."""

    kind: str
    injected: int = 0
    lost: int = 0
    twice: int = 0
    equal: int = 0
    ends: int = 0
    said: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether all is as it must be, and anything was tried at all, unless the kind was left out by name."""
        return not (self.lost or self.twice or self.wrong) and self.equal == self.ends and bool(
            self.note or (self.injected and self.ends)
        )  # fmt: skip

    def cells(self) -> list[str]:
        """The row as texts: kind, injected, lost, twice, equal, what the user is told."""
        said = "; ".join(f"{text} ({count})" for text, count in self.said.most_common(3))
        counts = [str(number) for number in (self.injected, self.lost, self.twice)]
        return [self.kind, *counts, f"{self.equal} of {self.ends}", self.note or said]


def markdown(rows: list[Row]) -> str:
    """The table, with a last row that sums it up."""
    sums = [str(sum(getattr(row, name) for row in rows)) for name in ("injected", "lost", "twice")]
    equal = f"{sum(row.equal for row in rows)} of {sum(row.ends for row in rows)}"
    lines = [HEADER, ["---"] * len(HEADER), *(row.cells() for row in rows), ["all", *sums, equal, ""]]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
