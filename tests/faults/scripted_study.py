"""Runs studies on demand, each in a process of its own, for tests that kill them.

Reads lines "STUDY_FILE LOG BUDGET"; forks for each a child that runs the study and reports on standard
output "pid N", a line for every event, and "done"; then "ended" when the child is gone. Forking from one warm
process makes a run cost milliseconds, so that many can be killed. A run with a budget below 1 waits for ever
after its first trial.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from ConfigSpace import ConfigurationSpace

from airtune.engine import Event, Finished, Study, Task
from airtune.engine.proposers import load_proposer

SPACE = ConfigurationSpace({"x": (-1.0, 1.0), "n": (1, 9), "c": ["a", "b"]})


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def run(path: str, log: str, budget: int) -> None:
    """One run of the study, which notes every evaluation in the log as it begins."""
    noted = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def objective(config: dict[str, Any]) -> dict[str, Any]:
        os.write(noted, (json.dumps(config) + "\n").encode())
        if config["n"] == 5:
            raise ValueError("five is right out")
        return {"loss": config["x"] ** 2 + config["n"] / 3, "size": config["n"]}

    def on_event(event: Event) -> None:
        say(type(event).__name__)
        if budget < 1 and isinstance(event, Finished):
            signal.pause()

    with Study(Task("t", SPACE, objective), load_proposer("random"), path=path, name="s") as study:
        study.run(max(budget, 1), on_event)


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin:
        path, log, budget = line.split()
        child = os.fork()
        if child == 0:
            try:
                run(path, log, int(budget))
                say("done")
            except BaseException as error:
                say(f"error {type(error).__name__} {str(error)!r}")
            finally:
                os._exit(0)
        say(f"pid {child}")
        os.waitpid(child, 0)
        say("ended")


if __name__ == "__main__":
    main()
