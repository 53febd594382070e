"""A disk that is full: the study ends with an error that says so, and what was told stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# A file size limit stands for the full disk: it is the process's own, and it needs no rights.
CODE = """
import resource, sys
from ConfigSpace import ConfigurationSpace
from airtune.engine import Finished, StoreError, Study, StudyFile, Task, export_jsonl

def study(path):
    task = Task("t", ConfigurationSpace({"x": (0.0, 1.0)}), lambda config: config["x"])
    return Study(task, "random", path=path)

whole, path, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
with study(whole) as running:
    running.run(40)
told = []
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
try:
    with study(path) as running:
        running.run(40, lambda event: told.append(event.trial) if isinstance(event, Finished) else None)
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if told:
    with StudyFile(path, readonly=True) as file:
        assert file.trials("t/random/seed=0")[:len(told)] == told
with study(path) as running:
    running.run(40)

def text(path):
    with StudyFile(path, readonly=True) as file:
        return "".join(export_jsonl(file, times=False))

assert text(path) == text(whole)
print(len(told))
"""


def run(tmp_path: Path, size: int) -> tuple[str, int]:
    command = [sys.executable, "-c", CODE, tmp_path / f"whole-{size}", tmp_path / f"full-{size}", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *said, told = done.stdout.splitlines()
    return "\n".join(said), int(told)


def test_a_disk_that_fills_up_on_the_way(tmp_path: Path) -> None:
    said, told = run(tmp_path, 400_000)
    assert 0 < told < 40
    assert "cannot write study file" in said
    assert "full-400000" in said
    assert "free some space" in said


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    said, told = run(tmp_path, 8_000)
    assert told == 0
    assert "free some space" in said
