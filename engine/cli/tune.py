"""`airtune tune`: run a study or go on with one, show its progress, and close with a table."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from airtune.engine.cli.model_options import chosen_proposer, loading_text
from airtune.engine.cli.options import (
    ASYNC_HELP,
    COMMAND_HELP,
    DATA_HELP,
    DETERMINISTIC_HELP,
    DIALECT_HELP,
    JOBS_HELP,
    KEEP_GOING_HELP,
    NEW_HELP,
    NOISE_HELP,
    PROGRAMS_HELP,
    PROPOSER_HELP,
    SANDBOX_HELP,
    SANDBOX_SETTING_HELP,
    SCORE_HELP,
    SETTING_HELP,
    TAKE_OVER_HELP,
    TARGET_HELP,
    TASK_HELP,
    TRY_HELP,
)
from airtune.engine.cli.output import (
    best_text,
    config_words,
    free_source,
    print_json,
    print_lines,
    programs_in,
    trial_json,
)
from airtune.engine.cli.progress import Progress
from airtune.engine.cli.trial_table import print_trials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airtune.engine import Result, Study, Task, Trial
    from airtune.engine.evaluation.pool import Evaluation, Executor
    from airtune.engine.storage.usage import StudyUsage
    from airtune.grammars import ProgramSpace

_task = partial(typer.Option, rich_help_panel="What to tune")
_model = partial(typer.Option, rich_help_panel="Who proposes")
_run = partial(typer.Option, rich_help_panel="The run")


def tune(
    context: typer.Context,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help=TASK_HELP)] = None,
    space: Annotated[Path | None, _task(help="A ConfigSpace search space as JSON.")] = None,
    command: Annotated[str | None, _task(help=COMMAND_HELP)] = None,
    objective: Annotated[
        str | None, _task(metavar="MODULE:ATTRIBUTE", help="A Python callable: configuration -> loss.")
    ] = None,
    program_space: Annotated[str | None, _task(metavar="NAME|FILE", help=PROGRAMS_HELP)] = None,
    data: Annotated[Path | None, _task(help=DATA_HELP)] = None,
    target: Annotated[str | None, _task(metavar="COLUMN", help=TARGET_HELP)] = None,
    score: Annotated[str | None, _task(help=SCORE_HELP)] = None,
    study_name: Annotated[
        str | None,
        _task(metavar="NAME", help="The study's name in the study file. (default: made of what it is)"),
    ] = None,
    proposer: Annotated[str | None, _model(help=PROPOSER_HELP)] = None,
    model: Annotated[str | None, _model(help="A model's name or directory. (default: pocket)")] = None,
    backend: Annotated[str | None, _model(help="What runs the model. (default: transformers)")] = None,
    dialect: Annotated[str | None, _model(help=DIALECT_HELP)] = None,
    model_setting: Annotated[list[str] | None, _model(metavar="KEY=VALUE", help=SETTING_HELP)] = None,
    deterministic: Annotated[bool, _model("--deterministic", help=DETERMINISTIC_HELP)] = False,
    allow_network: Annotated[
        bool, _model("--allow-network", help="Let --backend openai send prompts to another machine.")
    ] = False,
    temperature: Annotated[
        float | None, _model(help="Of the model's sampling; 0 is greedy. (default: the model's own)")
    ] = None,
    budget: Annotated[int, _run(help="Trials in all, those of an earlier run included.")] = 10,
    seed: Annotated[int, _run(help="The same seed gives the same study.")] = 0,
    jobs: Annotated[int, _run(help=JOBS_HELP)] = 1,
    asynchronous: Annotated[bool, _run("--async", help=ASYNC_HELP)] = False,
    executor: Annotated[
        str, _run(help="Where trials run: local, or ray for the cluster that RAY_ADDRESS names.")
    ] = "local",
    study: Annotated[Path, _run(help="The study file.")] = Path("airtune.sqlite"),
    first: Annotated[Path | None, _run("--try", metavar="FILE", help=TRY_HELP)] = None,
    new: Annotated[bool, _run("--new", help=NEW_HELP)] = False,
    timeout: Annotated[float | None, _run(metavar="SECONDS", help="Longest time for one trial.")] = None,
    noise: Annotated[str | None, _task(metavar="NOISE", help=NOISE_HELP)] = None,
    sandbox: Annotated[str | None, _run(metavar="[none]", help=SANDBOX_HELP)] = None,
    sandbox_setting: Annotated[list[str] | None, _run(metavar="KEY=VALUE", help=SANDBOX_SETTING_HELP)] = None,
    take_over: Annotated[bool, _run("--take-over", help=TAKE_OVER_HELP)] = False,
    keep_going: Annotated[bool, _run("--keep-going", help=KEEP_GOING_HELP)] = False,
    no_progress: Annotated[bool, _run("--no-progress", help="Print the result only.")] = False,
    json: Annotated[bool, _run("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Run a study, or go on with it: the same command again resumes, a larger budget extends.

    airtune tune sklearn/svm/digits --budget 10

    airtune tune --space space.json --command 'python train.py --lr {lr}'

    airtune tune --program-space pipeline_regression --data prices.csv --target price --score mse
    """
    from airtune.engine import Study
    from airtune.engine.types import OtherStudiesError, StudyFileMoved

    evaluation = _evaluation(budget, timeout, jobs, asynchronous, executor, noise)
    here = executor == "local"
    if program_space is not None or target is not None or score is not None:
        from airtune.engine.cli.program_option import task_of_programs

        what = task_of_programs(
            program_space, data, target, score, command, objective, others={"TASK": task, "--space": space}, here=here
        )  # fmt: skip
    elif task is not None and space is None and command is None and objective is None:
        from airtune.benchmarks import get_task

        what = get_task(task, data)
    else:
        from airtune.engine.cli.own_task import own_task

        what = own_task(task, space, command, objective, data, here=here)
    evaluation = _sandboxed(evaluation, what, sandbox, sandbox_setting or ())
    settings = [*(model_setting or ()), *(["deterministic=strict"] if deterministic else [])]
    configs = [] if first is None else _configs(first, what)
    running: Study | None = None
    try:
        with (
            Progress(
                budget,
                enabled=not (json or no_progress),
                loading=loading_text(proposer, model, backend),
                programs=programs_in(what.space),
            ) as progress,
            Study(
                what,
                chosen_proposer(proposer, model, backend, temperature, settings, allow_network, dialect),
                seed=seed,
                path=study,
                name=study_name,
                evaluation=evaluation,
                first=configs,
                new=new,
                take_over=take_over,
            ) as running,
        ):
            before = len([trial for trial in running.trials if trial.status != "asked"])
            progress.best = running.best
            result = running.run(budget, progress, keep_going=keep_going)
    except OtherStudiesError as error:
        from airtune.engine.cli.choosing import choice

        raise choice(context, error) from error
    except StudyFileMoved:
        if running is not None and not json:
            programs = programs_in(what.space)
            print_trials(running.trials, running.task.metric, running.best, programs)
            print_lines(_best(running.best, running.task.metric, programs))
        raise
    usage = None
    if running.manifest.get("model"):
        from airtune.engine.storage.usage import stored_usage

        usage = stored_usage(result.path, running.name)
    failed = result.best is None and result.stopped != "interrupted"
    if json:
        print_json(_document(running, result, budget, usage))
    else:
        _close(running, result, before, budget, usage)
    raise typer.Exit(1 if failed or result.stopped == "interrupted" else 0)


