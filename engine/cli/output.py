"""What the command line prints: consoles, tables, JSON documents and errors. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from airtune.engine.types import Trial
    from airtune.grammars import AirtuneError

# Columns for text that goes to a file or a pipe, where no terminal sets a width: wide enough for our tables.
PIPE_COLUMNS = 160
# Reasons for failures are one line; a table shows this much, `show --trial` and `--json` show all of it.
REASON_COLUMNS = 60


# What a terminal obeys, or cannot show: controls (of which tab and line feed are harmless), what turns the direction of
# writing round, and halves of surrogate pairs. Names, reasons and outputs come from anywhere.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""The text with what a terminal would obey spelled out.

    >>> visible("\x1b[31mred")
    '\\x1b[31mred'
    """
    return _OBEYED.sub(lambda match: ascii(match.group())[1:-1], text)


def console(stream: TextIO) -> Console:
    """A rich console on `stream`: as wide as the terminal, or PIPE_COLUMNS without one. Strings are made `visible`."""
    from rich.console import Console
    from rich.text import Text

    class Safe(Console):
        def render_str(
            self, text: str, **options: Any
        ) -> Text:  # all strings come by here, those in tables too
            return super().render_str(visible(text), **options)

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
    sys.stdout.write(visible_json(text) + "\n")


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


def loss_text(value: object) -> str:
    """A loss, or another number that an objective returned: five significant digits."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def config_text(config: Mapping[str, Any]) -> str:
    """A configuration on one line: `C=0.12 kernel=rbf`."""
    return " ".join(f"{name}={value_text(value)}" for name, value in config.items())


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


def trial_table(trials: Sequence[Trial], metric: str, best: int | None, width: int) -> Table:
    """The trials in order, the best one marked.

    Args:
        trials: In the order of their numbers.
        metric: What the loss is: its column's heading.
        best: Number of the best trial, or None.
        width: Columns to fit into. One per hyperparameter where that fits, if need be under headings of
            several lines, else all in one cell.

    Returns:
        A rich table.
    """
    for spread, stacked in ((True, False), (True, True)):
        table = _trial_table(trials, metric, best, spread, stacked)
        if _columns(table) <= width:
            return table
    return _trial_table(trials, metric, best, spread=False, stacked=True)


def _columns(table: Table) -> int:
    from rich.console import Console
    from rich.measure import Measurement

    wide = Console(width=10_000)
    return Measurement.get(wide, wide.options, table).maximum


def _trial_table(
    trials: Sequence[Trial], metric: str, best: int | None, spread: bool, stacked: bool
) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    names = list(dict.fromkeys(name for trial in trials for name in trial.config))
    infos = list(dict.fromkeys(name for trial in trials for name in trial.info))
    failed = any(trial.status != "told" for trial in trials)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("trial", justify="right", no_wrap=True)
    for name in names if spread else []:
        table.add_column(escape(name), justify="right", no_wrap=True)
    if not spread:
        table.add_column("configuration", overflow="fold")
    for heading in (metric, *(name.replace("_", " ") for name in infos), "propose s", "evaluate s"):
        shown = heading.replace(" ", "\n") if stacked else heading
        table.add_column(escape(shown), justify="right", no_wrap=True)
    if failed:
        table.add_column("status", overflow="fold")
    for trial in trials:
        mark = "* " if trial.number == best else ""
        if spread:
            cells = [value_text(trial.config[name]) if name in trial.config else "" for name in names]
        else:
            cells = [config_text(trial.config)]
        row = [f"{mark}{trial.number}", *cells]
        row.append("-" if trial.loss is None else loss_text(trial.loss))
        row += [loss_text(trial.info[name]) if name in trial.info else "" for name in infos]
        row += [seconds_text(trial.proposal_s), seconds_text(trial.evaluation_s)]
        if failed:
            row.append(_status_text(trial))
        table.add_row(*(escape(cell) for cell in row), style="bold green" if mark else None)
    return table


def _status_text(trial: Trial) -> str:
    if trial.status != "failed":
        return "" if trial.status == "told" else trial.status
    reason = " ".join((trial.reason or "").split())
    short = reason if len(reason) <= REASON_COLUMNS else reason[: REASON_COLUMNS - 3] + "..."
    return f"failed: {short}" if short else "failed"


def print_trials(trials: Sequence[Trial], metric: str, best: Trial | None) -> None:
    """Print the trials as a table that fits the terminal, the best one marked."""
    shown = out()
    shown.print(trial_table(trials, metric, None if best is None else best.number, shown.width))


def print_lines(lines: Sequence[str]) -> None:
    """Print plain lines; a terminal wraps the long ones."""
    shown = out()
    for line in lines:
        shown.print(line, markup=False, soft_wrap=True)


def best_text(trial: Trial, metric: str) -> str:
    """The best trial's number, loss and further values on one line."""
    info = "".join(f", {name.replace('_', ' ')} {loss_text(value)}" for name, value in trial.info.items())
    loss = "none" if trial.loss is None else loss_text(trial.loss)
    return f"best: trial {trial.number}, {metric} {loss}{info}"


def unwritable(path: object, error: OSError, option: str) -> AirtuneError:
    """What to raise where an output file cannot be written; `option` chose it."""
    from airtune.grammars import AirtuneError

    return AirtuneError(
        f"{str(path)!r} cannot be written: {error.strerror}",
        value=str(path),
        allowed="a file in a folder that exists and can be written to",
        hint=f"choose another {option}",
    )


def report_error(error: BaseException, as_json: bool) -> None:
    """Say what went wrong: in words on standard error, or with `--json` as the document on standard output.

    AIRTUNE_DEBUG=1 adds the traceback (always to standard error).
    """
    if os.environ.get("AIRTUNE_DEBUG") == "1":
        traceback.print_exception(error)
    fields = error_fields(error)
    if as_json:
        print_json({"error": fields})
        return
    lines = [f"error: {fields['message']}"]
    if fields["allowed"] is not None:
        lines.append(f"  allowed: {fields['allowed']}")
    if fields["fix"] is not None:
        lines.append(f"  fix: {fields['fix']}")
    sys.stderr.write(visible("\n".join(lines)) + "\n")


def error_fields(error: BaseException) -> dict[str, Any]:
    """An error as data: type, message, value, allowed, fix."""
    return {
        "type": type(error).__name__,
        "message": str(getattr(error, "message", None) or error) or type(error).__name__,
        "value": _plain(getattr(error, "value", None)),
        "allowed": getattr(error, "allowed", None),
        "fix": getattr(error, "hint", None),
    }


def _plain(value: object) -> object:
    """A value that JSON can hold: numbers that JSON has no name for, and everything else, as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    return repr(value)
