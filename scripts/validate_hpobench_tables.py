"""Validates our HPOBench tables: our evaluations beside values recorded from HPOBench's published tables.

The recorded values are the traces of LLAMBO (Liu et al., arXiv 2402.03921; `exp_hpo_bench` of its repository): per
configuration the mean validation accuracy (`score`) and test accuracy (`generalization_score`) over HPOBench's five
training seeds, looked up in HPOBench's tables for rf, xgb and nn. We refit a random sample of the configurations under
the `published` protocol at the same fidelity (512 trees, 2000 rounds, 243 epochs) and compare rank and value.

HPOBench's recorded values for xgb do not depend on `eta`: of 217 pairs of recorded configurations that differ in
nothing else, all 217 have the same two values; pairs that differ in another hyperparameter mostly do not. So xgb is
refitted with eta = 0.3, XGBoost's own default, whatever was recorded. (Our tables do depend on eta.)

Every fit is one line of `OUT/fits.jsonl`, so a stopped run goes on where it was; sampled configurations come
in rounds over models and data sets, so that a run cut short has compared all of them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from airtune.benchmarks.tasks.hpobench.data import DATASETS, data_folder, load_split
from airtune.benchmarks.tasks.hpobench.models import REVISION, SEEDS, evaluate
from airtune.benchmarks.tasks.hpobench.spaces import SPACES, Value
from airtune.benchmarks.tasks.hpobench.task_names import full_fidelity
from airtune.engine.types import TaskError
from airtune.grammars import AirtuneError

RECORDED_MODELS: Mapping[str, str] = {"rf": "rf", "xgb": "xgb", "nn": "mlp"}
IGNORED_ETA = 0.3  # see the module
COLUMNS = ("dataset", "model", "hyperparameters", "score", "generalization_score")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One configuration as recorded: accuracies, means over HPOBench's five seeds."""

    model: str
    dataset: str
    config: Mapping[str, Value]
    score: float
    generalization_score: float

    def key(self, seed: int) -> str:
        """What a fit of it is found by again."""
        content = [REVISION, self.model, self.dataset, dict(self.config), seed]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read_recorded(path: Path) -> list[Recorded]:
    """The distinct configurations of a file of LLAMBO traces, in a fixed order.

    Raises:
        TaskError: If it is no such file.
    """
    if not path.is_file():
        raise TaskError(
            f"there is no file {path}", value=str(path), hint="give --llambo the traces' CSV file"
        )
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise TaskError(
                f"{path} holds no LLAMBO traces: columns are missing",
                value=", ".join(reader.fieldnames or ()),
                allowed=", ".join(COLUMNS),
                hint="give --llambo the traces' CSV file",
            )
        rows = list(reader)
    found: dict[str, Recorded] = {}
    for row in rows:
        model = RECORDED_MODELS[row["model"]]
        space, values = SPACES[model](), json.loads(row["hyperparameters"])
        config = {
            name: round(values[name]) if isinstance(space[name].default_value, int) else float(values[name])
            for name in space
        }
        if model == "xgb":
            config["eta"] = IGNORED_ETA
        score, test = float(row["score"]), float(row["generalization_score"])
        made = Recorded(model, row["dataset"].replace("_", "-"), config, score, test)
        found[made.key(0)] = made
    return [found[key] for key in sorted(found)]


def fit_work(recorded: Recorded, rows: int) -> float:
    """Roughly the seconds that fitting an MLP takes at most; 0 for the other models, which are quick enough."""
    if recorded.model != "mlp":
        return 0.0
    width, depth, batch = (int(recorded.config[name]) for name in ("width", "depth", "batch_size"))
    weights = 30 * width + (depth - 1) * width * width
    steps = full_fidelity("mlp") * rows / batch
    return steps * (3e-4 + weights * (6 * batch / 2e10 + 2e-8))  # overhead, products, Adam


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row of the result: agreement on one data set, over n configurations.

    Differences are ours minus recorded, in accuracy; `left_out` counts sampled MLPs that would have taken too long.
    """

    model: str
    dataset: str
    n: int
    left_out: int
    score_spearman: float
    score_difference: float
    score_bias: float
    test_spearman: float
    test_difference: float
    test_bias: float


def compare(
    model: str, dataset: str, pairs: Sequence[tuple[Recorded, float, float]], left_out: int
) -> Comparison:
    """Compare recorded values with (validation accuracy, test accuracy) of ours."""
    figures: list[float] = []
    for recorded, ours in (
        ([p[0].score for p in pairs], [p[1] for p in pairs]),
        ([p[0].generalization_score for p in pairs], [p[2] for p in pairs]),
    ):
        difference = np.array(ours) - np.array(recorded)
        figures += [_spearman(recorded, ours), float(np.mean(np.abs(difference))), float(np.mean(difference))]
    return Comparison(model, dataset, len(pairs), left_out, *figures)


def _spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN where it is not defined."""
    from scipy.stats import spearmanr

    if min(len(set(first)), len(set(second))) < 2:
        return float("nan")
    return float(spearmanr(first, second).statistic)


@dataclass(frozen=True, slots=True)
class Sample:
    """The configurations to refit, in order, and how many MLPs were passed over per (model, data set)."""

    chosen: tuple[Recorded, ...]
    left_out: Mapping[tuple[str, str], int]


