"""A real PostgreSQL and a real Ray cluster, each on this machine alone, where they are installed."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def _programs() -> Path | None:
    """The folder of PostgreSQL's programs: Debian keeps the server's off the PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent  # a link to it does for initdb, not for its neighbours
    return max(
        (p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda folder: int(folder.parent.name),
        default=None,
    )


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[str], str]]:
    """A private server on a Unix socket; `postgresql("name")` makes a database and gives its address for Optuna."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("PostgreSQL's driver is not installed (pip install 'airtune[postgres]')")
    # The server refuses to run as root; a socket's path may have 107 characters, which a pytest folder's exceeds.
    as_user: list[str] = []
    user = pwd.getpwuid(os.getuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.getuid() == 0:
        user = "nobody"
        if shutil.which("setpriv") is None:
            pytest.skip(
                "running as root, and setpriv, which starts PostgreSQL as another user, is not installed"
            )
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        as_user = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], cwd=folder, check=True, capture_output=True, timeout=120)

    data = str(folder / "data")
    try:
        run(
            str(programs / "initdb"),
            "-D",
            data,
            "-U",
            "airtune",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
        )
        settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        server = str(programs / "pg_ctl")
        run(server, "-D", data, "-l", str(folder / "log"), "-w", "-o", settings, "start")
        try:

            def make(name: str) -> str:
                run(str(programs / "createdb"), "-h", str(folder), "-U", "airtune", name)
                return f"postgresql+psycopg://airtune@/{name}?host={folder}"

            yield make
        finally:
            run(server, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
