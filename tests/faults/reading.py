"""What is in a study file, and in the log of its evaluations, for comparison."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from airtune.engine import StoreError, StudyFile, Trial, export_jsonl
from airtune.engine.storage.study_file import TrialRecord

Key = tuple[str, int]  # of a trial: its study's name and its number
Kept = tuple[TrialRecord, Any]  # a trial, and its transcript or None
Trials = dict[Key, Kept]


def read(path: Path) -> Trials:
    """All trials of a file, with their transcripts."""
    found = {}
    try:
        with StudyFile(path, readonly=True) as file:
            for study in file.studies():
                said = file.transcripts(study.name)
                for record in file.records(study.name):
                    found[study.name, record.trial.number] = (record, said.get(record.trial.number))
    except StoreError as error:
        if not error.message.endswith("is empty"):  # it was only just being made
            raise
    return found


def finished(trials: Trials) -> Trials:
    """Those with a result."""
    return {key: kept for key, kept in trials.items() if kept[0].trial.status != "asked"}


def export(path: Path) -> str:
    """The file as text, without the times."""
    with StudyFile(path, readonly=True) as file:
        return "".join(export_jsonl(file, times=False, transcripts=True))


def same(one: Kept, whole: Kept | None, silent: bool = False) -> bool:
    """Whether a trial is that of the whole study, as it is or as it was before its result, but for a transcript."""
    if whole is None:
        return False
    mine, true = one[0].trial, whole[0].trial
    if mine.status == "asked":
        true = true.without_result()
    return (
        said(mine) == said(true)
        and one[0].origin == whole[0].origin
        and (one[1] == whole[1] or (silent and one[1] is None))
    )


def said(trial: Trial) -> str:
    """A trial to the bit, without its times."""
    values = (trial.number, dict(trial.config), trial.status, trial.loss, trial.reason, dict(trial.info))
    return json.dumps(values, sort_keys=True)


def evaluation(kept: Kept) -> str:
    """What the log calls the evaluation of a trial."""
    return json.dumps(dict(kept[0].trial.config), sort_keys=True)


def noted(log: Path, start: int = 0) -> tuple[Counter[str], list[int]]:
    """What a log notes from a byte on: evaluations that began, and numbers of trials that were told."""
    begun: Counter[str] = Counter()
    told = []
    data = log.read_bytes()[start:] if log.exists() else b""
    for line in data.splitlines():
        what, value = json.loads(line)
        if what == "begin":
            begun[json.dumps(value[1], sort_keys=True)] += 1
        elif what == "told":
            told.append(value)
    return begun, told
