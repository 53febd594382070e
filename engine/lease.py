"""Who is writing: a process told apart from any later one that gets its number."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that may write to a study.

    Attributes:
        host: Name of its machine.
        pid: Its number there.
        started: When it was started, in whatever form the machine tells; with the boot, where that is known.
    """

    host: str
    pid: int
    started: str

    @classmethod
    def me(cls) -> Self:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), process_start(os.getpid()) or "")

    def is_gone(self) -> bool:
        """Whether the process is known to have ended. One on another machine is not known to."""
        return self.host == socket.gethostname() and process_start(self.pid) != self.started


def process_start(pid: int) -> str | None:
    """When a process of this machine was started, or None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # proc(5): the name, in brackets, may hold anything; after it come the state and, 20th, the start.
        state, *rest = stat.rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return None if state in "ZX" else f"{boot}:{rest[18]}"
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    # Without /proc (macOS): ps tells to the second, in words; empty output means no such process.
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    return shown.stdout.strip() or None
