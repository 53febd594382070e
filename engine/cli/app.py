"""The command line `airtune`: assembles the commands and turns what they raise into messages and exit codes.

Exit codes: 0 done, 1 the run failed or a check did not hold, 2 usage or bad input. The module of a command is
imported when it is asked for, and imports what it needs inside its functions: `airtune --help` answers at once.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from airtune.engine.cli.options import with_kind
from airtune.engine.cli.output import report_error

_INTERRUPTED = 130  # typer's answer to an interrupt that no command has caught; our codes are 0, 1, 2
_NO_MEMORY = "out of memory"
_MORE_MEMORY = (
    "give it more (ulimit -v, the job's limit) and run the same command again: nothing that was told is lost"
)
_ELSEWHERE = "make room, or print elsewhere and run the command again: what is in files is not affected"

# What a name on the command line stands for: a function or a group of commands in a module of this room.
COMMANDS = {
    "tune": "tune.tune",
    "show": "show.show",
    "report": "report.report",
    "export": "export.export",
    "replay": "replay.replay",
    "diff": "replay.diff",
    "recover": "recover.recover",
    "grammar": "grammar.grammar",
    "bench": "bench.bench",
    **{f"bench {name}": f"bench.{name}" for name in ("compare", "speed", "tokens", "grammar")},
    "bench validity": "bench_validity.validity",
    "bench paper": "bench_paper.paper",
    "tasks": "tasks.tasks",
    "models": "models.app",
    "doctor": "doctor.doctor",
}


class _Commands(TyperGroup):
    """Loads commands when they are asked for; some have a name of two words: `bench speed` beside `bench SUITE`.

    Typer hides the types of its contexts and commands: they are Any here.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].partition(".")
            made = getattr(importlib.import_module(f"airtune.engine.cli.{module}"), name)
            if not isinstance(made, typer.Typer):
                function, made = made, typer.Typer(add_completion=False)
                made.command(cmd_name)(function)
            self.commands[cmd_name] = get_command(made)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first words name, and what follows them."""
        if args[0] == "tune":  # its --sandbox may have no value, which typer does not know
            args = with_kind(args)
        words = " ".join(args[:2])
        if words in COMMANDS:
            return words, self.get_command(ctx, words), args[2:]
        if args[0] not in COMMANDS:
            for name in COMMANDS:  # the error proposes one of those that are loaded
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="airtune",
    cls=_Commands,
    help="Offline hyperparameter optimisation: a local language model proposes, an exact grammar guarantees "
    "that every proposal is valid and new.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        typer.echo(f"airtune {version('airtune')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        arguments: What follows the program's name; None for `sys.argv[1:]`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_output()
    # Batch schedulers say with SIGTERM what Ctrl-C says: end, but so that it can be gone on with.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = _run(given)
        sys.stdout.flush()  # here, where it is still told what is the matter
    except KeyboardInterrupt:  # before a command began, or while it dealt with another one
        code = _INTERRUPTED
    except (MemoryError, OSError) as error:
        code = 1
        if (failed := _output_error()) is not None:
            _give_up_output(failed)
        elif not _is_memory(error):
            raise
        else:
            sys.stderr.write(f"error: {_NO_MEMORY}\n  fix: {_MORE_MEMORY}\n")  # there may be none for more
    if code == _INTERRUPTED:
        sys.stderr.write("interrupted\n")
        code = 1
    sys.exit(code)


class _Output(io.TextIOWrapper):
    """Standard output that remembers why it could not be written: a disk that is full is no defect of ours."""

    error: OSError | None = None

    def write(self, text: str, /) -> int:
        """Write text."""
        with self._remembering():
            return super().write(text)

    def flush(self) -> None:
        """Write what is left."""
        with self._remembering():
            super().flush()

    @contextlib.contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            raise


def _open_missing_streams() -> None:
    """Open the null device for each standard stream that whoever started us has closed, as a service or `>&-` does.

    Python has None in its place, and the next file that is opened has its number: programs would print into that.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, mode, encoding="utf-8")
            os.set_inheritable(nowhere.fileno(), True)
            setattr(sys, name, nowhere)


