"""Every example runs as a user would run it: in a process of its own, from a folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# What an example prints, as a pattern for each. The figures are left open: they are the machine's.
PRINTED = {
    "ask_and_tell.py": r"trials kept: 3\nbest so far: \{'minutes': \d+, 'temperature': [\d.]+\} [\d.]+\n",
    "command/run.sh": r"study 'command' in \S+: 4 of 4 trials\n[^$]*study 'command' in \S+: 6 of 6 trials\n",
    "conditional_space.py": r"([\d.]+ \{'C': .+\}\n){6}",
    "grammar_of_a_space.py": r"6 configurations, exactly\n[^$]*5 left; tried one accepted: False\nrefused: ",
    "optuna_sampler.py": r"(\d [\d.]+ \{'x': .+\}\n){6}best: \{'x'",
    "program_space.py": r"Ridge\(alpha=1e0\)\n\{'model': 'forest', 'trees': 300, 'depth': 7\}\n5491 programs\n",
    "python_objective.py": r"(\d [\d.]+ \{'max_depth': .+\}\n){5}best: [\d.]+ \{",
    "replay_study.sh": r"two runs, the same bytes\n[^$]*level 0[^$]*equal to the bit[^$]*level 1[^$]*equal to the bit",
}


def run(example: Path, folder: Path) -> str:
    """What the example prints; run with this environment's programs, one thread, and no network for libraries."""
    programs = Path(sys.executable).parent
    environment = {
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
        "STUDY": str(folder / "study.sqlite"), "COLUMNS": "200",
    }  # fmt: skip
    command = [sys.executable, str(example)] if example.suffix == ".py" else [str(example)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run() -> None:
    """An example that is added and not listed here would be run by nobody."""
    there = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*.*")}
    assert there | {"command/run.sh"} == set(PRINTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRINTED))
def test_an_example_prints_what_it_says(name: str, tmp_path: Path) -> None:
    """Catches a name of the public surface that is renamed, and a proposal that breaks a condition."""
    assert re.search(PRINTED[name], run(EXAMPLES / name, tmp_path))


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_an_example_is_short(name: str) -> None:
    assert 15 <= len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 40
