"""A cache of evaluations that all methods of a comparison share.

Built-in objectives are deterministic, so the same task and configuration have the same result whoever asks:
methods are compared on what they choose, and nothing is trained twice.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from airtune.engine.types import Task, Trial


class Evaluations:
    """Results by task name and canonical text, in one SQLite file that several processes may use at once."""

    def __init__(self, path: Path) -> None:
        # WAL with NORMAL never corrupts; what a power cut may lose is only work that can be done again.
        self._connection = sqlite3.connect(path, timeout=60.0, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS evaluations "
            "(task TEXT, config TEXT, result TEXT NOT NULL, PRIMARY KEY (task, config)) WITHOUT ROWID"
        )

    def tell(self, task: Task, text: str, trial: Trial) -> Trial:
        """The trial with its result, looked up by its canonical `text` or else computed."""
        row = self._connection.execute(
            "SELECT result FROM evaluations WHERE task = ? AND config = ?", (task.name, text)
        ).fetchone()
        if row is None:
            started = time.perf_counter()
            result = evaluate(task, trial.config)
            result["evaluation_s"] = time.perf_counter() - started
            self._connection.execute(
                "INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?)", (task.name, text, json.dumps(result))
            )
        else:
            result = json.loads(row[0])
        return replace(trial, **result)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def evaluate(task: Task, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the objective says, as fields of a `Trial`: told with a finite loss, or failed with a reason."""
    try:
        returned = task.objective(dict(config))
    except Exception as error:  # a benchmark's objective may diverge; any error it raises is the trial's
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    info = dict(returned) if isinstance(returned, Mapping) else {"loss": returned}
    loss = float(info.pop("loss"))
    if not math.isfinite(loss):
        return {"status": "failed", "reason": f"loss is {loss}"}
    return {"status": "told", "loss": loss, "info": info}
