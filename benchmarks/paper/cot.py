"""`cot`: reasoning before the answer, on and off, beside the paper's figures and each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from airtune.benchmarks.paper.against_random import compared_lines, control_pairs, rank_table
from airtune.benchmarks.paper.compared import Compared, difference, label, power_note
from airtune.benchmarks.paper.protocol import Protocol, filled
from airtune.benchmarks.paper.results import Result, of_claim
from airtune.benchmarks.paper.words import figure
from airtune.grammars.errors import counted

OFF, ON = "lm:{model}", "lm:{model+reasoning=on}"


def evaluate(protocol: Protocol, arms: Mapping[str, Compared]) -> Result:
    """Both against random search; and the difference of their regrets, which the verdict is about."""
    lines = []
    for name, one in arms.items():
        for model in protocol.models:
            on, off = filled(ON, model), filled(OFF, model)
            gap = difference(one.regret(on, one.last), one.regret(off, one.last), one.comparison.clusters)
            lead = name == next(iter(arms)) and model == protocol.models[0]
            lines.append(of_claim(protocol.part.claim("gap"), gap, arm=name, method=label(on), lead=lead))
    first = next(line for line in lines if line.lead)
    others = [replace(line, lead=False) for line in compared_lines(protocol, arms)]
    return Result(
        verdict=first.verdict,
        answer=f"Reasoning changes the normalised regret of {first.method.partition(' (')[0]} after "
        f"{counted(arms[first.arm].last, 'evaluation')} by {figure(first.ours, '')} (below zero is better; the paper: "
        "no difference).",
        lines=(*lines, *others),
        tables=tuple(rank_table(one) for one in arms.values()),
        notes=power_note(arms, control_pairs(protocol, arms)),
    )
