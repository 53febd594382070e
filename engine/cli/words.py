"""Errors speak Python, whose calls raise them; on the command line they name its options instead."""

from __future__ import annotations

import re

# Arguments of Python calls, as hints write them (`jobs=4`, `new=True`, `path=`), and the options that they are here.
OPTIONS = {
    "allow_network": "--allow-network",
    "asynchronous": "--async",
    "backend": "--backend",
    "budget": "--budget",
    "data": "--data",
    "jobs": "--jobs",
    "keep_going": "--keep-going",
    "level": "--level",
    "model": "--model",
    "name": "--study-name",
    "new": "--new",
    "other": "--other-name",
    "path": "--study",
    "proposer": "--proposer",
    "take_over": "--take-over",
    "timeout_s": "--timeout",
    "to": "--to",
}
_ARGUMENT = re.compile(rf"(?<![\w+-])({'|'.join(OPTIONS)})=(True\b|'[^']*'|[\w.+-]+)?")


def as_options(text: str | None, command: str = "tune") -> str | None:
    """What an error allows or proposes, in the words of the command line.

    Args:
        text: The words.
        command: Which one it was: all but `tune` are given the study file by itself, without an option.

    >>> as_options("choose another file (path=), or say jobs=4, proposer='lm' or new=True")
    'choose another file (--study), or say --jobs 4, --proposer lm or --new'
    >>> as_options("choose another file (path=)", "show")
    'choose another file'
    """
    if text is not None and command != "tune":
        text = text.replace(" (path=)", "")

    def option(match: re.Match[str]) -> str:
        name, value = OPTIONS[match.group(1)], match.group(2)
        return name if value in (None, "True") else f"{name} {value.strip(chr(39))}"

    return None if text is None else _ARGUMENT.sub(option, text)
