"""`airtune bench compare`: language models against each other on the same tasks, seeds and budgets.

Open ones, closed ones behind a server, recorded ones, and one model under several dialects. The studies are a
comparison like any other (`runner`): the same command again goes on, more models may be added later, and all of
`airtune show` and `airtune report` works on them. Beside the quality of what they found stands what they took.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from airtune.benchmarks.analysis.costs import NOTES, comparison_costs, costs_table
from airtune.benchmarks.running.plan import Plan, check_plan
from airtune.benchmarks.running.runner import run_suite
from airtune.grammars import AirtuneError

BASELINES = "random,default+random"


def compare_plan(
    models: Sequence[str],
    *,
    suite: str = "toy",
    proposer: str = "lm",
    baselines: Sequence[str] = tuple(BASELINES.split(",")),
    seeds: int = 3,
    budget: int = 10,
    temperature: float | None = None,
) -> Plan:
    """The plan of a comparison of models.

    Args:
        models: Models in the one-word form of `airtune.models.spec`.
        suite: What they tune.
        proposer: What asks them: "lm", "lm+gp", "lm+self", "hybrid", or "default+" one of them.
        baselines: Proposers beside them; "random" is always among them.
        seeds: Studies per model and task.
        budget: Trials per study.
        temperature: Of sampling; None for each dialect's own.

    Raises:
        AirtuneError: If something in it cannot be used: before anything runs.
    """
    if not models:
        raise AirtuneError(
            "no models to compare were given",
            allowed="--models A,B,...",
            hint="for example --models pocket,pocket@chat,replay:answers.jsonl",
        )
    others = dict.fromkeys([*baselines, "random"])
    methods = (*(f"{proposer}:{model}" for model in models), *others)
    plan = Plan(
        suite=suite, methods=methods, seeds=seeds, budget=budget, model=models[0], temperature=temperature
    )
    check_plan(plan)
    return plan


def main(arguments: Sequence[str]) -> int:
    """Compare language models on the same tasks, seeds and budgets: quality, tokens, seconds, cost, violations."""
    from airtune.benchmarks.report import make_report
    from airtune.engine.cli.bench_progress import BenchProgress
    from airtune.engine.cli.output import out, print_json, print_lines

    options = _parser().parse_args(list(arguments))
    plan = compare_plan(
        _names(options.models), suite=options.suite, proposer=options.proposer,
        baselines=_names(options.baselines), seeds=options.seeds, budget=options.budget,
        temperature=options.temperature,
    )  # fmt: skip
    folder = Path(options.out)
    try:
        with BenchProgress() as progress:
            runs = run_suite(plan, folder, jobs=options.jobs, on_progress=progress)
    except KeyboardInterrupt:
        print_lines(["interrupted: nothing that was told is lost; the same command again goes on"])
        return 1
    report = make_report(plan, runs)
    costs = comparison_costs(folder, plan.methods)
    table = costs_table(costs, {method: report.label(method) for method in plan.methods})
    words = "\n\n".join([report.markdown(), table.markdown(), *NOTES])
    (folder / "report.md").write_text(f"{words}\n", encoding="utf-8")
    if options.json:
        print_json({**report.json(), "costs": [asdict(one) for one in costs]})
        return 0
    for one in (*report.tables(), table):
        out().print(one.rich())
    print_lines(
        [
            f"tables: {folder / 'report.md'}",
            f"studies: airtune show {folder}",
            f"page: airtune report {folder}",
        ]
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "airtune bench compare",
        description=main.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "A model is [BACKEND:]NAME[+SETTING=VALUE...][@DIALECT[+SETTING=VALUE...]]:\n"
            "  pocket                               the bundled model\n"
            "  ./llama-3-8b@chat+history=turns      a directory, with a variant of the chat dialect\n"
            "  vllm:./llama-3-8b+dtype=bfloat16     on vLLM\n"
            "  openai:gpt-x+server=openai+record=answers.jsonl\n"
            "                                       behind a server, its answers kept\n"
            "  replay:answers.jsonl                 the same again, without network or key\n"
            "Settings of the chat dialect: detail=full|space|none, history=table|turns, reasoning=off|on,\n"
            "reasoning_tokens=N, examples=0|1|2, system=on|off, budget=N, max_trials=N."
        ),
    )
    parser.add_argument("--models", required=True, metavar="A,B,...", help="what to compare")
    parser.add_argument("--suite", default="toy", help="what they tune (default: toy)")
    parser.add_argument(
        "--proposer", default="lm", help="what asks them: lm, lm+gp, lm+self, default+lm, ... (default: lm)"
    )
    parser.add_argument(
        "--baselines", default=BASELINES, metavar="P,Q", help=f"proposers beside them (default: {BASELINES})"
    )
    parser.add_argument("--budget", type=int, default=10, help="trials per study (default: 10)")
    parser.add_argument("--seeds", type=int, default=3, help="studies per model and task (default: 3)")
    parser.add_argument("--temperature", type=float, help="of sampling (default: each dialect's own)")
    parser.add_argument("--jobs", type=int, default=1, help="processes; each loads its models (default: 1)")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder of the studies; the same command goes on"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
