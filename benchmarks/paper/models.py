"""`models`: language models beside each other, with what they took."""

from __future__ import annotations

from collections.abc import Mapping

from airtune.benchmarks.analysis.costs import Costs
from airtune.benchmarks.paper.against_random import answer, compared_lines, control_pairs, rank_table
from airtune.benchmarks.paper.compared import Compared, label, power_note
from airtune.benchmarks.paper.protocol import Protocol
from airtune.benchmarks.paper.results import Result, Table


def evaluate(protocol: Protocol, arms: Mapping[str, Compared]) -> Result:
    """Quality of every model's methods; tokens, violations and repeats of their proposals."""
    lines = compared_lines(protocol, arms)
    tables = [table for one in arms.values() for table in (rank_table(one), _costs(one))]
    return Result(
        verdict="no figure",
        answer=answer([line for line in lines if line.lead], arms),
        lines=tuple(lines),
        tables=tuple(tables),
        notes=("Seconds are with the times of this part.", *power_note(arms, control_pairs(protocol, arms))),
    )


def _costs(one: Compared) -> Table:
    costs = [cost for cost in one.costs() if cost.said]
    heads = ("method", "prompt tokens", "answer tokens", "cost", "violations", "rejected", "repeats")
    title = f"{one.arm.name}: tokens of a proposal; cost, violations, rejected answers and repeats in all"
    return Table(title, heads, tuple(_row(cost) for cost in costs))


def _row(cost: Costs) -> tuple[str, ...]:
    def each(total: int | None) -> str:
        return "?" if total is None else f"{total / cost.said:.1f}"

    money = "?" if cost.cost is None else f"{cost.cost:.4g} {cost.currency}".rstrip()
    counts = (cost.violations, cost.rejected, cost.repeats)
    return label(cost.method), each(cost.prompt_tokens), each(cost.answer_tokens), money, *map(str, counts)
