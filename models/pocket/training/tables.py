"""Tables of real learning algorithms on generated data sets: the part of `pocket`'s data that carries meaning.

A table is one algorithm on one data set: its default configuration and random ones, each with its validation
error. The ranges are jittered around those in common use, so that a model trained on the tables reads the
ranges instead of memorising one.

These are the tables of the first four versions: their trainings are short (8 epochs of a perceptron, 20 rounds of
boosting), which is another optimum than users have. The next version's come from `corpus`, which trains to the end
(`long_tables`); beside those, these are told as short trainings.

    python -m airtune.models.pocket.training.tables --out DIR --jobs 2      builds what is missing in DIR (resumable)
    python -m airtune.models.pocket.training.tables --out DIR --pack FILE   packs DIR into one compressed file
    python -m airtune.models.pocket.training.tables --out DIR --unpack FILE puts packed ones into DIR, to build more
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airtune.models.pocket.training.algorithms import ALGORITHMS, Algorithm, Param
from airtune.models.pocket.training.datasets import make_dataset

ROWS = 160  # configurations per table: the best of 160 random ones is near enough to the optimum in 2 to 5 dimensions


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One algorithm on one data set. Equal to itself alone, so that what is made of it can be cached.

    Attributes:
        params: The hyperparameters that it tunes, with this table's own ranges.
        unit: (rows, parameters), positions on the unit interval of each parameter's scale, a categorical's in the
            middle of its choice's share; NaN where inactive. Row 0 is the default.
        loss: (rows,), validation error (1 - balanced accuracy); infinite where a training failed.
        budget: How long a training is, as a role and a number, or None: not by a number.
        short: Whether that is shorter than people train; a header always says so then.
    """

    params: tuple[Param, ...]
    unit: NDArray[np.float32]
    loss: NDArray[np.float32]
    budget: tuple[str, float] | None = None
    short: bool = False


def to_value(p: Param, u: float) -> Any:
    """The parameter's value at position `u` of its scale."""
    if p.kind == "C":
        return p.choices[min(int(u * len(p.choices)), len(p.choices) - 1)]
    if p.kind in "LJ":
        v = float(np.exp(np.log(p.lower) + u * (np.log(p.upper) - np.log(p.lower))))
    else:
        v = p.lower + u * (p.upper - p.lower)
    return round(min(max(v, p.lower), p.upper)) if p.kind in "IJ" else v


def to_unit(p: Param, v: Any) -> float:
    """The position of value `v` on the parameter's scale, in [0, 1]."""
    if p.kind == "C":
        return (p.choices.index(v) + 0.5) / len(p.choices)
    if p.kind in "LJ":
        return float((np.log(v) - np.log(p.lower)) / (np.log(p.upper) - np.log(p.lower)))
    return float((v - p.lower) / (p.upper - p.lower))


def default_value(p: Param) -> Any:
    """The parameter's default as a value."""
    if p.kind == "C":
        return p.choices[int(p.default)]
    return round(p.default) if p.kind in "IJ" else p.default


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
        lower, upper = max(round(min(2, p.lower)), round(lower)), round(upper)  # what starts at 2 needs 2
    upper = max(upper, lower + 2)
    return replace(p, lower=lower, upper=upper, default=float(np.clip(p.default, lower, upper)))


def active_roles(params: tuple[Param, ...], config: Mapping[str, Any]) -> list[bool]:
    """Which parameters a configuration of all of them uses."""
    return [p.only is None or config[p.only[0]] in p.only[1] for p in params]


def squared_distances(table: Table, config: Mapping[str, Any]) -> NDArray[np.float64]:
    """(rows,), how far the table's rows are from a configuration (active parameters only), in unit coordinates.

    Two choices of a categorical are as far apart as the ends of a scale; so are active and inactive.
    """
    there = np.array([to_unit(p, config[p.role]) if p.role in config else np.nan for p in table.params])
    gap = np.abs(table.unit - there)
    categorical = np.array([p.kind == "C" for p in table.params])
    gap = np.where(categorical, gap > 1e-3, gap)
    gap = np.where(np.isnan(gap), np.isnan(table.unit) != np.isnan(there), gap)
    return np.asarray((gap**2).sum(1))


def _tuned(algorithm: Algorithm, rng: np.random.Generator) -> list[int]:
    """The parameters that a table tunes: all of them, or `fewest` and more, drawn."""
    count = len(algorithm.params)
    if not algorithm.fewest or rng.uniform() < 0.3:
        return list(range(count))
    return sorted(rng.permutation(count)[: rng.integers(algorithm.fewest, count + 1)].tolist())


def build_table(name: str, index: int) -> Table:
    """Run algorithm `name` on data set `index` (deterministic)."""
    algorithm = ALGORITHMS[name]
    rng = np.random.default_rng([index, *name.encode()])
    data = make_dataset(int(rng.integers(2**31)))
    everything = tuple(_jitter(p, rng) for p in algorithm.params)
    unit = rng.uniform(size=(ROWS, len(everything)))
    unit[0] = [to_unit(p, default_value(p)) for p in everything]
    tuned = _tuned(algorithm, rng)
    params, unit = tuple(everything[i] for i in tuned), unit[:, tuned]
    configs = []
    for row in unit:
        config = {p.role: default_value(p) for p in everything}
        config |= {p.role: to_value(p, u) for p, u in zip(params, row, strict=True)}
        uses = active_roles(everything, config)
        configs.append({p.role: config[p.role] for p, on in zip(everything, uses, strict=True) if on})
        # Integers sit where they were rounded to.
        row[:] = [to_unit(p, config[p.role]) if p.role in configs[-1] else np.nan for p in params]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = algorithm.run(data, configs)
    return Table(params, unit.astype(np.float32), loss.astype(np.float32))


