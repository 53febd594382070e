"""`airtune tune --program-space`: what evaluates the programs of a program space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airtune.engine.types import Task
    from airtune.grammars import AirtuneError, FreeProgram, ProgramSpace

_EXAMPLE = "airtune tune --program-space pipeline_regression --data prices.csv --target price --score mse"


def task_of_programs(
    space: str | None,
    data: Path | None,
    target: str | None,
    score: str | None,
    command: str | None,
    objective: str | None,
    *,
    others: Mapping[str, object],
    here: bool,
) -> Task:
    """The task that the options describe.

    Args:
        space: Of --program-space.
        data: Of --data.
        target: Of --target.
        score: Of --score.
        command: Of --command.
        objective: Of --objective.
        others: Options that name another task, and their values.
        here: Whether a command's program is on this machine.

    Raises:
        AirtuneError: If they describe none, or more than one.
    """
    from airtune.grammars import free_program, program_space

    if space is None:
        option, value = ("--target", target) if target is not None else ("--score", score)
        raise _refused(
            f"{option} was given without a program space", value, "--program-space NAME|FILE", _EXAMPLE
        )
    for option, other in others.items():
        if other is not None:
            raise _refused(
                f"{option} and --program-space were both given: there must be one task", str(other),
                "one of TASK, --space, --program-space", f"leave {option} out",
            )  # fmt: skip
    given = {"--data": data, "--command": command, "--objective": objective}
    named = [option for option, value in given.items() if value is not None]
    if len(named) != 1:
        raise _refused(
            f"{' and '.join(named)} were both given" if named else
            f"the program space {space!r} was given, but nothing to evaluate its programs with", named or space,
            "one of --data FILE, --command '... {program}', --objective MODULE:ATTRIBUTE", _EXAMPLE,
        )  # fmt: skip
    for option, value in {"--target": target, "--score": score}.items():
        if data is None and value is not None:
            raise _refused(
                f"{option} was given without --data", value, f"{option} with --data", f"leave {option} out"
            )
    if space.endswith(".free"):
        if data is None:
            raise _refused(
                "free programs are evaluated with --data only, which runs them in the sandbox", named[0],
                "--data FILE --score mse|mae|error", "or a program space (*.space)",
            )  # fmt: skip
        return _of_data(Path(space).stem, free_program(space), data, target, score)
    programs = program_space(Path(space))  # a file, also where an equals sign is in its name
    if data is not None:
        return _of_data(Path(space).stem, programs, data, target, score)
    from airtune.engine import Task, command_objective, load_objective
    from airtune.engine.evaluation.programs import SourceObjective

    if command is not None:
        program = command_objective(command, programs.space)
        if here:
            program.check()
        return Task(command, programs.space, program)
    called = str(objective)
    return Task(called, programs.space, SourceObjective(programs, load_objective(called)))


def _of_data(
    name: str, programs: ProgramSpace | FreeProgram, path: Path, target: str | None, score: str | None
) -> Task:
    from airtune.engine import Sandbox
    from airtune.engine.evaluation.program_script import loading_with_airtune
    from airtune.engine.evaluation.programs import SCORES, program_task
    from airtune.engine.evaluation.tables import read_data

    if score is None:
        said = ", ".join(f"{key} ({one.words})" for key, one in SCORES.items())
        raise _refused(
            "how predictions are scored was not said", None, f"--score with one of {said}",
            "add --score mse for numbers, --score error for classes",
        )  # fmt: skip
    read = read_data(path, target, score)
    stem = path.name.partition(".")[0].encode("utf-8", "replace").decode()  # names need not be in UTF-8
    return program_task(
        f"{name}/{stem}-{read.digest[:8]}",  # another table is another task
        programs,
        read.data,
        Sandbox(),
        metric=f"validation {score}",
        description=f"Write the program that learns best: {read.words}. The loss is the {SCORES[score].words} of its "
        "predictions for the validation rows.",
        loading=loading_with_airtune(
            "the file that was given to --data",
            "from airtune.engine.evaluation.tables import read_again",
            f"read_again(os.environ.get('AIRTUNE_DATA', {path.name!r}), {target!r}, {score!r}, {read.digest!r})",
        ),
        score=score,
    )


def _refused(message: str, value: object, allowed: str, hint: str) -> AirtuneError:
    from airtune.grammars import AirtuneError

    return AirtuneError(message, value=value, allowed=allowed, hint=hint)
