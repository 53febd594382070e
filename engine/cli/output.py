"""What the command line prints: consoles, tables, JSON documents and errors. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from airtune.engine.types import Trial
    from airtune.grammars import ProgramSpace

# Columns for text that goes to a file or a pipe, where no terminal sets a width: wide enough for our tables.
PIPE_COLUMNS = 160


# What a terminal obeys, or cannot show: controls (of which tab and line feed are harmless), what turns the direction of
# writing round, and halves of surrogate pairs. Names, reasons and outputs come from anywhere.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""The text with what a terminal would obey spelled out.

    >>> visible("\x1b[31mred")
    '\\x1b[31mred'
    """
    return _OBEYED.sub(lambda match: ascii(match.group())[1:-1], text)


def shown_text(text: str, encoding: str) -> str:
    """The text made `visible`, and what the encoding lacks spelled out, as a console prints it."""
    return visible(text).encode(encoding, "backslashreplace").decode(encoding)


def console(stream: TextIO) -> Console:
    """A rich console on `stream`: as wide as the terminal, or PIPE_COLUMNS without one.

    Strings are made `visible`, and what the stream cannot encode is spelled out, before their width is measured.
    """
    from rich.console import Console

    class Safe(Console):
        def render_str(self, text: str, **options: Any) -> Text:  # all strings, those in tables too
            return super().render_str(shown_text(text, self.encoding), **options)

    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
    return Safe(file=stream, width=width, highlight=False, soft_wrap=False, emoji=False)


def out() -> Console:
    """The console for results: standard output."""
    return console(sys.stdout)


def err() -> Console:
    """The console for progress and errors: standard error."""
    return console(sys.stderr)


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print the one JSON document of a `--json` command. NaN never gets here: losses are finite or null."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    sys.stdout.write(printable_json(text) + "\n")


def printable_json(text: str) -> str:
    """JSON text with what a terminal would obey, and what standard output cannot encode, as JSON's own escapes."""
    shown = visible_json(text)
    if encodable(shown):
        return shown
    return "".join(json.dumps(one)[1:-1] if ord(one) > 127 else one for one in shown)


def encodable(text: str) -> bool:
    """Whether standard output can encode the text."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding) == text


def visible_json(text: str) -> str:
    r"""JSON text with what a terminal would obey as JSON's own escapes, so that it still says the same.

    >>> visible_json('"\x9bm"')
    '"\\u009bm"'
    """
    return _OBEYED.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def value_text(value: object) -> str:
    """One hyperparameter value as a table shows it: six significant digits at most."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def loss_text(value: object, longest: int = 80) -> str:
    """A loss, or what else an objective returned: five significant digits, and no more characters than `longest`."""
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def config_text(config: Mapping[str, Any]) -> str:
    """A configuration on one line: `C=0.12 kernel=rbf`."""
    return " ".join(f"{_word(name)}={_word(value_text(value))}" for name, value in config.items())


def _word(text: str) -> str:
    """The text, quoted where nobody could tell where it ends, or it would end the line."""
    unclear = r"\n" if text.startswith(("(", "[", "{")) else r"^$|[\s='\"]"
    return repr(text) if re.search(unclear, text) else text


def programs_in(space: ConfigurationSpace) -> ProgramSpace | None:
    """The program space whose search space this is, or None; of other spaces nothing is loaded for it.

    Raises:
        SpaceError: If the rules that it holds are none.
    """
    if not any(hp.meta for hp in space.values()):
        return None
    from airtune.grammars import programs_of

    return programs_of(space)


def config_words(programs: ProgramSpace | None, config: Mapping[str, Any], longest: int = 60) -> str:
    """A configuration on one line; that of a program as the labels of what was chosen, in so many characters.

    Of a free program, which has no labels: how many lines it has, and the last one.
    """
    if programs is not None:
        return programs.outline(config, longest) or "-"
    if (source := free_source(config)) is None:
        return config_text(config)
    lines = [line for line in source.splitlines() if line.strip()]
    text = f"{len(lines)} lines: {lines[-1].strip()}"
    return text if len(text) <= longest else text[: longest - 3] + "..."


