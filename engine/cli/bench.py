"""`airtune bench`: comparisons over a suite of tasks or of language models, and the measurements."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from airtune.engine.cli.options import (
    NOISE_HELP,
    Json,
    JsonNotTables,
    ModelSettings,
    TakeOver,
    folder_of,
    names_in,
    use_data,
)
from airtune.engine.cli.output import err, out, print_json, print_lines

if TYPE_CHECKING:
    from airtune.benchmarks.analysis.comparison import Run
    from airtune.benchmarks.measures.grammar import AuditResult
    from airtune.benchmarks.running.plan import Plan

# Not suites of tasks, but commands of their own.
MEASUREMENTS = ("grammar", "speed", "compare", "tokens", "validity", "paper")

SUITE_HELP = (
    "hpobench, sklearn, toy or another suite (a wrong name lists them), or the name of one task: compare proposers. "
    "grammar: sample proposals from generated spaces and check every one. "
    "speed: seconds per proposal. compare: language models, open, closed and recorded. "
    "tokens: what each chat variant costs. validity: a model without its grammar. "
    "paper: the figures of arXiv 2312.04528. "
    "(airtune bench grammar --help lists its options.)"
)
PROPOSERS_HELP = (
    "What to compare; lm:NAME names the model of one. Random search is always among them, run or, on tables, exact. "
    "(default: lm, random and default+ baselines)"
)
CONTROLS_HELP = (
    "Also run what tells how much a model adds: each proposer that asks one around a model that knows nothing "
    "(uniform) and with the names hidden (names=hidden), and default+local."
)
MODELS_HELP = (
    "The language models of lm, such as pocket or vllm:./llama@chat+history=turns; with several, each makes "
    "a method lm:NAME. uniform: one that knows nothing, in the others' dialects. (default: pocket)"
)
FOLDER_HELP = (
    "Of nyc_taxi and cifar10: the folder of their data. (default: the environment variable AIRTUNE_DATA)"
)
OUT_HELP = (
    "Folder of the study file, bench.airtune; the same command again does what is missing, and more "
    "proposers, seeds and trials may be added."
)


def bench(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help=SUITE_HELP)],
    proposers: Annotated[str | None, typer.Option(metavar="P,Q", help=PROPOSERS_HELP)] = None,
    models: Annotated[str | None, typer.Option(metavar="M,N", help=MODELS_HELP)] = None,
    controls: Annotated[bool, typer.Option("--controls", help=CONTROLS_HELP)] = False,
    budget: Annotated[int, typer.Option(help="Trials per study; a larger one later goes on.")] = 30,
    seeds: Annotated[int, typer.Option(help="Studies per proposer and task.")] = 10,
    noise: Annotated[str | None, typer.Option(metavar="NOISE", help=NOISE_HELP)] = None,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help=FOLDER_HELP)] = None,
    output: Annotated[Path | None, typer.Option("-o", "--out", metavar="DIR", help=OUT_HELP)] = None,
    take_over: TakeOver = False,
    json: JsonNotTables = False,
) -> None:
    """Compare proposers over a suite of tasks, with seeds and intervals; all studies in one file. Resumes."""
    from airtune.benchmarks.analysis.comparison import RANDOM, needs_random
    from airtune.benchmarks.report import make_report, report_markdown, report_tables
    from airtune.benchmarks.running.plan import DEFAULT_METHODS, Plan, check_plan, with_controls, with_models
    from airtune.benchmarks.running.suites import get_suite
    from airtune.grammars import write_file

    tasks = get_suite(suite, MEASUREMENTS).tasks
    output = folder_of(output, f"airtune bench {suite}")
    use_data(data)
    named = names_in(models) or ["pocket"]
    methods = with_models(tuple(names_in(proposers)) or DEFAULT_METHODS, named)
    methods = with_controls(methods, named[0]) if controls else methods
    if needs_random(methods, tasks, noise):
        methods = (*methods, RANDOM)
    plan = Plan(suite=suite, methods=methods, seeds=seeds, budget=budget, model=named[0], noise=noise)
    check_plan(plan, jobs)
    report = make_report(plan, _run(plan, output, jobs, take_over))
    write_file(output / "report.md", report_markdown(report).encode())
    if json:
        print_json(report.json())
        return
    for table in report_tables(report):
        out().print(table.rich())
    _say_where(output)


def compare(
    models: Annotated[str, typer.Option(metavar="A,B,...", help="What to compare.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="DIR", help="Folder of the studies; the same command goes on."),
    ],
    suite: Annotated[str, typer.Option(help="What they tune.")] = "toy",
    proposer: Annotated[str, typer.Option(help="What asks them: lm, lm+gp, lm+self, default+lm, ...")] = "lm",
    baselines: Annotated[
        str, typer.Option(metavar="P,Q", help="Proposers beside them.")
    ] = "random,default+random",
    budget: Annotated[int, typer.Option(help="Trials per study.")] = 10,
    seeds: Annotated[int, typer.Option(help="Studies per model and task.")] = 3,
    temperature: Annotated[
        float | None, typer.Option(help="Of sampling. (default: each dialect's own)")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; each loads its models.")] = 1,
    take_over: TakeOver = False,
    json: JsonNotTables = False,
) -> None:
    r"""Compare language models on the same tasks, seeds and budgets: quality, tokens, seconds, cost, violations.

    A model is \[BACKEND:]NAME\[+SETTING=VALUE...]\[@DIALECT\[+SETTING=VALUE...]]:

    pocket: the bundled model

    ./llama-3-8b@chat+history=turns: a directory, with a variant of the chat dialect

    vllm:./llama-3-8b+dtype=bfloat16: on vLLM

    openai:gpt-x+server=openai+record=answers.jsonl: behind a server, its answers kept

    replay:answers.jsonl: the same again, without network or key

    Settings of the chat dialect: names=shown|hidden (of pocket, too), default=shown|hidden,
    detail=full|space|none, history=table|turns, values=round|all, summary=off|on, reasoning=off|on,
    reasoning_tokens=N, examples=0|1|2, system=on|off, budget=N, max_trials=N.
    """
    from airtune.benchmarks.analysis.costs import NOTES, comparison_costs, costs_table
    from airtune.benchmarks.measures.compare import compare_plan
    from airtune.benchmarks.report import make_report, report_markdown, report_tables
    from airtune.grammars import write_file

    plan = compare_plan(
        names_in(models), suite=suite, proposer=proposer, baselines=names_in(baselines), seeds=seeds, budget=budget,
        temperature=temperature,
    )  # fmt: skip
    report = make_report(plan, _run(plan, output, jobs, take_over))
    costs = comparison_costs(output, plan.methods, plan.seeds, plan.budget)
    table = costs_table(costs, {method: report.label(method) for method in plan.methods})
    words = "\n\n".join([report_markdown(report), table.markdown(), *NOTES])
    write_file(output / "report.md", f"{words}\n".encode())
    if json:
        print_json({**report.json(), "costs": [asdict(one) for one in costs]})
        return
    for one in (*report_tables(report), table):
        out().print(one.rich())
    _say_where(output)


def speed(
    only: Annotated[
        Literal["mask", "proposals", "ranked", "history", "real"] | None,
        typer.Option(help="Only this comparison; `real`, no part of all, takes a chat model as --model."),
    ] = None,
    model: Annotated[str, typer.Option(help="The model that is measured.")] = "pocket",
    task: Annotated[
        str, typer.Option(help="Of the comparisons `proposals` and `real`: the task.")
    ] = "sklearn/mlp/digits",
    trials: Annotated[
        int,
        typer.Option(help="Of `history`: the longest history; a rival stops where a proposal takes 30 s."),
    ] = 1000,
    repeats: Annotated[int, typer.Option(help="Measurements of each pair.")] = 5,
    json: Json = False,
) -> None:
    """Seconds per proposal, as ratios of times measured side by side (above 1, ours is faster)."""
    from airtune.benchmarks import get_task
    from airtune.benchmarks.measures.history import speed_by_history
    from airtune.benchmarks.measures.speed import mask_loop, proposals, ranked
    from airtune.models import load_model

    if only in (None, "proposals"):
        get_task(task)
    if only is None:
        load_model(model)  # a name that is none is refused before minutes of measuring, not after
    ratios = mask_loop(repeats) if only in (None, "mask") else []
    if only in (None, "proposals"):
        ratios += proposals(model, task=task, repeats=repeats)
    if only in (None, "ranked"):
        ratios += ranked(model, repeats=repeats, proposers=("lm", "lm+gp"))
    if only in (None, "history"):
        ratios += speed_by_history(model, longest=trials, repeats=repeats)
    if only == "real":
        from airtune.benchmarks.measures.real_speed import left_out, measure_real

        for line in left_out(model):
            err().print(line, soft_wrap=True)
        ratios += measure_real(model, task, repeats)
    if json:
        print_json([asdict(ratio) for ratio in ratios])
        return
    for one in ratios:
        times = f"({one.low:.2f} to {one.high:.2f}; {one.ours_s:.4f} / {one.theirs_s:.4f} s)"
        print_lines([one.what, f"    {one.ratio:6.2f}x  {times}"])


def tokens(
    task: Annotated[str, typer.Option(help="Whose prompts.")] = "sklearn/mlp/digits",
    model: Annotated[
        str | None, typer.Option(metavar="DIR", help="A checkpoint whose tokenizer counts.")
    ] = None,
    json: Json = False,
) -> None:
    """Count the tokens of a proposal's prompt for every variant of the chat dialect, and of numbers by form."""
    from airtune.benchmarks.measures.tokens import count_tokens

    counts = count_tokens(task, model)
    if json:
        print_json(asdict(counts))
        return
    for table in counts.tables():
        out().print(table.rich())


