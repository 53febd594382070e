"""`airtune show` and `airtune export`: what is in a study file. Neither changes anything."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from airtune.engine.cli.output import (
    best_text,
    config_text,
    loss_text,
    out,
    print_json,
    print_lines,
    print_trials,
    seconds_text,
    trial_json,
    unwritable,
    visible,
    visible_json,
)
from airtune.engine.cli.show_density import check_density, show_density
from airtune.engine.cli.transcript import transcript_lines

if TYPE_CHECKING:
    from airtune.engine import StudyFile
    from airtune.engine.storage.study_file import StudyRecord, TrialRecord

FILE = typer.Argument(
    ..., metavar="STUDY_FILE", help="A file written by airtune tune, or a folder written by airtune bench."
)
NAME = typer.Option(None, "--study-name", metavar="NAME", help="One of the studies in it.")


def show(
    file: Path = FILE,
    study_name: str | None = NAME,
    trial: int | None = typer.Option(
        None,
        "--trial",
        metavar="N",
        help="One trial: configuration, prompt, answer, log-probabilities, times.",
    ),
    density: bool = typer.Option(
        False, "--density", help="Of --trial N: what the model believed, exactly; a figure and a summary."
    ),
    output: Path | None = typer.Option(
        None,
        "--out",
        metavar="FILE.png",
        help="The figure of --density. (default: STUDY-trial-N-density.png)",
    ),
    model: str | None = typer.Option(
        None,
        "--model",
        metavar="MODEL",
        help="Of --density: where the study's model is now, if it was moved.",
    ),
    density_budget: int | None = typer.Option(
        None,
        "--density-budget",
        metavar="N",
        min=1,
        help="Of --density: beginnings of answers that may be opened for one law. (default: 4096)",
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Show the studies in a file, one study's trials, or one trial. Of a comparison: how far it is, and its means."""
    from airtune.engine import StudyFile

    check_density(density, {"--out": output, "--model": model, "--density-budget": density_budget})
    file = _study_file(file)
    with StudyFile(file, readonly=True) as opened:
        studies = opened.studies()
        if density:
            show_density(
                opened, study_name, trial, output=output, model=model, budget=density_budget, as_json=json
            )
        elif trial is not None:
            _show_trial(opened, opened.get(study_name), trial, json)
        elif study_name is not None or (len(studies) == 1 and not json):
            _show_study(opened, opened.get(study_name), json)
        elif json:
            print_json({"path": str(file), "studies": [_study_fields(opened, record) for record in studies]})
        elif any("comparison" in record.manifest for record in studies):
            from airtune.engine.cli.show_comparison import show_comparison

            show_comparison(opened, studies)
        else:
            _show_studies(opened, studies)


def _study_file(path: Path) -> Path:
    """The study file: the path itself, or that of the comparison in the folder."""
    from airtune.engine.storage.study_file import COMPARISON_FILE

    return path / COMPARISON_FILE if path.is_dir() else path


def _study_fields(file: StudyFile, record: StudyRecord) -> dict[str, Any]:
    best = _best(file.records(record.name))
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


def _best(records: list[TrialRecord]) -> TrialRecord | None:
    told = [record for record in records if record.trial.loss is not None]
    return min(told, key=lambda record: (record.trial.loss, record.trial.number), default=None)


