"""Seconds per proposal over the length of the history: the default proposer against Optuna's samplers, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from airtune.benchmarks.measures.speed import Ratio, eight, history_of, in_rounds, side_by_side
from airtune.engine.proposers import load_proposer
from airtune.engine.types import DEFAULT_PROPOSER, Job, Task, Trial
from airtune.grammars import canonical_grammar
from airtune.models import LanguageModel, load_model

HISTORIES = (30, 100, 300, 1000, 3000, 10_000)
LONGEST = 1000  # measured unless more is asked for
RIVALS = ("tpe", "gp")
MOST_S = 30.0  # a rival that would take longer for a proposal is not waited for


def speed_by_history(
    model: LanguageModel | str = "pocket",
    rivals: Sequence[str] = RIVALS,
    longest: int = LONGEST,
    repeats: int = 5,
) -> list[Ratio]:
    """One proposal after 30, 100, ... told trials of eight hyperparameters, the default configuration among them.

    Args:
        model: The default proposer's, or its name.
        rivals: Proposers that are measured in turn with ours. One is left out from where it would take more than
            MOST_S, if its time grew no faster than the history from the one before on.
        longest: The longest of HISTORIES to measure.
        repeats: Measurements of each pair, on other seeds.
    """
    task = Task("speed/history", eight(), len)  # len: is never called
    default = canonical_grammar(task.space).snap(dict(task.space.get_default_configuration()))
    ours = load_proposer(DEFAULT_PROPOSER, load_model(model) if isinstance(model, str) else model)
    ratios: list[Ratio] = []
    least: dict[str, float] = {}  # of the next history, by rival: what it takes at least
    for trials, longer in zip(HISTORIES, (*HISTORIES[1:], HISTORIES[-1]), strict=True):
        if trials > longest:
            break
        history = (Trial(0, default, "told", 0.5), *history_of(task, trials)[1:])

        def jobs(k: int, history: tuple[Trial, ...] = history) -> list[Job]:
            return [Job(task, history, (), k)]

        for rival in rivals:
            if least.get(rival, 0.0) <= MOST_S:
                what = f"proposal, 8 hyperparameters, {trials} trials: {ours.name} against {rival}"
                pair = in_rounds(ours, jobs), in_rounds(load_proposer(rival), jobs)
                ratios.append(side_by_side(what, *pair, repeats))
                least[rival] = ratios[-1].theirs_s * longer / trials
    return ratios
