"""What holds of programs that are drawn from the shipped program spaces: they parse, pass mypy, and run.

    python scripts/check_program_spaces.py --parse 100000 --types 1000 --run 2000 --out FOLDER

Programs are drawn as the conditional search space draws, every choice by itself, or (`--uniform programs`) so that each
program is as likely as any other, which makes most of them deep networks. A program runs as it is, on a table of
60 rows, or 60 images, made from a seed; three classes. Each runs in a sandbox of its own, where most of the time goes
into imports; `--together 100` runs a hundred in one process without a sandbox. Failures are counted by reason.
"""

from __future__ import annotations

import argparse
import ast
import collections
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from airtune.engine import Harness, Limits, ProgramData, Sandbox, TrialFailed
from airtune.grammars import ProgramSpace, program_space, shipped_spaces

ROWS, TEST_ROWS, COLUMNS, CLASSES = 60, 30, 4, 3
LEARN_CLASSES = ("images", "pipeline_classification", "tabular_classification")


def draws(space: ProgramSpace, seed: int, uniform: str) -> Iterator[dict[str, Any]]:
    """Configurations without end."""
    rng = np.random.default_rng(seed)
    space.space.seed(seed)
    while True:
        if uniform == "programs":
            yield space.sample(rng)
        else:
            yield space.snap(dict(space.space.sample_configuration()))


def table(seed: int, name: str) -> ProgramData:
    """What the programs of a space learn: features on different scales, or images; numbers or classes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS + TEST_ROWS, COLUMNS)) * [1.0, 100.0, 0.01, 1.0] + [0.0, 1000.0, 0.0, -5.0]
    y: np.ndarray = x[:, 0] + np.sin(x[:, 1] / 50) + rng.normal(size=len(x)) * 0.1
    if name in LEARN_CLASSES:
        y = np.argsort(np.argsort(y)) * CLASSES // len(y)
        y[:CLASSES] = range(CLASSES)
    if name == "images":
        x = rng.random((len(x), 3, 8, 8)) * 0.5
        x[:, 0, :4] += y[:, None, None] / 6
    score = "error" if name in LEARN_CLASSES else "mse"
    return ProgramData((x[:ROWS], y[:ROWS]), (x[ROWS:], y[ROWS:]), None, score)


def failure(source: str, seed: int, name: str) -> str | None:
    """Why the predictions of a program of a space are of no use; None if they are."""
    try:
        loss = Harness(table(seed, name), Sandbox(Limits(time_s=300)))(source)["loss"]
    except TrialFailed as error:
        return str(error)[:140]
    return None if np.isfinite(loss) else "not finite"


def failure_here(source: str, seed: int, name: str) -> str | None:
    """As `failure`, in this process."""
    import torch

    torch.set_num_threads(1)
    (x, y), (test_x, _) = (data := table(seed, name)).train, data.validation
    names: dict[str, Any] = {}
    try:
        exec(compile(source, "program", "exec"), names)
        predicted = np.asarray(names["fit_predict"](train_x=x, train_y=y, test_x=test_x, seed=seed))
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:140]
    if predicted.shape != (TEST_ROWS,):
        return f"predictions of shape {predicted.shape}"
    if name in LEARN_CLASSES:
        return None if np.isin(predicted, range(CLASSES)).all() else "no class"
    return None if np.isfinite(predicted).all() else "not finite"


def failures(sources: list[str], name: str, together: int) -> collections.Counter[str | None]:
    """How often each reason was found; None counts the programs that ran."""
    if not together:
        return collections.Counter(failure(source, n, name) for n, source in enumerate(sources))
    jobs = [(source, n, name) for n, source in enumerate(sources)]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=together) as pool:
        return collections.Counter(pool.starmap(failure_here, jobs, chunksize=1))


def main() -> int:
    """Check all shipped spaces; the exit code says whether all parsed and passed mypy."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("parse", 1000), ("types", 0), ("run", 0), ("together", 0), ("seed", 0)):
        options.add_argument(f"--{name}", type=int, default=default)
    options.add_argument("--uniform", choices=("choices", "programs"), default="choices")
    options.add_argument("--spaces", nargs="*", default=shipped_spaces())
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    good = True
    for name in given.spaces:
        space, found = program_space(name), dict[str, Any]()
        sources = set()
        begun = time.perf_counter()
        for config, _ in zip(draws(space, given.seed, given.uniform), range(given.parse), strict=False):
            source = space.render(config)
            ast.parse(source)
            assert space.decode(source) == config
            sources.add(source)
        found.update(
            parsed=given.parse, different=len(sources), seconds=round(time.perf_counter() - begun, 1)
        )
        some = sorted(sources)[:: max(1, len(sources) // max(given.types, given.run, 1))]
        for number, source in enumerate(some[: given.types]):
            (given.out / f"{name}_{number}.py").write_text(source, encoding="utf-8")
        if given.types:
            command = [sys.executable, "-m", "mypy", "--check-untyped-defs", "--ignore-missing-imports"]
            files = sorted(map(str, given.out.glob(f"{name}_*.py")))
            done = subprocess.run([*command, *files], capture_output=True, text=True)
            found.update(typed=len(files), mypy=done.stdout.splitlines()[-1])
            good = good and done.returncode == 0
        begun = time.perf_counter()
        reasons = failures(some[: given.run], name, given.together)
        found.update(ran=reasons.total(), finite=reasons.pop(None, 0), failures=dict(reasons))
        found["run_seconds"] = round(time.perf_counter() - begun, 1)
        print(json.dumps({"space": name, **found}), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
