"""`airtune bench`: comparisons over a suite of tasks, the audit of the grammars, the speed of proposals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from airtune.engine.cli_output import err, out, print_json, seconds_text

if TYPE_CHECKING:
    from airtune.benchmarks.runner import Progress

# Not suites of tasks, but measurements of Airtune itself: modules of airtune.benchmarks.
MEASUREMENTS = {"grammar": "airtune.benchmarks.audit", "speed": "airtune.benchmarks.speed"}


def bench(
    suite: str = typer.Argument(
        ...,
        metavar="SUITE",
        help="toy, sklearn or core: compare proposers. grammar: sample proposals from generated spaces and "
        "check every one. speed: seconds per proposal. (airtune bench grammar --help lists its options.)",
    ),
    proposers: str | None = typer.Option(
        None,
        "--proposers",
        metavar="P,Q",
        help="What to compare. (default: lm, random and default+ baselines)",
    ),
    models: str | None = typer.Option(
        None, "--models", metavar="M,N", help="The language models of lm. (default: pocket)"
    ),
    budget: int = typer.Option(30, "--budget", help="Trials per study."),
    seeds: int = typer.Option(10, "--seeds", help="Studies per proposer and task."),
    jobs: int = typer.Option(2, "--jobs", help="Processes."),
    output: Path | None = typer.Option(
        None,
        "--out",
        metavar="DIR",
        help="Folder of the results; the same command again does what is missing.",
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document instead of tables."),
) -> None:
    """Compare proposers over a suite of tasks, with seeds and intervals. Resumes."""
    from airtune.benchmarks.report import make_report
    from airtune.benchmarks.runner import DEFAULT_METHODS, Plan, check_plan, run_suite
    from airtune.benchmarks.suites import SUITES
    from airtune.grammars import AirtuneError, unknown_name

    if suite not in SUITES:
        message, allowed, hint = unknown_name("suite", suite, [*SUITES, *MEASUREMENTS])
        raise AirtuneError(message, value=suite, allowed=allowed, hint=hint)
    if output is None:
        raise AirtuneError(
            "no folder for the results was given",
            allowed="--out DIR",
            hint=f"airtune bench {suite} --out results",
        )
    methods = tuple(_names(proposers)) or DEFAULT_METHODS
    plans = [
        Plan(suite=suite, methods=methods, seeds=seeds, budget=budget, model=model)
        for model in _names(models) or ["pocket"]
    ]
    for plan in plans:
        check_plan(plan, jobs)
    reports = []
    for plan in plans:
        folder = output if len(plans) == 1 else output / plan.model.replace("/", "--")
        runs = run_suite(plan, folder, jobs=jobs, on_progress=_say)
        report = make_report(plan, runs)
        (folder / "report.md").write_text(report.markdown(), encoding="utf-8")
        reports.append(report)
        if not json:
            for table in report.tables():
                out().print(table.rich())
            out().print(f"report: {folder / 'report.md'}", markup=False, soft_wrap=True)
    if json:
        documents = [report.json() for report in reports]
        print_json(documents[0] if len(documents) == 1 else documents)


def _names(text: str | None) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _say(progress: Progress) -> None:
    tasks = ", ".join(progress.tasks)
    text = f"{progress.done}/{progress.total}  {progress.method}  {seconds_text(progress.seconds)} s  {tasks}"
    err().print(text, markup=False, soft_wrap=True)


def measure(name: str, arguments: list[str]) -> int:
    """Run a measurement with its own options, and return its exit code.

    Args:
        name: A key of MEASUREMENTS.
        arguments: What follows its name on the command line.
    """
    from importlib import import_module

    main = import_module(MEASUREMENTS[name]).main
    return int(main(arguments) or 0)
