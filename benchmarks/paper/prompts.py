"""`prompts`: variants of the chat prompt, by regret and by tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping

from airtune.benchmarks.analysis.costs import Costs
from airtune.benchmarks.analysis.statistics import Estimate
from airtune.benchmarks.paper.compared import Compared, difference, label, mean
from airtune.benchmarks.paper.protocol import Protocol, filled
from airtune.benchmarks.paper.results import Line, Result, Table, of_claim
from airtune.benchmarks.paper.words import figure
from airtune.grammars.errors import counted

COMPRESSED, TURNS, TERSE = "lm:{model}", "lm:{model+history=turns}", "lm:{model+detail=space}"


def evaluate(protocol: Protocol, arms: Mapping[str, Compared]) -> Result:
    """Compressed beside a conversation, terse beside detailed; tokens and regret of every variant."""
    lines: list[Line] = []
    tables = []
    for name, one in arms.items():
        costs = {cost.method: cost for cost in one.costs()}
        clusters = one.comparison.clusters
        for model in protocol.models:
            compressed, turns, terse = (filled(template, model) for template in (COMPRESSED, TURNS, TERSE))
            lead = name == next(iter(arms)) and model == protocol.models[0]
            base = one.regret(compressed, one.last)
            gap = difference(base, one.regret(turns, one.last), clusters)
            lines.append(_cheaper(protocol, name, compressed, costs[compressed], costs[turns], lead))
            claim = protocol.part.claim("gap")
            lines.append(of_claim(claim, gap, arm=name, method=label(compressed), lead=lead))
            gap = difference(one.regret(terse, one.last), base, clusters)
            lines.append(of_claim(protocol.part.claim("terse"), gap, arm=name, method=label(terse)))
        tables.append(_table(one, costs))
    cheaper, gap_line = (line for line in lines if line.lead)
    return Result(
        verdict="worse" if cheaper.verdict == "worse" else gap_line.verdict,
        answer=f"A compressed history takes {cheaper.ours.value:.2f} times the prompt tokens of a conversation, and "
        f"changes normalised regret by {figure(gap_line.ours, '')} (below zero is better; the paper: cheaper and "
        "about as good).",
        lines=tuple(lines), tables=tuple(tables),
        notes=("Tokens count whole prompts; what a prefix cache saves of a conversation is not in them.",),
    )  # fmt: skip


def _cheaper(protocol: Protocol, arm: str, method: str, mine: Costs, other: Costs, lead: bool) -> Line:
    claim = protocol.part.claim("tokens")
    ratio = _each(mine) / _each(other) if _each(other) else math.nan
    return Line(
        arm, label(method), claim.words, Estimate(ratio, math.nan, math.nan), None, claim.source,
        "no figure" if math.isnan(ratio) else "equal" if ratio < 1 else "worse", "", lead=lead, lower_is_better=True,
    )  # fmt: skip


def _each(cost: Costs) -> float:
    return math.nan if cost.prompt_tokens is None or not cost.said else cost.prompt_tokens / cost.said


def _table(one: Compared, costs: Mapping[str, Costs]) -> Table:
    rows = []
    for method in one.comparison.methods:
        regret = mean(one.regret(method, one.last), one.comparison.clusters)
        cost = costs.get(method)
        told = cost is not None and bool(cost.said)
        answers = (
            "–"
            if cost is None or not told or cost.answer_tokens is None
            else f"{cost.answer_tokens / cost.said:.0f}"
        )
        prompt = "–" if cost is None or not told or math.isnan(_each(cost)) else f"{_each(cost):.0f}"
        rows.append((regret.value, (label(method), figure(regret, ""), prompt, answers)))
    title = (
        f"{one.arm.name}: normalised regret after {counted(one.last, 'evaluation')}, and tokens of a proposal"
    )
    heads = ("method", "regret", "prompt tokens", "answer tokens")
    return Table(title, heads, tuple(row for _, row in sorted(rows)))
