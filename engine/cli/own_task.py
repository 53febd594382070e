"""The task of `airtune tune --space`: the user's search space, and what to evaluate in it."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airtune.engine import Task


def own_task(
    task: str | None,
    space: Path | None,
    command: str | None,
    objective: str | None,
    data: Path | None,
    *,
    here: bool,
) -> Task:
    """The one task that the options describe; a command's program is looked for where it runs `here`.

    Raises:
        AirtuneError: If they describe none, or more than one.
    """
    from airtune import engine
    from airtune.grammars import AirtuneError, read_space

    given = {"TASK": task, "--command": command, "--objective": objective}
    named = [option for option, value in given.items() if value is not None]
    example = "airtune tune sklearn/svm/digits"
    if data is not None:
        example = f"airtune tune --program-space NAME --data {quote(str(data))} --target COLUMN --score mse|mae|error"
    own = "airtune tune --space space.json --command 'python train.py --lr {lr}'"
    if len(named) != 1:
        said = f"{' and '.join(named)} were both given" if named else "no task was given"
        if space is not None and not named:
            said = f"the space {str(space)!r} was given, but nothing to evaluate in it"
        raise AirtuneError(
            f"{said}: there must be one task", value=named,
            allowed="one of TASK, --command, --objective" + ("" if space is not None else ", --program-space"),
            hint=f"for example {own if space is not None else example}",
        )  # fmt: skip
    if space is None:
        raise AirtuneError(
            f"{named[0]} was given without a search space", value=named[0],
            allowed="--space FILE.json", hint=f"for example {own}",
        )  # fmt: skip
    if data is not None:
        raise AirtuneError(
            "--data was given with a search space of numbers and choices", value=str(data),
            allowed="--data with --program-space, or with a bundled task that needs data",
            hint="let the objective read its data itself",
        )  # fmt: skip
    if task is not None and ":" not in task:
        raise AirtuneError(
            f"task {task!r} brings its own search space, and --space was given too", value=task,
            allowed="a bundled task without --space, or module:attribute with --space",
            hint="leave --space out",
        )  # fmt: skip
    searched = read_space(space)
    if command is not None:
        program = engine.command_objective(command, searched)
        if here:
            program.check()
        return engine.Task(command, searched, program)
    called = objective or task or ""
    return engine.Task(called, searched, engine.load_objective(called))
