"""`airtune export`: a study file as text, or into an Optuna storage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from airtune.engine.cli.options import StudyFileArgument, StudyName
from airtune.engine.cli.output import exit_after, print_lines, visible, visible_json

if TYPE_CHECKING:
    from airtune.engine import StudyFile


def export(
    file: StudyFileArgument,
    study_name: StudyName = None,
    jsonl: bool = typer.Option(False, "--jsonl", help="JSON Lines: the default."),
    csv: bool = typer.Option(False, "--csv", help="Comma-separated values, a row per trial."),
    no_times: bool = typer.Option(
        False, "--no-times", help="Leave out times: identical studies then export identical bytes."
    ),
    no_transcripts: bool = typer.Option(
        False, "--no-transcripts", help="Leave out prompts and answers (CSV never has them)."
    ),
    program: int | None = typer.Option(
        None,
        "--program",
        metavar="N",
        help="The program of trial N instead, as a script that runs without Airtune and prints the same loss.",
    ),
    output: Path | None = typer.Option(None, "-o", "--out", metavar="FILE", help="A file to write to."),
    optuna: str | None = typer.Option(
        None,
        "--optuna",
        metavar="URL",
        help="Into an Optuna storage instead, for example sqlite:///optuna.db.",
    ),
    backup: Path | None = typer.Option(
        None,
        "--backup",
        metavar="FILE",
        help="Copy the whole study file into one new file instead, also while a study runs.",
    ),
) -> None:
    """Write a study file as text, the same bytes for the same study with --no-times; its programs; or copy it."""
    from airtune.engine import StoreError, StudyFile, export_csv, export_jsonl
    from airtune.engine.storage.study_file import study_file
    from airtune.grammars import AirtuneError, write_file

    if jsonl and csv:
        raise AirtuneError("--jsonl and --csv were both given", allowed="one of them", hint="leave one out")
    of_texts = jsonl or csv or no_times or no_transcripts
    for value, others, what, allowed in (
        (program, optuna or backup, "--program writes one script", "--study-name and -o beside it"),
        (optuna, output, "--optuna writes no text", "--study-name beside it"),
        (
            backup and str(backup),
            output or optuna or study_name,
            "--backup copies the whole study file",
            "no other option beside it",
        ),
    ):
        if value is not None and (of_texts or others):
            raise AirtuneError(what, value=value, allowed=allowed, hint="leave the others out")
    if backup is not None:
        return _back_up(study_file(file), backup)
    # One study that cannot be read is no reason to leave the others out; if it was named, it is the error.
    skipped: list[StoreError] | None = [] if study_name is None else None
    with StudyFile(study_file(file), readonly=True) as opened:
        if optuna is not None:
            return _export_to_optuna(opened, study_name, optuna)
        if program is not None:
            from airtune.engine.cli.export_program import program_script

            text = program_script(opened, study_name, program)
        elif csv:
            text = visible(export_csv(opened, study_name, times=not no_times, skipped=skipped))
        else:
            lines = export_jsonl(
                opened, study_name, times=not no_times, transcripts=not no_transcripts, skipped=skipped
            )
            text = visible_json("".join(lines))
    if skipped and not text.strip():
        raise skipped[0]
    if output is None:
        sys.stdout.buffer.write(text.encode())
        return exit_after(skipped)
    try:
        write_file(output, text.encode(), reading=study_file(file))
    except OSError as error:
        raise AirtuneError.unwritable(output, error, "choose another -o") from error
    exit_after(skipped)


def _back_up(file: Path, target: Path) -> None:
    """Copy the file, and say how much the copy holds."""
    from airtune.engine import StudyFile
    from airtune.grammars import AirtuneError
    from airtune.grammars.errors import counted

    try:
        with StudyFile(file, readonly=True) as opened:
            opened.backup(target)
    except OSError as error:
        raise AirtuneError.unwritable(target, error, "choose another --backup") from error
    with StudyFile(target, readonly=True) as copy:
        studies = copy.studies(verify=False, skipped=[])
    trials = sum(one.trials for one in studies)
    print_lines([f"copied {counted(len(studies), 'study')}, {counted(trials, 'trial')} into {target}"])


def _export_to_optuna(file: StudyFile, study_name: str | None, url: str) -> None:
    """Write one study, or all, into the storage, and say what was new."""
    from airtune.engine.integrations import export_to_optuna
    from airtune.engine.integrations.optuna.export import shown_url
    from airtune.grammars.errors import counted

    for one in export_to_optuna(file, url, study_name):
        waiting = f"; {one.waiting} without a result left out" if one.waiting else ""
        print_lines(
            [f"{one.study}: {counted(one.added, 'trial')} written, {one.present} were there{waiting}"]
        )
    print_lines([f"look at them: optuna-dashboard '{shown_url(url)}'"])
