"""The sandbox's first process: `python -I -S -c THIS SPEC_FD STATUS_FD`, run by its source inside of bubblewrap.

It drops root's rights if it has them, starts the program behind resource limits, Landlock and the filter of system
calls, watches over what all processes use together, and says at the end how it went. As process 1 of its namespace it
can neither be stopped nor killed by the program, and everything in the sandbox ends with it. Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

TICK_MS = 100  # between two looks at memory, processes and files
NOBODY = 65534
# linux/prctl.h, sched.h, seccomp.h
PDEATHSIG, DUMPABLE, NO_NEW_PRIVS, NEW_USER, SET_FILTER, NEW_LISTENER = 1, 4, 38, 0x10000000, 1, 8
RECEIVE, ANSWER = 0xC0502100, 0xC0182101
# struct seccomp_notif: id, pid, flags; of the call: number, arch, address, arguments
CALL = struct.Struct("=QIIiIQ6Q")
REPLY = struct.Struct("=QqiI")  # struct seccomp_notif_resp: id, value, error, flags
# linux/landlock.h; the calls have these numbers on every processor.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE, READ, READ_DIR, DEVICES = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 6 | 1 << 11
FILE_RIGHTS = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    5: (1 << 16) - 1,
}  # by the first ABI to know them
ON_FILES = EXECUTE | WRITE | READ | 1 << 14 | 1 << 15  # what a rule for a file, not a folder, may name
NET_ABI, NET_RIGHTS, SCOPE_ABI, SCOPES = 4, 3, 6, 3

libc = ctypes.CDLL(None, use_errno=True)


class CannotRun(Exception):
    """The program is none: its own fault, not the sandbox's."""


def checked(done: int, what: str) -> int:
    """The result of a call of the C library; an OSError if it is below 0."""
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return done


def drop_root() -> None:
    """Become nobody in a user namespace of one's own, so that limits hold and root's files are not ours."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    libc.prctl(DUMPABLE, 1, 0, 0, 0)  # else /proc/self is root's
    libc.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # forgotten by the kernel with the change of user
    checked(libc.unshare(NEW_USER), "a user namespace cannot be made")
    for name, text in (("setgroups", "deny"), ("uid_map", "65534 65534 1"), ("gid_map", "65534 65534 1")):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def restrict_files(readable: list[str], writable: list[str], devices: list[str]) -> None:
    """Landlock: reads below some paths, writes below others, nothing else; no TCP; no signals to outside of it."""
    abi = checked(libc.syscall(CREATE_RULESET, None, 0, 1), "Landlock")
    rights = max(value for first, value in FILE_RIGHTS.items() if first <= abi)
    attributes = struct.pack("=QQQ", rights, NET_RIGHTS, SCOPES)
    # what an older kernel does not know is not told it
    size = 24 if abi >= SCOPE_ABI else 16 if abi >= NET_ABI else 8
    ruleset = checked(libc.syscall(CREATE_RULESET, attributes, size, 0), "Landlock's rules")
    look, use = EXECUTE | READ | READ_DIR, READ | WRITE | 1 << 15
    for paths, allowed in (readable, look), (writable, rights & ~DEVICES), (devices, use):
        for path in paths:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            right = allowed if os.path.isdir(path) else allowed & ON_FILES
            rule = struct.pack("=Qi", right & rights, fd)
            checked(libc.syscall(ADD_RULE, ruleset, 1, rule, 0), f"Landlock's rule for {path}")
            os.close(fd)
    checked(libc.syscall(RESTRICT_SELF, ruleset, 0), "Landlock's restriction")
    os.close(ruleset)


def filter_calls(bpf: bytes, number: int) -> int:
    """Install the filter of system calls in this process and what it starts; the descriptor that reports arrive at."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    program = Program(len(bpf) // 8, bpf)
    return checked(
        libc.syscall(number, SET_FILTER, NEW_LISTENER, ctypes.byref(program)), "the filter of system calls"
    )


def start(spec: dict[str, Any]) -> tuple[int, int]:
    """Start the program: its PID, and the descriptor at which refused system calls are reported.

    Raises:
        OSError: If a layer cannot be put around it.
        CannotRun: If it cannot be run.
    """
    ours, theirs = socket.socketpair()
    failed, low = os.pipe()
    failing = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 100)  # closed by a successful exec
    os.close(low)
    pid = os.fork()
    if pid == 0:
        try:
            become(spec, theirs, failing)
        except BaseException as error:
            mark = "!" if isinstance(error, CannotRun) else " "
            os.write(failing, (mark + str(getattr(error, "strerror", None) or error)).encode()[:500])
        os._exit(127)
    theirs.close()
    os.close(failing)
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    why = b"".join(iter(lambda: os.read(failed, 1000), b"")).decode("utf-8", "replace")
    if why:
        raise CannotRun(why[1:]) if why[0] == "!" else OSError(0, why[1:])
    ours.close()
    os.close(failed)
    return pid, fds[0]


