"""Options and arguments that several commands have: declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
JsonNotTables = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
ModelSettings = Annotated[
    list[str] | None,
    typer.Option("--model-setting", metavar="KEY=VALUE", help="A setting of the backend; may be repeated."),
]
StudyFileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY_FILE", help="A file written by airtune tune, or a folder written by airtune bench."
    ),
]
StudyName = Annotated[
    str | None, typer.Option("--study-name", metavar="NAME", help="One of the studies in it.")
]
