"""kill -9 at any moment of a study: nothing told is lost, nothing is asked twice, and the end is the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airtune.engine import StudyFile, Trial, export_jsonl

BUDGET = 30


class Scripted:
    """The process of `scripted_study.py`."""

    def __init__(self) -> None:
        self.early: list[str] = []
        script = Path(__file__).with_name("scripted_study.py")
        self.process = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, path: Path, log: Path, budget: int = BUDGET) -> int:
        """Start a run; its process number."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{path} {log} {budget}\n")
        self.process.stdin.flush()
        while not (line := self.line()).startswith("pid "):
            assert not line.startswith("error"), line
            self.early.append(line)
        return int(line.split()[1])

    def line(self) -> str:
        """The next line of the run."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def rest(self) -> list[str]:
        """All lines until the run's process is gone."""
        lines = []
        while (line := self.line()) != "ended":
            lines.append(line)
        return lines


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    made = Scripted()
    yield made
    made.process.communicate(timeout=60)


def read(path: Path) -> list[Trial]:
    with StudyFile(path, readonly=True) as file:
        return file.trials("s") if file.find("s") else []


def export(path: Path) -> str:
    with StudyFile(path, readonly=True) as file:
        return "".join(export_jsonl(file, times=False, transcripts=True))


def spin(seconds: float) -> None:
    """Let a moment pass that no scheduler rounds up."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_kill_9_at_many_moments(tmp_path: Path, scripted: Scripted) -> None:
    whole, path = tmp_path / "whole", tmp_path / "killed"
    scripted.start(whole, tmp_path / "whole.log")
    lines = scripted.early + scripted.rest()
    assert lines.count("Finished") == BUDGET
    assert "done" in lines

    moments = random.Random(0)
    before: list[Trial] = []
    kills = 0
    while True:
        scripted.early = []
        pid = scripted.start(path, tmp_path / "killed.log")
        # From the making of the file on: some events later, and then anywhere within a step or two.
        seen = list(scripted.early)
        for _ in range(moments.randrange(4)):
            if "done" in seen:
                break
            seen.append(scripted.line())
        if "done" not in seen:
            spin(moments.random() * 0.004)
            # the number cannot be another's: its parent has not waited for it yet
            os.kill(pid, signal.SIGKILL)
        seen += scripted.rest()
        assert not [line for line in seen if line.startswith("error")], seen
        if "done" in seen:
            break
        kills += 1
        after = read(path) if path.exists() and path.stat().st_size else []
        assert [trial.number for trial in after] == list(range(len(after)))
        assert len({json.dumps(trial.config) for trial in after}) == len(after)
        for old, new in zip(before, after, strict=False):
            assert new == old if old.status != "asked" else new.config == old.config
        assert len(after) >= len(before)
        assert [trial.status for trial in after[:-1]].count("asked") == 0  # one evaluation in flight at most
        before = after
    assert kills >= 12
    assert export(path) == export(whole)

    # No evaluation was lost or made up: each configuration was evaluated, those in flight at a kill again.
    evaluated = (tmp_path / "killed.log").read_text().splitlines()
    expected = (tmp_path / "whole.log").read_text().splitlines()
    assert list(dict.fromkeys(evaluated)) == expected
    assert len(evaluated) <= len(expected) + kills


def test_a_killed_writer_s_study_is_taken_over_and_a_live_one_s_is_not(
    tmp_path: Path, scripted: Scripted
) -> None:
    path = tmp_path / "s.sqlite"
    pid = scripted.start(path, tmp_path / "log", 0)
    while "Finished" not in scripted.early:
        scripted.early.append(scripted.line())
    other = Scripted()
    try:
        other.start(path, tmp_path / "other.log", 2)
        (said,) = [line for line in other.early + other.rest() if line.startswith("error")]
        assert "StoreError" in said
        assert f"process {pid}" in said
    finally:
        os.kill(pid, signal.SIGKILL)
    scripted.rest()
    assert read(path)
    other.start(path, tmp_path / "other.log", 1)
    assert "done" in other.early + other.rest()
    other.process.communicate(timeout=60)


def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    """Two writers, each with studies of its own, and a reader, as when a benchmark runs in two processes."""
    path = tmp_path / "s.sqlite"
    code = (
        "import sys; from ConfigSpace import ConfigurationSpace\n"
        "from airtune.engine import Study, Task\n"
        "task = Task('t', ConfigurationSpace({'x': (0.0, 1.0)}), lambda config: config['x'])\n"
        "for seed in range(int(sys.argv[2]), int(sys.argv[2]) + 3):\n"
        "    with Study(task, 'random', seed=seed, path=sys.argv[1]) as study: study.run(10)\n"
        "    print(study.name, flush=True)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, path, first], stdout=subprocess.PIPE, text=True)
        for first in ("0", "100")
    ]
    for line in (line for writer in writers for line in writer.stdout or ()):
        with StudyFile(path, readonly=True) as file:
            assert file.get(line.strip()).told == 10
    assert [writer.wait() for writer in writers] == [0, 0]
    with StudyFile(path, readonly=True) as file:
        assert sorted((r.manifest["seed"], r.told) for r in file.studies()) == [
            (seed, 10) for seed in (0, 1, 2, 100, 101, 102)
        ]
