"""`airtune tasks`: the tasks that can be tuned by name."""

from __future__ import annotations

from typing import Annotated

import typer

from airtune.engine.cli.options import Json
from airtune.engine.cli.output import print_json, print_lines

MORE = (
    "more: dev/... and unseen/..., the tasks of the suites development and unseen; fidelities and options, such as "
    "sklearn/rf/digits@trees=16; your own with --space: see airtune tune --help"
)


def tasks(
    prefix: Annotated[str, typer.Argument(help="Only those that begin so, for example sklearn/.")] = "",
    json: Json = False,
) -> None:
    """List the bundled tasks, whose names `airtune tune` takes."""
    from airtune.benchmarks import task_names
    from airtune.grammars import AirtuneError

    every = task_names()
    names = [name for name in every if name.startswith(prefix)]
    if not names:
        families = dict.fromkeys(f"{name.partition('/')[0]}/" for name in every)
        raise AirtuneError(f"no task begins with {prefix!r}", value=prefix, allowed=", ".join(families))
    if json:
        print_json({"tasks": names})
    else:
        print_lines([*names, MORE])
