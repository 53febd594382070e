"""Inject faults for as long as you like: `python -m tests.faults --sigkills 500`. Exit code 1 if a check fails.

Prints a table: how many times each kind of fault was injected, how many evaluations were lost, how many were
evaluated twice though they were not in flight, how many of the resumed studies export what an uninterrupted one does,
and what the user is told.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.harness import Lab
from tests.faults.kinds import KINDS
from tests.faults.table import markdown


def main() -> int:
    """Inject faults and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND",
                        help="of:\n" + "\n".join(KINDS))  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of all that is chosen by chance but the load")
    parser.add_argument("--sigkills", type=int, default=500, help="of studies, over all kinds of them")
    parser.add_argument("--times", type=int, default=100, help="faults of every other kind")
    parser.add_argument("--folder", type=Path, help="where the studies are (default: a temporary one)")
    parser.add_argument("--out", type=Path, help="write the table there, too")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder, Lab(Path(folder), given.seed) as lab:
        for name in given.kinds:
            kind = KINDS[name]
            row = kind.inject(lab, kind.times(given.sigkills, given.times))
            rows.append(row)
            print(" | ".join(row.cells()), *row.wrong[:5], sep="\n  ", flush=True)
    table = markdown(rows)
    print(table)
    if given.out is not None:
        given.out.write_text(table, encoding="utf-8")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
