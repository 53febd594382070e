"""Make the tables: `python -m airtune.models.pocket.training.corpus --out DIR --hours H` (resumes, one thread)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from airtune.models.pocket.training.corpus.building import FAMILIES, MIXED, build


def main(argv: Sequence[str] | None = None) -> None:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the shards; those that are there are kept"
    )
    parser.add_argument("--hours", type=float, default=float("inf"), help="when to stop, by the clock")
    parser.add_argument("--rounds", type=int, default=24, help="how many rounds of tables there are in all")
    parser.add_argument(
        "--mixed", action="store_true", help="of spaces drawn at random, not those that people wrote"
    )
    args = parser.parse_args(argv)
    families, prefix = (MIXED, "mixed") if args.mixed else (FAMILIES, "round")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # weights that decay to nothing are slow otherwise
    try:
        with threadpool_limits(1):
            print(json.dumps(build(args.out, args.hours, args.rounds, families, prefix)))
    finally:
        torch.set_flush_denormal(False)  # of the whole process: others may count on the smallest numbers


if __name__ == "__main__":
    main()
