"""Objectives defined in `__main__` that start processes themselves: real scripts, run in every way there is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

BEFORE = """\
import functools, multiprocessing, sys, tempfile
from concurrent.futures import ProcessPoolExecutor
from ConfigSpace import ConfigurationSpace
from airtune.engine import minimize

print("the script runs")

class Point:
    class Scale:
        factor = 2
    def __init__(self, x): self.x = x
    def scaled(self): return Point(self.x * self.Scale.factor)

def again(function):
    @functools.wraps(function)
    def twice(x): return function(function(x))
    return twice

@again
def scaled(point): return point.scaled()

def send(point): return scaled(point).x  # also the name of a function of the worker's

def loss(config):
    numbers = [config["x"], 1.0]
    points = [Point(x) for x in numbers]
    found = {}
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            found[method] = sum(pool.map(send, points))
    from joblib import Parallel, delayed
    found["loky"] = sum(Parallel(2, "loky")(delayed(send)(point) for point in points))
    return {"loss": found["spawn"], **found}
"""
SEARCH = """\
result = minimize(loss, ConfigurationSpace({"x": (0.0, 1.0)}), budget=2, proposer="random", jobs=2)
for trial in result.trials:
    expected = 4 * trial.config["x"] + 4
    assert trial.loss == expected, trial
    assert set(trial.info.values()) == {expected}, trial
    assert len(trial.info) >= 4, trial
"""


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


UNGUARDED = BEFORE + SEARCH
GUARDED = BEFORE + 'if __name__ == "__main__":\n' + indented(SEARCH)


@pytest.mark.parametrize("way", ["guarded", "unguarded", "-c", "stdin"])
def test_objectives_of_main_start_processes_in_a_worker(tmp_path: Path, way: str) -> None:
    """They ended as `attribute lookup send on __main__ failed`; and the script is never run again, guard or not."""
    script = tmp_path / "script.py"
    script.write_text(GUARDED if way == "guarded" else UNGUARDED)
    arguments = {"-c": ["-c", UNGUARDED], "stdin": ["-"]}.get(way, [str(script)])
    # Not in `tmp_path`: the address of a fork server's socket, which is in it, may not be long.
    with tempfile.TemporaryDirectory() as temporary:
        done = subprocess.run(
            [sys.executable, *arguments],
            input=UNGUARDED if way == "stdin" else "",
            env={"TMPDIR": temporary, "PATH": ""},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert (done.stdout, done.stderr) == ("the script runs\n", "")
        assert [name for name in os.listdir(temporary) if name.startswith("airtune")] == []


def test_without_a_guard_a_search_in_this_process_says_so(tmp_path: Path) -> None:
    """Python runs the script again in each process that it spawns: a search that began there would start more."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\n"
        "from ConfigSpace import ConfigurationSpace\n"
        "from airtune.engine import minimize\n"
        "def loss(config):\n"
        "    process = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    process.start()\n"
        "    process.join()\n"
        "    return float(process.exitcode)\n"
        "result = minimize(loss, ConfigurationSpace({'x': (0.0, 1.0)}), budget=1, proposer='random')\n"
        "print([trial.loss for trial in result.trials])\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "[1.0]\n"
    assert done.stderr.count("the script has no main guard") == 1
    assert str(script) in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr
