"""Which layers of the sandbox this machine has: each is tried, and the last test is a program in all of them."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from airtune.engine.sandbox.launch import CREATE_RULESET
from airtune.engine.sandbox.limits import Limits, SandboxError
from airtune.engine.sandbox.run import FIX_BUBBLEWRAP, bubblewrap, run_sandboxed
from airtune.engine.sandbox.syscalls import compiled, libseccomp

OLDEST_BUBBLEWRAP = (0, 7)  # the first to bound the size of a scratch folder
_FIX_NAMESPACES = (
    "allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 (Debian), "
    "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24), user.max_user_namespaces=10000 (Red Hat); in a "
    "container also --security-opt seccomp=unconfined; or run as root"
)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    Attributes:
        name: What.
        detail: What was found, or what is wrong.
        fix: How to get it; None if it is there.
    """

    name: str
    detail: str
    fix: str | None = None


def layers() -> Iterator[Layer]:
    """Try them one after the other; what needs one that is missing is not tried."""
    tests: tuple[tuple[str, Callable[[], str]], ...] = (
        ("bubblewrap", _bubblewrap),
        ("namespaces", _namespaces),
        ("seccomp", _seccomp),
        ("landlock", _landlock),
        ("whole", _whole),
    )
    missing = False
    for name, test in tests:
        if missing and name in ("namespaces", "whole"):
            continue
        try:
            yield Layer(name, test())
        except SandboxError as error:
            missing = True
            yield Layer(name, error.message, error.hint or "")


@lru_cache(maxsize=1)
def require() -> None:
    """Raise a SandboxError that names the first layer that is missing, and what to install."""
    for layer in layers():
        if layer.fix is not None:
            raise SandboxError(
                f"the sandbox lacks a layer, and nothing is run without it: {layer.name}: {layer.detail}",
                value=layer.name,
                allowed="all of bubblewrap, namespaces, seccomp and Landlock (airtune doctor lists them), or the "
                "explicit choice to run without: --sandbox none",
                hint=layer.fix,
            )


def _bubblewrap() -> str:
    if platform.system() != "Linux":
        raise SandboxError(
            "the sandbox is made of Linux's own parts", hint="run it on Linux, or in a virtual machine"
        )
    path = bubblewrap()
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)\.?\d*", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_BUBBLEWRAP:
        raise SandboxError(
            f"{path} is {said.strip() or 'of no version'}, which is too old", value=said, hint=FIX_BUBBLEWRAP
        )
    return f"{found.group()} ({path})"


def _namespaces() -> str:
    """A process in new ones."""
    command = [
        bubblewrap(),
        "--unshare-all",
        "--ro-bind",
        "/",
        "/",
        "--",
        sys.executable,
        "-I",
        "-S",
        "-c",
        "",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise SandboxError(f"none can be made: {said}", value=said, hint=_FIX_NAMESPACES)
    return "user, PID, network, IPC, UTS and cgroup namespaces can be made"


def _seccomp() -> str:
    _, version = libseccomp()
    return f"libseccomp {version}, a filter of {len(compiled().bpf) // 8} instructions"


def _landlock() -> str:
    abi = ctypes.CDLL(None, use_errno=True).syscall(CREATE_RULESET, None, 0, 1)
    if abi < 1:
        why = os.strerror(ctypes.get_errno())
        raise SandboxError(
            f"the kernel ({platform.release()}) does not offer it: {why}", value=platform.release(),
            hint="use Linux 5.13 or later, with landlock in the kernel's list of security modules: lsm=landlock,...",
        )  # fmt: skip
    return f"ABI {abi}"


def _whole() -> str:
    ended = run_sandboxed([sys.executable, "-I", "-c", "print(6 * 7)"], limits=Limits(time_s=60))
    if ended.out != b"42\n":
        said = ended.reason or repr(ended.out[:100])
        raise SandboxError(f"a program in all of them did not end well: {said}", value=said, hint="")
    return "a program ran in all of them"
