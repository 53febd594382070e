"""Pages of studies whose losses are near the ends of what a float can hold."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.benchmarks.report import write_report
from airtune.engine import Study, Task

MOST = sys.float_info.max


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: MOST if x > 0.3 else -MOST * x - 1e307,
        lambda x: MOST,
        lambda x: -MOST,
        lambda x: MOST * x + 1e-300,
        lambda x: -MOST if x < 0.5 else 1.0,
        lambda x: 5e-324 if x < 0.5 else 1e-300,
    ],
)
def test_losses_of_any_size_have_a_page(loss: Callable[[float], float], tmp_path: Path) -> None:
    """Catches: a difference of two losses, or an axis's margin, that overflows; what is shown is divided."""
    path = tmp_path / "s.airtune"
    task = Task("t", ConfigurationSpace({"x": (0.0, 1.0), "n": (1, 9)}), lambda c: loss(c["x"]))
    with Study(task, "random", path=path) as study:
        best = study.run(6).best
    assert best is not None
    assert best.loss is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_report(path)[0].read_text(encoding="utf-8")
    assert f"{best.loss:.4g}" in page.replace("−", "-")