def become(spec: dict[str, Any], report: socket.socket, failing: int) -> NoReturn:
    """In the new process: put on all limits, and become the program.

    Args:
        spec: What is to be run.
        report: Where the descriptor of refused system calls is sent to.
        failing: Where `start` writes what goes wrong in here; above 99.
    """
    os.setsid()
    far = [(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100), to) for fd, to in spec["moved"]]
    channel = socket.socket(fileno=fcntl.fcntl(report.fileno(), fcntl.F_DUPFD_CLOEXEC, 100))
    for fd, to in far:
        os.dup2(fd, to)
    keep = sorted({0, 1, 2, *(to for _, to in far), channel.fileno(), failing})
    for low, high in zip(keep, [*keep[1:], 1 << 20], strict=True):
        os.closerange(low + 1, high)
    for name, value in spec["rlimits"].items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # Two seconds more until the kernel kills: a program may learn that its time is up.
        resource.setrlimit(kind, (most, most + 2 if name == "RLIMIT_CPU" else most))
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    checked(libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    restrict_files(spec["readable"], spec["writable"], spec["devices"])
    listener = filter_calls(bytes.fromhex(spec["bpf"]), spec["seccomp"])
    socket.send_fds(channel, [b"1"], [listener])
    channel.close()
    os.close(listener)
    try:
        os.execve(spec["argv"][0], spec["argv"], spec["environment"])
    except OSError as error:
        raise CannotRun(f"the program {spec['argv'][0]!r} cannot be run: {error.strerror}") from error


class Watch:
    """Looks at what all processes use together."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._limits = spec["limits"]
        self._folders = spec["writable"]
        self._page = resource.getpagesize()
        self.full = False

    def look(self) -> tuple[str, str] | None:
        """What is used beyond its limit: (kind, in words); None if nothing is."""
        tasks = resident = 0
        found = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        for name in found:
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    after = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it has just ended
            tasks += int(after[17])
            resident += int(after[21]) * self._page
        if tasks > self._limits["processes"]:
            return "processes", f"more than {self._limits['processes']} processes and threads at a time"
        most = self._limits["memory_bytes"]
        # Pages that are shared count once for each process here: exact, and slow, only where it may matter.
        if resident > most and sum(map(self._private, found)) > most:
            return "memory", f"its processes together used more than {most >> 20} MiB"
        for folder in self._folders:
            there = os.statvfs(folder)
            self.full = self.full or there.f_bfree == 0
            if there.f_files - there.f_ffree > self._limits["scratch_files"]:
                return "disk", f"more than {self._limits['scratch_files']} files in {folder}"
        return None

    def _private(self, name: str) -> int:
        """A process's memory in bytes but for files, shared pages divided among those that share them."""
        try:
            with open(f"/proc/{name}/smaps_rollup", encoding="utf-8") as file:
                lines = dict(line.split(":", 1) for line in file.read().splitlines()[1:])
            return sum(int(lines[key].split()[0]) << 10 for key in ("Pss_Anon", "Pss_Shmem"))
        except (OSError, KeyError, ValueError):
            return 0


def refused(listener: int, spec: dict[str, Any]) -> tuple[int, str]:
    """Take one report of a refused system call: (the number to answer it by, its name with what tells it apart)."""
    told = bytearray(CALL.size)
    fcntl.ioctl(listener, RECEIVE, told, True)
    identity, _, _, number, _, _, *arguments = CALL.unpack(told)
    name = spec["names"].get(str(number), f"number {number}")
    if name == "socket":
        name = f"socket({spec['families'].get(str(arguments[0] & 0xFFFFFFFF), 'unknown')})"
    return identity, name


def supervise(spec: dict[str, Any], pid: int, listener: int, lifeline: int) -> dict[str, Any]:
    """Wait until the program ends or must be ended: the report."""
    watch, network = Watch(spec), []
    poll = select.poll()
    ended = os.pidfd_open(pid)
    for fd in (lifeline, listener, ended):
        poll.register(fd, select.POLLIN)
    status, stopped = None, None
    while status is None and stopped is None:
        for fd, events in poll.poll(TICK_MS):
            if fd == lifeline:
                os._exit(1)  # whoever asked for this has gone
            if fd == listener and events & select.POLLIN:
                try:
                    identity, name = refused(listener, spec)
                    if not name.startswith("socket("):
                        stopped = ("forbidden system call", name)
                        break
                    network.append(name)
                    fcntl.ioctl(listener, ANSWER, REPLY.pack(identity, 0, -13, 0))  # EACCES
                except OSError:
                    continue  # the process has been killed meanwhile
            elif fd == listener:
                poll.unregister(listener)  # nobody is left who could report
        stopped = stopped or watch.look()
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                status = os.waitstatus_to_exitcode(found[1]) if found[0] == pid else status
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "status": status,
        "stopped": stopped,
        "network": sorted(set(network)),
        "full": watch.full,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss << 10,
    }


def read(fd: int, size: int) -> bytes:
    """So many bytes; the process ends where whoever writes them has gone."""
    with open(fd, "rb", buffering=0, closefd=False) as file:
        parts = b""
        while len(parts) < size:
            parts += file.read(size - len(parts)) or os._exit(1)
    return parts


def main(spec_fd: int, status_fd: int) -> None:
    """Do all of it; the process then ends, and everything in the sandbox with it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        spec = json.loads(read(spec_fd, int.from_bytes(read(spec_fd, 8), "big")))
        if os.geteuid() == 0:
            drop_root()
        with open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file:
            file.write("1000")  # where the machine itself runs out of memory, this goes first
        os.chdir(spec["folder"])
        pid, listener = start(spec)
        report = supervise(spec, pid, listener, spec_fd)
    except CannotRun as error:
        report = {"cannot_run": str(error)}
    except BaseException as error:
        report = {"refused": str(getattr(error, "strerror", None) or error)}
    os.write(status_fd, json.dumps(report).encode())
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
