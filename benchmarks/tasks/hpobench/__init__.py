"""HPOBench's tasks: its spaces, models, fidelities and protocols on its eight data sets, from tables or live."""

from __future__ import annotations

from airtune.benchmarks.tasks.hpobench.tasks import hpobench_names, hpobench_task, table_losses

__all__ = ["hpobench_names", "hpobench_task", "table_losses"]
