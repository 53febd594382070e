"""`airtune report`: a study file, or a comparison, as one self-contained page with figures and data beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from airtune.engine.cli.options import DensityBudget, DensityModel, check_density
from airtune.engine.cli.output import err, print_json, print_lines


def report(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY_FILE_OR_DIR", help="A study file, or the folder that airtune bench wrote."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder of the report. (default: one beside the study file)"
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option("--study", "--study-name", metavar="NAME", help="Only this study of the file."),
    ] = None,
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
    written = write_report(path, output, study, wanted)
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
