"""`airtune report`: a study file, or a comparison, as one self-contained page with figures and data beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from airtune.engine.cli.options import (
    DensityBudget,
    DensityModel,
    StudyFileArgument,
    StudyName,
    check_density,
)
from airtune.engine.cli.output import err, print_json, print_lines


def report(
    file: StudyFileArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Folder of the report. (default: one beside the study file)"
        ),
    ] = None,
    study_name: StudyName = None,
    density: Annotated[
        bool,
        typer.Option(
            "--density",
            help="Of a study: the exact distribution of every proposal of the model. Needs the model.",
        ),
    ] = False,
    model: DensityModel = None,
    density_budget: DensityBudget = None,
    json: Annotated[bool, typer.Option("--json", help="Print the paths as one JSON document.")] = False,
) -> None:
    """Write a report: one HTML file that needs no network, with figures (PNG, SVG) and CSV files beside it."""
    from airtune.benchmarks.report import Density, write_report

    check_density(density, {"--model": model, "--density-budget": density_budget})
    wanted = Density(model, density_budget, _say_progress) if density else None
    written = write_report(file, output, study_name, wanted)
    page, *others = written
    if json:
        print_json({"report": str(page), "files": [str(one) for one in others]})
        return
    print_lines([f"report: {page}", f"beside it: {', '.join(one.name for one in others)}"])


def _say_progress(done: int, of: int) -> None:
    """One line that is written over, on a terminal only."""
    console = err()
    if console.is_terminal:
        console.print(f"looking into proposal {done} of {of}", end="\r" if done < of else "\n")
