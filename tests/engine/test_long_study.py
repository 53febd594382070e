"""A long study: what a trial asks of the study file does not grow with the trials before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, Task
from airtune.engine.storage.database import Database


def test_a_trial_costs_the_file_as_much_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in statements and in rows that come back: reading all at each is quadratic over the study."""
    rows: list[int] = []
    read = Database.rows

    def watched(database: Database, *query: Any) -> list[tuple[Any, ...]]:
        found = read(database, *query)
        rows.append(len(found))
        return found

    monkeypatch.setattr(Database, "rows", watched)
    task = Task("line", ConfigurationSpace({"x": (0.0, 1.0)}), lambda config: config["x"])
    cost = []
    with Study(task, "random", path=tmp_path / "s.airtune") as study:
        statements: list[str] = []
        study._file._database._db.set_trace_callback(statements.append)
        for _ in range(60):
            statements.clear()
            rows.clear()
            study.tell(study.ask(), 1.0)
            cost.append((len(statements), sum(rows)))
    assert cost[0][0] > 5
    assert len(set(cost)) == 1
