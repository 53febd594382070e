"""The page of a study file that is no comparison, or of one study: its context for the template."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from airtune.benchmarks.analysis.numbers import significant, sortable
from airtune.benchmarks.analysis.table import Cell, Column, Table
from airtune.benchmarks.report.density_figure import Density, add_densities
from airtune.benchmarks.report.failures import failures_by_reason
from airtune.benchmarks.report.manifests import configuration_command, manifest_parts, study_commands
from airtune.benchmarks.report.programs import (
    MOST_CHARACTERS,
    add_programs,
    programs_part,
)
from airtune.benchmarks.report.proposals import Shown, count, show
from airtune.benchmarks.report.study_figures import MOST_LINES, parallel_figure, trajectory_figure
from airtune.benchmarks.report.style import Output, draw
from airtune.benchmarks.report.trials_table import MOST_TRIALS, trials_table
from airtune.engine import StoreError, StudyFile, export_csv, export_jsonl
from airtune.engine.cli.output import programs_in
from airtune.engine.cli.programs import export_command
from airtune.engine.manifest import space_json
from airtune.engine.storage.records import best_record
from airtune.engine.storage.study_file import StudyRecord, TrialRecord
from airtune.grammars import SpaceError, space_from_json

MOST_STUDIES = 8  # in full on one page


class _Once(StudyFile):
    """A file of which every study is read once: all parts of a page say the same, and reading is what takes long."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._records: dict[str, list[TrialRecord]] = {}
        self._transcripts: dict[str, dict[int, dict[str, Any]]] = {}

    def records(self, name: str, *, verify: bool = True) -> list[TrialRecord]:
        """See `StudyFile.records`."""
        if name not in self._records:
            self._records[name] = super().records(name, verify=verify)
        return self._records[name]

    def transcripts(self, name: str, *, verify: bool = True) -> dict[int, dict[str, Any]]:
        """See `StudyFile.transcripts`."""
        if name not in self._transcripts:
            self._transcripts[name] = super().transcripts(name, verify=verify)
        return self._transcripts[name]


def study_page(path: Path, name: str | None, out: Output, density: Density | None = None) -> dict[str, Any]:
    """Draw the figures, write the CSV file, and return what the template shows.

    Args:
        path: The study file.
        name: The study; None for all in the file.
        out: Where the figures and the CSV file go.
        density: Show what the model believed at each proposal; None for not.

    Raises:
        StoreError: If there is no such study.
        AirtuneError: If the model cannot be looked into.
    """
    with _Once(path, readonly=True) as file:
        studies = file.studies() if name is None else [file.get(name)]
        chosen = studies[:MOST_STUDIES]
        counts = count(file, studies)
        shown, cut = show(file, chosen, None)
        by_name = {one.name: one for one in shown}
        fewer = density is not None and any(
            [
                add_densities(file, one.name, by_name[one.name].proposals, density, f"belief-{i}")
                for i, one in enumerate(chosen)
                if one.name in by_name and (len(chosen) == 1 or one.manifest.get("model"))
            ]
        )
        entries, room = list[dict[str, Any]](), MOST_CHARACTERS
        for i, study in enumerate(chosen):
            entry, room = _study(file, study, by_name.get(study.name), i, out, room)
            entries.append(entry)
        out.path("trials.csv").write_text(export_csv(file, name), encoding="utf-8")
        overview = _overview(file, studies) if len(studies) > 1 else None
    return {
        "kind": "study",
        "title": f"Study {chosen[0].name}" if len(chosen) == 1 else f"{len(studies)} studies",
        "subject": str(chosen[0].manifest.get("description", "")) if len(chosen) == 1 else "",
        "facts": _facts(chosen[0]) if len(chosen) == 1 else [("studies", str(len(studies)))],
        "headline": _headline(entries) if len(entries) == 1 else f"{len(studies)} studies in {path.name}",
        "tiles": _tiles(entries[0]) if len(entries) == 1 else [],
        "warnings": _warnings(studies, chosen, cut or room <= 0, fewer),
        "overview": overview,
        "studies": entries,
        "counts": counts,
        "densities": density is not None,
        "most_lines": MOST_LINES,
        "manifest": manifest_parts([study.manifest for study in studies]),
    }


