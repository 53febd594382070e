"""What the sandbox costs a trial: the same command as a plain process and in the sandbox, in turns.

    python scripts/sandbox_overhead.py --pairs 40

Prints a line of JSON for each program: medians over the pairs of processor time (user and system, of all processes that
the command took) and of time on the wall, in milliseconds, and the median of the pairs' ratios with its bootstrap
interval.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ConfigSpace import ConfigurationSpace

from airtune.engine import Sandbox, command_objective
from airtune.engine.evaluation.commands import CommandObjective

PROGRAMS = {
    "an empty program": "print(0.0)",
    "imports NumPy": "import numpy; print(float(numpy.zeros(1).sum()))",
    "trains for about a second": (
        "import numpy as np, time\n"
        "from sklearn.datasets import load_digits\nfrom sklearn.svm import SVC\n"
        "x, y = load_digits(return_X_y=True)\n"
        "for _ in range(8): model = SVC().fit(x, y)\n"
        "print(1 - model.score(x, y))"
    ),
}


def measured(run: Callable[[], object]) -> tuple[float, float]:
    """Processor time and time on the wall of what a call starts and waits for, in milliseconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run()
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu * 1e3, wall * 1e3


def interval(ratios: list[float], seed: int = 0) -> list[float]:
    """The 95 % bootstrap interval of the median."""
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
    return [round(medians[49], 3), round(medians[1949], 3)]


def main() -> None:
    """Measure all programs."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40)
    pairs = parser.parse_args().pairs
    space = ConfigurationSpace({"x": (0.0, 1.0)})
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.chdir(folder)
        for name, code in PROGRAMS.items():
            Path("train.py").write_text(code, encoding="utf-8")
            plain = command_objective(f"{sys.executable} train.py {{x}}", space)
            inside = CommandObjective(plain.arguments, plain.known, None, Sandbox())
            found: dict[str, list[tuple[float, float]]] = {"plain": [], "sandbox": []}
            for pair in range(pairs + 1):
                both = [("plain", plain), ("sandbox", inside)]
                for kind, objective in both if pair % 2 else reversed(both):
                    found[kind].append(measured(lambda: objective({"x": 0.5})))  # noqa: B023
            said: dict[str, object] = {"program": name, "pairs": pairs}
            for place, what in enumerate(("cpu", "wall")):
                # The first pair fills caches.
                each = {kind: [values[place] for values in found[kind][1:]] for kind in found}
                for kind, values in each.items():
                    said[f"{what}_{kind}_ms"] = round(statistics.median(values), 1)
                ratios = [inner / outer for inner, outer in zip(each["sandbox"], each["plain"], strict=True)]
                said[f"{what}_ratio"] = [round(statistics.median(ratios), 3), *interval(ratios)]
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
