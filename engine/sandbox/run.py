"""Runs one program in the sandbox, reads what it says within bounds, and tells how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from airtune.engine.sandbox.ended import Ended, judged, last_line
from airtune.engine.sandbox.limits import Kind, Limits, SandboxError
from airtune.engine.sandbox.mounts import SCRATCH, SHARED, find_program, view
from airtune.engine.sandbox.syscalls import FAMILIES, compiled

FIX_BUBBLEWRAP = "install bubblewrap 0.7 or later: apt-get install bubblewrap, or dnf install bubblewrap"
_LAUNCH: Final = (Path(__file__).parent / "launch.py").read_text(encoding="utf-8")
_NAMESPACES = ("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup")
# What of the user's environment a program needs and no secret is in.
_HARMLESS = re.compile(r"LANG|LC_[A-Z]+|TZ|PYTHONHASHSEED|[A-Z]+_NUM_THREADS|AIRTUNE_(CONFIG|WORKER)")


def bubblewrap() -> str:
    """The path of bubblewrap.

    Raises:
        SandboxError: If it is not installed.
    """
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxError(
            "bubblewrap is not installed, and nothing is run without it", value="bwrap",
            allowed="a machine with all layers of the sandbox: see airtune doctor", hint=FIX_BUBBLEWRAP,
        )  # fmt: skip
    return found


def run_sandboxed(
    argv: Sequence[str],
    *,
    limits: Limits | None = None,
    folder: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    readable: Sequence[str] = (),
    hidden: Iterable[str] = (),
    inputs: bytes | None = None,
) -> Ended:
    """Run a program in the sandbox and wait until it, and all that it started, has ended.

    Args:
        argv: The program, by path or by name from the environment's PATH, and its arguments.
        limits: Its bounds.
        folder: Where it runs; its entries can be read, but for study files and what begins with a dot. By default
            the scratch folder, which is empty.
        environment: Of these variables it gets the harmless ones (languages, threads, AIRTUNE_CONFIG).
        readable: Further files and folders that it may read.
        hidden: Files that it may not see, wherever they lie.
        inputs: What it finds at descriptor 3, if anything; then descriptor 4 takes its result.

    Raises:
        SandboxError: If a layer of the sandbox is missing; the program has then not been run.
    """
    limits, start = limits or Limits(), bubblewrap()
    users = dict(os.environ if environment is None else environment)
    program = find_program(argv[0], users.get("PATH", os.defpath))
    where = None if folder is None else Path(folder).resolve()
    seen = view(program, where, readable, hidden, limits.scratch_bytes)
    inside = {
        **{name: value for name, value in users.items() if _HARMLESS.fullmatch(name)},
        "PATH": f"{os.path.dirname(program)}:/usr/local/bin:/usr/bin:/bin",
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
    }
    found = compiled()
    spec = {
        "argv": [program, *argv[1:]],
        "environment": inside,
        "folder": str(where or SCRATCH),
        "readable": seen.readable,
        "writable": [SCRATCH, SHARED],
        "devices": ["/dev/null", "/dev/zero", "/dev/full"],
        "bpf": found.bpf.hex(),
        "names": found.names,
        "seccomp": found.seccomp,
        "families": FAMILIES,
        "limits": {name: getattr(limits, name) for name in ("processes", "memory_bytes", "scratch_files")},
        "rlimits": _rlimits(limits),
    }
    return _Run(start, limits, seen.options, seen.contents, spec, inputs).end()


def _rlimits(limits: Limits) -> dict[str, int]:
    return {
        # One more than there may be, so that the excess is seen; and the sandbox's first process.
        "RLIMIT_NPROC": limits.processes + 2,
        "RLIMIT_DATA": limits.memory_bytes,
        "RLIMIT_FSIZE": limits.scratch_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
        **({} if limits.cpu_s is None else {"RLIMIT_CPU": limits.cpu_s}),
    }


class _Run:
    """One run: bubblewrap's process and the pipes to and from it."""

    def __init__(
        self,
        start: str,
        limits: Limits,
        options: Sequence[str],
        contents: Sequence[tuple[str, str]],
        spec: dict[str, Any],
        inputs: bytes | None,
    ) -> None:
        self._limits = limits
        self._began = time.perf_counter()
        self._read: dict[str, bytearray] = {name: bytearray() for name in ("out", "err", "report", "result")}
        self._pipes: dict[str, int] = {}
        self._stopped: tuple[Kind, str] | None = None
        with contextlib.ExitStack() as closing:  # the other process's ends

            def pipe(name: str) -> int:
                self._pipes[name], theirs = os.pipe()
                closing.callback(os.close, theirs)
                return theirs

            theirs = {name: pipe(name) for name in self._read}
            asks, self._lifeline = os.pipe()
            closing.callback(os.close, asks)
            passed = [asks, theirs["report"]]
            for path, text in contents:
                passed.append(_content(text.encode()))
                closing.callback(os.close, passed[-1])
                options = [*options, "--perms", "0444", "--ro-bind-data", str(passed[-1]), path]
            spec = {**spec, "moved": []}
            if inputs is not None:
                passed += [_content(inputs), theirs["result"]]
                closing.callback(os.close, passed[-2])
                spec["moved"] = [[passed[-2], 3], [passed[-1], 4]]
            root = os.geteuid() == 0
            command = [
                start, *_NAMESPACES, "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox",
                # In a namespace of root's own, no limit of processes would hold: launch.py makes one, as nobody.
                *(("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID") if root
                  else ("--unshare-user", "--uid", "65534", "--gid", "65534")),
                *options, "--remount-ro", "/dev", "--remount-ro", "/", "--",
                _interpreter(), "-I", "-S", "-c", _LAUNCH, str(asks), str(theirs["report"]),
            ]  # fmt: skip
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=theirs["out"], stderr=theirs["err"], pass_fds=passed,
                env={}, cwd="/",
            )  # fmt: skip
        written = json.dumps(spec).encode()
        with contextlib.suppress(BrokenPipeError):  # it has ended; the missing report tells
            message = memoryview(len(written).to_bytes(8, "big") + written)
            while message:
                message = message[os.write(self._lifeline, message) :]

    def end(self) -> Ended:
        """Wait for the end, and say what it was."""
        try:
            self._wait()
        finally:
            self._process.kill()  # and with it all of the sandbox, of which nothing is left in most cases
            self._process.wait()
            os.close(self._lifeline)
            for fd in self._pipes.values():
                os.close(fd)
        return self._ended(time.perf_counter() - self._began)

    def _wait(self) -> None:
        with selectors.DefaultSelector() as selector:
            for name, fd in self._pipes.items():
                selector.register(fd, selectors.EVENT_READ, name)
            while selector.get_map() and self._stopped is None:
                left = self._limits.time_s - (time.perf_counter() - self._began)
                if left <= 0:
                    self._stopped = ("time", f"not over after {self._limits.time_s:g} s")
                for key, _ in selector.select(max(0.0, min(left, 86_400.0))):
                    part = os.read(key.fd, 1 << 16)
                    self._read[key.data] += part
                    if not part:
                        selector.unregister(key.fd)
                self._stopped = self._stopped or self._too_much()

    def _too_much(self) -> tuple[Kind, str] | None:
        most = self._limits.output_bytes
        if len(self._read["out"]) + len(self._read["err"]) > most:
            return "output", f"more than {most} bytes were printed"
        if len(self._read["result"]) > self._limits.result_bytes:
            return "invalid result", f"it is larger than {self._limits.result_bytes} bytes"
        return None

    def _ended(self, seconds: float) -> Ended:
        out, err, result = (bytes(self._read[name]) for name in ("out", "err", "result"))
        report = json.loads(self._read["report"] or b"{}")
        if "refused" in report or not (report or self._stopped):
            raise _no_sandbox(report.get("refused") or last_line(err) or "it ended without a word")
        network = report.get("network", [])
        if "cannot_run" in report:
            self._stopped = ("crash", report["cannot_run"])
        kind, why = self._stopped or report.get("stopped") or judged(report, last_line(err))
        return Ended(
            kind=kind,
            reason=kind and f"{kind}: {why}",
            code=report.get("status"),
            out=out,
            err=err,
            result=result,
            notes=tuple(network),
            seconds=seconds,
            cpu_s=report.get("cpu_s", 0.0),
            peak_bytes=report.get("peak_bytes", 0),
        )


def _no_sandbox(said: str) -> SandboxError:
    return SandboxError(
        f"the sandbox cannot be set up here, and nothing is run without it: {said}",
        value=said,
        allowed="a machine with all layers of the sandbox",
        hint="airtune doctor tells which layer is missing, and how to get it",
    )


def _content(content: bytes) -> int:
    """A descriptor to read the content from."""
    fd = os.memfd_create("content")
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _interpreter() -> str:
    """The Python that runs the sandbox's first process: that of this process, by its real path."""
    return os.path.realpath(sys.executable)
