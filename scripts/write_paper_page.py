"""Writes docs/paper/index.md from the results of `airtune bench paper` that are kept in docs/paper.

    python scripts/write_paper_page.py [--from DIR]

With --from, the results, times and figures of DIR are first copied there (the studies stay where they are).
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airtune.benchmarks.analysis.table import Table
from airtune.benchmarks.paper.plans import PAPER, PARTS
from airtune.benchmarks.paper.running import RESULT
from airtune.benchmarks.report.paper import MEANING, SIGNS, read_part

KEPT = Path(__file__).resolve().parents[1] / "docs" / "paper"
HEAD = f"""# The paper, part by part

{PAPER} done again with language models on this machine, by the plans of the
[Pre-registration](../project/preregistration.md), each part with a model that knows nothing beside it.
`airtune bench paper` makes these figures ([how](../how-to/paper.md)), and `scripts/write_paper_page.py` this page of
them; results, times and figures are kept beside it, in `docs/paper`.

{"".join(f"- {SIGNS[verdict]} {words}{chr(10)}" for verdict, words in MEANING.items())}"""


def page(folder: Path) -> str:
    """The page of all parts that a folder has.

    Raises:
        AirtuneError: If one of them is not what this version writes.
    """
    found = {name: folder / name for name in PARTS if (folder / name / RESULT).is_file()}
    parts = [read_part(where) for where in found.values()]
    columns = ("what", "ours", "paper", "control")
    rows = [
        (f"[{one['title']}](#{one['name']})", one["sign"], *(one["brief"][key] or "–" for key in columns))
        for one in parts
    ]
    heads = ("part", "", "figure", "ours", "paper", "control")
    pieces = [HEAD, Table.of_texts("Does it hold?", heads, rows).markdown()]
    missing = [f"`{name}` ({part.title})" for name, part in PARTS.items() if name not in found]
    pieces += [f"\nNot run: {', '.join(missing)}.\n"] if missing else []
    for one in parts:
        pieces += _section(one, found[one["name"]])
    return "\n".join(pieces)


def _section(part: Mapping[str, Any], folder: Path) -> list[str]:
    """What the page says of one part."""
    tables = [part["lines"], *part["tables"], *([part["times"]] if part["times"] else [])]
    figures = [
        f"![{part['title']}: {one.stem}](./{folder.name}/{one.name})" for one in sorted(folder.glob("*.svg"))
    ]
    return [
        f"## {part['title']} {{#{part['name']}}}\n",
        f"{part['question']} {part['paper']}\n",
        f"**{part['sign']} {part['meaning'].capitalize()}.** {part['answer']}\n",
        *([f"**Not as planned**: {'; '.join(part['departures'])}.\n"] if part["departures"] else []),
        *(f"- {note}\n" for note in part["notes"]),
        *(f"{table.markdown()}\n" for table in tables),
        *(f"{figure}\n" for figure in figures),
        f"`{part['command']}`, commit {part['provenance']['commit']}, {part['seeds']}.\n",
    ]


def keep(run: Path, folder: Path) -> None:
    """Copy the results, times and figures of a run."""
    for name in PARTS:
        if (run / name / RESULT).is_file():
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(parents=True)
            for path in [*(run / name).glob("*.json"), *(run / name).glob("*.svg")]:
                shutil.copyfile(path, folder / name / path.name)


def main(arguments: list[str] | None = None) -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--from", dest="run", type=Path, metavar="DIR", help="a folder of `airtune bench paper`"
    )
    parser.add_argument("--out", type=Path, default=KEPT, metavar="DIR")
    asked = parser.parse_args(arguments)
    if asked.run is not None:
        keep(asked.run, asked.out)
    (asked.out / "index.md").write_text(page(asked.out), encoding="utf-8")


if __name__ == "__main__":
    main()
