"""Ways around that need two programs, or the harness's own help: each is shown open outside and closed inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airtune.engine.sandbox.ended import Ended
from airtune.engine.sandbox.limits import Limits
from airtune.engine.sandbox.run import run_sandboxed
from tests.engine.sandbox.here import needs_sandbox

LIMITS = Limits(time_s=120.0)
pytestmark = needs_sandbox


def inside(code: str, *arguments: str) -> Ended:
    return run_sandboxed([sys.executable, "-c", code, *arguments], limits=LIMITS)


def outside(code: str, *arguments: str, close_fds: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, close_fds=close_fds)


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_nothing_is_left_for_the_next_program(folder: str) -> None:
    """Trials must not tell each other what labels they have seen; the mark is put where the program may write."""
    name = f"{folder}/airtune-mark-{os.getpid()}"
    leave, find = (
        "import sys; open(sys.argv[1], 'w').write('7')",
        "import sys; print(open(sys.argv[1]).read())",
    )
    try:
        assert outside(leave, name).returncode == 0
        assert outside(find, name).stdout == "7\n"
    finally:
        Path(name).unlink()
    scratch = name.replace("/tmp", "/scratch")
    assert inside(leave, scratch).kind is None
    assert "FileNotFoundError" in str(inside(find, scratch).reason)


def test_descriptors_that_were_left_open_are_closed(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("secret")
    fd = os.open(tmp_path / "labels", os.O_RDONLY)
    os.set_inheritable(fd, True)
    code = "import os, sys; print(os.pread(int(sys.argv[1]), 9, 0).decode())"
    try:
        assert outside(code, str(fd), close_fds=False).stdout == "secret\n"
        assert "Bad file descriptor" in str(inside(code, str(fd)).reason)
    finally:
        os.close(fd)


def test_a_program_has_three_descriptors() -> None:
    # the last: the listing's
    ended = inside("import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])")
    assert ended.out == b"[0, 1, 2]\n"


SURVIVOR = """
import os, sys
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(w, str(os.getpid()).encode())
        os.close(w)
        for fd in (0, 1, 2): os.close(fd)
        fd = os.open(sys.argv[1], os.O_RDONLY)
        os.read(fd, 1)
        os._exit(0)
    os._exit(0)
print(os.read(r, 20).decode())
"""


def test_no_process_outlives_its_program(tmp_path: Path) -> None:
    """A daemon would see what later trials do. Outside it waits at a pipe of ours; inside its namespace ends."""
    tmp_path.chmod(0o755)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    done = outside(SURVIVOR, str(gate))
    os.kill(int(done.stdout), 0)
    with gate.open("w") as opened:  # it has opened the other end, so it was alive; now it ends
        opened.write("1")
    # Inside, it keeps a pipe open that nobody closes: if it lived, the run would not be over.
    code = SURVIVOR.replace("for fd in (0, 1, 2): os.close(fd)", "").replace(
        "fd = os.open(sys.argv[1], os.O_RDONLY)", "fd = os.pipe()[0]"
    )
    ended = inside(code, str(gate))
    assert ended.kind is None
    assert ended.seconds < LIMITS.time_s


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP", "SIGINT", "SIGTERM"])
def test_the_first_process_takes_no_signals(name: str) -> None:
    """Outside, the parent ends or stands still by it; inside, it still counts processes and reports the end."""
    code = f"import os, signal; os.kill(os.getppid(), signal.{name}); print('sent')"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}]); print('lives')"
    if name != "SIGSTOP":  # which would have to be undone
        assert "lives" not in outside(parent).stdout
    ended = inside(code)
    assert (ended.kind, ended.code) in ((None, 0), ("crash", 1))  # ESRCH or EPERM is as good as no effect
    assert ended.out == b"sent\n" or b"Error" in ended.err


def test_programs_with_the_rights_of_others_get_none() -> None:
    """No new privileges: a set-user-ID program, if there is one in /usr, runs as who started it."""
    code = "print([line for line in open('/proc/self/status') if line.startswith(('NoNewPrivs', 'CapEff', 'CapBnd'))])"
    shown = inside(code).out.decode()
    assert "NoNewPrivs:\\t1" in shown
    assert "CapEff:\\t0000000000000000" in shown
    assert "NoNewPrivs:\\t1" not in outside(code).stdout


def test_an_end_from_outside_ends_all(tmp_path: Path) -> None:
    """At the time limit: a child in a session of its own holds the output open, and the run is over all the same."""
    code = "import os, signal\nif os.fork() == 0: os.setsid()\nwhile True: signal.pause()"
    ended = run_sandboxed([sys.executable, "-c", code], limits=Limits(time_s=0.2))
    assert (ended.kind, ended.code) == ("time", None)
