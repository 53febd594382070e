"""`airtune show` of a comparison: hundreds of studies as two tables, by method and by task and method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airtune.engine.cli.output import loss_text, out, print_lines

if TYPE_CHECKING:
    from airtune.engine import StudyFile
    from airtune.engine.storage.study_file import StudyRecord


def show_comparison(file: StudyFile, studies: Sequence[StudyRecord]) -> None:
    """Print how far every method is, and the best losses, averaged over seeds, by task and method.

    Args:
        file: The study file, open.
        studies: Its studies; those that belong to no comparison are left out.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    cells: dict[tuple[str, str], list[StudyRecord]] = {}
    for record in studies:
        if "comparison" in record.manifest:
            key = (record.manifest["task"], record.manifest["comparison"]["method"])
            cells.setdefault(key, []).append(record)
    tasks, methods = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    best = file.best_losses()
    progress = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    progress.add_column("method", overflow="fold")
    for heading in ("studies", "trials each", "told", "failed", "asked", "violations"):
        progress.add_column(heading, justify="right", no_wrap=True)
    for method in methods:
        records = [record for key, found in cells.items() if key[1] == method for record in found]
        counts = [record.told + record.failed for record in records]
        each = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
        sums = [
            sum(getattr(record, what) for record in records)
            for what in ("told", "failed", "asked", "violations")
        ]
        progress.add_row(escape(method), str(len(records)), each, *map(str, sums))
    means = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title_justify="left")
    means.title = "best loss so far, mean over seeds"
    means.add_column("task", overflow="fold")
    for method in methods:
        means.add_column(escape(method), justify="right", overflow="fold")
    for task in tasks:
        row = []
        for method in methods:
            losses = [best[record.name] for record in cells.get((task, method), []) if record.name in best]
            row.append(loss_text(sum(losses) / len(losses)) if losses else "-")
        means.add_row(escape(task), *row)
    suite = next(iter(cells.values()))[0].manifest["comparison"]["suite"]
    print_lines(
        [f"comparison of the suite {suite!r}: {sum(map(len, cells.values()))} studies, {len(tasks)} tasks"]
    )
    out().print(progress)
    out().print(means)
    name = next(iter(cells.values()))[0].name
    print_lines([f"one of them: airtune show {file.path} --study-name {name}"])