def _prepare_output() -> None:
    """Let standard output and error spell out the characters that their encoding lacks, in place of an error."""
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    plain = sys.stdout
    if plain is sys.__stdout__ and isinstance(plain, io.TextIOWrapper):  # not of a test, which reads it
        buffer = open(plain.fileno(), "wb", closefd=False)
        sys.stdout = _Output(buffer, plain.encoding, "backslashreplace", line_buffering=plain.line_buffering)


def _output_error() -> OSError | None:
    """Why standard output could not be written, if it could not."""
    return sys.stdout.error if isinstance(sys.stdout, _Output) else None


def _give_up_output(error: OSError) -> None:
    """Say why nothing more is printed, unless the reader has gone; Python would try once more as it ends."""
    if error.errno != errno.EPIPE:
        sys.stderr.write(f"error: standard output cannot be written: {error.strerror}\n  fix: {_ELSEWHERE}\n")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        code = app(args=arguments, prog_name="airtune", standalone_mode=False)
        return int(code or 0)
    except Exception as error:
        if hasattr(error, "format_message"):
            return _usage_error(error, arguments, as_json)
        if isinstance(error, OSError) and _output_error() is not None:
            raise
        from airtune.grammars import AirtuneError, DecodeError

        if _is_memory(error):
            report_error(AirtuneError(_NO_MEMORY, hint=_MORE_MEMORY), as_json)
            return 1
        from airtune.engine.types import StudyFileMoved
        from airtune.models.backends.openai.budget import BudgetExhausted
        from airtune.models.backends.openai.http import ServerError

        if isinstance(error, AirtuneError):
            report_error(error, as_json, (*arguments, "")[0])
            return 1 if isinstance(error, (DecodeError, BudgetExhausted, ServerError, StudyFileMoved)) else 2
        if isinstance(error, OSError) and error.filename is not None:
            report_error(_of_file(error).with_traceback(error.__traceback__), as_json)
            return 2
        unexpected = AirtuneError(
            f"unexpected {type(error).__name__}: {error}",
            hint="a defect of Airtune: run again with AIRTUNE_DEBUG=1 for the traceback, and report it",
        )
        report_error(unexpected.with_traceback(error.__traceback__), as_json)
        return 1


def _of_file(error: OSError) -> Exception:
    """A file that the system does not give us, where nobody has said so in better words."""
    from airtune.grammars import AirtuneError

    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return AirtuneError(
        f"{name!r} cannot be used: {error.strerror}",
        value=name,
        allowed="a file that is there, in folders that are open to you",
        hint="check the path and its permissions; AIRTUNE_DEBUG=1 shows where it was used",
    )


def _is_memory(error: Exception) -> bool:
    """Whether there is no memory left: of an import, for one, the system says so."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def _usage_error(error: Exception, arguments: list[str], as_json: bool) -> int:
    """A command line that typer could not read: its words, in our form."""
    message = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    if not message:  # `airtune models` alone: the help was printed
        return 2
    given = _given(error, arguments)
    if given is not None and repr(given) not in message:
        message = f"{message} (given: {given!r})"
    command = getattr(getattr(error, "ctx", None), "command_path", None) or "airtune"
    from airtune.grammars import AirtuneError

    shown = AirtuneError(message.replace("\n", " "), value=given, hint=f"see {command} --help")
    report_error(shown, as_json)
    return 2


def _given(error: Exception, arguments: list[str]) -> str | None:
    """The value that was given for the option that the error is about, if it is about one."""
    names = getattr(getattr(error, "param", None), "opts", [])
    for name, following in pairwise(arguments):
        if name in names:
            return following
    return None


if __name__ == "__main__":
    main()
