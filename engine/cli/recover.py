"""`airtune recover`: what can still be read of a damaged study file, into a new one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airtune.engine.cli.options import Json
from airtune.engine.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from airtune.engine.storage.recover.report import Salvage


def recover(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A damaged study file, or a comparison's folder.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="OUT", help="The new file. (default: FILE.recovered, beside it)"),
    ] = None,
    json: Json = False,
) -> None:
    """Copy what can still be read of a damaged study file into a new one. Changes nothing of the damaged one.

    Exit code 0: nothing is known to be lost. 1: something is; it is listed.
    """
    from airtune.engine.storage.recover.recover import default_target
    from airtune.engine.storage.recover.recover import recover as salvage
    from airtune.engine.storage.study_file import study_file

    source = study_file(file)
    found = salvage(source, output or default_target(source))
    if json:
        print_json(found.json())
    else:
        print_lines(_salvage_lines(found))
    raise typer.Exit(0 if all(one.whole for one in found.studies) else 1)


def _salvage_lines(found: Salvage) -> list[str]:
    from airtune.engine.storage.study_file import COMPARISON_FILE
    from airtune.grammars.errors import counted

    named = [one for one in found.studies if one.study is not None]
    trials = counted(sum(one.trials for one in named), "trial")
    lines = [f"salvaged {counted(len(named), 'study')}, {trials} into {found.target}"]
    for one in found.studies:
        if one.study is None:
            lines.append(
                f"a study whose manifest is lost: {counted(one.trials, 'trial')} cannot be used without it"
            )
        elif not one.whole or one.unfinished:
            lines.append(f"study {one.study!r}: {counted(one.trials, 'trial')}")
            for what, numbers in (
                ("lost", one.lost),
                ("without a result, to be evaluated again", one.unfinished),
                ("without a transcript", one.lost_transcripts),
            ):
                if numbers:
                    lines.append(f"  {what}: {_numbers(numbers)}")
    if all(one.whole for one in found.studies):
        lines.append("nothing is known to be lost")
    lines.append("(the last trials of a study can be lost without a trace)")
    if found.target.suffix == Path(COMPARISON_FILE).suffix:
        lines.append(
            f"to go on: move it to a folder of its own, as {COMPARISON_FILE}, and name that with --out"
        )
    else:
        lines.append(f"to go on: the same command with --study {found.target}")
    return lines


def _numbers(numbers: Sequence[int]) -> str:
    """Numbers of trials, runs of them shortened: "trials 3, 5-9"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(texts)}"
