"""`airtune bench validity`: what a model proposes without the grammar, and with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airtune.engine.cli.options import JsonNotTables, folder_of
from airtune.engine.cli.output import err, out, print_json, print_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airtune.benchmarks.measures.validity import Search

TASKS_HELP = "A suite, or tasks with commas between them."
MODEL_HELP = "A chat model, as of bench compare, without its dialect: llama_cpp:smollm2+threads=1."
PROMPTS_HELP = "Variants of the chat dialect. (default: chat,chat+examples=1,chat+history=turns)"
OUT_HELP = "Folder of all answers, validity.jsonl; the same command goes on, and more may be asked for."


def say_answers(group: Sequence[Search]) -> None:
    """What the searches of one prompt and mode have been answered so far, after each of their steps."""
    made, useful = sum(len(one.answers) for one in group), sum(one.useful for one in group)
    words = f"{group[0].prompt}, {group[0].mode}: {useful} of {made} proposals valid and new"
    err().print(words, soft_wrap=True, markup=False)


def validity(
    tasks: Annotated[str, typer.Argument(metavar="[SUITE|TASKS]", help=TASKS_HELP)] = "development-small",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "smollm2",
    output: Annotated[Path | None, typer.Option("-o", "--out", metavar="DIR", help=OUT_HELP)] = None,
    prompts: Annotated[str | None, typer.Option(metavar="P,Q", help=PROMPTS_HELP)] = None,
    budget: Annotated[int, typer.Option(help="Proposals of a search.")] = 10,
    seeds: Annotated[int, typer.Option(help="Searches per task and prompt.")] = 1,
    cap: Annotated[int, typer.Option(help="Tokens of a free text, at most.")] = 256,
    temperature: Annotated[
        float | None, typer.Option(help="Of sampling. (default: the dialect's own)")
    ] = None,
    json: JsonNotTables = False,
) -> None:
    """How many proposals of a model are invalid, out of range or repeated without the grammar, beside with it.

    Its free text is read as leniently as can be; the search goes on as a user's own loop would.

    Exit code 1 if an answer under the grammar was not valid and new.
    """
    from airtune.benchmarks.measures.validity import FILE, PROMPTS, measure_validity
    from airtune.benchmarks.report.style import save
    from airtune.benchmarks.report.validity import validity_report
    from airtune.benchmarks.running.runner import make_folder
    from airtune.benchmarks.running.suites import SUITES
    from airtune.grammars import write_file
    from airtune.models.spec import parse_spec

    output = folder_of(output, "airtune bench validity")
    spec = parse_spec(model)
    names = SUITES[tasks].tasks if tasks in SUITES else tuple(dict.fromkeys(tasks.split(",")))
    variants = dict.fromkeys(prompts.split(",") if prompts else PROMPTS)
    make_folder(output)

    try:
        searches = measure_validity(
            {prompt: spec.but(dialect=prompt).load() for prompt in variants}, names, budget=budget, seeds=seeds,
            cap=cap, temperature=temperature, path=output / FILE, on_step=say_answers,
        )  # fmt: skip
    except KeyboardInterrupt:
        print_lines(["interrupted: the same command again goes on"])
        raise typer.Exit(1) from None
    report = validity_report(searches)
    tables = [table.markdown() for table in report.tables()]
    write_file(output / "report.md", "\n\n".join([*tables, *report.words(), ""]).encode())
    save(report.figure, output / "validity.png")
    if json:
        print_json(report.json())
    else:
        for table in report.tables():
            out().print(table.rich())
        print_lines([*report.words(), f"answers, tables, figure: {output}"])
    raise typer.Exit(1 if report.broken else 0)
