"""Tables of real learning algorithms on generated data sets: the part of `pocket`'s data that carries meaning.

A table is one algorithm on one data set: its default configuration and random ones, each with its validation
error. The ranges are jittered around those in common use, so that a model trained on the tables reads the
ranges instead of memorising one.

    python -m airtune.models.pocket.tables --out DIR --jobs 2      builds what is missing in DIR (resumable)
    python -m airtune.models.pocket.tables --out DIR --pack FILE   packs DIR into one compressed file
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.datasets import Dataset, make_dataset

ROWS = 160  # configurations per table: the best of 160 random ones is near enough to the optimum in 2 to 5 dimensions


@dataclass(frozen=True, slots=True)
class Param:
    """A hyperparameter of a table: role, kind (`F` float, `L` log float, `I` int, `J` log int), range, default."""

    role: str
    kind: str
    lower: float
    upper: float
    default: float
    spread: float = 1.0  # decades (log kinds) by which each end of the range may move from table to table


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A learning algorithm: its parameters and how to build it from their values and the number of features."""

    params: tuple[Param, ...]
    build: Callable[[Mapping[str, Any], int], Any]
    tables: int  # how many data sets it is run on


def _svm(c: Mapping[str, Any], _: int) -> Any:
    from sklearn.svm import SVC

    return SVC(C=c["C"], gamma=c["gamma"], max_iter=20000)


def _sgd(c: Mapping[str, Any], _: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="log_loss", learning_rate="adaptive", tol=None, max_iter=30,
        alpha=c["alpha"], eta0=c["learning_rate"], random_state=0,
    )  # fmt: skip


def _forest(c: Mapping[str, Any], d: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=16, max_depth=c["max_depth"], min_samples_split=c["min_samples_split"],
        max_features=max(1, int(np.rint(d ** c["max_features"]))), min_samples_leaf=c["min_samples_leaf"],
        random_state=0,
    )  # fmt: skip


def _mlp(c: Mapping[str, Any], _: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=[c["width"]] * c["depth"], batch_size=c["batch_size"], alpha=c["alpha"],
        learning_rate_init=c["learning_rate"], max_iter=8, random_state=0,
    )  # fmt: skip


def _boosting(c: Mapping[str, Any], _: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=c["n_estimators"], learning_rate=c["learning_rate"], max_depth=c["max_depth"],
        subsample=c["subsample"], random_state=0,
    )  # fmt: skip


