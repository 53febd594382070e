"""Runs what it is asked to in forks of one warm process, and does to each what it is asked to.

A line of JSON on standard input is one run: what to run (`runs`), and faults: at which moment to do what. The answer
is one line of JSON, once the run and all processes that it left behind are gone. Forking from one warm process makes
a run cost milliseconds, so that many can be killed; orphans become children of this process, so that none escapes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults import runs

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000  # unshare(2)
_MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x4000, 0x40000, 2  # mount(2), umount2(2)
_LONGEST_S = 300.0  # a run, on a busy machine; more is a defect
_ORPHANS_S = 90.0  # processes that have lost their study: they may have to be loaded before they see that


def main() -> None:
    """Serve until standard input ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for line in sys.stdin:
        request = json.loads(line)
        faults = request.get("faults", [])
        runs.warm(request)
        frozen = [*request.get("frozen", []), *(path for one in faults for path in one.get("freeze", []))]
        freeze(request.get("frozen", []))
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            _become(request)
        reply = _attend(child, faults)
        reply["seconds"] = time.perf_counter() - started
        reply["left"] = _reap()
        freeze(frozen, thaw=True)
        if request.get("warms"):
            for name in json.loads(_modules(request).read_text()):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        os.write(1, (json.dumps(reply) + "\n").encode())


def _become(request: dict[str, Any]) -> None:
    """Be the run, to its end. Its output goes to files, its signals are as in a process just started."""
    code = 70
    try:
        for number, handler in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
        ):
            signal.signal(number, handler)
        for stream, name in ((0, os.devnull), (1, request["output"]), (2, request["output"])):
            file = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            os.dup2(file, stream)
            os.close(file)
        for what, most in request.get("limits", {}).items():
            resource.setrlimit(getattr(resource, what), (most, resource.RLIM_INFINITY))
        with full_disk(Path(request["path"]).parent, request.get("disk")):
            code = runs.run(request)
        if request.get("warms"):
            _modules(request).write_text(json.dumps(list(sys.modules)))
    except BaseException as error:
        print(f"uncaught {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


@contextlib.contextmanager
def full_disk(folder: Path, size: int | None) -> Iterator[None]:
    """The folder as a file system of its own with so many bytes, in a mount namespace; None leaves it as it is.

    What is in it afterwards is copied back. The exit code is 77 where this machine allows no such thing.
    """
    if size is None:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    user = 0 if os.geteuid() == 0 else _CLONE_NEWUSER
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    failed = (
        libc.unshare(_CLONE_NEWNS | user)
        or libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None)
        or libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode())
    )
    if failed:
        print(f"no file system of its own: {os.strerror(ctypes.get_errno())}")
        os._exit(77)
    for name, content in before.items():
        (folder / name).write_bytes(content)
    try:
        yield
    finally:
        after = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
        libc.umount2(os.fsencode(folder), _MNT_DETACH)
        for name in before.keys() - after.keys():
            (folder / name).unlink()
        for name, content in after.items():
            (folder / name).write_bytes(content)


def _modules(request: dict[str, Any]) -> Path:
    """Where a run leaves the names of the modules that it has loaded, for later runs to have them at their start."""
    return Path(request["log"]).with_name("modules")


def _attend(child: int, faults: list[dict[str, Any]]) -> dict[str, Any]:
    """Do the faults at their moments, each so many seconds after the one before, while the run is there."""
    ended = os.pidfd_open(child)
    done = 0
    try:
        for fault in faults:
            if select.select([ended], [], [], fault["after"])[0]:
                break
            done += _do(child, fault)
        stuck = not select.select([ended], [], [], _LONGEST_S)[0]
        if stuck:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    finally:
        os.close(ended)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "done": done, "stuck": stuck}


def _do(child: int, fault: dict[str, Any]) -> int:
    """One fault; 1, or 0 where there was nothing to do it to. Numbers of processes cannot be others' meanwhile."""
    if "signal" in fault:
        others = _descendants(child) if fault["whom"] != "study" else []
        chosen = others[int(fault["pick"] * len(others)) :][:1]
        whom = {"study": [child], "worker": chosen, "all": [child, *others]}[fault["whom"]]
        for pid in whom:
            # a child of the run's, which has waited for it meanwhile
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, fault["signal"])
        return int(bool(whom))
    if "freeze" in fault:
        freeze(fault["freeze"])
        return 1
    resource.prlimit(child, resource.RLIMIT_AS, (_size(child) + fault["room"], resource.RLIM_INFINITY))
    return 1


def freeze(names: list[str], *, thaw: bool = False) -> None:
    """Make files and folders, where they are there, read-only: for root, who may write to those, unchangeable."""
    for path in (Path(name) for name in names if Path(name).exists()):
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i" if thaw else "+i", path], check=True)
        else:
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IWUSR if thaw else mode & ~0o222)


def _size(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def _descendants(pid: int) -> list[int]:
    """Processes that a process has started, theirs included, in the order of their numbers."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX":
            parents[int(status.parent.name)] = int(parent)
    found = {pid}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {pid})


def _reap() -> list[int]:
    """Wait for what the run left behind; what would not end in time, and is then killed."""
    until = time.monotonic() + _ORPHANS_S
    left: list[int] = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return left
        if pid:
            continue
        for orphan in _descendants(os.getpid()):
            watched = os.pidfd_open(orphan)
            if not select.select([watched], [], [], max(0.0, until - time.monotonic()))[0]:
                left.append(orphan)
                os.kill(orphan, signal.SIGKILL)
                select.select([watched], [], [])
            os.close(watched)


if __name__ == "__main__":
    main()
