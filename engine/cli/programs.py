"""What the command line shows of programs: in a few words, as source code in colours, and what is new in one."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

from airtune.engine.cli.output import programs_in, shown_text

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from airtune.engine.storage.study_file import StudyFile
    from airtune.grammars import ProgramSpace

MARGIN = "  "
# The terminal's own colours, of which these can be read on black and on white.
_STYLES = {
    ("Keyword",): "magenta",
    ("Name", "Builtin"): "cyan",
    ("Name", "Function"): "blue",
    ("Name", "Class"): "blue",
    ("Literal", "String"): "green",
    ("Literal", "Number"): "cyan",
    ("Comment",): "dim",
}
_CHANGED = {"+": "green", "-": "red", "@": "cyan"}


def stored_programs(manifest: Mapping[str, Any]) -> ProgramSpace | None:
    """The program space of a stored study; None if it is over none, or its space cannot be rebuilt.

    Raises:
        SpaceError: If the rules that it holds are none.
    """
    from airtune.engine.manifest import stored_space

    hyperparameters = manifest["space"].get("hyperparameters")
    if not isinstance(hyperparameters, list) or not any(
        isinstance(one, dict) and one.get("meta") for one in hyperparameters
    ):
        return None
    try:
        return programs_in(stored_space(manifest))
    except ValueError:
        return None


def program_source(
    manifest: Mapping[str, Any], programs: ProgramSpace | None, config: Mapping[str, Any]
) -> str | None:
    """The source code of a configuration: a program of a program space, or a free one; None of others."""
    if programs is not None:
        return programs.render(config)
    hyperparameters = manifest["space"].get("hyperparameters")
    kinds = [one.get("type") for one in hyperparameters or () if isinstance(one, dict)]
    return str(config.get("source", "")) if kinds == ["free_program"] else None


def show_command(file: StudyFile, study: str, number: int) -> str:
    """The command that shows a trial: its program, or why it failed."""
    return shlex.join(["airtune", "show", *_named(file, study), "--trial", str(number)])


def export_command(file: StudyFile, study: str, number: int) -> str:
    """The command that writes it as a script."""
    return shlex.join(["airtune", "export", *_named(file, study), "--program", str(number)]) + " > train.py"


def _named(file: StudyFile, study: str) -> list[str]:
    """The words that name a study: the file alone where it holds no other."""
    several = len(file.studies(verify=False, skipped=[])) > 1
    return [str(file.path), *(["--study-name", study] if several else [])]


def best_commands(path: Path, study: str, number: int) -> list[str]:
    """How to see the best program, and to take it along."""
    from airtune.engine.storage.study_file import StudyFile

    with StudyFile(path, readonly=True) as file:
        shown, taken = (command(file, study, number) for command in (show_command, export_command))
    return [f"the best program: {shown}", f"as a script: {taken}"]


def program_lines(source: str) -> list[Text]:
    """The lines of source code in colours, with a margin; a console without colours leaves them out."""
    from rich.style import Style
    from rich.syntax import ANSISyntaxTheme, Syntax

    theme = ANSISyntaxTheme({kind: Style.parse(said) for kind, said in _STYLES.items()})
    return _with_margin(Syntax("", "python", theme=theme).highlight(_printable(source)))


def difference_lines(before: str, after: str) -> list[Text]:
    """The unified difference of two sources in colours, with a margin."""
    from rich.text import Text

    # The two files' names, its first two lines, are said before.
    told = list(
        unified_diff(_printable(before).split("\n"), _printable(after).split("\n"), n=2, lineterm="")
    )[2:]
    return _with_margin(
        Text("\n").join(Text(line, _CHANGED.get(line[:1], "")) for line in told) if told else Text()
    )


def _printable(source: str) -> str:
    return shown_text(source.removesuffix("\n"), sys.stdout.encoding or "utf-8")


def _with_margin(text: Text) -> list[Text]:
    lines = list(text.split("\n"))
    for line in lines:
        line.pad_left(len(MARGIN) if line.plain else 0)
    return lines
