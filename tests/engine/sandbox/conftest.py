from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airtune.engine import StudyFile
from tests.engine.sandbox.here import LACKS


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with secrets and, in `run`, the folder of a program; where the sandbox is missing the test is skipped.

    Everybody may read it, so that nothing in it is kept from a program by its user's rights.
    """
    if LACKS:
        pytest.skip(LACKS)
    whole = Path(tempfile.mkdtemp(prefix="airtune-place-")).resolve()
    whole.chmod(0o755)
    for name in ("home/.ssh", "trials/0", "run/studies"):
        (whole / name).mkdir(parents=True)
    for name in ("home/secret.txt", "home/.ssh/id", "trials/0/labels.json", "run/.env", "run/data.txt"):
        (whole / name).write_text("secret" if name == "home/secret.txt" else "[0, 1]")
    (whole / "run/link").symlink_to(whole / "home/secret.txt")
    for name in ("run/airtune.sqlite", "run/studies/other.sqlite"):
        with StudyFile(whole / name):
            pass
    (whole / "run/airtune.sqlite-wal").touch()
    (whole / "run/airtune.sqlite-wal").chmod(0o644)
    monkeypatch.chdir(whole / "run")
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.setenv("TMPDIR", "/tmp")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as abstract:
        listening.bind(str(whole / "home/socket"))
        abstract.bind(f"\0{whole}")
        os.chmod(whole / "home/socket", 0o777)
        listening.listen()
        abstract.listen()
        yield whole
    monkeypatch.undo()
    shutil.rmtree(whole)
