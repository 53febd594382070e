"""`airtune doctor`: what works on this machine, and whether a study needs a network."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from airtune.engine.cli.options import Json
from airtune.engine.cli.output import out, print_json, visible

NAME_COLUMNS = 25  # the longest name of a check
_STYLES = {"ok": "green", "missing": "yellow", "failed": "bold red"}

OFFLINE_HELP = "Prove that a study needs no network: in an empty network namespace, under strace."


def doctor(
    offline: Annotated[bool, typer.Option("--offline", help=OFFLINE_HELP)] = False,
    model: Annotated[str, typer.Option(help="With --offline: the model that proposes.")] = "pocket",
    json: Json = False,
) -> None:
    """Say what works on this machine, and what to install for more."""
    from rich.table import Table
    from rich.text import Text

    from airtune.engine.doctor.checks import checks
    from airtune.engine.doctor.offline import offline_checks

    found = []
    for check in offline_checks(model) if offline else checks():
        found.append(check)
        if json:
            continue
        row = Table.grid(padding=(0, 1))
        for width in (7, NAME_COLUMNS, None):
            row.add_column(width=width, overflow="fold")
        row.add_row(Text(check.status, _STYLES[check.status]), Text(check.name), Text(visible(check.detail)))
        if check.fix is not None:
            row.add_row("", "", Text(f"fix: {check.fix}"))
        out().print(row)
    fine = all(check.status != "failed" for check in found)
    if json:
        print_json({"ok": fine, "checks": [asdict(check) for check in found]})
    elif fine and not offline:
        out().print("airtune tune works here: airtune tune sklearn/svm/digits --budget 10", markup=False)
    elif not offline:
        out().print("airtune tune does not work here yet: see what failed", markup=False)
    raise typer.Exit(0 if fine else 1)