def grammar(
    proposals: Annotated[int, typer.Option(help="How many to draw and judge.")] = 10_000,
    spaces: Annotated[int, typer.Option(help="Generated spaces, at least.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of spaces and draws.")] = 0,
    engine: Annotated[
        Literal["llguidance", "xgrammar", "outlines_core"], typer.Option(help="The mask engine.")
    ] = "llguidance",
    tokenizer: Annotated[Literal["bytes", "bpe"], typer.Option(help="What the tokens are.")] = "bytes",
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
    model: Annotated[
        str | None, typer.Option(help="A language model proposes, in place of random logits.")
    ] = None,
    backend: Annotated[str, typer.Option(help="What runs the model.")] = "transformers",
    model_setting: ModelSettings = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="JSON-lines file of finished pieces; the same command resumes."),
    ] = None,
    json: Json = False,
) -> None:
    """Sample proposals from generated spaces and check every one; exit code 1 if anything was wrong."""

    def report_progress(total: AuditResult) -> None:
        counts = f"{total.proposals} proposals, {total.violations} violations, {total.repeats} repeats"
        err().print(f"{total.studies} studies, {counts}", soft_wrap=True)

    if model is not None:
        from airtune.benchmarks.measures.model import audit_model
        from airtune.engine.cli.model_options import model_settings
        from airtune.models import load_model

        settings = model_settings(model_setting or (), allow_network=False, backend=backend)
        loaded = load_model(model, backend, **settings)
        result = audit_model(loaded, proposals, spaces, seed, path=output, on_piece=report_progress)
    else:
        from airtune.benchmarks.measures.grammar import audit

        result = audit(
            proposals, spaces, seed, engine, tokenizer, jobs=jobs, path=output, on_piece=report_progress
        )
    if json:
        print_json(asdict(result))
    else:
        print_lines([f"{name:>12}  {value}" for name, value in asdict(result).items()])
    raise typer.Exit(1 if result.violations or result.repeats else 0)


def _run(plan: Plan, folder: Path, jobs: int, take_over: bool) -> list[Run]:
    """Run what is missing of a comparison, with its progress; an interrupt is told, and ends the command."""
    from airtune.benchmarks.running.runner import run_suite
    from airtune.engine.cli.progress import BenchProgress

    try:
        with BenchProgress() as progress:
            return run_suite(plan, folder, jobs=jobs, on_progress=progress, take_over=take_over)
    except KeyboardInterrupt:
        print_lines(["interrupted: nothing that was told is lost; the same command again goes on"])
        raise typer.Exit(1) from None


def _say_where(folder: Path) -> None:
    tables = folder / "report.md"
    print_lines([f"tables: {tables}", f"studies: airtune show {folder}", f"page: airtune report {folder}"])
