"""What can be run and is then faulted: a study, the command line, a comparison."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from airtune.engine import Evaluation, Event, Finished, Study, Task
from airtune.engine.cli import app as cli
from airtune.engine.proposers import load_proposer, needs_model
from airtune.grammars import AirtuneError
from airtune.models import load_model
from tests.faults.objective import LOG, loss, note, slow

SPACE = ConfigurationSpace({"x": (-1.0, 1.0), "n": (1, 9), "c": ["a", "b"]})
MODEL = lru_cache(load_model)


def warm(request: dict[str, Any]) -> None:
    """Load the request's model, if it has one, before the fork."""
    if needs_model(request.get("proposer", "random")):
        MODEL(request["model"])


def run(request: dict[str, Any]) -> int:
    """Run it, all of it, in this process.

    Args:
        request: "run" names a function below; the rest is for that.

    Returns:
        The exit code, as the command line's.
    """
    os.environ[LOG] = request["log"]
    try:
        return _RUNS[request["run"]](request)
    except AirtuneError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2


def _study(request: dict[str, Any]) -> int:
    """A study through Python, which notes what it was told."""

    def on_event(event: Event) -> None:
        if isinstance(event, Finished):
            note("told", event.trial.number)

    name = request["proposer"]
    proposer = load_proposer(name, model=MODEL(request["model"]) if needs_model(name) else None)
    task = Task("t", SPACE, slow if request.get("slow") else loss, description="A bowl.")
    with Study(
        task, proposer, path=request["path"], name="s", evaluation=Evaluation(**request["settings"])
    ) as study:
        study.run(request["budget"], on_event)
    return 0


def _cli(request: dict[str, Any]) -> int:
    """A command, as it is typed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        cli.main(request["arguments"])
    except SystemExit as ended:
        return int(ended.code or 0)
    except (
        KeyboardInterrupt
    ):  # all was done: what is left is Python's own end, which may say so in a traceback
        print("interrupted as it ended")
        return 1
    return 70


def _comparison(request: dict[str, Any]) -> int:
    """A comparison through Python, whose objectives note what they evaluate where it has one process."""
    from airtune.benchmarks.running import runner
    from airtune.benchmarks.running.plan import Plan

    bare = runner._task

    def noting(name: str) -> Task:
        task = bare(name)

        def objective(config: dict[str, Any]) -> Any:
            note("begin", [name, config])
            try:
                return task.objective(config)
            finally:
                note("end", [name, config])

        return replace(task, objective=objective)

    runner._task = lru_cache(noting)
    plan = Plan(**request["plan"], methods=tuple(request["methods"]))
    runner.run_suite(plan, Path(request["path"]).parent, jobs=request["jobs"])
    return 0


_RUNS = {"study": _study, "cli": _cli, "comparison": _comparison}
