"""Suites: what listing one costs."""

from __future__ import annotations

import subprocess
import sys


def test_only_suites_of_its_tables_load_pockets_training() -> None:
    """Bug: `development_names` imported at the head of the module."""
    code = (
        "import sys; from airtune.benchmarks.running.suites import SUITES\n"
        "def loaded(*suites):\n"
        "    assert all(SUITES[name].tasks for name in suites)\n"
        "    return any(name.startswith('airtune.models.pocket.training') for name in sys.modules)\n"
        "others = [name for name in SUITES if not name.startswith(('development', 'unseen'))]\n"
        "print(loaded(*others), loaded('unseen'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "True"]
