"""Where a layer is missing nothing is run, and the message says what to install."""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import airtune.engine.sandbox.run as run_module
from airtune.engine.sandbox import layers, mounts, syscalls
from airtune.engine.sandbox.launch import NEW_USER
from airtune.engine.sandbox.limits import Limits, SandboxError, read_settings
from airtune.engine.sandbox.run import run_sandboxed
from tests.engine.sandbox.here import needs_sandbox

WRITES = "open('/scratch/ran', 'w'); print('ran')"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Any:
    layers.require.cache_clear()
    yield
    monkeypatch.undo()
    layers.require.cache_clear()


def test_no_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="bubblewrap is not installed") as raised:
        run_sandboxed([sys.executable, "-c", WRITES])
    assert "apt-get install bubblewrap" in str(raised.value.hint)
    with pytest.raises(SandboxError, match="bubblewrap: bubblewrap is not installed") as raised:
        layers.require()
    assert "--sandbox none" in str(raised.value.allowed)
    found = {layer.name: layer for layer in layers.layers()}
    assert found["bubblewrap"].fix
    assert "whole" not in found


@pytest.mark.parametrize(("said", "why"), [("bubblewrap 0.6.1", "too old"), ("nonsense", "too old")])
def test_an_old_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, why: str) -> None:
    """Before 0.7 it cannot bound the scratch folder: a program could fill the machine's memory."""
    (tmp_path / "bwrap").write_text(f"#!/bin/sh\necho {said}\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SandboxError, match=why):
        layers.require()


def test_a_bubblewrap_that_runs_the_program_in_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever stands in for it: without a report of the sandbox's first process nothing counts as run."""
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 42\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    try:
        syscalls.compiled()
    except SandboxError:
        pytest.skip("libseccomp is missing, which is refused before")
    with pytest.raises(SandboxError, match="cannot be set up here"):
        run_sandboxed([sys.executable, "-c", WRITES])


def test_no_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, **_: object) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(syscalls.ctypes, "CDLL", missing)
    with pytest.raises(SandboxError, match="libseccomp is not installed") as raised:
        syscalls.libseccomp()
    assert "apt-get install libseccomp2" in str(raised.value.hint)


@needs_sandbox
@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("    restrict_files(", "    checked(libc.syscall(9999), 'Landlock')\n    restrict_files("),
        (
            "    listener = filter_calls(",
            "    checked(libc.syscall(9999), 'the filter')\n    listener = filter_calls(",
        ),
        ("        os.chdir(", "        checked(libc.syscall(9999), 'the folder')\n        os.chdir("),
    ],
)
def test_a_layer_that_fails_in_the_run(monkeypatch: pytest.MonkeyPatch, line: str, instead: str) -> None:
    """The real sandbox with one step that the kernel refuses: the program is not run, and the step is named."""
    assert line in run_module._LAUNCH
    monkeypatch.setattr(run_module, "_LAUNCH", run_module._LAUNCH.replace(line, instead))
    with pytest.raises(SandboxError, match=r"nothing is run without it: .*not implemented"):
        run_sandboxed([sys.executable, "-c", WRITES])


@needs_sandbox
def test_no_user_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the kernel forbids them: in a namespace that may have none below it. What is tried there is real."""
    code = (
        "import os, sys; open('/proc/sys/user/max_user_namespaces', 'w').write('0'); "
        "os.execvp('bwrap', ['bwrap', *sys.argv[1:]])"
    )
    shell = f'exec unshare --user --map-root-user {sys.executable} -c "{code}" --unshare-user "$@"'
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bwrap").write_text(
            f'#!/bin/sh\nPATH=/usr/bin:/bin\n[ "$1" = --version ] && exec bwrap "$@"\n{shell}\n'
        )
        Path(folder, "bwrap").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        with pytest.raises(SandboxError, match="namespaces: none can be made") as raised:
            layers.require()
    assert "kernel.unprivileged_userns_clone" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("memroy=1G", "did you mean 'memory'"),
        ("memory", "KEY=VALUE"),
        ("memory=much", "no number"),
        ("processes=1.5", "no number"),
        ("processes=1G", "no number"),
        ("memory=0", "above 0"),
        ("time=-1", "no number"),
    ],
)
def test_settings_that_are_none(given: str, why: str) -> None:
    with pytest.raises(SandboxError, match=re.escape(why)):
        read_settings([given])


def test_settings() -> None:
    limits, readable = read_settings(
        ["memory=1.5G", "read=/data", "processes=3", "time=0.5", "read=more", "cpu=7"]
    )
    assert limits == Limits(memory_bytes=3 << 29, processes=3, time_s=0.5, cpu_s=7)
    assert readable == ("/data", "more")
    kept, _ = read_settings([], replace(limits, processes=4))
    assert kept.processes == 4


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1", float("nan"), float("inf"), 1 << 62])
def test_limits_that_are_none(value: Any) -> None:
    with pytest.raises(SandboxError):
        Limits(memory_bytes=value)
    if value != 1.5 and value != 1 << 62:
        with pytest.raises(SandboxError):
            Limits(time_s=value)


def test_folders_that_are_no_programs_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for folder in (tmp_path / "home", tmp_path, Path("/"), Path("/usr/lib")):
        with pytest.raises(SandboxError, match="the folder that it is run in"):
            mounts.view(sys.executable, folder, (), (), 1)
    crowded = tmp_path / "home/crowded"
    crowded.mkdir()
    for number in range(mounts.MOST_ENTRIES + 1):
        (crowded / str(number)).touch()
    with pytest.raises(SandboxError, match="1001 entries"):
        mounts.view(sys.executable, crowded, (), (), 1)
    with pytest.raises(SandboxError, match="does not exist"):
        mounts.view(sys.executable, None, (str(tmp_path / "none"),), (), 1)


def test_no_call_is_both_allowed_and_ending() -> None:
    assert not set(syscalls.ALLOWED) & set(syscalls.ENDING)
    assert NEW_USER in syscalls._NAMESPACES
    dangerous = {"io_uring_setup", "memfd_create", "shmget", "clone3", "ptrace", "mount", "unshare", "bpf"}
    assert not dangerous & set(syscalls.ALLOWED)
