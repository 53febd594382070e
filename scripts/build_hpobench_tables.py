"""Tabulates HPOBench: evaluates the grids on the data sets, in pieces that a stopped build finds again.

`python scripts/build_hpobench_tables.py --data DIR --out DIR`; the same command goes on where it was stopped. Pieces:
see `hpobench_pieces`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from hpobench_grids import GRIDS, Setting, shipped_setting
from hpobench_parquet import write_table
from hpobench_pieces import Piece, compute, fingerprint, pieces

from airtune.benchmarks.tasks.hpobench.data import DATASETS, data_folder
from airtune.benchmarks.tasks.hpobench.models import PROTOCOLS, SEEDS, Protocol
from airtune.engine.types import TaskError
from airtune.grammars import AirtuneError


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


def _print_progress(done: int, total: int, started: float, first: int, piece: Piece) -> None:
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
    data = {dataset: fingerprint(folder, dataset) for dataset in datasets}
    work = [(piece, piece.file(out, data[piece.dataset])) for piece in pieces(settings, datasets, protocols)]
    todo = [(piece, path) for piece, path in work if not path.exists()]
    if not assemble_only:
        started, first, done = time.monotonic(), len(work) - len(todo), len(work) - len(todo)

        def finished(piece: Piece, seconds: float) -> None:
            nonlocal done
            done += 1
            _print_progress(done, len(work), started, first, piece)

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
            raise TaskError.unknown(what, name, known)
        yield name


def main(arguments: Sequence[str]) -> int:
    """Tabulate HPOBench's models on its data sets."""
    parser = argparse.ArgumentParser("build_hpobench_tables.py", description=main.__doc__)
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
            command=" ".join(["python scripts/build_hpobench_tables.py", *shown]),
        )
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it stopped", file=sys.stderr)
        return 1
    if not written:
        print("no table is whole yet: the same command without --assemble-only goes on", file=sys.stderr)
    for path in written:
        print(f"{path}  {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AirtuneError as error:
        sys.exit(f"error: {error}")
