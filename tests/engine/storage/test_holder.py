"""Whether a lease's holder has ended: told by boot, namespaces and start, on the machine that runs these tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airtune.engine import StoreError, StudyFile
from airtune.engine.storage import holder
from airtune.engine.storage.holder import Holder, process_start

HOLD = """
import socket, sys
from airtune.engine import StudyFile
if len(sys.argv) > 2:
    socket.sethostname(sys.argv[2])
file = StudyFile(sys.argv[1])
file.acquire("s")
print(socket.gethostname(), flush=True)
input()
"""
# A holder that dies, and one who comes after it, both in a namespace with a number for themselves.
TAKE = """
import subprocess, sys
from airtune.engine import StudyFile
with subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], stdin=-1, stdout=-1) as child:
    child.stdout.readline()
    with StudyFile(sys.argv[1]) as file:
        try:
            file.acquire("s")
        except Exception as error:
            print(type(error).__name__)
        child.kill()
        child.wait()
        file.acquire("s")
        print("taken")
"""
UNSHARE = ("unshare", "--user", "--map-root-user")
CONTAINERS = {
    "unshare with a /proc of its own": (*UNSHARE, "--pid", "--fork", "--kill-child", "--mount-proc"),
    "unshare with the machine's /proc": (*UNSHARE, "--pid", "--fork", "--kill-child"),
    "bwrap": ("bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--die-with-parent"),
    "bwrap with the machine's /proc": ("bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--die-with-parent"),
}


def allowed(*command: str) -> tuple[str, ...]:
    """The command, if it may be run here."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"{' '.join(command)} is not allowed here: {tried.stderr.strip()[-100:]}")
    return command


