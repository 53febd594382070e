"""`hybrid`: a model for ten trials and then Bayesian optimisation, beside Bayesian optimisation alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from airtune.benchmarks.paper.against_random import rank_table, worst
from airtune.benchmarks.paper.compared import Compared, Pair, holm_tests, label, matched, power_note
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
    claim, first = protocol.part.claim("matches"), next(iter(arms))
    found = [
        (Pair(name, filled(hybrid, model), filled(control, model), look), alone, model == models[0])
        for name, one in arms.items()
        for models in (one.arm.models or protocol.models,)
        for model in models
        for hybrid, control, alone in SIDES
        for look in _looks(one)
    ]
    pairs = [pair for pair, _, _ in found if pair.method != pair.other]
    tests = holm_tests(arms, pairs)
    lines: list[Line] = []
    for pair, alone, leading in found:
        one, look = arms[pair.arm], pair.look
        base, clusters, known = one.best(alone, look), one.comparison.clusters, pair in tests
        p, worth = tests.get(pair, (None, ""))
        line = of_claim(
            claim, matched(one.best(pair.method, look), base, clusters), arm=pair.arm, method=label(pair.method),
            against=KNOW_NOTHING if known else "",
            control=matched(one.best(pair.other, look), base, clusters) if known else None, worth=worth, p=p,
            lead=leading and pair.arm == first and look == _looks(one)[0],
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
    return Result(
        verdict=worst(leads),
        answer=f"As good as the Gaussian process alone or better after {_looks(arms[first])[0]} evaluations: {said}. "
        "The paper: 65.6 %.",
        lines=tuple(lines),
        tables=tuple(rank_table(one) for one in arms.values()),
        notes=power_note(arms, pairs),
    )


def _looks(one: Compared) -> list[int]:
    return sorted({min(look, one.plan.budget) for look in one.arm.looks})
