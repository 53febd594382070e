"""`airtune bench build-tables`: evaluate the grids on the data sets, in pieces that a stopped build finds again.

One piece is a stretch of one model's grid on one data set, under one protocol, with one training seed. Its file under
`OUT/pieces` is named after a hash of everything that it depends on (data, grid points, fidelity, seed, library
versions), so pieces of different settings never mix, and the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from airtune.benchmarks.tasks.hpobench.data import DATASETS, data_folder, load_split, read_data
from airtune.benchmarks.tasks.hpobench.models import PROTOCOLS, REVISION, SEEDS, Protocol, evaluate
from airtune.benchmarks.tasks.hpobench.spaces import GRIDS, TABLE_SPECS, Grid, grid_configs
from airtune.engine.types import TaskError
from airtune.grammars import unknown_name

PIECE_SIZE = 25  # grid points: some seconds of computing are lost when a build is stopped


@dataclass(frozen=True, slots=True)
class Setting:
    """What a table is built from.

    Attributes:
        model: A key of `GRIDS`.
        grid: Its grid.
        fidelity: The value of the model's fidelity; 0 where it has none.
        seeds: The training seeds, in order.
    """

    model: str
    grid: Grid
    fidelity: int
    seeds: tuple[int, ...]


def shipped_setting(model: str, seeds: int | None = None) -> Setting:
    """The setting of the shipped tables of a model, with its number of seeds or another one."""
    spec = TABLE_SPECS[model]
    return Setting(model, GRIDS[model], spec.fidelity, SEEDS[: spec.seeds if seeds is None else seeds])


def seeds_used(setting: Setting, protocol: Protocol) -> tuple[int, ...]:
    """The seeds that make a difference: fitting an SVM on the training rows is deterministic."""
    return setting.seeds[:1] if setting.model == "svm" and protocol == "clean" else setting.seeds


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    packages = ("numpy", "scipy", "scikit-learn", "xgboost-cpu", "xgboost")
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in packages:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # one of the two builds of xgboost, or none
            continue
    return found


@dataclass(frozen=True, slots=True)
class Piece:
    """One unit of work; `start` and `stop` are positions in the order of `grid_configs`."""

    setting: Setting
    dataset: str
    protocol: Protocol
    seed: int
    start: int
    stop: int

    def file(self, out: Path, fingerprint: str) -> Path:
        """Where its result is kept.

        Args:
            out: The build's folder.
            fingerprint: The data set's, see `RawData`.
        """
        model = self.setting.model
        libraries = {k: v for k, v in versions().items() if model == "xgb" or not k.startswith("xgboost")}
        content = [
            *(REVISION, model, self.setting.fidelity, self.dataset, self.protocol, self.seed, fingerprint),
            *(self.start, self.stop, dict(self.setting.grid), libraries),
        ]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
        name = f"{model}-{self.dataset}-{self.protocol}-{self.seed}-{self.start:04d}-{digest}.json"
        return out / "pieces" / name


def pieces(
    settings: Iterable[Setting], datasets: Sequence[str], protocols: Sequence[Protocol]
) -> list[Piece]:
    """All pieces: the first seed of every table comes first, then the second, ..."""
    made: list[tuple[int, Piece]] = []
    for setting in settings:
        size = sum(1 for _ in grid_configs(setting.grid))
        for protocol in protocols:
            for rank, seed in enumerate(seeds_used(setting, protocol)):
                for dataset in datasets:
                    for start in range(0, size, PIECE_SIZE):
                        stop = min(start + PIECE_SIZE, size)
                        made.append((rank, Piece(setting, dataset, protocol, seed, start, stop)))
    return [piece for _, piece in sorted(made, key=lambda entry: entry[0])]


def compute(piece: Piece, folder: Path, path: Path) -> float:
    """Evaluate a piece and write its file, whole or not at all. Returns the CPU seconds it took."""
    begin = time.process_time()
    split = load_split(folder, piece.dataset)
    configs = list(grid_configs(piece.setting.grid))[piece.start : piece.stop]
    results = [
        asdict(
            evaluate(
                piece.setting.model,
                config,
                split,
                fidelity=piece.setting.fidelity,
                protocol=piece.protocol,
                seed=piece.seed,
            )
        )
        for config in configs
    ]
    columns: dict[str, Any] = {name: [result[name] for result in results] for name in results[0]}
    columns["cpu_seconds"] = time.process_time() - begin
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(columns), encoding="utf-8")
    temporary.replace(path)
    return float(columns["cpu_seconds"])


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes: the first one sees to it


def run(
    todo: Sequence[tuple[Piece, Path]], folder: Path, jobs: int, on_piece: Callable[[Piece, float], None]
) -> None:
    """Compute pieces, in this process (jobs = 1) or several; an interrupt leaves whole pieces only."""
    if jobs == 1:
        for piece, path in todo:
            on_piece(piece, compute(piece, folder, path))
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_ignore_interrupts)
    try:
        futures = {pool.submit(compute, piece, folder, path): piece for piece, path in todo}
        for future in as_completed(futures):
            on_piece(futures[future], future.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _say(done: int, total: int, started: float, first: int, piece: Piece) -> None:
    rate = (done - first) / max(time.monotonic() - started, 1e-9)
    left = (total - done) / rate / 60
    where = f"{piece.setting.model} {piece.dataset} {piece.protocol} seed {piece.seed}"
    text = f"{done}/{total} pieces, {60 * rate:.1f} a minute, {left:.0f} min left: {where}"
    print(text, file=sys.stderr, flush=True)


def build(
    settings: Sequence[Setting],
    datasets: Sequence[str],
    protocols: Sequence[Protocol],
    folder: Path,
    out: Path,
    *,
    jobs: int = 1,
    assemble_only: bool = False,
    command: str = "",
) -> list[Path]:
    """Compute what is missing, then write one parquet file per model and protocol.

    Args:
        settings: One per model.
        datasets: Keys of `DATASETS`.
        protocols: Which ones.
        folder: The data folder.
        out: Where the pieces are kept and the tables go.
        jobs: Processes, one thread each.
        assemble_only: Compute nothing; write the tables whose pieces are there, with the seeds that all have.
        command: The command line, for the tables' metadata.

    Returns:
        The files written.
    """
    from airtune.benchmarks.tasks.hpobench.tables import write_table

    data = {dataset: read_data(folder, dataset).fingerprint for dataset in datasets}
    work = [(piece, piece.file(out, data[piece.dataset])) for piece in pieces(settings, datasets, protocols)]
    todo = [(piece, path) for piece, path in work if not path.exists()]
    if not assemble_only:
        started, first, done = time.monotonic(), len(work) - len(todo), len(work) - len(todo)

        def finished(piece: Piece, seconds: float) -> None:
            nonlocal done
            done += 1
            _say(done, len(work), started, first, piece)

        run(todo, folder, jobs, finished)
    written = []
    for setting in settings:
        for protocol in protocols:
            mine = [entry for entry in work if entry[0].setting == setting and entry[0].protocol == protocol]
            whole = complete_seeds(mine)
            if whole:
                kept = [entry for entry in mine if entry[0].seed in whole]
                written.append(write_table(out, folder, setting, protocol, whole, kept, datasets, command))
    return written


def complete_seeds(work: Sequence[tuple[Piece, Path]]) -> tuple[int, ...]:
    """The seeds all of whose pieces are there."""
    seeds = dict.fromkeys(piece.seed for piece, _ in work)
    missing = {piece.seed for piece, path in work if not path.exists()}
    return tuple(seed for seed in seeds if seed not in missing)


def _chosen(what: str, text: str | None, known: Sequence[str]) -> Iterator[str]:
    for name in [part.strip() for part in (text or ",".join(known)).split(",")]:
        if name not in known:
            message, allowed, hint = unknown_name(what, name, known)
            raise TaskError(message, value=name, allowed=allowed, hint=hint)
        yield name


def main(arguments: Sequence[str]) -> int:
    """`airtune bench build-tables`: tabulate HPOBench's models on its data sets."""
    parser = argparse.ArgumentParser("airtune bench build-tables", description=main.__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the CSV files and index.json")
    parser.add_argument("--models", metavar="M,N", help=f"default: {','.join(GRIDS)}")
    parser.add_argument("--datasets", metavar="D,E", help="default: all eight")
    parser.add_argument("--protocols", metavar="P,Q", help="default: clean,published")
    parser.add_argument(
        "--seeds", type=int, metavar="N", help=f"training seeds, 1 to {len(SEEDS)} (default: 3)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="pieces and tables go here")
    parser.add_argument(
        "--assemble-only", action="store_true", help="compute nothing, write the tables from finished pieces"
    )
    options = parser.parse_args(list(arguments))
    if options.seeds is not None and not 1 <= options.seeds <= len(SEEDS):
        raise TaskError(
            "bad number of training seeds",
            value=options.seeds,
            allowed=f"1 to {len(SEEDS)}",
            hint="--seeds 2",
        )
    if options.jobs < 1:
        raise TaskError("bad number of processes", value=options.jobs, allowed="1 or more", hint="--jobs 2")
    models = list(_chosen("model", options.models, tuple(GRIDS)))
    datasets = list(_chosen("data set", options.datasets, tuple(DATASETS)))
    protocols = [p for p in PROTOCOLS if p in set(_chosen("protocol", options.protocols, PROTOCOLS))]
    shown = [a for a in arguments if a not in ("--assemble-only",)]
    for option in ("--data", "--out"):  # paths of this machine are nobody's business
        if option in shown:
            shown[shown.index(option) + 1] = "DIR"
    try:
        written = build(
            [shipped_setting(model, options.seeds) for model in models],
            datasets,
            protocols,
            data_folder(options.data),
            options.out,
            jobs=options.jobs,
            assemble_only=options.assemble_only,
            command=" ".join(["airtune bench build-tables", *shown]),
        )
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it stopped", file=sys.stderr)
        return 1
    if not written:
        print("no table is whole yet: the same command without --assemble-only goes on", file=sys.stderr)
    for path in written:
        print(f"{path}  {path.stat().st_size} bytes")
    return 0
