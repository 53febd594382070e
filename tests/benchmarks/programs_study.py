"""A study over programs whose objective is cheap: what is chosen decides the loss, and four blocks are too many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airtune.engine import Study, Task, load_proposer
from airtune.grammars import program_space
from airtune.models import load_model

PROGRAMS = program_space("tabular_classification")


def loss(config: dict[str, Any]) -> float:
    """Estimators are better than networks, which fail where they have four blocks."""
    if config.get("n_block") == 4:
        raise MemoryError("no room for <four> blocks")
    return 0.04 + 0.05 * (config["model"] == "network") + 0.001 * len(config)


def programs_study(path: Path, trials: int = 24, proposer: str = "random") -> Path:
    """Write it."""
    model = load_model("scripted", dialect="code") if "lm" in proposer else None
    task = Task("table", PROGRAMS.space, loss, metric="validation error", description="Classify.")
    with Study(task, load_proposer(proposer, model=model), seed=1, path=path) as study:
        study.run(trials)
    return path
