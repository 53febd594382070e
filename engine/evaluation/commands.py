"""Objectives that are command lines: a program, run for each configuration, prints the loss as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ConfigSpace import ConfigurationSpace

from airtune.engine.evaluation.answer import log_output, read_output
from airtune.engine.evaluation.result import TrialFailed
from airtune.engine.evaluation.shell import check_program, refuse_shell_line
from airtune.engine.evaluation.waiting import wait_in_turns
from airtune.engine.types import TaskError
from airtune.grammars import unknown_name
from airtune.models.environment import users_environment

if TYPE_CHECKING:
    from airtune.engine.evaluation.sandboxes import CommandSandbox
    from airtune.grammars import ProgramSpace

# What a command finds its whole configuration under, as JSON, in its environment.
CONFIG_VARIABLE = "AIRTUNE_CONFIG"
_WHOLE, _PROGRAM = "config_json", "program"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command: literal texts and names of hyperparameters in turn; `names` has those."""

    parts: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters in it, and "config_json"."""
        return self.parts[1::2]

    @property
    def is_value(self) -> bool:
        """Whether it is one hyperparameter and nothing else."""
        return len(self.parts) == 3 and not self.parts[0] and not self.parts[2]

    def fill(self, values: dict[str, str]) -> str:
        """The argument with the values in it; they are not looked at any more."""
        return "".join(values[part] if i % 2 else part for i, part in enumerate(self.parts))


@dataclass(frozen=True, slots=True)
class CommandObjective:
    """Evaluates configurations by running a program. Made by `command_objective`.

    Attributes:
        arguments: The program and its arguments.
        known: All hyperparameters of the space.
        timeout_s: Longest time for the program, in seconds; a `Study` has a limit of its own.
        sandbox: Where it runs; None for a plain process. A `Study` sets it: see `Evaluation`.
        programs: Whose configurations they are, if they are programs: "{program}" is the source code.
    """

    arguments: tuple[Argument, ...]
    known: tuple[str, ...]
    timeout_s: float | None = None
    sandbox: CommandSandbox | None = None
    programs: ProgramSpace | None = None

    def in_sandbox(self, sandbox: CommandSandbox | None) -> CommandObjective:
        """The same command in a sandbox, or outside of any."""
        return replace(self, sandbox=sandbox)

    def argv(self, config: dict[str, Any]) -> list[str]:
        """The argument vector for a configuration.

        An argument with an inactive hyperparameter is left out, and so is the option right before it, if that
        is one ("--depth {depth}" goes as a whole). So does one that is false or null; of one that is true the option
        alone is there, and after an option a list is several arguments. Elsewhere they are JSON ("--depth=null").
        """
        values = {name: _text(value) for name, value in config.items()}
        values.setdefault(_WHOLE, json.dumps(config))
        if self.programs is not None:
            values.setdefault(_PROGRAM, self.programs.render(config))
        argv: list[str] = []
        previous: Argument | None = None
        for argument in self.arguments:
            option = previous is not None and not previous.names and _is_option(previous.parts[0])
            value = config.get(argument.names[0], "") if option and argument.is_value else ""
            if value is None or value is False or not all(name in values for name in argument.names):
                if option:
                    argv.pop()
            elif isinstance(value, list | tuple):
                argv += map(_text, value)
            elif value is not True:
                argv.append(argument.fill(values))
            previous = argument
        return argv

    def check(self) -> None:
        """Raise a TaskError if the program does not exist on this machine or cannot be run."""
        if not self.arguments[0].names:
            check_program(self.arguments[0].parts[0], users_environment().get("PATH", os.defpath))

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        """Run the program.

        Returns:
            What the last JSON on its standard output says: "loss" and further values.

        Raises:
            TrialFailed: If it cannot be run, exits with another code than 0, takes too long, or says no loss.
        """
        argv = self.argv(config)
        environment = {**users_environment(), CONFIG_VARIABLE: json.dumps(config)}
        if self.sandbox is None:
            return read_output(self._run(argv, environment))
        ran = self.sandbox.run(argv, environment, self.timeout_s)
        printed = ran.out.decode("utf-8", "replace")
        log_output(printed + ran.err.decode("utf-8", "replace"))
        if ran.reason is not None:
            raise TrialFailed(ran.reason)
        try:
            return read_output(printed)
        except TrialFailed as error:
            raise TrialFailed(f"invalid result: {error}") from error

    def _run(self, argv: list[str], environment: dict[str, str]) -> str:
        """Run it as a plain process: its standard output."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                # Files, not pipes: a grandchild that keeps them open must not keep us waiting. A group of its
                # own only where we end it ourselves; else it stays in the worker's, which ends as a whole.
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=environment,
                    start_new_session=self.timeout_s is not None,
                )
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                raise TrialFailed(f"the command {argv[0]!r} cannot be run: {why}") from error
            try:
                if not wait_in_turns(partial(_has_ended, process), self.timeout_s):
                    raise TrialFailed(f"timed out after {self.timeout_s:g} s")
            finally:
                if process.poll() is None:
                    self._end(process)
            out.seek(0)
            err.seek(0)
            printed = out.read().decode("utf-8", "replace")
            complaints = err.read().decode("utf-8", "replace")
        # Into the evaluation's own log; the worker keeps the end of it.
        log_output(printed + complaints)
        if process.returncode:
            raise TrialFailed(_failure(process.returncode, complaints))
        return printed

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if self.timeout_s is None:
            process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def command_objective(
    template: str, space: ConfigurationSpace, *, timeout_s: float | None = None
) -> CommandObjective:
    """The objective that runs a command line, for example "python train.py --lr {lr} --depth {depth}".

    The line is split into arguments once, as a POSIX shell would, and no shell sees it; then `{name}` becomes
    that hyperparameter's value, wherever it stands and whatever it holds. `{config_json}` is the whole
    configuration as JSON, as is the environment variable AIRTUNE_CONFIG, always. `{{` and `}}` stand for
    braces. "--bn {bn}" becomes "--bn" where the value is true and nothing where it is false or null; in "--layers
    {layers}" a list becomes several arguments; "--bn={bn}" is the value as JSON. A name with spaces or quotes is
    quoted for the splitting: "--lr '{learning rate}'". Of a program space, `{program}` is the source code, as one
    argument: "python -c {program}". The last JSON on standard output, on lines of its own, is the
    result: a number, or an object with one under "loss" and further values.

    Args:
        template: The command line.
        space: Its hyperparameters can be named, and all must be unless {config_json} or AIRTUNE_CONFIG is.
        timeout_s: Longest time for the program. A `Study` has a limit of its own, which is the one to use.

    Raises:
        TaskError: If the line cannot be split, or names what is no hyperparameter, or leaves one out, or needs a shell.
    """
    from airtune.grammars import programs_of

    names = tuple(space)
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise TaskError(
            f"the command cannot be split into arguments: {error}: {template}",
            value=template,
            allowed="quotes that are closed, as in a shell",
            hint="quote with '...' inside the command",
        ) from error
    if not words:
        raise TaskError(
            "the command is empty",
            value=template,
            allowed="a program and its arguments",
            hint="for example --command 'python train.py --lr {lr}'",
        )
    refuse_shell_line(template, words[0])
    programs = programs_of(space)
    whole = [_WHOLE] if programs is None else [_PROGRAM, _WHOLE]
    arguments = tuple(_parse(word, (*names, *whole), template) for word in words)
    used = {name for argument in arguments for name in argument.names}
    left_out = [name for name in names if name not in used]
    if left_out and used.isdisjoint(whole) and CONFIG_VARIABLE not in template:
        several = f", and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        every = " or ".join(f"{{{name}}}" for name in whole)
        raise TaskError(
            f"the command does not use {', '.join(map(repr, left_out[:5]))}{several}: {template}",
            value=left_out[0],
            allowed=f"every hyperparameter as {{name}}, or all at once: {every} or ${CONFIG_VARIABLE}",
            hint=f"add {' '.join('{' + name + '}' for name in left_out[:5])}, or {{{whole[0]}}}"
            if programs is None
            else f"add {{{_PROGRAM}}}: the source code as one argument",
        )
    return CommandObjective(arguments, names, timeout_s, programs=programs)


