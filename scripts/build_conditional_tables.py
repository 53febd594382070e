"""Makes the tables of the suite `development-conditional`: `python scripts/build_conditional_tables.py --out DIR`.

Spaces as people write them (`airtune.models.pocket.training.corpus`), on generated data sets whose numbers training
never reaches, so that no model of ours has seen them. A table is a file of DIR: a stopped run goes on where it was.
When all are there, they are put together in `benchmarks/tasks/conditional/tables.npz`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from airtune.benchmarks.tasks.conditional.forest import Forest
from airtune.models.pocket.training.corpus import fits, shards
from airtune.models.pocket.training.corpus.building import FAMILIES, hashed
from airtune.models.pocket.training.corpus.drawing import (
    config_of,
    draw_codes,
    estimator_words,
    has_default,
    space_of,
)
from airtune.models.pocket.training.corpus.problems import losses, make_problem
from airtune.models.pocket.training.corpus.shards import positions

# How many tables of each space, and configurations of each of them: more where more hyperparameters matter.
TABLES: Mapping[str, tuple[int, int]] = {
    "xgboost_boosters": (4, 240),
    "choice_of_model": (4, 200),
    "sgd": (3, 200),
    "svc_kernels": (3, 160),
    "svc": (2, 96),
    "r_glmnet": (1, 96),
    "boosting_or_linear": (1, 200),
    "xgboost": (2, 200),
}
FIRST = 1000  # number of the first table; training has a hundred of a family at most
ROWS = (300, 700)  # of the data sets
# A table is kept if a forest foretells the losses of a tenth of its rows from the others': their rank correlation. Else
# its validation rows are too few or its data set is noise, and a search on it would be one for the forest's whims.
FORETOLD, TRIES = 0.6, 12
TARGET = Path(__file__).parent.parent / "benchmarks" / "tasks" / "conditional" / "tables.npz"


def build_table(name: str, index: int, rows: int) -> shards.Table:
    """Train everything of one table, to the end; deterministic but for the seconds."""
    family = replace(FAMILIES[name], rows=ROWS)
    seed = hashed(f"conditional {name} {index}")
    rng = np.random.default_rng(seed)
    problem = make_problem(int(rng.integers(2**31)), family.tasks == "r", family.rows)
    metric = str(rng.choice(["error", *["log_loss"] * family.proba])) if problem.classes else "mse"
    params = space_of(family, problem, False, rng)
    codes = draw_codes(params, rows, rng)
    configs = [config_of(params, row, has_default(params) and i == 0) for i, row in enumerate(codes)]
    words = [estimator_words(family, params, config, False) for config in configs]
    outcome = fits.run(family.algorithm, problem, words, family.length, seed)
    valid, test = (
        np.array([losses(metric, y, out) for out in predicted], dtype=np.float16)
        for y, predicted in zip(problem.y[1:], (outcome.valid, outcome.test), strict=True)
    )
    return shards.Table(
        name, index, family.algorithm, family.length, metric, seed, problem.facts, params, codes,
        valid, test, outcome.seconds.astype(np.float16),
    )  # fmt: skip


def foretold(table: shards.Table) -> float:
    """Rank correlation of the losses with what a forest says of them that has not seen them."""
    from scipy.stats import spearmanr
    from sklearn.model_selection import KFold

    rows, expected = np.arange(len(table.valid)), np.empty(len(table.valid))
    for seen, held in KFold(10, shuffle=True, random_state=0).split(rows):
        part = replace(table, codes=table.codes[seen], valid=table.valid[seen])
        forest = Forest(part)
        expected[held] = forest.losses(positions(table)[held])
    loss = np.where(np.isfinite(table.valid), table.valid, np.inf)
    return float(spearmanr(expected, loss).statistic)


def main() -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished tables")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    kept: dict[str, list[shards.Table]] = {name: [] for name in TABLES}
    for index in range(FIRST, FIRST + TRIES):
        for name, (count, rows) in TABLES.items():
            if len(kept[name]) == count:
                continue
            file, begun = out / f"{name}-{index}.npz", time.process_time()
            if not file.exists():
                with threadpool_limits(1):
                    shards.write([build_table(name, index, rows)], file)
            (table,) = shards.read(file)
            told = foretold(table)
            if told >= FORETOLD:
                kept[name].append(table)
            print(f"{name} {index}: {told:.2f}, {time.process_time() - begun:.1f} s", flush=True)
    shards.write([table for tables in kept.values() for table in tables], TARGET)
    shards.seconds_file(TARGET).unlink()


if __name__ == "__main__":
    main()
