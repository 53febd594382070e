"""kill -9, Ctrl-C and dead processes in a comparison: the study file ends the same, byte for byte, once exported."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.processes import spread
from airtune.benchmarks.running.runner import load_runs, run_group, run_suite
from airtune.engine import StudyFile, export_jsonl
from airtune.engine.storage.study_file import COMPARISON_FILE
from airtune.grammars import AirtuneError

PLAN = Plan("toy", methods=("lm", "random", "default+random"), seeds=2, budget=12, model="scripted")

# Forks a run for every line "DIR BUDGET JOBS": "pid N", a line for every wave, then its end, then "ended".
SERVER = """
import os, sys
from pathlib import Path
from dataclasses import replace
from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.runner import run_suite
from airtune.benchmarks.running.runner import get_task, load_proposer
from airtune.models import load_model
# warm before the forks
import airtune.models.backends.scripted, airtune.models.dialects.chat.dialect, airtune.models.masks.llguidance

def say(text):
    os.write(1, (text + chr(10)).encode())

if __name__ == "__main__":
    plan = eval(sys.argv[1])
    for line in sys.stdin:
        folder, budget, jobs = line.split()
        child = os.fork()
        if child == 0:
            try:
                run_suite(replace(plan, budget=int(budget)), Path(folder), jobs=int(jobs),
                          on_progress=lambda progress: say(f"done {sum(progress.done.values())}"))
                say("finished")
            except BaseException as error:
                say(f"error {type(error).__name__} {str(error)!r}")
            finally:
                os._exit(0)
        say(f"pid {child}")
        os.waitpid(child, 0)
        say("ended")
"""


class Server:
    """The process of SERVER."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", SERVER, repr(PLAN)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, out: Path, budget: int = PLAN.budget, jobs: int = 1) -> int:
        """Start a run; its process number."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{out} {budget} {jobs}\n")
        self.process.stdin.flush()
        self.seen: list[str] = []
        while not (line := self.line()).startswith("pid "):
            self.seen.append(line)
        return int(line.split()[1])

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def rest(self) -> list[str]:
        while (line := self.line()) != "ended":
            self.seen.append(line)
        return self.seen


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run_suite(PLAN, out, jobs=1)
    return out


def exported(out: Path) -> str:
    with StudyFile(out / COMPARISON_FILE, readonly=True) as file:
        return "".join(export_jsonl(file, times=False, transcripts=True))


def spin(seconds: float) -> None:
    """Let a moment pass that no scheduler rounds up."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_kill_9_ten_times(server: Server, whole: Path, tmp_path: Path) -> None:
    moments = random.Random(3)
    kills = 0
    while kills < 10:
        pid = server.start(tmp_path / "out")
        for _ in range(moments.randrange(1, 6)):
            if "finished" in server.seen:
                break
            server.seen.append(server.line())
        spin(moments.random() * 0.006)
        os.kill(pid, signal.SIGKILL)  # the number cannot be another's: its parent has not waited for it yet
        seen = server.rest()
        assert not [line for line in seen if line.startswith("error")], seen
        assert "finished" not in seen  # the plan is long enough for ten
        kills += 1
    runs = load_runs(tmp_path / "out")
    assert 0 < sum(len(run.trials) for run in runs) < 36 * PLAN.budget
    server.start(tmp_path / "out")
    assert "finished" in server.rest()
    assert exported(tmp_path / "out") == exported(whole)


def test_kill_9_of_a_run_with_processes(server: Server, whole: Path, tmp_path: Path) -> None:
    """Its orphans write nothing that does not belong there, and do not keep the next run from starting."""
    for _ in range(2):
        pid = server.start(tmp_path / "out", jobs=2)
        done = len({line for line in server.seen if line.startswith("done")})
        while done < 3 and "finished" not in server.seen:
            server.seen.append(server.line())
            done = len({line for line in server.seen if line.startswith("done")})
        os.kill(pid, signal.SIGKILL)
        server.rest()
    server.start(tmp_path / "out", jobs=2)
    seen = server.rest()
    assert "finished" in seen, seen
    assert exported(tmp_path / "out") == exported(whole)


def test_ctrl_c_loses_nothing_and_says_how_to_go_on(whole: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "airtune.engine.cli.app", "bench", "toy", "--proposers", ",".join(PLAN.methods),
        "--models", "scripted", "--seeds", "2", "--budget", "12", "--out", str(tmp_path),
    ]  # fmt: skip
    for jobs in ("1", "2"):
        process = subprocess.Popen(
            [*command, "--jobs", jobs], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        assert all("/432 trials" in line for line in lines), lines
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=60)
        assert process.returncode == 1, errors
        assert "the same command again goes on" in said
        assert "Traceback" not in errors
    done = subprocess.run([*command, "--jobs", "2"], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("432/432 trials")
    assert sum(" done" in line for line in lines) >= 1
    assert exported(tmp_path) == exported(whole)


def test_a_process_that_is_killed_is_named(tmp_path: Path) -> None:
    plan = Plan("toy", methods=("random",), seeds=2, budget=500)
    path = tmp_path / COMPARISON_FILE
    groups = list(plan.groups())
    with StudyFile(path) as file:
        file.acquire(*(name for group in groups for name in group.studies))
        steps = spread(run_group, plan, groups, path, file.leases, jobs=2)
        next(steps)
        (victim, *_) = children()
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(AirtuneError, match="was killed by signal 9"):
            list(steps)
    assert not children()


def children() -> list[int]:
    """This process's children that multiprocessing has started."""
    import multiprocessing

    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]