def _has_ended(process: subprocess.Popen[bytes], seconds: float | None) -> bool:
    """Whether the process ends within so many seconds; None waits until it does."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _parse(word: str, names: Iterable[str], template: str) -> Argument:
    known = sorted({*names}, key=len, reverse=True)
    token = re.compile(r"\{\{|\}\}|\{(" + "|".join(map(re.escape, known)) + r")\}|[{}]")
    parts, start = [""], 0
    for match in token.finditer(word):
        parts[-1] += word[start : match.start()]
        start = match.end()
        if match.group(1) is not None:
            parts += [match.group(1), ""]
        elif len(match.group()) == 2:
            parts[-1] += match.group()[0]
        else:
            raise _bad_brace(word, match, names, template)
    parts[-1] += word[start:]
    return Argument(tuple(parts))


def _bad_brace(word: str, match: re.Match[str], names: Iterable[str], template: str) -> TaskError:
    shown = ", ".join("{" + name + "}" for name in names)
    closed = re.match(r"\{([^{}]*)\}", word[match.start() :])
    if closed:
        name = closed.group(1)
        _, _, hint = unknown_name("hyperparameter", name, names)
        if not hint.startswith("did you mean"):
            hint = f"use one of {shown}; write {{{{ and }}}} for braces that are meant as such"
        message = f"the command names {name!r}, which is no hyperparameter of the space: {template}"
        return TaskError(message, value=name, allowed=shown, hint=hint)
    return TaskError(
        f"the command has a single {match.group()!r} in {word!r}: {template}",
        value=word,
        allowed=f"{shown}; {{{{ and }}}} for braces that are meant as such",
        hint="double the brace, or put a name with spaces in quotes: '{learning rate}'",
    )


def _is_option(text: str) -> bool:
    """Whether an argument is an option without a value: "--depth" or "-d", not "--depth=3", "-" or "-1"."""
    return bool(re.fullmatch(r"--?[A-Za-z][^=]*", text))


def _text(value: object) -> str:
    """A value as a command's argument: numbers as Python writes them, texts as they are."""
    return value if isinstance(value, str) else json.dumps(value)


def _failure(code: int, complaints: str) -> str:
    if code < 0:
        try:
            how = f"the command was killed by {signal.Signals(-code).name}"
        except ValueError:
            how = f"the command was killed by signal {-code}"
    else:
        how = f"the command exited with code {code}"
    lines = [line.strip() for line in complaints.replace("\r", "\n").split("\n") if line.strip()]
    return f"{how}: {lines[-1]}" if lines else how
