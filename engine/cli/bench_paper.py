"""`airtune bench paper`: the tables and figures of arXiv 2312.04528, done again with local models, in one report."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airtune.engine.cli.bench_validity import say_answers
from airtune.engine.cli.options import JsonNotTables, TakeOver, folder_of, names_in, use_data
from airtune.engine.cli.output import err, print_json, print_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from airtune.benchmarks.paper.protocol import Protocol
    from airtune.benchmarks.paper.running import Done
    from airtune.benchmarks.running.runner import Progress

PART_HELP = (
    "Only these, with commas between them: table1, table5, cot, prompts, noise, noise-cifar10, code, hybrid, toy, "
    "models, contamination, validity."
)
OUT_HELP = "Folder of the report and of a folder for each part; the same command goes on."
MODELS_HELP = "Language models in place of the plan's; the first screen is about the first."
SUITE_HELP = (
    "Tasks in place of the plan's, to try it out; like all that departs from the plan, marked in the report."
)
DATA_HELP = (
    "Of code and of cifar10/cnn: the folder of their data. (default: the environment variable AIRTUNE_DATA)"
)
PLAN_HELP = "Print what would be run, as Markdown, and run nothing."


def paper(
    part: Annotated[str | None, typer.Option(metavar="P,Q", help=PART_HELP)] = None,
    output: Annotated[Path | None, typer.Option("-o", "--out", metavar="DIR", help=OUT_HELP)] = None,
    models: Annotated[str | None, typer.Option(metavar="M,N", help=MODELS_HELP)] = None,
    suite: Annotated[str | None, typer.Option(help=SUITE_HELP)] = None,
    budget: Annotated[int | None, typer.Option(help="Evaluations in place of the plan's.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Studies per method and task in place of the plan's.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; each loads its models.")] = 2,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help=DATA_HELP)] = None,
    plan: Annotated[bool, typer.Option("--plan", help=PLAN_HELP)] = False,
    take_over: TakeOver = False,
    json: JsonNotTables = False,
) -> None:
    """Do the paper that this project implements again: its figures, ours and a control's, in one report. Resumes.

    airtune bench paper --part toy --models pocket --out paper

    What is run, looked at and counted as success was written down before: --plan shows it.
    """
    from airtune.benchmarks.paper.protocol import Options
    from airtune.benchmarks.paper.running import checked_protocols, chosen_parts, possible_protocols, run_part

    named = names_in(models)
    parts = chosen_parts(names_in(part))
    if plan:
        from airtune.benchmarks.paper.declared import plans_markdown

        typer.echo(plans_markdown(parts), nl=False)
        return
    output = folder_of(output, "airtune bench paper")
    use_data(data)
    options = Options(tuple(named), suite, budget, seeds)

    def say_refused(name: str, why: str) -> None:
        err().print(f"{name} is not run: {why}", soft_wrap=True, markup=False)

    protocols = (
        checked_protocols(parts, options, jobs) if part else possible_protocols(options, jobs, say_refused)
    )
    done: list[Done] = []
    from airtune.benchmarks.report.paper import write_paper_report, write_part

    try:
        for protocol in protocols:
            err().print(f"{protocol.part.name}: {protocol.part.title}", soft_wrap=True, markup=False)
            with ExitStack() as shown:
                one = run_part(
                    protocol, output / protocol.part.name, jobs=jobs, take_over=take_over,
                    on_progress=_bars(shown), on_answers=say_answers,
                )  # fmt: skip
            write_part(one)
            done.append(one)
    except KeyboardInterrupt:
        print_lines(["interrupted: nothing that was told is lost; the same command again goes on"])
        raise typer.Exit(1) from None
    page = write_paper_report(output)
    if json:
        print_json({"report": str(page), "parts": [_document(one) for one in done]})
        return
    for one in done:
        print_lines(
            [f"{one.protocol.part.name}: {one.result.verdict}. {one.result.answer}", *_marked(one.protocol)]
        )
    print_lines([f"report: {page}"])


def _bars(shown: ExitStack) -> Callable[[str, Progress], None]:
    """Shows how far the arm is that is run; the bars of the one before are closed."""
    from airtune.engine.cli.progress import BenchProgress

    bars: dict[str, BenchProgress] = {}

    def progress(arm: str, progress: Progress) -> None:
        if arm not in bars:
            shown.close()
            err().print(f"  {arm}", soft_wrap=True, markup=False)
            bars[arm] = shown.enter_context(BenchProgress())
        bars[arm](progress)

    return progress


def _marked(protocol: Protocol) -> list[str]:
    return [f"  not as planned: {'; '.join(protocol.departures)}"] if protocol.departures else []


def _document(one: Done) -> dict[str, object]:
    return {
        "part": one.protocol.part.name,
        "verdict": one.result.verdict,
        "answer": one.result.answer,
        "departures": list(one.protocol.departures),
        "folder": str(one.folder),
    }
