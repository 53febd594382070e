"""`airtune export --program N`: the program of a trial, as a script that runs outside and gives the same loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airtune.engine.cli.output import visible
from airtune.engine.cli.programs import program_source, stored_programs
from airtune.engine.cli.show_trial import stored_trials

if TYPE_CHECKING:
    from airtune.engine import StudyFile
    from airtune.engine.types import Trial


def program_script(file: StudyFile, study_name: str | None, number: int) -> str:
    """The script: the program, and the harness that it was evaluated with, which the study's manifest keeps.

    Raises:
        StoreError: If there is no such study or trial, or it is no program.
    """
    from airtune.engine import StoreError
    from airtune.engine.evaluation.program_script import PROGRAM

    record = file.get(study_name)
    trial = stored_trials(file, record, number)[number].trial
    programs = stored_programs(record.manifest)
    source = program_source(record.manifest, programs, trial.config)
    if source is None:
        raise StoreError(
            f"study {record.name!r} is over configurations, and not over programs",
            value=number,
            allowed="--program with a study over programs",
            hint=f"airtune show {file.path} --trial {number} shows the configuration",
        )
    harness = record.manifest.get("program_script") or PROGRAM
    before, _, after = harness.partition(PROGRAM)
    head = "".join(
        f"# {visible(' '.join(line.split()))}\n" for line in _head(record.name, record.manifest, trial)
    )
    return f"{head}\n{before}{source.rstrip()}{after.rstrip()}\n"


def _head(study: str, manifest: Mapping[str, Any], trial: Trial) -> list[str]:
    """What it is and what it needs; what others have named may have line breaks."""
    from importlib.metadata import version

    from airtune.engine.evaluation.noise import TRUE_LOSS

    task, metric = manifest["task"], manifest["metric"]
    result = f"failed: {trial.reason or ''}" if trial.status == "failed" else "no result yet"
    if trial.loss is not None:
        result = f"{metric} {trial.loss!r}"
        result += "".join(f", {name.replace('_', ' ')} {value!r}" for name, value in trial.info.items())
    lines = [
        f"Program of trial {trial.number} of the study {study!r}, written by airtune {version('airtune')}",
        result,
    ]
    if "program_script" in manifest:
        prints = (
            "it prints the same losses, without the noise"
            if TRUE_LOSS in trial.info
            else "it prints the same losses"
        )
        what = prints if trial.loss is not None else "it shows how the program ends"
        return [*lines, f"Run it with the packages that the study was run with: {what}."]
    return [
        *lines,
        f"The program alone: what it was evaluated with ({task}) is not known to the study.",
    ]
