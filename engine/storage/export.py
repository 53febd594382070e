"""Study files as text: JSON lines that are equal byte for byte for equal studies, and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from airtune.engine.storage.study_file import Skipped, StudyFile, StudyRecord, TrialRecord
from airtune.engine.types import StoreError


def export_jsonl(
    file: StudyFile,
    name: str | None = None,
    *,
    times: bool = True,
    transcripts: bool = False,
    skipped: Skipped = None,
) -> Iterator[str]:
    """The lines, each with its line feed, of one study or of all: a header, the trials, then the transcripts.

    Keys are sorted and floats written so that they read back exactly. Nothing in it depends on where or by
    which process a study was run. Lines have a "kind": study, trial or transcript.

    Args:
        file: The study file.
        name: The study; None for all, in the order of their names.
        times: Include seconds and dates; without them two identical runs export the same bytes.
        transcripts: Include how each proposal came about.
        skipped: Gets the errors of studies that cannot be read, which are left out; None to raise the first.

    Raises:
        StoreError: If there is no such study.
    """
    for record, trials in _studies(file, name, skipped):
        header: dict[str, Any] = {"kind": "study", "name": record.name, "manifest": record.manifest}
        yield _line({**header, "created": record.created} if times else header)
        for trial in trials:
            yield _line(_trial(trial, times))
        if transcripts:
            for number, transcript in file.transcripts(record.name).items():
                yield _line({"kind": "transcript", "number": number, "transcript": transcript})


def export_csv(
    file: StudyFile,
    name: str | None = None,
    *,
    times: bool = True,
    skipped: Skipped = None,
) -> str:
    """The trials of one study, or of all, as CSV: a column for each hyperparameter and each further value.

    See `export_jsonl` for the arguments.

    Raises:
        StoreError: If there is no such study.
    """
    rows = []
    for record, trials in _studies(file, name, skipped):
        for trial in trials:
            fields = _trial(trial, times)
            del fields["kind"]
            config, info = fields.pop("config"), fields.pop("info")
            row = {"study": record.name, **fields}
            row |= {f"config.{key}": value for key, value in config.items()}
            row |= {f"info.{key}": value for key, value in info.items()}
            rows.append(row)
    columns = ["study", "number", "status", "loss", "reason", "origin"]
    for prefix in ("config.", "info.", ""):
        columns += sorted({key for row in rows for key in row if key.startswith(prefix)} - set(columns))
    text = _Rows()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


class _Rows(io.StringIO):
    """Rows that end in a line feed: where that is the writer's terminator, it leaves a carriage return unquoted."""

    def write(self, row: str) -> int:
        return super().write(row.removesuffix("\r\n") + "\n")


def _studies(
    file: StudyFile, name: str | None, skipped: Skipped
) -> Iterator[tuple[StudyRecord, list[TrialRecord]]]:
    """The studies by name, each with its trials; also their transcripts can be read."""
    chosen = [file.get(name)] if name is not None else file.studies(skipped=skipped)
    for record in sorted(chosen, key=lambda record: record.name):
        try:
            trials = file.records(record.name)
            file.transcripts(record.name)
        except StoreError as error:
            if skipped is None:
                raise
            skipped.append(error)
        else:
            yield record, trials


def _trial(record: TrialRecord, times: bool) -> dict[str, Any]:
    trial = record.trial
    fields: dict[str, Any] = {
        "kind": "trial",
        "number": trial.number,
        "config": dict(trial.config),
        "origin": record.origin,
        "status": trial.status,
        "loss": trial.loss,
        "reason": trial.reason,
        "info": dict(trial.info),
    }
    if record.pending:  # trials before it whose results it did not see
        fields["pending"] = list(record.pending)
    if times:
        fields["proposal_s"] = trial.proposal_s
        fields["evaluation_s"] = trial.evaluation_s
        fields["asked"] = record.asked
        fields["finished"] = record.finished
    return fields


def _line(fields: dict[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _cell(value: object) -> object:
    """Numbers and texts as they are, None as an empty cell, all else as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return repr(value) if isinstance(value, float) else value