def draw_sample(
    recorded: Sequence[Recorded], models: Sequence[str], size: int, rows: Mapping[str, int], longest: float
) -> Sample:
    """Draw `size` configurations per model and data set, with a fixed seed per pair.

    Args:
        recorded: All configurations.
        models: Which models.
        size: How many of each pair.
        rows: Data set -> rows that are fitted on.
        longest: Seconds; MLPs that may take longer are passed over.
    """
    rounds: list[list[Recorded]] = [[] for _ in range(size)]
    left_out: dict[tuple[str, str], int] = {}
    for model in models:
        for dataset in rows:
            candidates = [r for r in recorded if (r.model, r.dataset) == (model, dataset)]
            random.Random(f"{model}/{dataset}").shuffle(candidates)
            passed, kept = 0, 0
            for candidate in candidates:
                if kept == size:
                    break
                if fit_work(candidate, rows[dataset]) > longest:
                    passed += 1
                    continue
                rounds[kept].append(candidate)
                kept += 1
            left_out[model, dataset] = passed
    return Sample(tuple(r for one in rounds for r in one), left_out)


def read_fits(path: Path) -> dict[str, tuple[float, float]]:
    """Finished fits: key -> (validation accuracy, test accuracy); a torn last line is cut off."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with path.open("rb+") as file:
            file.truncate(len(whole))
    entries = [json.loads(line) for line in whole.splitlines()]
    return {entry["key"]: (entry["validation"], entry["test"]) for entry in entries}


def validate(
    recorded: Sequence[Recorded],
    folder: Path,
    out: Path,
    *,
    models: Sequence[str],
    size: int,
    seeds: int,
    longest: float,
    minutes: float,
) -> Iterator[Comparison]:
    """Refit what is missing, for at most `minutes`, and compare what there is. Arguments: see the command's options."""
    splits = {name: load_split(folder, name) for name in DATASETS if any(r.dataset == name for r in recorded)}
    rows = {name: len(split.train[1]) + len(split.validation[1]) for name, split in splits.items()}
    sample = draw_sample(recorded, models, size, rows, longest)
    path = out / "fits.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    fits, deadline = read_fits(path), time.monotonic() + 60 * minutes
    missing = [(r, s) for s in SEEDS[:seeds] for r in sample.chosen if r.key(s) not in fits]
    for done, (one, seed) in enumerate(missing):
        if time.monotonic() > deadline:
            break
        split = splits[one.dataset]
        made = evaluate(
            one.model, one.config, split, fidelity=full_fidelity(one.model), protocol="published", seed=seed
        )
        validation = 1 - made.validation_errors / len(split.validation[1])
        test = 1 - made.test_errors / len(split.test[1])
        fits[one.key(seed)] = validation, test
        entry = {"key": one.key(seed), "validation": validation, "test": test, "seconds": made.seconds}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        where = f"{one.model} {one.dataset} seed {seed}"
        print(f"{done + 1}/{len(missing)} fits: {where}, {made.seconds:.1f} s", file=sys.stderr, flush=True)
    for model in models:
        for dataset in splits:
            pairs = []
            for one in sample.chosen:
                ours = [fits[one.key(s)] for s in SEEDS[:seeds] if one.key(s) in fits]
                if (one.model, one.dataset) == (model, dataset) and ours:
                    mean = np.mean(ours, axis=0)
                    pairs.append((one, float(mean[0]), float(mean[1])))
            if pairs:
                yield compare(model, dataset, pairs, sample.left_out[model, dataset])


def main(arguments: Sequence[str]) -> int:
    """Compare our evaluations with values of HPOBench's published tables."""
    parser = argparse.ArgumentParser("validate_hpobench_tables.py", description=main.__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the CSV files and index.json")
    parser.add_argument("--llambo", type=Path, required=True, metavar="CSV", help="file of LLAMBO's traces")
    parser.add_argument("--models", default="rf,xgb,mlp", metavar="M,N", help="default: rf,xgb,mlp")
    parser.add_argument("--sample", type=int, default=16, help="configurations per model and data set")
    parser.add_argument("--seeds", type=int, default=1, help="training seeds, of the five (default: 1)")
    parser.add_argument(
        "--longest", type=float, default=60.0, help="pass over MLPs that may take more seconds (default: 60)"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="start no fit after that (default: 60)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="finished fits are kept here")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    options = parser.parse_args(list(arguments))
    models = [part.strip() for part in options.models.split(",")]
    bad = [m for m in models if m not in RECORDED_MODELS.values()]
    if bad or options.sample < 1 or not 1 <= options.seeds <= len(SEEDS):
        raise TaskError(
            "bad options",
            value=", ".join(bad) or f"--sample {options.sample} --seeds {options.seeds}",
            allowed=f"--models of rf, xgb, mlp; --sample 1 or more; --seeds 1 to {len(SEEDS)}",
            hint="for example --models rf --sample 16 --seeds 2",
        )
    try:
        found = list(
            validate(
                read_recorded(options.llambo),
                data_folder(options.data),
                options.out,
                models=models,
                size=options.sample,
                seeds=options.seeds,
                longest=options.longest,
                minutes=options.minutes,
            )
        )
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it stopped", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([asdict(one) for one in found], indent=1))
        return 0
    print(
        "| model | data set | n | left out | score: rho | abs. diff. | bias | test: rho | abs. diff. | bias |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for one in found:
        score = f"{one.score_spearman:.2f} | {one.score_difference:.3f} | {one.score_bias:+.3f}"
        test = f"{one.test_spearman:.2f} | {one.test_difference:.3f} | {one.test_bias:+.3f}"
        print(f"| {one.model} | {one.dataset} | {one.n} | {one.left_out} | {score} | {test} |")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AirtuneError as error:
        sys.exit(f"error: {error}")
