"""How a run in the sandbox ended: what went wrong, by kind, and in words."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airtune.engine.sandbox.limits import Kind

# How a program, or Python in it, says that it has come upon a limit: in the last line of its standard error.
_SAYS: dict[Kind, re.Pattern[str]] = {
    "memory": re.compile(
        r"MemoryError|bad_alloc|[Oo]ut of memory|not enough memory|Cannot allocate memory|Unable to allocate"
    ),
    "disk": re.compile(r"No space left on device|File too large|Disk quota"),
    "processes": re.compile(r"Resource temporarily unavailable|can't start new thread|BlockingIOError"),
    "network": re.compile(
        r"PermissionError|Permission denied|name resolution|Name or service not known|"
        r"Network is unreachable|ConnectionError|socket|URLError"
    ),
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        kind: What went wrong, or None.
        reason: That in words, one line that begins with the kind; or None.
        code: The exit code, below 0 the signal; None where the program was ended from outside.
        out: What it printed.
        err: What it printed on standard error.
        result: What it wrote to the descriptor of results.
        notes: System calls that were refused and that it lived with.
        seconds: On the wall, from start to end.
        cpu_s: Processor time of its processes, in seconds, as far as they have ended.
        peak_bytes: The most memory that one of them had.
    """

    kind: Kind | None
    reason: str | None
    code: int | None
    out: bytes
    err: bytes
    result: bytes = b""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0


def judged(report: Mapping[str, Any], said: str) -> tuple[Kind | None, str]:
    """What went wrong in a program that ended by itself: (kind or None, in words)."""
    code = report["status"]
    if code == 0:
        return None, ""
    if code == -signal.SIGSYS:
        return "forbidden system call", "of another processor's kind"
    if code == -signal.SIGXCPU:
        return "time", "its processor time is used up"
    if code == -signal.SIGXFSZ:
        return "disk", "a file grew too large"
    how = f"exited with code {code}" if code > 0 else f"was killed by {_signal(-code)}"
    for kind, words in _SAYS.items():
        if words.search(said) and (kind != "network" or report["network"]):
            tried = f"{', '.join(report['network'])}; " if kind == "network" else ""
            return kind, f"{tried}the program {how}: {said}"
    if report["full"]:
        return "disk", f"its scratch folder is full, and the program {how}: {said}"
    return "crash", f"the program {how}" + (f": {said}" if said else "")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(err: bytes) -> str:
    """The last line that says anything."""
    lines = [line.strip() for line in err[-4000:].decode("utf-8", "replace").replace("\r", "\n").split("\n")]
    return next((line for line in reversed(lines) if line), "")