def _configs(first: Path, task: Task) -> list[dict[str, Any]]:
    """What --try asks for, checked before a model is loaded."""
    from airtune.engine.cli.choosing import read_configs
    from airtune.engine.proposers.first import checked_first

    return checked_first(task.space, read_configs(first))


def _evaluation(
    budget: int, timeout: float | None, jobs: int, asynchronous: bool, executor: str, noise: str | None
) -> Evaluation:
    """How to evaluate, as `Study` takes it: what is wrong is refused before anything is loaded or written."""
    from airtune.engine.evaluation.pool import Evaluation
    from airtune.engine.types import check_budget
    from airtune.grammars import AirtuneError

    check_budget(budget)
    if timeout is not None and not (0 < timeout < math.inf):
        raise AirtuneError(
            f"a time limit of {timeout} seconds is no limit",
            value=timeout,
            allowed="seconds greater than 0",
            hint="leave --timeout out for no limit",
        )
    # isolate: an objective that crashes or never ends must not take the study with it.
    return Evaluation(timeout, True, cast("Executor", executor), jobs, asynchronous, noise=noise)


def _sandboxed(
    evaluation: Evaluation, task: Task, sandbox: str | None, settings: Sequence[str]
) -> Evaluation:
    """With the sandbox that was chosen, or that the task's programs run in unless another is."""
    if sandbox is not None or settings or hasattr(task.objective, "in_sandbox"):
        from airtune.engine.cli.sandbox_option import chosen_sandbox

        chosen = chosen_sandbox(sandbox, settings, task, evaluation.timeout_s)
        evaluation = replace(evaluation, sandbox=chosen)
        evaluation.check_sandbox(task)
    return evaluation


