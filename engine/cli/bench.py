"""`airtune bench`: comparisons over a suite of tasks, the audit of the grammars, the speed of proposals."""

from __future__ import annotations

from pathlib import Path

import typer

from airtune.engine.cli.output import out, print_json, print_lines

# Not suites of tasks, but commands with options of their own: modules of airtune.benchmarks.
MEASUREMENTS = {
    "grammar": "airtune.benchmarks.measures.grammar",
    "speed": "airtune.benchmarks.measures.speed",
    "compare": "airtune.benchmarks.measures.compare",
    "tokens": "airtune.benchmarks.measures.tokens",
}


def bench(
    suite: str = typer.Argument(
        ...,
        metavar="SUITE",
        help="hpobench, sklearn, toy or another suite (a wrong name lists them): compare proposers. "
        "grammar: sample proposals from generated spaces and check every one. "
        "speed: seconds per proposal. compare: language models, open, closed and recorded. "
        "tokens: what each chat variant costs. (airtune bench grammar --help lists its options.)",
    ),
    proposers: str | None = typer.Option(
        None,
        "--proposers",
        metavar="P,Q",
        help="What to compare; lm:NAME names the model of one. (default: lm, random and default+ baselines)",
    ),
    models: str | None = typer.Option(
        None,
        "--models",
        metavar="M,N",
        help="The language models of lm, such as pocket or vllm:./llama@chat+history=turns; with several, each makes "
        "a method lm:NAME. (default: pocket)",
    ),
    budget: int = typer.Option(30, "--budget", help="Trials per study; a larger one later goes on."),
    seeds: int = typer.Option(10, "--seeds", help="Studies per proposer and task."),
    jobs: int = typer.Option(2, "--jobs", help="Processes."),
    output: Path | None = typer.Option(
        None,
        "--out",
        metavar="DIR",
        help="Folder of the study file, bench.airtune; the same command again does what is missing, and more "
        "proposers, seeds and trials may be added.",
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document instead of tables."),
) -> None:
    """Compare proposers over a suite of tasks, with seeds and intervals; all studies in one file. Resumes."""
    from airtune.benchmarks.analysis.comparison import check_reference
    from airtune.benchmarks.report import make_report
    from airtune.benchmarks.running.plan import with_models
    from airtune.benchmarks.running.runner import DEFAULT_METHODS, Plan, check_plan, run_suite
    from airtune.benchmarks.running.suites import SUITES
    from airtune.engine.cli.bench_progress import BenchProgress
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
    named = _names(models) or ["pocket"]
    methods = with_models(tuple(_names(proposers)) or DEFAULT_METHODS, named)
    plan = Plan(suite=suite, methods=methods, seeds=seeds, budget=budget, model=named[0])
    check_plan(plan, jobs)
    check_reference(methods, SUITES[suite].tasks)  # before hours of work, not after
    try:
        with BenchProgress() as progress:
            runs = run_suite(plan, output, jobs=jobs, on_progress=progress)
    except KeyboardInterrupt:
        print_lines(["interrupted: nothing that was told is lost; the same command again goes on"])
        raise typer.Exit(1) from None
    report = make_report(plan, runs)
    (output / "report.md").write_text(report.markdown(), encoding="utf-8")
    if json:
        print_json(report.json())
        return
    for table in report.tables():
        out().print(table.rich())
    tables, again = output / "report.md", f"airtune report {output}"
    print_lines([f"tables: {tables}", f"studies: airtune show {output}", f"page: {again}"])


def _names(text: str | None) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def measure(name: str, arguments: list[str]) -> int:
    """Run a measurement with its own options, and return its exit code.

    Args:
        name: A key of MEASUREMENTS.
        arguments: What follows its name on the command line.
    """
    from importlib import import_module

    main = import_module(MEASUREMENTS[name]).main
    return int(main(arguments) or 0)
