"""No network: the main job in an empty network namespace, and a watch over every socket that anything of ours tries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airtune.engine.doctor.offline import empty_namespace, read_trace, strace, watched
from airtune.models.offline import SWITCHES

if TYPE_CHECKING:
    from conftest import Folder

NAMESPACE, FINDING = empty_namespace()
TRACER, NO_TRACER = strace()
needs_namespace = pytest.mark.skipif(
    not NAMESPACE, reason=f"no empty network namespace here: {FINDING.detail}"
)
needs_strace = pytest.mark.skipif(not TRACER, reason=NO_TRACER)
# Everything that people do with a study, in one process: the model's libraries, figures and pages among it.
EVERYTHING = """
from airtune.engine.cli.app import _run
for line in '''tune sklearn/svm/iris --budget 2 --timeout 300
tune toy/branin --budget 2 --proposer default+lm
show airtune.sqlite
export airtune.sqlite -o out.jsonl
report airtune.sqlite
models list
models verify pocket
models pack pocket -o pocket.tar
models unpack pocket.tar --to copy
grammar space.json'''.splitlines():
    assert _run(line.split()) == 0, line
"""


@needs_namespace
def test_the_main_job_without_a_network(folder: Folder) -> None:
    """`unshare -n airtune tune ...`: the README's first command, on the real model."""
    command = folder.command("tune", "sklearn/svm/digits", "--budget", "10", "--json")
    done = subprocess.run(
        [*NAMESPACE, *command],
        cwd=folder.path,
        env=folder.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [trial["status"] for trial in json.loads(done.stdout)["trials"]] == ["told"] * 10


@pytest.mark.slow
def test_nothing_tries_a_socket(folder: Folder, tmp_path: Path) -> None:
    """Also where there is a network: no socket but Unix ones, no name looked up, in any process of all commands."""
    seen = watched([sys.executable, "-c", EVERYTHING], folder.path, tracer=TRACER)
    assert seen.code == 0, seen.err
    assert seen.python == ()
    assert seen.attempts == ()


@pytest.mark.slow
def test_the_doctor_proves_it(folder: Folder) -> None:
    document = folder.airtune("doctor", "--offline", "--json", code=0 if NAMESPACE or TRACER else 1).json
    status = {check["name"]: check["status"] for check in document["checks"]}
    assert status["study"] == status["python's sockets"] == "ok"
    assert status["network namespace"] == ("ok" if NAMESPACE else "missing")
    assert status["system calls"] == ("ok" if TRACER else "missing")
    assert not list(folder.path.glob("*.sqlite"))


def test_the_doctor_says_what_it_could_not_do(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without unshare and strace nothing is proved, and a study that fails is no proof either."""
    monkeypatch.setenv("PATH", str(folder.path))
    document = folder.call("doctor", "--offline", "--model", "pockett", "--json", code=1).json
    checks = {check["name"]: check for check in document["checks"]}
    assert checks["network namespace"]["status"] == checks["system calls"]["status"] == "missing"
    assert "no unshare" in checks["network namespace"]["detail"]
    assert "strace is not installed" in checks["system calls"]["detail"]
    assert checks["study"]["status"] == checks["offline"]["status"] == "failed"
    assert "pocket" in checks["study"]["detail"]


ATTEMPTS = {
    "a look-up": "import socket\ntry: socket.getaddrinfo('example.invalid', 80)\nexcept OSError: pass",
    "a connection": "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 0.01)\nexcept OSError: pass",
    "a page": "import urllib.request\ntry: urllib.request.urlopen('http://192.0.2.1')\nexcept OSError: pass",
    "in a child": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import socket; socket.socket()'])",
}


@needs_namespace
@pytest.mark.parametrize("code", ATTEMPTS.values(), ids=ATTEMPTS)
def test_what_python_tries_is_seen(tmp_path: Path, code: str) -> None:
    """The watch itself: in a namespace, so that nothing gets out of the test."""
    seen = watched([sys.executable, "-c", code], tmp_path, prefix=NAMESPACE)
    assert seen.code == 0, seen.err
    assert seen.python
    assert seen.calls is None


@needs_strace
def test_what_native_code_tries_is_seen(tmp_path: Path) -> None:
    """ctypes stands for a library: Python's hook sees nothing of it, strace does."""
    code = "import ctypes; ctypes.CDLL(None).socket(2, 1, 0)"
    seen = watched([sys.executable, "-c", code], tmp_path, prefix=NAMESPACE, tracer=TRACER)
    assert seen.python == ()
    assert len(seen.attempts) == 1
    assert "AF_INET" in seen.attempts[0]


@needs_strace
def test_unix_sockets_are_no_attempt(tmp_path: Path) -> None:
    code = "import socket; socket.socketpair(); socket.socket(socket.AF_UNIX)"
    seen = watched([sys.executable, "-c", code], tmp_path, tracer=TRACER)
    assert (seen.code, seen.python, seen.attempts) == (0, (), ())
    assert seen.calls is not None
    assert seen.calls["AF_UNIX"] >= 2


def test_what_strace_writes_is_understood() -> None:
    calls, attempts = read_trace(
        "11 socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3\n"
        '11 connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (No such file)\n'
        "12 socket(AF_INET6, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP <unfinished ...>\n"
        '11 sendto(3, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(53)}, 16) = 1\n'
        "12 socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE) = 5\n"
        '11 recvfrom(3, "", 1, 0, NULL, NULL) = 0\n'
        "11 +++ exited with 0 +++\n"
    )
    assert calls == Counter({"AF_UNIX": 2, "AF_INET6": 1, "AF_INET": 1, "AF_NETLINK": 1})
    assert len(attempts) == 3


def test_the_libraries_switches_are_ours() -> None:
    """Whatever the shell says: no hub, no telemetry, no usage reports, in the process and in those it starts."""
    code = (
        "import os; from airtune.models import load_model; load_model('pocket')\n"
        "from huggingface_hub import constants; import json\n"
        "print(json.dumps([dict(os.environ), constants.HF_HUB_OFFLINE, constants.HF_HUB_DISABLE_TELEMETRY]))"
    )
    contrary = {name: "1" if value == "0" else "0" for name, value in SWITCHES.items()}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **contrary},
        capture_output=True,
        text=True,
        check=True,
    )
    environment, offline, silent = json.loads(done.stdout)
    assert SWITCHES.items() <= environment.items()
    assert offline is True
    assert silent is True