def _show_studies(file: StudyFile, studies: list[StudyRecord]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("study", overflow="fold")
    for heading in ("told", "failed", "asked", "best loss"):
        table.add_column(heading, justify="right", no_wrap=True)
    for record in studies:
        best = _best(file.records(record.name))
        loss = "-" if best is None else loss_text(best.trial.loss)
        counts = (str(record.told), str(record.failed), str(record.asked), loss)
        table.add_row(escape(record.name), *counts)
    out().print(table)
    print_lines([f"one of them: airtune show {file.path} --study-name NAME"])


def _show_study(file: StudyFile, record: StudyRecord, as_json: bool) -> None:
    from airtune.engine.storage.usage import study_usage

    records = file.records(record.name)
    fields = _study_fields(file, record)
    usage = study_usage(record.manifest, file.transcripts(record.name).values())
    if as_json:
        trials = [trial_json(one.trial) | {"origin": one.origin} for one in records]
        fields["usage"] = None if usage is None else asdict(usage)
        print_json({**fields, "manifest": record.manifest, "trials": trials})
        return
    best = _best(records)
    model = record.manifest.get("model")
    said = f", model {model.get('model')}" if model else ""
    print_lines([f"study {record.name!r}", f"  task {fields['task']}, proposer {fields['proposer']}{said}"])
    print_trials([one.trial for one in records], str(fields["metric"]), None if best is None else best.trial)
    if best is not None:
        print_lines([best_text(best.trial, str(fields["metric"])), f"  {config_text(best.trial.config)}"])
    counts = f"{record.told} told, {record.failed} failed, {record.asked} without a result"
    print_lines([f"{counts}, {record.violations} violations of the grammar"])
    if usage is not None:
        print_lines([usage.text()])


def _show_trial(file: StudyFile, record: StudyRecord, number: int, as_json: bool) -> None:
    from airtune.engine import StoreError

    records = {one.trial.number: one for one in file.records(record.name)}
    if number not in records:
        known = f"0 to {max(records)}" if records else "none: no trial was asked yet"
        raise StoreError(
            f"study {record.name!r} has no trial {number}",
            value=number,
            allowed=known,
            hint=f"airtune show {file.path} lists them",
        )
    found, transcript = records[number], file.transcripts(record.name).get(number)
    fields = trial_json(found.trial)
    fields |= {"origin": found.origin, "text": found.text, "log": found.log, "transcript": transcript}
    fields["pending"] = None if found.pending is None else list(found.pending)
    if as_json:
        print_json({"study": record.name, **fields})
        return
    trial = found.trial
    lines = [
        f"trial {number} of study {record.name!r}: {trial.status}",
        f"  configuration  {config_text(trial.config)}",
        f"  proposed by    {found.origin} in {seconds_text(trial.proposal_s)} s",
        f"  evaluated in   {seconds_text(trial.evaluation_s)} s",
    ]
    if found.pending:
        lines.append(f"  without        the results of trials {', '.join(map(str, found.pending))}")
    if trial.loss is not None:
        lines.append(f"  {record.manifest['metric']:<14} {trial.loss!r}")
    lines += [f"  {name:<14} {loss_text(value)}" for name, value in trial.info.items()]
    if trial.reason is not None:
        lines.append(f"  reason         {trial.reason}")
    print_lines(lines + (transcript_lines(transcript) if transcript is not None else []))
    if found.log:
        print_lines(["log", *(f"  {line}" for line in found.log.rstrip().splitlines())])


def export(
    file: Path = FILE,
    study_name: str | None = NAME,
    jsonl: bool = typer.Option(False, "--jsonl", help="JSON Lines: the default."),
    csv: bool = typer.Option(False, "--csv", help="Comma-separated values, a row per trial."),
    no_times: bool = typer.Option(
        False, "--no-times", help="Leave out times: identical studies then export identical bytes."
    ),
    no_transcripts: bool = typer.Option(
        False, "--no-transcripts", help="Leave out prompts and answers (CSV never has them)."
    ),
    output: Path | None = typer.Option(None, "-o", "--output", metavar="OUT", help="A file to write to."),
    optuna: str | None = typer.Option(
        None,
        "--optuna",
        metavar="URL",
        help="Into an Optuna storage instead, for example sqlite:///optuna.db.",
    ),
) -> None:
    """Write a study file as text, the same bytes for the same study with --no-times; or into an Optuna storage."""
    from airtune.engine import StudyFile, export_csv, export_jsonl
    from airtune.grammars import AirtuneError

    if jsonl and csv:
        raise AirtuneError("--jsonl and --csv were both given", allowed="one of them", hint="leave one out")
    if optuna is not None and (jsonl or csv or no_times or no_transcripts or output):
        raise AirtuneError(
            "--optuna writes no text",
            value=optuna,
            allowed="--study-name beside it",
            hint="leave the others out",
        )
    with StudyFile(_study_file(file), readonly=True) as opened:
        if optuna is not None:
            from airtune.engine.cli.optuna import export_optuna

            return export_optuna(opened, study_name, optuna)
        if csv:
            text = visible(export_csv(opened, study_name, times=not no_times))
        else:
            lines = export_jsonl(opened, study_name, times=not no_times, transcripts=not no_transcripts)
            text = visible_json("".join(lines))
    if output is None:
        sys.stdout.buffer.write(text.encode())
        return
    try:
        output.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise unwritable(output, error, "-o") from error