def _document(study: Study, result: Result, budget: int, usage: StudyUsage | None) -> dict[str, object]:
    """The result as the JSON document."""
    return {
        "study": study.name,
        "path": str(result.path),
        "task": study.task.name,
        "metric": study.task.metric,
        "proposer": study.proposer.name,
        "seed": study.seed,
        "schedule": study.manifest.get("schedule"),
        "budget": budget,
        "stopped": result.stopped,
        "usage": None if usage is None else asdict(usage),
        "best": None if result.best is None else trial_json(result.best),
        "trials": [trial_json(trial) for trial in result.trials],
    }


def _last_words(name: str, path: str) -> list[str]:
    """Where the last failure's reason is, and the last line that it printed, in full."""
    from airtune.engine.cli.programs import show_command
    from airtune.engine.storage.study_file import StudyFile

    with StudyFile(path, readonly=True) as file:
        failed = [record for record in file.records(name) if record.trial.status == "failed"]
        if not failed:
            return []
        why = f"why: {show_command(file, name, failed[-1].trial.number)}"
    printed = [line.strip() for line in re.split(r"[\r\n]", failed[-1].log or "") if line.strip()]
    return [why, *([f"its last output: {printed[-1]}"] if printed else [])]


def _best(trial: Trial | None, metric: str, programs: ProgramSpace | None) -> list[str]:
    if trial is None:
        return []
    return [best_text(trial, metric), f"  {config_words(programs, trial.config, 76)}"]


def _close(study: Study, result: Result, before: int, budget: int, usage: StudyUsage | None) -> None:
    """The closing table, the best configuration, and where to go from here."""
    trials, path, programs = result.trials, str(result.path), programs_in(study.task.space)
    print_trials(trials, study.task.metric, result.best, programs)
    lines = _best(result.best, study.task.metric, programs)
    if result.best is None and result.stopped != "interrupted":
        lines += ["no trial has a loss: every evaluation failed", *_last_words(study.name, path)]
    finished = len([trial for trial in trials if trial.status != "asked"])
    lines.append(f"study {study.name!r} in {path}: {finished} of {budget} trials")
    if result.stopped == "interrupted":
        lines.append("interrupted: nothing that was finished is lost; the same command again will resume")
    elif result.stopped == "space exhausted":
        lines.append("the space is exhausted: every configuration has been tried")
    elif result.stopped == "failing":
        lines.append(
            "stopped: trials fail for the same reason from the start, and the budget was not worth it"
        )
        lines.append(
            "mend what fails, and the same command goes on with new configurations; another --study-name begins anew; "
            "--keep-going evaluates all the same"
        )
    elif before >= len(trials) and result.best is None:
        lines.append("its budget was spent on failures: nothing was evaluated; a larger --budget goes on")
    elif before >= len(trials):
        lines.append("it was complete already: nothing was evaluated; a larger --budget goes on")
    else:
        lines.append("the same command with a larger --budget goes on")
    if usage is not None:
        lines.append(usage.text())
    if finished:
        lines.append(f"export: airtune export {path}")
    best = result.best
    if best is not None and (programs is not None or free_source(best.config) is not None):
        from airtune.engine.cli.programs import best_commands

        lines += best_commands(Path(path), study.name, best.number)
    print_lines(lines)
