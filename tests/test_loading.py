"""What a command loads: bounds on the number of our own files, and rooms that it has no use for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
ROOMS = ("grammars", "models", "engine", "benchmarks")
FORBIDDEN = (
    "benchmarks/report/",
    "engine/replay/",
    "models/archive/",
    "models/inspection/",
    "models/pocket/training/",
)
CODE = """
import sys
from airtune.engine.cli.app import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert ended.code == 0, ended.code
print(*(getattr(module, "__file__", None) for module in list(sys.modules.values())), sep="\\n")
"""


def loaded_by(folder: Path, *command: str) -> list[str]:
    """Our files that the main process of a command loads, as paths in the repository."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    files = {Path(line) for line in done.stdout.splitlines() if line.endswith(".py")}
    inside = {path.relative_to(REPO) for path in files if path.is_relative_to(REPO)}
    return sorted(path.as_posix() for path in inside if path.parts[0] in ROOMS)


@pytest.mark.parametrize(
    ("options", "bound"),
    [(("--proposer", "random", "--budget", "2"), 60), (("--budget", "10"), 110)],
    ids=["random", "the README's first command"],
)
def test_tune_loads_what_it_uses(tmp_path: Path, options: tuple[str, ...], bound: int) -> None:
    """An import at the top of a module that only some of its callers need; a package that imports all it has."""
    files = loaded_by(tmp_path, "tune", "sklearn/svm/digits", *options)
    assert "benchmarks/tasks/sklearn.py" in files
    assert [path for path in files if path.startswith(FORBIDDEN)] == []
    assert len(files) <= bound, "\n".join(files)


def test_help_loads_the_command_line_alone(tmp_path: Path) -> None:
    """A command's module that imports what only running it needs makes `airtune --help` slow."""
    files = loaded_by(tmp_path, "--help")
    beside = [path for path in files if not path.startswith("engine/cli/")]
    assert beside == ["engine/__init__.py"]
