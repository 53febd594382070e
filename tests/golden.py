"""Golden files: what was said once and reviewed, and must be said again."""

from __future__ import annotations

from pathlib import Path

import pytest


def check_golden(file: Path, text: str) -> None:
    """Compare with a golden file. To accept a change, delete it: the first run after that writes it, and fails."""
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        pytest.fail(f"{file} did not exist and was written: review it and run again")
    assert text == file.read_text(encoding="utf-8")