def _save(table: Table, path: Path) -> None:
    ranges = np.array([[p.lower, p.upper, p.default] for p in table.params])
    roles = json.dumps([p.role for p in table.params])
    partial = path.with_suffix(f".{os.getpid()}.part.npz")
    np.savez_compressed(partial, roles=np.array(roles), ranges=ranges, unit=table.unit, loss=table.loss)
    os.replace(partial, path)


def _build_file(job: tuple[str, int, Path]) -> None:
    name, index, path = job
    if not path.exists():
        _save(build_table(name, index), path)


def table_at(name: str, index: int, folder: Path) -> Table:
    """The table of algorithm `name` on data set `index`; built, which takes a while, if the folder has none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{index}.npz"
    _build_file((name, index, path))
    stored, roles = np.load(path), {p.role: p for p in ALGORITHMS[name].params}
    ranges = zip(json.loads(str(stored["roles"])), stored["ranges"].tolist(), strict=True)
    params = tuple(replace(roles[r], lower=low, upper=high, default=d) for r, (low, high, d) in ranges)
    return Table(params, stored["unit"], stored["loss"])


def build(out: Path, jobs: int) -> None:
    """Build every missing table in `out`, interleaved over the algorithms so that an early stop is balanced."""
    from concurrent.futures import ProcessPoolExecutor

    out.mkdir(parents=True, exist_ok=True)
    work = [
        (i / (a.tables + a.added), (name, i, out / f"{name}-{i:04d}.npz"))
        for name, a in ALGORITHMS.items()
        for i in range(a.tables + a.added)
    ]
    work.sort(key=lambda w: w[0])
    with ProcessPoolExecutor(jobs) as pool:
        for done, _ in enumerate(pool.map(_build_file, [w[1] for w in work]), 1):
            if done % 20 == 0:
                print(f"{done}/{len(work)} tables", flush=True)


_NOWHERE = 65535  # in place of a position: inactive, or not tuned by this table


def pack(out: Path, target: Path) -> None:
    """Pack the tables in `out` into one compressed file: arrays `{algorithm}/{ranges,unit,loss}`, tables stacked.

    All tables of an algorithm have a column for each of its parameters; one that a table does not tune has no range.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, algorithm in ALGORITHMS.items():
        files = sorted(f for f in out.glob(f"{name}-*.npz") if ".part" not in f.name)
        if not files:
            continue
        order = {p.role: i for i, p in enumerate(algorithm.params)}
        ranges = np.full((len(files), len(order), 3), np.nan)
        unit = np.full((len(files), ROWS, len(order)), _NOWHERE, dtype=np.uint16)
        loss = np.empty((len(files), ROWS), dtype=np.float16)
        for i, file in enumerate(files):
            table = np.load(file)
            columns = [order[role] for role in json.loads(str(table["roles"]))]
            ranges[i, columns] = table["ranges"]
            # three decimals of position are what the model reads; 16 bits hold them
            place = np.nan_to_num(np.round(table["unit"] * (_NOWHERE - 1)), nan=_NOWHERE)
            unit[i][:, columns] = place.astype(np.uint16)
            loss[i] = table["loss"].astype(np.float16)
        arrays |= {f"{name}/ranges": ranges, f"{name}/unit": unit, f"{name}/loss": loss}
    np.savez_compressed(target, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> dict[str, list[Table]]:
    """Read a packed file: algorithm -> its tables."""
    packed = np.load(path)
    tables: dict[str, list[Table]] = {}
    for name, algorithm in ALGORITHMS.items():
        if f"{name}/unit" not in packed:
            continue
        tables[name] = []
        rows = zip(packed[f"{name}/ranges"], packed[f"{name}/unit"], packed[f"{name}/loss"], strict=True)
        for ranges, unit, loss in rows:
            tuned = np.flatnonzero(~np.isnan(ranges[:, 0]))
            params = tuple(
                replace(algorithm.params[i], lower=lower, upper=upper, default=default)
                for i, (lower, upper, default) in zip(tuned, ranges[tuned].tolist(), strict=True)
            )
            place = unit[:, tuned].astype(np.float32)
            place = np.where(place == _NOWHERE, np.nan, place / (_NOWHERE - 1)).astype(np.float32)
            budget = algorithm.budget
            if budget is not None and budget[0] in [p.role for p in params]:
                budget = None
            tables[name].append(Table(params, place, loss.astype(np.float32), budget, budget is not None))
    return tables


def unpack(file: Path, out: Path) -> None:
    """Put the tables of a packed file into `out`, as if they had been built there."""
    out.mkdir(parents=True, exist_ok=True)
    for name, tables in load(file).items():
        for i, table in enumerate(tables):
            _save(table, out / f"{name}-{i:04d}.npz")


def main(argv: list[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--unpack", type=Path)
    args = parser.parse_args(argv)
    if args.unpack:
        unpack(args.unpack, args.out)
    elif args.pack:
        pack(args.out, args.pack)
    else:
        build(args.out, args.jobs)


if __name__ == "__main__":
    main()
