"""The Python of how-to pages runs as it stands, each block after those above it on its page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.engine.sandbox.here import needs_sandbox

REPO = Path(__file__).resolve().parents[2]
# Fewer trials do, and the model that is not here is left out.
SHORTER = ((r"(num_samples=|budget=|run\()\d+", r"\g<1>2"), (r"minimize\(.*smollm2.*\n", ""))


def blocks(page: str) -> list[str]:
    """The blocks of Python of a page, what it includes put in."""
    text = (REPO / "docs" / "how-to" / page).read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return [
        re.sub(r'--8<-- "(.+)"', lambda match: (REPO / match[1]).read_text(encoding="utf-8"), block)
        for block in found
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param("programs.md", marks=needs_sandbox),
        pytest.param("ray.md", marks=pytest.mark.skipif(find_spec("ray") is None, reason="needs ray")),
        pytest.param("sandbox.md", marks=needs_sandbox),
    ],
)
def test_snippets_run(page: str, tmp_path: Path) -> None:
    """Bug: they named functions, arrays and spaces that no block had made."""
    code = "\n".join(blocks(page))
    for pattern, shorter in SHORTER:
        code = re.sub(pattern, shorter, code)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