def _tree(c: Mapping[str, Any], d: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(
        max_depth=c["max_depth"], min_samples_split=c["min_samples_split"],
        min_samples_leaf=c["min_samples_leaf"], max_features=max(1, int(np.rint(d ** c["max_features"]))),
        random_state=0,
    )  # fmt: skip


def _logistic(c: Mapping[str, Any], _: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c["C"], tol=c["tol"], max_iter=60)


ALGORITHMS: dict[str, Algorithm] = {
    "svm": Algorithm(
        (Param("C", "L", 2**-10, 2**10, 1.0), Param("gamma", "L", 2**-10, 2**10, 0.1)), _svm, 220
    ),
    "sgd": Algorithm(
        (Param("alpha", "L", 1e-5, 1.0, 1e-3), Param("learning_rate", "L", 1e-5, 1.0, 1e-2)), _sgd, 220
    ),
    "forest": Algorithm(
        (
            Param("max_depth", "J", 1, 50, 10, 0.3),
            Param("min_samples_split", "J", 2, 128, 32, 0.3),
            Param("max_features", "F", 0.0, 1.0, 0.5, 0.0),
            Param("min_samples_leaf", "I", 1, 20, 1, 0.2),
        ),
        _forest,
        120,
    ),
    "mlp": Algorithm(
        (
            Param("depth", "I", 1, 3, 3, 0.0),
            Param("width", "J", 8, 256, 64, 0.5),
            Param("batch_size", "J", 8, 256, 32, 0.3),
            Param("alpha", "L", 1e-8, 1.0, 1e-3),
            Param("learning_rate", "L", 1e-5, 1.0, 1e-3),
        ),
        _mlp,
        110,
    ),
    "boosting": Algorithm(
        (
            Param("learning_rate", "L", 1e-3, 1.0, 0.1, 0.5),
            Param("max_depth", "I", 1, 10, 3, 0.1),
            Param("n_estimators", "J", 4, 32, 16, 0.2),
            Param("subsample", "F", 0.1, 1.0, 1.0, 0.0),
        ),
        _boosting,
        30,
    ),
    "tree": Algorithm(
        (
            Param("max_depth", "J", 1, 50, 10, 0.3),
            Param("min_samples_split", "J", 2, 128, 2, 0.3),
            Param("max_features", "F", 0.0, 1.0, 1.0, 0.0),
            Param("min_samples_leaf", "I", 1, 20, 1, 0.2),
        ),
        _tree,
        100,
    ),
    "logistic": Algorithm(
        (Param("C", "L", 1e-5, 1e5, 1.0), Param("tol", "L", 1e-6, 1e-1, 1e-4)), _logistic, 100
    ),
}


@dataclass(frozen=True, slots=True)
class Table:
    """One algorithm on one data set.

    Attributes:
        params: Its parameters with this table's own ranges.
        unit: (rows, parameters), positions on the unit interval of each parameter's scale; row 0 is the default.
        loss: (rows,), validation error (1 - balanced accuracy).
    """

    params: tuple[Param, ...]
    unit: NDArray[np.float32]
    loss: NDArray[np.float32]


def to_value(p: Param, u: float) -> float | int:
    """The parameter's value at position `u` of its scale."""
    if p.kind in "LJ":
        v = float(np.exp(np.log(p.lower) + u * (np.log(p.upper) - np.log(p.lower))))
    else:
        v = p.lower + u * (p.upper - p.lower)
    return round(min(max(v, p.lower), p.upper)) if p.kind in "IJ" else v


def to_unit(p: Param, v: float) -> float:
    """The position of value `v` on the parameter's scale, in [0, 1]."""
    if p.kind in "LJ":
        return float((np.log(v) - np.log(p.lower)) / (np.log(p.upper) - np.log(p.lower)))
    return (v - p.lower) / (p.upper - p.lower)


def _jitter(p: Param, rng: np.random.Generator) -> Param:
    if p.spread == 0.0 or rng.uniform() < 0.5:  # half of the tables keep the range in common use
        return p
    if p.kind in "LJ":
        lower, upper = (
            p.lower * 10 ** rng.uniform(-p.spread, p.spread),
            p.upper * 10 ** rng.uniform(-p.spread, p.spread),
        )
    else:
        lower, upper = p.lower, p.upper * 10 ** rng.uniform(-p.spread, p.spread)
    if p.kind in "IJ":
        lower, upper = max(1, round(lower)), round(upper)
        if p.role == "min_samples_split":
            lower = max(2, lower)
    return Param(
        p.role, p.kind, lower, max(upper, lower + 2), float(np.clip(p.default, lower, upper)), p.spread
    )


def _error(model: Any, data: Dataset) -> float:
    from sklearn.metrics import balanced_accuracy_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(data.x_train, data.y_train)
        return 1.0 - float(balanced_accuracy_score(data.y_valid, model.predict(data.x_valid)))


def build_table(name: str, index: int) -> Table:
    """Run algorithm `name` on data set `index` (deterministic)."""
    algorithm = ALGORITHMS[name]
    rng = np.random.default_rng([index, *name.encode()])
    data = make_dataset(int(rng.integers(2**31)))
    params = tuple(_jitter(p, rng) for p in algorithm.params)
    unit = rng.uniform(size=(ROWS, len(params)))
    unit[0] = [to_unit(p, p.default) for p in params]
    loss = np.empty(ROWS)
    for row in range(ROWS):
        config = {p.role: to_value(p, u) for p, u in zip(params, unit[row], strict=True)}
        unit[row] = [to_unit(p, config[p.role]) for p in params]  # integers sit where they were rounded to
        loss[row] = _error(algorithm.build(config, data.x_train.shape[1]), data)
    return Table(params, unit.astype(np.float32), loss.astype(np.float32))


def _save(table: Table, path: Path) -> None:
    ranges = np.array([[p.lower, p.upper, p.default] for p in table.params])
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(partial, ranges=ranges, unit=table.unit, loss=table.loss)
    os.replace(partial, path)


def _build_file(job: tuple[str, int, Path]) -> None:
    name, index, path = job
    if not path.exists():
        _save(build_table(name, index), path)


def build(out: Path, jobs: int) -> None:
    """Build every missing table in `out`, interleaved over the algorithms so that an early stop is balanced."""
    from concurrent.futures import ProcessPoolExecutor

    out.mkdir(parents=True, exist_ok=True)
    work = [
        (i / a.tables, (name, i, out / f"{name}-{i:04d}.npz"))
        for name, a in ALGORITHMS.items()
        for i in range(a.tables)
    ]
    work.sort(key=lambda w: w[0])
    with ProcessPoolExecutor(jobs) as pool:
        for done, _ in enumerate(pool.map(_build_file, [w[1] for w in work]), 1):
            if done % 20 == 0:
                print(f"{done}/{len(work)} tables", flush=True)


def pack(out: Path, target: Path) -> None:
    """Pack the tables in `out` into one compressed file: arrays `{algorithm}/{ranges,unit,loss}`, tables stacked."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in ALGORITHMS:
        files = sorted(f for f in out.glob(f"{name}-*.npz") if ".part" not in f.name)
        loaded = [np.load(f) for f in files]
        if loaded:
            arrays[f"{name}/ranges"] = np.stack([t["ranges"] for t in loaded])
            # three decimals of position are what the model reads; 16 bits hold them
            arrays[f"{name}/unit"] = np.stack([np.round(t["unit"] * 65535).astype(np.uint16) for t in loaded])
            arrays[f"{name}/loss"] = np.stack([t["loss"].astype(np.float16) for t in loaded])
    np.savez_compressed(target, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> dict[str, list[Table]]:
    """Read a packed file: algorithm -> its tables."""
    packed = np.load(path)
    tables: dict[str, list[Table]] = {}
    for name, algorithm in ALGORITHMS.items():
        if f"{name}/unit" not in packed:
            continue
        rows = zip(packed[f"{name}/ranges"], packed[f"{name}/unit"], packed[f"{name}/loss"], strict=True)
        tables[name] = [
            Table(
                tuple(
                    Param(p.role, p.kind, float(lo), float(hi), float(default), p.spread)
                    for p, (lo, hi, default) in zip(algorithm.params, ranges, strict=True)
                ),
                unit.astype(np.float32) / 65535,
                loss.astype(np.float32),
            )
            for ranges, unit, loss in rows
        ]
    return tables


def main(argv: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--pack", type=Path)
    args = parser.parse_args(argv)
    if args.pack:
        pack(args.out, args.pack)
    else:
        build(args.out, args.jobs)


if __name__ == "__main__":
    main()
