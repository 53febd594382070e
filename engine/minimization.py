"""`minimize`: a whole search in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ConfigSpace import ConfigurationSpace

from airtune.engine.evaluation.pool import Evaluation, Executor
from airtune.engine.study import Study
from airtune.engine.types import DEFAULT_PROPOSER, Event, Proposer, Result, Task
from airtune.models import LanguageModel

if TYPE_CHECKING:
    from airtune.grammars import ProgramSpace


def minimize(
    objective: Callable[[Any], Any],
    space: ConfigurationSpace | ProgramSpace,
    *,
    budget: int = 10,
    seed: int = 0,
    model: str | LanguageModel = "pocket",
    proposer: str | Proposer = DEFAULT_PROPOSER,
    name: str = "objective",
    metric: str = "loss",
    description: str = "",
    path: str | Path | None = None,
    timeout_s: float | None = None,
    isolate: bool | None = None,
    jobs: int = 1,
    asynchronous: bool = False,
    executor: Executor = "local",
    on_event: Callable[[Event], None] | None = None,
    keep_going: bool = False,
    first: Sequence[Mapping[str, Any]] = (),
    new: bool = False,
    take_over: bool = False,
) -> Result:
    """Search the space for the configuration with the least loss.

    Args:
        objective: `config -> loss`: a finite number, or a mapping with one under "loss" and further values.
            What it raises, and NaN, is a failed trial that the proposer sees; the search goes on, unless
            the first three fail for the same reason (see `keep_going`).
        space: The search space. Of a program space, the objective is called with a program's source code, a text.
        budget: Evaluations in all; those of an earlier run with the same `path` count.
        seed: The same seed gives the same search.
        model: The language model, or its name, of proposers that need one.
        proposer: A proposer or its name.
        name: What the task is called, for the model to read and in the study file.
        metric: What the loss is.
        description: What is tuned, in words, for the model to read.
        path: The study file; None keeps nothing.
        timeout_s: Longest evaluation in seconds; evaluations then take place in another process.
        isolate: Evaluate in another process in any case (True), or in this one (False).
        jobs: Trials at a time, in worker processes; see `Evaluation`.
        asynchronous: With several jobs, propose whenever one ends, not in batches.
        executor: "local", or "ray" to evaluate on a Ray cluster; see `Evaluation`.
        on_event: Called at every step.
        keep_going: Also where the first three trials fail for the same reason, which else ends the search.
        first: Configurations to try before anything is proposed; see `Study`.
        new: Begin from zero although the file has trials of this task under another proposer, model or schedule.
        take_over: Of the study at `path`, also from a process that may be alive elsewhere; see `Study`.

    Returns:
        The result; `result.best.config` is what was searched for.

    Raises:
        AirtuneError: If an argument is not usable.

    >>> from ConfigSpace import ConfigurationSpace
    >>> space = ConfigurationSpace({"x": (-1.0, 1.0)})
    >>> result = minimize(lambda config: config["x"] ** 2, space, budget=5, proposer="random")
    >>> len(result.trials), result.stopped
    (5, 'budget')
    """
    if not isinstance(space, ConfigurationSpace):
        from airtune.engine.evaluation.programs import SourceObjective
        from airtune.grammars import ProgramSpace

        if isinstance(space, ProgramSpace):
            objective, space = SourceObjective(space, objective), space.space
    task = Task(name, space, objective, metric, description)
    evaluation = Evaluation(timeout_s, isolate, executor, jobs, asynchronous)
    with Study(
        task,
        proposer,
        model=model,
        seed=seed,
        path=path,
        evaluation=evaluation,
        take_over=take_over,
        first=first,
        new=new,
    ) as study:
        return study.run(budget, on_event, keep_going=keep_going)
