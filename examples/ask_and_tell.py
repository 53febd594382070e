"""Evaluate yourself: ask for a configuration, measure it wherever you like, tell the loss.

For measurements that no function call can make: another machine, a laboratory, a person.
"""

import tempfile
from pathlib import Path

from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, Task


def by_hand(config):
    """A task has an objective; this one is never called, as the results are told."""
    raise NotImplementedError


space = ConfigurationSpace({"temperature": (20.0, 90.0), "minutes": (1, 60)})
task = Task(
    "tea", space, by_hand, metric="bitterness", description="Brewing tea: temperature in Celsius, minutes."
)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "tea.sqlite"
    with Study(task, seed=0, path=path) as study:
        for _ in range(3):
            trial = study.ask()  # stored before you see it
            loss = abs(trial.config["temperature"] - 75) / 70 + abs(trial.config["minutes"] - 4) / 60
            study.tell(trial, loss)  # stored before this returns

    # Another day, another process: the study goes on where it stopped, with the same trials as an uninterrupted one.
    with Study(task, seed=0, path=path) as study:
        print("trials kept:", len(study.trials))
        study.tell(study.ask(), 0.5)
        print("best so far:", dict(study.best.config), f"{study.best.loss:.3f}")