@contextmanager
def holding(*command: str, path: Path, host: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that holds study "s" of a file, by a command that runs it in namespaces of its own."""
    arguments = [*command, sys.executable, "-c", HOLD, str(path), *([host] if host else [])]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == (host or socket.gethostname())
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("host", ["container-1", "elsewhere", "x" * 60])
def test_killed_under_another_host_name_on_this_boot(tmp_path: Path, host: str) -> None:
    """Bug: identity by host name: the study of a container that was started again could not be gone on with."""
    path = tmp_path / "s.sqlite"
    with holding(*allowed(*UNSHARE, "--uts"), path=path, host=host) as process, StudyFile(path) as file:
        with pytest.raises(StoreError, match=r"written by process \d+\n"):
            file.acquire("s")
        process.kill()
        process.wait()
        file.acquire("s")


@pytest.mark.parametrize("name", CONTAINERS)
def test_alive_in_another_container_of_this_host_name(tmp_path: Path, name: str) -> None:
    """Bug: its number was looked up here, where it is another process's or nobody's: the study had two writers."""
    path = tmp_path / "s.sqlite"
    with holding(*allowed(*CONTAINERS[name]), path=path), StudyFile(path) as file:
        with pytest.raises(StoreError, match="cannot be seen from here") as caught:
            file.acquire("s")
        assert "take_over=True" in str(caught.value.hint)
        assert "it can write no more" in str(caught.value.hint)
        file.acquire("s", take_over=True)


@pytest.mark.parametrize("name", CONTAINERS)
def test_seen_from_another_container(tmp_path: Path, name: str) -> None:
    """The same from the inside: the holder is alive out here, and has a number that means nothing in there."""
    path = tmp_path / "s.sqlite"
    with StudyFile(path) as file:
        file.acquire("s")
        code = "import sys; from airtune.engine import StudyFile; file = StudyFile(sys.argv[1]); "
        code += "file.acquire('another'); print('another', flush=True); file.acquire('s')"
        command = [*allowed(*CONTAINERS[name]), sys.executable, "-c", code, str(path)]
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert refused.stdout == "another\n"
        assert "cannot be seen from here" in refused.stderr


@pytest.mark.parametrize("name", CONTAINERS)
def test_died_in_this_container(tmp_path: Path, name: str) -> None:
    """Bugs: nothing is provable in a container; the machine's /proc is believed, which has other processes' numbers."""
    command = [*allowed(*CONTAINERS[name]), sys.executable, "-c", TAKE, str(tmp_path / "s.sqlite"), HOLD]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["StoreError", "taken"], told.stderr


def test_who_is_near_and_who_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bugs: `and` for `or`; a process that is alive is gone; one of another place is looked for in this one."""
    me = Holder.me()
    assert me.is_near
    assert not me.is_gone()
    assert Holder.stored(*me.row) == me
    for host in (me.host, "elsewhere"):
        earlier = replace(me, host=host, start="before")
        assert earlier.is_near
        assert earlier.is_gone()
    machine, boot, *inside = me.place.split("/")
    spaces = "/".join(inside)
    for place in (
        f"{machine}/{boot}/pid:[1]",
        f"{machine}/{boot}/{spaces}/time:[1]",
        f"m/b/{spaces}",
        "?",
        "",
    ):
        other = replace(me, place=place, start="before")
        assert not other.is_near
        assert not other.is_gone()
    monkeypatch.setattr(holder, "process_start", lambda pid: None)
    assert me.is_gone()
    assert not replace(me, place="?").is_gone()
    monkeypatch.setattr(holder, "process_start", lambda pid: "")
    assert not me.is_gone()


def test_the_machine_was_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the same command goes on; a container's machine identity is its image's, and says nothing."""
    here, there = "m/boot-2/pid:[4026531836]/time:[1]", "m/boot-1/pid:[4026531836]/time:[1]"
    monkeypatch.setattr(holder, "_place", lambda: here)
    before = Holder(socket.gethostname(), os.getpid(), there, "17")
    assert before.is_gone()
    assert not replace(before, host="elsewhere").is_gone()
    for place in (
        there.replace("m/", "n/"),
        there.replace("m/", "/"),
        there.replace("4026531836", "7"),
        "m/b",
    ):
        assert not replace(before, place=place).is_gone()
    monkeypatch.setattr(holder, "_place", lambda: here.replace("m/", "/"))
    assert not replace(before, place=there.replace("m/", "/")).is_gone()
    monkeypatch.setattr(holder, "_place", lambda: here.replace("4026531836", "7"))
    assert not replace(before, place=there.replace("4026531836", "7")).is_gone()


def test_a_linux_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: two processes of which nothing is known are taken to be at the same place."""
    monkeypatch.setattr(holder, "Path", lambda name: Path("/nowhere") / str(name).lstrip("/"))
    monkeypatch.setattr(sys, "platform", "linux")
    me = Holder.me()
    assert me.place == "?"
    assert not replace(me, pid=1, start="before").is_near
    assert not replace(me, pid=1, start="before").is_gone()


def test_without_proc_the_host_s_name_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.setattr(holder, "Path", lambda name: Path("/nowhere") / str(name).lstrip("/"))
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(holder, "process_start", lambda pid: "Mon Jan  1 10:00:00 2029")
    me = Holder.me()
    assert me.row == (socket.gethostname(), os.getpid(), "Mon Jan  1 10:00:00 2029")
    assert Holder.stored(*me.row) == me
    assert me.is_near
    assert not me.is_gone()
    assert replace(me, start="before").is_gone()
    assert not replace(me, start="before", host="elsewhere").is_gone()


@pytest.mark.parametrize(
    ("printed", "start"), [("Mon Jan  1 10:00:00 2029\n", "Mon Jan  1 10:00:00 2029"), ("\n", None)]
)
def test_without_proc_ps_is_asked(monkeypatch: pytest.MonkeyPatch, printed: str, start: str | None) -> None:
    """As on macOS. Bugs: a process that ps does not know is alive; its environment's language changes the words."""
    asked: list[Any] = []

    def run(command: list[str], **settings: Any) -> Any:
        asked.append((command, settings["env"], settings["text"], settings["capture_output"]))
        return subprocess.CompletedProcess(command, 0 if start else 1, printed, "")

    def no_proc(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(os, "readlink", no_proc)
    monkeypatch.setattr(holder.subprocess, "run", run)
    assert process_start(os.getppid()) == start
    assert asked == [(["ps", "-o", "lstart=", "-p", str(os.getppid())], {"LC_ALL": "C"}, True, True)]
    monkeypatch.setattr(holder.subprocess, "run", no_proc)
    assert process_start(os.getppid()) == ""


def test_a_process_that_has_ended_is_gone_whatever_proc_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: ps is asked all the same, and where it is not installed, nobody can take a dead process's study over."""

    def run(*_: Any, **__: Any) -> None:
        raise AssertionError("ps was asked")

    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    monkeypatch.setattr(holder.subprocess, "run", run)
    assert process_start(ended.pid) is None
    assert process_start(1 << 70) is None
    assert process_start(-1) == process_start(0) == ""


def test_a_process_that_is_hidden_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: /proc with hidepid shows other users' processes to nobody: they were all taken for dead."""
    monkeypatch.setattr(holder, "Path", lambda name: Path("/nowhere") / str(name).lstrip("/"))
    assert process_start(os.getppid()) == ""


def test_a_zombie_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(process.pid) is None
    process.wait()
    assert process_start(process.pid) is None
    assert process_start(os.getpid()) == Holder.me().start


def test_when_a_process_was_started_whatever_its_name() -> None:
    """Bugs: another field of the kernel's line, a name with brackets and blanks that moves the fields."""
    code = "open('/proc/self/comm', 'w').write(') Z 1 ('); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        assert ") Z 1 (" in stat
        # proc(5): starttime is field 22; the name, field 2, here has four words.
        assert process_start(child.pid) == stat.split()[21 + 3]
        child.communicate(b"\n")


def test_where_this_process_is() -> None:
    """Bugs: no boot, so that numbers of another one count; no namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert Holder.me().place.split("/")[1:3] == [boot, os.readlink("/proc/self/ns/pid")]
