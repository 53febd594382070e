"""Options and arguments that several commands have: declared once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

TAKE_OVER_HELP = (
    "Take the study from a process of another container or machine that has ended. If it lives, it can write no more, "
    "and what it evaluates is lost and evaluated again."
)
TakeOver = Annotated[bool, typer.Option("--take-over", help=TAKE_OVER_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
JsonNotTables = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
ModelSettings = Annotated[
    list[str] | None,
    typer.Option("--model-setting", metavar="KEY=VALUE", help="A setting of the backend; may be repeated."),
]
STUDY_HELP = "A file written by airtune tune, or a folder written by airtune bench."
StudyFileArgument = Annotated[Path, typer.Argument(metavar="STUDY_FILE", help=STUDY_HELP)]
StudyName = Annotated[
    str | None, typer.Option("--study-name", metavar="NAME", help="One of the studies in it.")
]
DensityModel = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="MODEL", help="Of --density: where the study's model is now, if it was moved."
    ),
]
DensityBudget = Annotated[
    int | None,
    typer.Option(
        "--density-budget",
        metavar="N",
        min=1,
        help="Of --density: prefixes of answers that may be read for one distribution. (default: 4096)",
    ),
]


def check_density(density: bool, options: Mapping[str, object]) -> None:
    """Raise an AirtuneError if one of the options that belong to --density was given without it."""
    from airtune.grammars import AirtuneError

    for option, value in options.items():
        if value is not None and not density:
            raise AirtuneError(
                f"{option} has no effect without --density", value=str(value), allowed=f"--density with {option}",
                hint=f"leave {option} out, or add --density",
            )  # fmt: skip
