"""`airtune doctor --offline`: a study in an empty network namespace, and a watch over every socket that it tries."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airtune.engine.doctor.checks import Check

TASK, TRIALS, SECONDS = "sklearn/svm/digits", 2, 900
# The kernel's tools, from the least privileges that they need to the most.
_NAMESPACES = (["unshare", "--user", "--map-root-user", "--net"], ["unshare", "--net"])
# A system call about a socket, with the family: of the socket itself, or of an address.
_CALL = re.compile(r"\b(\w+)\(.*?(?:\b(AF_\w+)|\b(?:sa_family=)(\w+))")
_MOST_SHOWN = 3
_LOG_VARIABLE = "AIRTUNE_SOCKET_LOG"  # the file that Python's attempts are appended to


@dataclass(frozen=True, slots=True)
class Watched:
    """A command that was run under watch.

    Attributes:
        code: Its exit code.
        out: Its standard output.
        err: Its standard error.
        calls: System calls about sockets, by their family; None where strace could not be used.
        attempts: Those of other families than AF_UNIX, a line each.
        python: What Python itself was about to do with other sockets, and what names it looked up, a line each.
    """

    code: int
    out: str
    err: str
    calls: Counter[str] | None
    attempts: tuple[str, ...]
    python: tuple[str, ...]


def offline_checks(model: str = "pocket") -> Iterator[Check]:
    """Run a study without a network, and say what was shown by it and what could not be.

    Args:
        model: The model that proposes.
    """
    prefix, namespace = empty_namespace()
    yield namespace
    tracer, reason = strace()
    with tempfile.TemporaryDirectory(prefix="airtune-offline-") as folder:
        command = [sys.executable, "-m", "airtune.engine.cli.app", "tune", TASK, "--model", model]
        command += ["--budget", str(TRIALS), "--timeout", "300", "--study", "study.sqlite", "--json"]
        done = watched(command, Path(folder), prefix=prefix, tracer=tracer)
    study = _study(done, model)
    yield study
    calls = _calls(done, reason)
    yield calls
    yield _python(done)
    proofs = [check.name for check in (namespace, calls) if check.status == "ok"]
    if study.status != "ok" or done.attempts or done.python:
        yield Check("offline", "failed", "not shown: see what failed")
    elif not proofs:
        yield Check(
            "offline", "failed", "not shown: neither an empty network namespace nor strace can be used here",
            "do what the fixes above say, or run it where one of them works",
        )  # fmt: skip
    else:
        yield Check("offline", "ok", f"a study ran, and used no network: shown by {' and '.join(proofs)}")


def empty_namespace() -> tuple[list[str], Check]:
    """What runs a program in an empty network namespace, put before it; [] where none can be made. And the finding."""
    name = "network namespace"
    why = "there is no unshare (util-linux, on Linux)"
    for prefix in _NAMESPACES if shutil.which("unshare") else ():
        look = "print(open('/proc/self/net/dev').read())"
        done = subprocess.run(
            [*prefix, sys.executable, "-I", "-S", "-c", look], capture_output=True, text=True, check=False
        )
        if done.returncode:
            why = (
                done.stderr.strip().splitlines()[-1]
                if done.stderr.strip()
                else f"exit code {done.returncode}"
            )
            continue
        devices = [line.partition(":")[0].strip() for line in done.stdout.splitlines() if ":" in line]
        if devices == ["lo"]:
            return prefix, Check(name, "ok", f"{' '.join(prefix)}: no device but lo, which is down")
        why = f"the new one has devices: {', '.join(devices)}"
    fix = "run it as root, or allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
    return [], Check(name, "missing", f"none could be made: {why}", fix)


def strace() -> tuple[list[str], str]:
    """The command prefix that writes down a program's system calls about sockets, or nothing and why."""
    if shutil.which("strace") is None:
        return [], "strace is not installed"
    for quick in (["--seccomp-bpf"], []):  # stops at these calls only, where the kernel and strace can
        prefix = ["strace", "-f", *quick, "-e", "trace=network", "-s", "128"]
        done = subprocess.run(
            [*prefix, "-o", os.devnull, "true"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return prefix, ""
    return [], f"strace cannot be used here: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"


def watched(
    command: Sequence[str], folder: Path, *, prefix: Sequence[str] = (), tracer: Sequence[str] = ()
) -> Watched:
    """Run a command in a folder under watch.

    Args:
        command: The program and its arguments.
        folder: An empty folder to run it in.
        prefix: Of `empty_namespace`.
        tracer: Of `strace`.
    """
    trace, log, hook = folder / "trace.txt", folder / "python.txt", folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        f"{inspect.getsource(_watch_sockets)}\n_watch_sockets()\n", encoding="utf-8"
    )
    log.touch()
    path = os.pathsep.join(filter(None, [str(hook), os.environ.get("PYTHONPATH")]))
    traced = [*tracer, "-o", str(trace)] if tracer else []
    try:
        done = subprocess.run(
            [*prefix, *traced, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, _LOG_VARIABLE: str(log)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        code, out, err = -1, "", f"it took more than {SECONDS} s"
    calls, attempts = (None, ()) if not tracer else read_trace(trace.read_text(errors="replace"))
    return Watched(code, out, err, calls, attempts, tuple(log.read_text(encoding="utf-8").splitlines()))


def _watch_sockets() -> None:
    """Write down every use of the network that Python makes in this process; put in as sitecustomize, by its source.

    Python tells its audit hooks (PEP 578) of sockets and of look-ups of names. Native code that calls the system by
    itself is not seen here; `strace` sees it, and an empty network namespace stops it.
    """
    import os
    import sys

    unix = 1  # socket.AF_UNIX; importing socket here would be an import in every process
    used = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
    names = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")

    def hook(event, args):  # type: ignore[no-untyped-def] # its source stands alone, without imports of types
        if event == "socket.__new__" and args[1] != unix:
            tried = f"socket of family {int(args[1])}"
        elif event in used and args[0].family != unix:
            tried = f"{event.removeprefix('socket.')} {args[-1]!r}"
        elif event in names:
            tried = f"{event.removeprefix('socket.')} {args[0]!r}"
        else:
            return
        with open(os.environ["AIRTUNE_SOCKET_LOG"], "a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{os.path.basename(sys.argv[0] if hasattr(sys, 'argv') else '?')}: {tried}\n")

    sys.addaudithook(hook)


def read_trace(text: str) -> tuple[Counter[str], tuple[str, ...]]:
    """Families of the sockets in strace's output, with the number of calls; and the lines about others than AF_UNIX.

    Calls that name no family work on a socket that another call has made, and that one counts.
    """
    calls: Counter[str] = Counter()
    attempts = []
    for line in text.splitlines():
        found = _CALL.search(line)
        if found is None:
            continue
        family = found.group(2) or found.group(3)
        calls[family] += 1
        if family not in ("AF_UNIX", "AF_LOCAL", "AF_UNSPEC"):
            attempts.append(line.strip())
    return calls, tuple(attempts)


def _study(done: Watched, model: str) -> Check:
    document: dict[str, Any] = {}
    with contextlib.suppress(ValueError):  # it ended before it could say anything
        document = json.loads(done.out)
    told = [trial["status"] for trial in document.get("trials", [])].count("told")
    if done.code == 0 and told == TRIALS:
        return Check(
            "study", "ok", f"{TASK}: {TRIALS} trials, proposed by {model}, evaluated in a worker process"
        )
    said = (
        document.get("error", {}).get("message")
        or (done.err.strip().splitlines() or ["nothing was said"])[-1]
    )
    return Check(
        "study", "failed", f"exit code {done.code}: {said[:300]}", "airtune doctor says what is amiss"
    )


def _calls(done: Watched, reason: str) -> Check:
    name = "system calls"
    if done.calls is None:
        return Check(
            name, "missing", f"not looked at: {reason}", "install strace, and allow it to trace (ptrace)"
        )
    if done.attempts:
        shown = "; ".join(done.attempts[:_MOST_SHOWN])
        return Check(name, "failed", f"{len(done.attempts)} about other than Unix sockets: {shown}")
    count = sum(done.calls.values())
    return Check(name, "ok", f"strace saw {count} about sockets in all processes, Unix sockets only")


def _python(done: Watched) -> Check:
    if done.python:
        shown = "; ".join(done.python[:_MOST_SHOWN])
        return Check("python's sockets", "failed", f"{len(done.python)} tried: {shown}")
    unseen = "native code and other programs are not seen by this hook"
    return Check("python's sockets", "ok", f"none but Unix sockets, and no name looked up ({unseen})")
