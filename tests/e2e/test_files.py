"""Files that are named on the command line: devices and pipes are refused, no study file is written over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Folder


@pytest.mark.parametrize("kind", ["fifo", "zero", "null"])
@pytest.mark.parametrize(
    "command",
    [
        "recover FILE", "show FILE", "export FILE", "replay FILE", "diff FILE FILE", "report FILE", "grammar FILE",
        "grammar space.json --exclude FILE", "tune --space FILE --command true", "models verify FILE",
        "tune toy/branin --budget 1 --proposer random --study FILE", "models unpack FILE --to copy",
        "tune toy/branin --budget 1 --proposer lm --model FILE",
    ],
)  # fmt: skip
def test_what_is_no_regular_file_is_refused(folder: Folder, command: str, kind: str) -> None:
    """Bug: `recover` waited for a pipe that nobody writes to, and read /dev/zero until no memory was left."""
    path = folder.path / "FILE"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(f"/dev/{kind}")
    ended = folder.call(*command.split(), code=2)
    assert "FILE" in ended.err
    assert "  fix: " in ended.err or "  allowed: " in ended.err


@pytest.mark.parametrize("format", [["--jsonl"], ["--csv"], ["--no-times", "--no-transcripts"]])
def test_an_export_never_destroys_a_study(folder: Folder, format: list[str]) -> None:
    """Bug: the study was replaced by its own export, with exit code 0."""
    for name in ("a.sqlite", "b.sqlite"):
        folder.call("tune", "toy/branin", "--budget", "2", "--proposer", "random", "--study", name)
    (folder.path / "link").symlink_to("a.sqlite")
    before = {one.name: one.read_bytes() for one in folder.path.iterdir()}
    for output in ("a.sqlite", "b.sqlite", "link", "./a.sqlite", "a.sqlite-wal"):
        ended = folder.call("export", "a.sqlite", *format, "-o", output, code=2)
        assert "would be lost" in ended.err
        assert {one.name: one.read_bytes() for one in folder.path.iterdir()} == before
    folder.call("export", "a.sqlite", *format, "-o", "out.txt")
    assert (folder.path / "out.txt").read_text()
