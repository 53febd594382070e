"""Pieces of a build: a stretch of one model's grid on one data set, under one protocol, with one training seed.

A piece's file under `OUT/pieces` is named after a hash of everything that it depends on (data, grid points, fidelity,
seed, library versions), so pieces of different settings never mix.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpobench_grids import Setting

from airtune.benchmarks.tasks.hpobench.data import load_split, read_data
from airtune.benchmarks.tasks.hpobench.models import REVISION, Protocol, evaluate
from airtune.benchmarks.tasks.hpobench.spaces import grid_configs

PIECE_SIZE = 25  # grid points: some seconds of computing are lost when a build is stopped


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


def fingerprint(folder: Path, dataset: str) -> str:
    """A hash of all that evaluations on a data set depend on: its file, and its fold where one is given."""
    raw = read_data(folder, dataset)
    if raw.fold is None:
        return raw.sha256
    content = raw.sha256.encode() + raw.fold[0].tobytes() + b"|" + raw.fold[1].tobytes()
    return hashlib.sha256(content).hexdigest()


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
            fingerprint: The data set's, see `fingerprint`.
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