def free_source(config: Mapping[str, Any]) -> str | None:
    """The source code of a free program, or None of any other configuration."""
    source = config.get("source")
    return source if len(config) == 1 and isinstance(source, str) and source.endswith("\n") else None


def seconds_text(seconds: float | None) -> str:
    """Seconds with a precision that fits their size, or a dash where there are none."""
    if seconds is None:
        return "-"
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:.1f}"


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial as the JSON documents show it."""
    return {
        "number": trial.number,
        "status": trial.status,
        "config": dict(trial.config),
        "loss": trial.loss,
        "info": dict(trial.info),
        "reason": trial.reason,
        "proposal_s": trial.proposal_s,
        "evaluation_s": trial.evaluation_s,
    }


def make_table(
    columns: str, headings: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> Table:
    """A table in the one look of this command line.

    Args:
        columns: A letter per column, as in LaTeX's tabular: "l" or "r"; of a capital one long cells are folded.
        headings: Of the columns; plain text, as all that follows.
        rows: Cells, a row at a time.
        title: Above the table.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title_justify="left", title=title)
    for letter, heading in zip(columns, headings, strict=True):
        table.add_column(
            escape(heading), justify="right" if letter in "rR" else "left",
            no_wrap=letter.islower(), overflow="fold" if letter.isupper() else "ellipsis",
        )  # fmt: skip
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def print_table(
    columns: str, headings: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> None:
    """Print a table; see `make_table`."""
    out().print(make_table(columns, headings, rows, title))


def print_lines(lines: Iterable[str | Text]) -> None:
    """Print lines, plain ones and those in colours; a terminal wraps the long ones."""
    shown = out()
    for line in lines:
        shown.print(line, markup=False, soft_wrap=True)


def best_text(trial: Trial, metric: str) -> str:
    """The best trial's number, loss and further values on one line."""
    info = "".join(f", {name.replace('_', ' ')} {loss_text(value)}" for name, value in trial.info.items())
    loss = "none" if trial.loss is None else loss_text(trial.loss)
    line = f"best: trial {trial.number}, {metric} {loss}{info}"
    return " ".join(line.split())  # names may have line breaks


def exit_after(skipped: Sequence[BaseException] | None) -> None:
    """End with exit code 1, and say why, if something had to be left out."""
    for error in skipped or ():
        report_error(error, as_json=False)
    if skipped:
        from typer import Exit

        raise Exit(1)


def report_error(error: BaseException, as_json: bool, command: str = "tune") -> None:
    """Say what went wrong in a command: in words on standard error, or with `--json` as a document on standard output.

    AIRTUNE_DEBUG=1 adds the traceback (always to standard error).
    """
    if os.environ.get("AIRTUNE_DEBUG") == "1":
        traceback.print_exception(error)
    fields = error_fields(error, command)
    if as_json:
        print_json({"error": fields})
        return
    lines = [f"error: {fields['message']}"]
    if fields["allowed"] is not None:
        lines.append(f"  allowed: {fields['allowed']}")
    if fields["fix"] is not None:
        lines.append(f"  fix: {fields['fix']}")
    sys.stderr.write(visible("\n".join(lines)) + "\n")


def error_fields(error: BaseException, command: str = "tune") -> dict[str, Any]:
    """An error as data: type, message, value, allowed, fix."""
    from airtune.engine.cli.words import as_options

    return {
        "type": type(error).__name__,
        "message": str(getattr(error, "message", None) or error) or type(error).__name__,
        "value": _plain(getattr(error, "value", None)),
        "allowed": as_options(getattr(error, "allowed", None), command),
        "fix": as_options(getattr(error, "hint", None), command),
    }


def _plain(value: object) -> object:
    """A value that JSON can hold: numbers that JSON has no name for, and everything else, as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    return repr(value)
