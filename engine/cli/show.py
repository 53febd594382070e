"""`airtune show`: what is in a study file. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from airtune.engine.cli.options import (
    DensityBudget,
    DensityModel,
    Json,
    StudyFileArgument,
    StudyName,
    check_density,
)
from airtune.engine.cli.output import (
    best_text,
    config_words,
    exit_after,
    free_source,
    loss_text,
    print_json,
    print_lines,
    print_table,
    trial_json,
)
from airtune.engine.cli.programs import show_command, stored_programs
from airtune.engine.cli.trial_table import print_trials

if TYPE_CHECKING:
    from airtune.engine import StudyFile
    from airtune.engine.storage.study_file import StudyRecord, TrialRecord


def show(
    file: StudyFileArgument,
    study_name: StudyName = None,
    trial: int | None = typer.Option(
        None,
        "--trial",
        metavar="N",
        help="One trial: configuration, prompt, answer, log-probabilities, times.",
    ),
    density: bool = typer.Option(
        False, "--density", help="Of --trial N: the model's exact distribution; a figure and a summary."
    ),
    output: Path | None = typer.Option(
        None,
        "-o",
        "--out",
        metavar="FILE.png",
        help="The figure of --density. (default: STUDY-trial-N-density.png)",
    ),
    model: DensityModel = None,
    density_budget: DensityBudget = None,
    json: Json = False,
) -> None:
    """Show the studies in a file, one study's trials, or one trial. Of a comparison: how far it is, and its means."""
    from airtune.engine import StoreError, StudyFile
    from airtune.engine.storage.study_file import study_file

    check_density(density, {"--out": output, "--model": model, "--density-budget": density_budget})
    with StudyFile(study_file(file), readonly=True) as opened:
        # One study that cannot be read is no reason not to show the others; if it was named, it is the error.
        skipped: list[StoreError] = []
        studies = opened.studies(skipped=skipped)
        if skipped and not studies and study_name is None:
            raise skipped[0]
        if density:
            from airtune.engine.cli.show_density import show_density

            show_density(
                opened, study_name, trial, output=output, model=model, budget=density_budget, as_json=json
            )
        elif trial is not None:
            from airtune.engine.cli.show_trial import show_trial

            show_trial(opened, opened.get(study_name), trial, json)
        elif study_name is not None or (len(studies) == 1 and not json):
            _show_study(opened, studies[0] if study_name is None else opened.get(study_name), json)
        elif json:
            shown = []
            for record in studies:
                try:
                    shown.append(_study_fields(record, opened.records(record.name)))
                except StoreError as error:
                    skipped.append(error)
            print_json({"path": str(opened.path), "studies": shown})
        elif any("comparison" in record.manifest for record in studies):
            _show_comparison(opened, studies)
        else:
            _show_studies(opened, studies)
    if study_name is None:
        exit_after(skipped)


def _study_fields(record: StudyRecord, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    from airtune.engine.storage.records import best_record

    best = best_record(trials)
    return {
        "name": record.name,
        "task": record.manifest["task"],
        "metric": record.manifest["metric"],
        "proposer": record.manifest["proposer"],
        "seed": record.manifest["seed"],
        "schedule": record.manifest.get("schedule"),
        "created": record.created,
        "told": record.told,
        "failed": record.failed,
        "asked": record.asked,
        "violations": record.violations,
        "best": None if best is None else trial_json(best.trial),
    }


def _show_studies(file: StudyFile, studies: Sequence[StudyRecord]) -> None:
    best = file.best_losses()
    rows = [
        (one.name, str(one.told), str(one.failed), str(one.asked), loss_text(best.get(one.name, "-")))
        for one in studies
    ]
    print_table("Lrrrr", ("study", "told", "failed", "asked", "best loss"), rows)
    print_lines([f"one of them: airtune show {file.path} --study-name NAME"])


def _show_study(file: StudyFile, record: StudyRecord, as_json: bool) -> None:
    from airtune.engine.storage.records import best_record
    from airtune.engine.storage.usage import file_usage

    records = file.records(record.name)
    fields = _study_fields(record, records)
    usage, programs = file_usage(file, record), stored_programs(record.manifest)
    if as_json:
        trials = [trial_json(one.trial) | {"origin": one.origin} for one in records]
        if programs is not None:
            trials = [one | {"program": programs.render(one["config"])} for one in trials]
        fields["usage"] = None if usage is None else asdict(usage)
        print_json({**fields, "manifest": record.manifest, "trials": trials})
        return
    best = best_record(records)
    model = record.manifest.get("model")
    named = f", model {model.get('model')}" if model else ""
    print_lines([f"study {record.name!r}", f"  task {fields['task']}, proposer {fields['proposer']}{named}"])
    best_trial = None if best is None else best.trial
    print_trials([one.trial for one in records], str(fields["metric"]), best_trial, programs)
    if best_trial is not None:
        words = config_words(programs, best_trial.config, 76)
        print_lines([best_text(best_trial, str(fields["metric"])), f"  {words}"])
    if best_trial is not None and (programs is not None or free_source(best_trial.config) is not None):
        print_lines([f"  its program: {show_command(file, record.name, best_trial.number)}"])
    counts = f"{record.told} told, {record.failed} failed, {record.asked} without a result"
    print_lines([f"{counts}, {record.violations} violations of the grammar"])
    if usage is not None:
        print_lines([usage.text()])


def _show_comparison(file: StudyFile, studies: Sequence[StudyRecord]) -> None:
    """Hundreds of studies as two tables: how far every method is, and the best losses by task and method."""
    from airtune.benchmarks.running.plan import method_label

    cells: dict[tuple[str, str], list[StudyRecord]] = {}
    for record in studies:
        if "comparison" in record.manifest:
            key = (record.manifest["task"], record.manifest["comparison"]["method"])
            cells.setdefault(key, []).append(record)
    tasks, methods = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    progress = []
    for method in methods:
        records = [record for key, found in cells.items() if key[1] == method for record in found]
        counts = sorted({record.told + record.failed for record in records})
        each = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        sums = (
            sum(getattr(one, what) for one in records) for what in ("told", "failed", "asked", "violations")
        )
        progress.append((method_label(method), str(len(records)), each, *map(str, sums)))
    best = file.best_losses()

    def mean(task: str, method: str) -> str:
        losses = [best[record.name] for record in cells.get((task, method), ()) if record.name in best]
        return loss_text(sum(losses) / len(losses)) if losses else "-"

    means = [(task, *(mean(task, method) for method in methods)) for task in tasks]
    first = next(iter(cells.values()))[0]
    suite, count = first.manifest["comparison"]["suite"], sum(map(len, cells.values()))
    print_lines([f"comparison of the suite {suite!r}: {count} studies, {len(tasks)} tasks"])
    headings = ("method", "studies", "trials each", "told", "failed", "asked", "violations")
    print_table("Lrrrrrr", headings, progress)
    title = "best loss so far, mean over seeds"
    print_table("L" + "R" * len(methods), ("task", *map(method_label, methods)), means, title)
    print_lines([f"one of them: airtune show {file.path} --study-name {first.name}"])
