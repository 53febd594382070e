"""Files of JSON lines that a measurement appends to, and goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that may not be there; a torn last one, of a run that was killed, is cut off."""
    found: list[dict[str, Any]] = []
    if not path.exists():
        return found
    whole = 0
    data = path.read_bytes()
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        found.append(json.loads(line))
        whole += len(line)
    if whole < len(data):
        with path.open("rb+") as file:
            file.truncate(whole)
    return found


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Add a line; the file is made if need be."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
