"""Makes the table of `cifar10/cnn-table`: `python scripts/build_cifar10_table.py --data DIR --out FILE`.

One process, one thread. The file is written anew after each row, whole or not at all, and the same command goes on
after its last one; a file that was begun with other data, code, versions or another grid is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airtune.benchmarks.paper.running import source_commit
from airtune.benchmarks.tasks import networks
from airtune.benchmarks.tasks.cifar10 import cnn, data, table
from airtune.benchmarks.tasks.hpobench.spaces import grid_configs, grid_size
from airtune.engine.evaluation.programs import ProgramData
from airtune.engine.manifest import hardware
from airtune.engine.types import TaskError
from airtune.grammars import AirtuneError, read_file, write_file

COLUMNS = ("validation_errors", "test_errors", "seconds")
COMMAND = "python scripts/build_cifar10_table.py --data DIR --out FILE"
NOT_COMPARED = ("commit", "machine")  # what a build that goes on may find changed


def begun(images: ProgramData) -> dict[str, Any]:
    """A table without rows: what its numbers depend on."""
    sources = b"".join(Path(str(module.__file__)).read_bytes() for module in (cnn, data, networks))
    assert images.test is not None
    return {
        **table.provenance(),
        "seed": networks.SEED,
        "train_rows": len(images.train[1]),
        "validation_rows": len(images.validation[1]),
        "test_rows": len(images.test[1]),
        "code": hashlib.sha256(sources).hexdigest(),
        "commit": source_commit(),
        "versions": {
            "python": platform.python_version(),
            "torch": version("torch"),
            "numpy": version("numpy"),
        },
        "machine": hardware(),
        "command": COMMAND,
        **{name: [] for name in COLUMNS},
    }


def begin_or_go_on(fresh: dict[str, Any], path: Path) -> dict[str, Any]:
    """What is in the file already, or else the table without rows.

    Raises:
        TaskError: If the file is none of such a build, or the build's conditions were others.
    """
    if not path.exists():
        return fresh
    try:
        found = json.loads(read_file(path))
        other = [k for k in fresh if k not in (*COLUMNS, *NOT_COMPARED) and found[k] != fresh[k]]
        if other or len({len(found[name]) for name in COLUMNS}) != 1:
            raise ValueError(f"another {', '.join(other) or 'number of rows in each column'}")
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TaskError(
            f"{str(path)!r} was not begun as it would be gone on with: {error}",
            value=str(path),
            allowed="a file that this command wrote, with the same data, code and versions",
            hint="move it away to begin anew",
        ) from error
    return dict(found)


def write(content: dict[str, Any], path: Path) -> None:
    """Replace the file: a line for each entry."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    write_file(path, f"{{\n{lines}\n}}\n".encode())


def build(
    folder: Path | None, path: Path, on_row: Callable[[dict[str, Any]], None] = lambda content: None
) -> None:
    """Train what is missing.

    Args:
        folder: Of the data; None: the environment's.
        path: The table's file.
        on_row: Called with the table after each row.
    """
    images = data.image_data(data.FILE.find(folder))
    content = begin_or_go_on(begun(images), path)
    for config in list(grid_configs(table.GRID))[len(content["seconds"]) :]:
        start = time.process_time()
        try:
            losses = cnn.train_and_score(images, {**content["fixed"], **config})
        except ValueError:  # it diverged
            losses = {"loss": 1.0, "test_loss": 1.0}
        for part, loss in zip(("validation", "test"), losses.values(), strict=True):
            content[f"{part}_errors"].append(round(loss * content[f"{part}_rows"]))
        content["seconds"].append(float(f"{time.process_time() - start:.2e}"))
        write(content, path)
        on_row(content)


def _print_progress(content: dict[str, Any]) -> None:
    seconds, size = content["seconds"], grid_size(table.GRID)
    left = (size - len(seconds)) * sum(seconds) / len(seconds) / 60
    wrong = content["validation_errors"][-1] / content["validation_rows"]
    print(
        f"{len(seconds)}/{size} rows, {left:.0f} processor minutes left: {wrong:.4f}",
        file=sys.stderr,
        flush=True,
    )


def main() -> int:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the images (default: AIRTUNE_DATA)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the table, finished or begun"
    )
    options = parser.parse_args()
    try:
        build(options.data, options.out, _print_progress)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it stopped", file=sys.stderr)
        return 1
    print(f"{options.out} is whole")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AirtuneError as error:
        sys.exit(f"error: {error}")
