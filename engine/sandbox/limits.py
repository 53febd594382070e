"""What a program in the sandbox may use, and what goes wrong with one, by kind."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from airtune.grammars import AirtuneError, unknown_name

Kind = Literal[
    "time",
    "memory",
    "disk",
    "processes",
    "output",
    "forbidden system call",
    "network",
    "crash",
    "invalid result",
]

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class SandboxError(AirtuneError):
    """A sandbox that cannot be had here, or a setting of it that cannot be."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run.

    Attributes:
        time_s: Longest time on the wall, in seconds.
        cpu_s: Longest processor time of one process, in whole seconds; None for no limit but `time_s`.
        memory_bytes: Of private memory, for one process (RLIMIT_DATA; what exceeds it is refused to the program) and
            for all of them together (looked at ten times a second; what exceeds it ends the run).
        processes: Processes and threads at a time.
        scratch_bytes: Of the scratch folder, and of the largest file; /dev/shm has as much again.
        scratch_files: Files and folders in each of the two.
        open_files: Open descriptors of one process.
        output_bytes: Of standard output and standard error together.
        result_bytes: Of the result that comes back through a descriptor.

    Raises:
        SandboxError: If one of them is none.
    """

    time_s: float = 3600.0
    cpu_s: int | None = None
    memory_bytes: int = 4 << 30
    processes: int = 256
    scratch_bytes: int = 1 << 30
    scratch_files: int = 10_000
    open_files: int = 1024
    output_bytes: int = 16 << 20
    result_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.name != "time_s"
            if value is None and field.name == "cpu_s":
                continue
            fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not fits or not 0 < value < math.inf or (whole and value >= 1 << 62):
                raise SandboxError(
                    f"the sandbox's limit {field.name}={value!r} is none",
                    value=value,
                    allowed="a whole number above 0" if whole else "seconds above 0",
                    hint="leave it out for the default",
                )


def read_settings(given: Sequence[str], limits: Limits | None = None) -> tuple[Limits, tuple[str, ...]]:
    """Settings as texts: "read=FOLDER" (may be repeated), "memory=8G", "processes=64", ...

    Args:
        given: KEY=VALUE each; the keys are those of `Limits` without their units. Sizes may end with K, M, G or T.
        limits: What is left out stays as it is in there.

    Returns:
        The limits, and the folders to be readable.

    Raises:
        SandboxError: If one is not of that form.
    """
    limits = limits or Limits()
    names = {re.sub("_(s|bytes)$", "", field.name): field.name for field in fields(Limits)}
    readable: list[str] = []
    for setting in given:
        key, equals, text = setting.partition("=")
        if key == "read" and text:
            readable.append(text)
            continue
        if key not in names or not equals:
            _, allowed, hint = unknown_name("setting of the sandbox", key, ["read", *names])
            raise SandboxError(
                f"setting {setting!r} of the sandbox is not known", value=setting,
                allowed=f"KEY=VALUE with one of {allowed}", hint=hint,
            )  # fmt: skip
        changed: dict[str, Any] = {names[key]: _number(names[key], text, setting)}
        limits = replace(limits, **changed)
    return limits, tuple(readable)


def _number(name: str, text: str, setting: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)", text.lower())
    sized = name.endswith("_bytes")
    if found is None or (found[2] and not sized) or ("." in found[1] and not sized and name != "time_s"):
        raise SandboxError(
            f"setting {setting!r} of the sandbox is no number", value=setting,
            allowed="a number above 0, of sizes also with K, M, G or T behind it", hint="for example memory=8G",
        )  # fmt: skip
    value = float(found[1]) * _UNITS[found[2]]
    return value if name == "time_s" else int(value)
