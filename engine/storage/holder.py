"""Who holds a lease: a process, told apart from a later one of its number, and from those of other containers."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# The PID namespace that is no container's; its number is part of the kernel (PROC_PID_INIT_INO).
_OF_THE_MACHINE = "pid:[4026531836]"
_UNKNOWN = "?"  # the place of a process on a Linux that does not tell


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that may write to a study.

    Attributes:
        host: Name of its machine, for people: another container may share it, and this one have another tomorrow.
        pid: Its number, which means it in its own PID namespace only.
        place: Where that is: "machine/boot/PID namespace/time namespace"; "" where there is no /proc (macOS).
        start: When it was started, by the clock of that place.
    """

    host: str
    pid: int
    place: str
    start: str

    @classmethod
    def me(cls) -> Self:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _place(), process_start(os.getpid()) or "")

    @classmethod
    def stored(cls, host: str, pid: int, started: str) -> Self:
        """The inverse of `row`."""
        place, _, start = started.rpartition("/")
        return cls(host, pid, place, start)

    @property
    def row(self) -> tuple[str, int, str]:
        """As a study file keeps it: host, pid, started."""
        return self.host, self.pid, f"{self.place}/{self.start}".removeprefix("/")

    @property
    def is_near(self) -> bool:
        """Whether its number means it here, too: the same boot and namespaces, whatever the host is called.

        Without /proc the host's name has to do.
        """
        here = _place()
        return self.place == here != _UNKNOWN and bool(here or self.host == socket.gethostname())

    def is_gone(self) -> bool:
        """Whether the process is known to have ended; one that cannot be seen from here is not."""
        if self.is_near:
            return process_start(self.pid) not in ("", self.start)
        return self._is_of_an_earlier_boot()

    def _is_of_an_earlier_boot(self) -> bool:
        """Whether it ran on this very machine, in no container, before the machine was started anew.

        A container's machine identity says nothing: it is that of its image.
        """
        then, now = self.place.split("/"), _place().split("/")
        if min(len(then), len(now)) < 3 or self.host != socket.gethostname():
            return False
        here = then[0] == now[0] != "" and then[2] == now[2] == _OF_THE_MACHINE
        return here and then[1] != now[1]


def _place() -> str:
    """See `Holder.place`; of this process."""
    spaces = ["/proc/self/ns/pid", "/proc/self/ns/time"]  # Linux 5.6 is the first with the latter
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        inside = [os.readlink(space) for space in spaces if os.path.lexists(space)]
    except OSError:
        return _UNKNOWN if sys.platform == "linux" else ""
    machine = ""
    with contextlib.suppress(OSError, UnicodeError):  # many containers have none
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip().replace("/", "")
    return "/".join([machine, boot, *inside]) if inside else _UNKNOWN


def process_start(pid: int) -> str | None:
    """When a process of this PID namespace was started; None if it has ended, "" if that cannot be seen."""
    try:
        os.kill(pid, 0)  # asks the kernel about this namespace, whichever /proc shows
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:  # it is another user's
        pass
    try:
        shown = os.readlink("/proc/self")
    except OSError:
        return _start_by_ps(pid)
    if pid == os.getpid():
        pid = int(shown)
    elif shown != str(os.getpid()):  # /proc is that of another namespace
        return ""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # hidden from this user (hidepid), or it ends just now
        return ""
    # proc(5): the name, in brackets, may hold anything; after it come the state and, 20th, the start.
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


def _start_by_ps(pid: int) -> str | None:
    """Without /proc (macOS): ps tells to the second, in words; empty output means no such process."""
    try:
        shown = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
            env={"LC_ALL": "C"},
        )
    except OSError:
        return ""
    return shown.stdout.strip() or None