def _study(
    file: StudyFile,
    study: StudyRecord,
    shown: Shown | None,
    index: int,
    out: Output,
    room: int,
) -> tuple[dict[str, Any], int]:
    """What the page shows of a study, and the room for programs that is left."""
    records = file.records(study.name)
    trials = [record.trial for record in records]
    best = best_record(records)
    metric = str(study.manifest["metric"])
    suffix = f"-{index + 1}" if index else ""
    told = [trial for trial in trials if trial.loss is not None]
    digest = hashlib.sha256()
    for line in export_jsonl(file, study.name, times=False, transcripts=True):
        digest.update(line.encode())
    search_space = _space(study)
    space = space_json(search_space)
    name = "space.json" if not index else f"space{suffix}.json"
    out.path(name).write_text(json.dumps(space, indent=1) + "\n", encoding="utf-8")
    programs, part = programs_in(search_space), None
    if programs is not None:
        export = partial(export_command, file, study.name)
        part = programs_part(programs, trials, metric, export, suffix, out)
        part["runs"] = "program_script" in study.manifest
        if shown is not None:
            room = add_programs(shown.proposals, programs, trials, part["parents"], room)
    return {
        "name": study.name,
        "metric": metric,
        "facts": _facts(study),
        "counts": study,
        "best": best,
        "best_lines": []
        if best is None
        else [
            json.dumps(dict(best.trial.config)),
            configuration_command(str(study.manifest["task"]), best.trial.config, search_space),
        ],
        "programs": part,
        "failures": failures_by_reason(records, programs),
        "trials": trials_table(records, best, metric, programs),
        "trajectory": draw(lambda: trajectory_figure(trials, metric), f"trajectory{suffix}", out)
        if told
        else "",
        "parallel": (
            draw(lambda: parallel_figure(trials, space, metric), f"parallel{suffix}", out)
            if len(told) > 1 and programs is None
            else ""
        ),
        "shown": shown,
        "commands": study_commands(study.name, study.manifest, len(trials), of_programs=programs is not None),
        "digest": digest.hexdigest(),
        "seconds": sum(trial.proposal_s for trial in trials),
        "evaluation": sum(trial.evaluation_s or 0.0 for trial in trials),
    }, room


def _space(study: StudyRecord) -> ConfigurationSpace:
    """The study's search space, rebuilt: what is stored may be anything.

    Raises:
        StoreError: If it is no search space.
    """
    try:
        return space_from_json(json.dumps(study.manifest["space"]))
    except SpaceError as error:
        raise StoreError(
            f"the search space of study {study.name!r} cannot be rebuilt: {error}",
            value=study.name,
            hint="it was not written by Airtune, or by a later version",
        ) from error


def _facts(study: StudyRecord) -> list[tuple[str, str]]:
    manifest = study.manifest
    model = (manifest.get("model") or {}).get("model")
    facts = [("task", str(manifest["task"])), ("proposer", str(manifest["proposer"]))]
    facts += [("model", str(model))] if model else []
    facts.append(("seed", str(manifest["seed"])))
    facts += [("schedule", str(manifest["schedule"]))] if manifest.get("schedule") else []
    return [*facts, ("trials", str(study.trials))]


def _headline(entries: list[dict[str, Any]]) -> str:
    entry = entries[0]
    if entry["best"] is None:
        failed = entry["counts"].failed
        return f"No trial has a loss: {failed} failed" if failed else "No trial has a loss"
    trial = entry["best"].trial
    return f"Best {entry['metric']} {significant(trial.loss, 5)}, found at trial {trial.number}"


def _tiles(entry: dict[str, Any]) -> list[dict[str, str]]:
    study, best = entry["counts"], entry["best"]
    made = []
    if best is not None:
        made.append({"value": significant(best.trial.loss, 5), "sub": "", "label": f"best {entry['metric']}"})
        made += [
            {"value": significant(value, 5), "sub": "", "label": f"its {key.replace('_', ' ')}"}
            for key, value in list(best.trial.info.items())[:1]
            if isinstance(value, int | float)
        ]
    failed = f"{study.failed} failed" if study.failed else "none failed"
    made.append({"value": str(study.told), "sub": failed, "label": "trials with a loss"})
    made.append({"value": str(study.violations), "sub": "", "label": "violations of the grammar"})
    spent = significant(entry["evaluation"], 3)
    made.append(
        {
            "value": f"{significant(entry['seconds'], 3)} s",
            "sub": f"evaluating {spent} s",
            "label": "proposing, in all",
        }
    )
    return made


def _warnings(studies: list[StudyRecord], chosen: list[StudyRecord], cut: bool, fewer: bool) -> list[str]:
    said = []
    if len(chosen) < len(studies):
        said.append(
            f"the first {len(chosen)} of {len(studies)} studies are shown in full: "
            "airtune report FILE --study-name NAME shows another"
        )
    if cut:
        said.append(
            "not all proposals are shown, so that the page stays small: airtune show FILE --trial N has each"
        )
    if fewer:
        said.append(
            "what the model believed is shown for the first proposals only, so that the page stays small: "
            "airtune show FILE --trial N --density has each"
        )
    if any(study.trials > MOST_TRIALS for study in chosen):
        half = MOST_TRIALS // 2
        said.append(
            f"of a long study the best {half} and the last {half} trials are shown: trials.csv has all"
        )
    if any(study.asked for study in chosen):
        said.append(
            "a trial has no result yet: the study is running, or was interrupted (the same command goes on)"
        )
    return said


def _overview(file: StudyFile, studies: list[StudyRecord]) -> Table:
    columns = [
        Column("study", number=False),
        Column("proposer", number=False),
        Column("told"),
        Column("failed"),
        Column("violations"),
        Column("best loss"),
    ]
    rows = []
    for study in studies:
        best = best_record(file.records(study.name))
        loss = None if best is None else best.trial.loss
        rows.append(
            [
                Cell(study.name, sort=study.name, kind="name"),
                Cell(str(study.manifest["proposer"]), sort=str(study.manifest["proposer"])),
                Cell(str(study.told), sort=study.told),
                Cell(str(study.failed), sort=study.failed),
                Cell(str(study.violations), sort=study.violations),
                Cell(significant(loss, 5), sort=sortable(loss)),
            ]
        )
    return Table("Studies", columns, rows)
