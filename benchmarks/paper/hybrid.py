"""`hybrid`: a model for ten trials and then Bayesian optimisation, beside Bayesian optimisation alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from airtune.benchmarks.paper.against_random import WORST, rank_table
from airtune.benchmarks.paper.compared import Compared, label, matched
from airtune.benchmarks.paper.protocol import Protocol, filled
from airtune.benchmarks.paper.results import Line, Result, of_claim
from airtune.benchmarks.paper.words import figure, without_interval

# The hybrid, its control, and the Bayesian optimisation that it is measured by: without the default, and with it.
SIDES = (
    ("hybrid:{model}", "hybrid:{control}", "gp"),
    ("default+hybrid:{model}", "default+hybrid:{control}", "default+gp"),
)
KNOW_NOTHING = "the same with a model that knows nothing"


def evaluate(protocol: Protocol, arms: Mapping[str, Compared]) -> Result:
    """The share of tasks on which the hybrid is as good or better, at every look."""
    lines: list[Line] = []
    claim, first = protocol.part.claim("matches"), next(iter(arms))
    for name, one in arms.items():
        models = protocol.models if one.arm.models is None else one.arm.models
        clusters = one.comparison.clusters
        for model in models:
            for hybrid, control, alone in SIDES:
                mine, other = filled(hybrid, model), filled(control, model)
                for look in sorted({min(look, one.plan.budget) for look in one.arm.looks}):
                    base = one.best(alone, look)
                    lead = (
                        name == first
                        and model == models[0]
                        and look == min(one.arm.looks[0], one.plan.budget)
                    )
                    line = of_claim(
                        claim, matched(one.best(mine, look), base, clusters), arm=name, method=label(mine),
                        against=KNOW_NOTHING if other != mine else "",
                        control=matched(one.best(other, look), base, clusters) if other != mine else None, lead=lead,
                    )  # fmt: skip
                    lines.append(replace(line, what=f"{claim.words}, {alone} at {look}"))
    leads = [line for line in lines if line.lead]
    said = "; ".join(
        f"{line.method} on {figure(line.ours)} of tasks"
        + (
            f" (with a model that knows nothing {without_interval(line.control)})"
            if line.control is not None
            else ""
        )
        for line in leads
    )
    look = min(arms[first].arm.looks[0], arms[first].plan.budget)
    return Result(
        verdict=min((line.verdict for line in leads), key=WORST.index, default="no figure"),
        answer=f"As good as the Gaussian process alone or better after {look} evaluations: {said}. The paper: 65.6 %.",
        lines=tuple(lines),
        tables=tuple(rank_table(one) for one in arms.values()),
    )
