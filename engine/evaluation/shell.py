"""What is wrong with a command line before it has been run once: it needs a shell, or its program is not there."""

from __future__ import annotations

import os
import re
import shutil

from airtune.engine.types import TaskError

_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{[^{}]*\}")
# Outside of quotes, what a shell would take for its own.
_OPERATOR = re.compile(r"\d*[<>]+&?\d*|&&?|\|\|?|;|`|\$[({A-Za-z_]\w*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_BUILTIN = {"cd", "export", "source", ".", "set", "unset", "ulimit", "umask", "alias", "eval", "exec", "if", "for",
            "while"}  # fmt: skip


def refuse_shell_line(template: str, program: str) -> None:
    """Refuse a command that only a shell understands: `cd x && ...`, `FOO=1 ...`, pipes, redirections, variables.

    Args:
        template: The command line.
        program: Its first word.

    Raises:
        TaskError: If it is one; the hint is the line for `sh -c`.
    """
    bare = _PLACEHOLDER.sub("x", _QUOTED.sub("q", template))
    operator = _OPERATOR.search(bare)
    if program in _BUILTIN or _ASSIGNMENT.match(bare.lstrip()):
        found = program
    elif operator is not None:
        found = operator.group()
    else:
        return
    raise TaskError(
        f"the command needs a shell for {found!r}, and none sees it: {template}",
        value=found,
        allowed="a program and its arguments; what is in quotes is left as it is",
        hint="""sh -c 'cd run && FOO=1 python train.py --lr "$1"' sh {lr}; or quote it, if it is meant as such""",
    )


def check_program(program: str, path: str | None) -> None:
    """Refuse a program that is not there or cannot be run.

    Args:
        program: A name or a path.
        path: The folders where names are looked up, as in the environment's PATH.

    Raises:
        TaskError: If there is none that can be run.
    """
    if shutil.which(program, path=path) is not None:
        return
    if os.path.isdir(program):
        why, hint = "is a folder", "name the program in it"
    elif os.path.exists(program):
        why = "is not executable" if os.sep in program else "is not in any folder of PATH"
        hint = f"chmod +x {program}, or name what runs it: python {program}"
    elif os.sep in program:
        why, hint = "does not exist", f"paths are taken from the folder you are in, {os.getcwd()!r}"
    else:
        why, hint = "is not in any folder of PATH", "install it, or give its path"
    raise TaskError(
        f"the command's program {program!r} {why}",
        value=program,
        allowed="a program that exists and can be run",
        hint=hint,
    )
