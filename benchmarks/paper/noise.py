"""`noise`: the same searches on noisy losses; and what evaluating the best again would have gained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from airtune.benchmarks.analysis.comparison import Run
from airtune.benchmarks.analysis.statistics import Array
from airtune.benchmarks.paper.compared import Compared, difference, joined, label, mean
from airtune.benchmarks.paper.protocol import Protocol, filled
from airtune.benchmarks.paper.results import Line, Result, Table, of_claim
from airtune.benchmarks.paper.words import figure
from airtune.benchmarks.running.plan import study_seed
from airtune.benchmarks.tasks.moved import unmoved
from airtune.engine.evaluation.noise import read_noise, true_loss
from airtune.engine.types import Trial
from airtune.grammars.errors import counted

WITHOUT, WITH = "without", "with"
SHARES = (0.0, 0.2, 0.5)  # of the budget that goes into evaluating the best again
KNOW_NOTHING = "the same of the model that knows nothing"


def evaluate(protocol: Protocol, arms: Mapping[str, Compared]) -> Result:
    """The regret of true losses, with noise less without; and a part of the budget spent on the best again."""
    both = joined({WITHOUT: arms[WITHOUT], WITH: arms[WITH]})
    look, clusters = both.last, both.comparison.clusters
    gaps = {
        method: difference(
            both.regret(f"{method} [{WITH}]", look), both.regret(f"{method} [{WITHOUT}]", look), clusters
        )
        for method in arms[WITH].plan.methods
        if method in arms[WITHOUT].plan.methods
    }
    lines: list[Line] = []
    for model in protocol.models:
        control = filled("lm:{control}", model)
        for template in ("lm:{model}", "default+lm:{model}"):
            method = filled(template, model)
            if method not in gaps:
                continue
            known = control in gaps and control != method
            line = of_claim(
                protocol.part.claim("gap"), gaps[method], arm=WITH, method=label(method), lead=not lines,
                against=KNOW_NOTHING if known else "", control=gaps[control] if known else None,
            )  # fmt: skip
            lines.append(line)
    again, gains = _again(arms[WITH], both)
    first = lines[0]
    return Result(
        verdict=first.verdict,
        answer=f"Noise {arms[WITH].arm.noise} changes the normalised regret of {first.method} after "
        f"{counted(look, 'evaluation')} by {figure(first.ours, '')} (below zero is better; "
        f"the paper: about the same). {gains}",
        lines=tuple(lines),
        tables=(_table(both, gaps, look), again),
    )


def _table(both: Compared, gaps: Mapping[str, object], look: int) -> Table:
    rows = []
    for method in gaps:
        here = [both.regret(f"{method} [{name}]", look) for name in (WITHOUT, WITH)]
        cells = [figure(mean(values, both.comparison.clusters), "") for values in here]
        rows.append(
            (label(method), *cells, figure(difference(here[1], here[0], both.comparison.clusters), ""))
        )
    heads = ("method", "without noise", "with noise", "difference")
    return Table(f"normalised regret of true losses after {counted(look, 'evaluation')}", heads, tuple(rows))


@dataclass(slots=True)
class _Known:
    """A configuration that was tried: its true loss, and the sum and number of the losses that were seen."""

    true: float
    total: float
    seen: int = 1

    @property
    def mean(self) -> float:
        return self.total / self.seen


def evaluated_again(trials: Sequence[Trial], budget: int, again: int, noise: str, seed: int) -> float | None:
    """The true loss of what is chosen if the last `again` evaluations of a budget go to what looks best.

    Each of them is of the configuration whose losses so far have the lowest mean, the earliest of equals; that mean is
    what is chosen by in the end.

    Args:
        trials: Of the search.
        budget: Evaluations in all.
        again: How many of them are of what was tried already.
        noise: On every evaluation.
        seed: Of the study; evaluations have noise of their own.

    Returns:
        None where nothing had a loss.
    """
    known = []
    for trial in trials[: budget - again]:
        true = true_loss(trial)
        if trial.loss is not None and true is not None:
            known.append(_Known(true, trial.loss))
    if not known:
        return None
    for i in range(again):
        best = min(known, key=lambda one: one.mean)
        best.total += read_noise(noise).on(best.true, seed, f"again {i}")
        best.seen += 1
    return min(known, key=lambda one: one.mean).true


def _again(arm: Compared, both: Compared) -> tuple[Table, str]:
    """What each method's searches would have chosen; regrets on the scale of the whole part."""
    comparison, budget, noise = both.comparison, both.last, str(arm.plan.noise)
    runs = {(run.method, unmoved(run.task), run.seed): run for run in arm.runs}
    places = list(comparison.tasks)
    heads = (
        "method",
        *(f"{round(share * budget)} of {budget} again" for share in SHARES),
        "best that was tried",
    )
    rows, gained = [], ""
    for method in arm.plan.methods:
        found = np.full((len(SHARES) + 1, len(places), arm.plan.seeds), math.nan)
        for t, task in enumerate(places):
            for seed in range(arm.plan.seeds):
                run = runs[method, task, seed]
                found[:, t, seed] = _choices(run, budget, noise, study_seed(run.task, method, seed))
        regret = _regret(found, both)
        estimates = [mean(one, comparison.clusters) for one in regret]
        rows.append((label(method), *(figure(one, "") for one in estimates)))
        if not gained:
            best = min(range(1, len(SHARES)), key=lambda i: estimates[i].value)
            gap = difference(regret[best], regret[0], comparison.clusters)
            gained = (
                f"Had {round(SHARES[best] * budget)} of its {budget} evaluations been of its best again (the better of "
                f"two shares), its regret would have changed by {figure(gap, '')}."
            )
    return Table("regret if a part of the evaluations were of the best again", heads, tuple(rows)), gained


def _choices(run: Run, budget: int, noise: str, seed: int) -> list[float]:
    chosen = [evaluated_again(run.trials, budget, round(share * budget), noise, seed) for share in SHARES]
    tried = [loss for trial in run.trials[:budget] if (loss := true_loss(trial)) is not None]
    return [math.nan if one is None else one for one in (*chosen, min(tried, default=None))]


def _regret(losses: Array, both: Compared) -> Array:
    """Normalised as `Comparison.regret` is; a search without a loss has that of one random evaluation."""
    comparison = both.comparison
    floors = _floors(both)
    known, reference = comparison.known[None, :, None], comparison.reference[None, :, None]
    losses = np.where(np.isnan(losses), reference, np.minimum(losses - floors[None, :, None], reference))
    span = reference - known
    return np.where(span <= 0, 0.0, np.maximum(losses - known, 0.0) / np.where(span <= 0, 1.0, span))


def _floors(both: Compared) -> Array:
    """What a comparison takes from the losses of toy functions: their optimum."""
    from airtune.benchmarks.tasks.toy import minimum

    return np.array([minimum(task) if task.startswith("toy/") else 0.0 for task in both.comparison.tasks])
