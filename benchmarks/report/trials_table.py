"""The table of a study's trials on its page."""

from __future__ import annotations

from collections.abc import Sequence

from airtune.benchmarks.analysis.numbers import DASH, aligned, sortable
from airtune.benchmarks.analysis.table import Cell, Column, Table
from airtune.engine.storage.study_file import TrialRecord
from airtune.grammars import ProgramSpace

MOST_TRIALS = 1000  # a page of several megabytes is slow on a phone


def trials_table(
    records: Sequence[TrialRecord],
    best: TrialRecord | None,
    metric: str,
    programs: ProgramSpace | None = None,
) -> Table:
    """A row per trial; of more than MOST_TRIALS, the best half of as many and the last half.

    Args:
        records: All trials, in the order of their numbers.
        best: The best of them, which is marked.
        metric: What the loss is: its column's heading.
        programs: The program space of a study over programs, which has one column of words for each program.
    """
    if len(records) > MOST_TRIALS:
        ranked = sorted(records, key=lambda one: (one.trial.loss is None, one.trial.loss or 0.0))
        last = records[-(MOST_TRIALS // 2) :]
        kept = {one.trial.number for one in (*ranked[: MOST_TRIALS // 2], *last)}
        records = [one for one in records if one.trial.number in kept]
    names = list(dict.fromkeys(name for record in records for name in record.trial.config if not programs))
    infos = list(dict.fromkeys(name for record in records for name in record.trial.info))
    columns = [
        Column("trial", number=False),
        Column(metric),
        *([Column("program", number=False)] if programs else []),
        *(Column(name) for name in names),
        *(Column(name.replace("_", " ")) for name in infos),
        Column("proposed by", number=False),
        Column("propose, s"),
        Column("evaluate, s"),
    ]
    configs = [[_value(record.trial.config.get(name)) for record in records] for name in names]
    if programs is not None:
        words = [programs.outline(record.trial.config, 100) or DASH for record in records]
        configs = [[Cell(text, sort=text, kind="program") for text in words]]
    extras = [_column([record.trial.info.get(name) for record in records]) for name in infos]
    losses = aligned([record.trial.loss for record in records])
    rows = []
    for i, record in enumerate(records):
        trial = record.trial
        if trial.loss is None:
            reason = (trial.reason or "no result yet").partition("\n")[0][:80]
            loss = Cell("failed" if trial.status == "failed" else "–", reason, "", "failed")
        else:
            loss = Cell(losses[i], sort=trial.loss)
        rows.append(
            [
                Cell(str(trial.number), sort=trial.number, kind="focal" if record is best else ""),
                loss,
                *(column[i] for column in configs),
                *(column[i] for column in extras),
                Cell(record.origin, sort=record.origin),
                Cell(_seconds(trial.proposal_s), sort=trial.proposal_s),
                Cell(_seconds(trial.evaluation_s), sort=sortable(trial.evaluation_s)),
            ]
        )
    return Table("Trials", columns, rows)


def _column(values: Sequence[object]) -> list[Cell]:
    """The cells of a value that an objective returned beside its loss."""
    floats = [v if isinstance(v, float) else None for v in values]
    texts = aligned(floats) if any(v is not None for v in floats) else []
    return [
        Cell(texts[i], sort=sortable(value)) if isinstance(value, float) else _value(value)
        for i, value in enumerate(values)
    ]


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value < 100 else f"{value:.0f}"


def _value(value: object) -> Cell:
    """A value as it is, so that it can be pasted back."""
    if value is None:
        return Cell("", sort="")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(str(value), sort=sortable(value))
    return Cell(str(value)[:60], sort=str(value)[:60])
