"""What the trials show, in a few lines worked out by code and not by the model (arXiv 2509.15561).

Small models copy better than they compare: a table of ten trials says more to them once its trends stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ConfigSpace import hyperparameters as hp
from scipy.stats import rankdata

from airtune.grammars import Grammar
from airtune.models.dialects.chat.description import Words
from airtune.models.types import Observation

FEWEST = 4  # trials with a loss that have a value: of fewer nothing is said
TREND = 0.5  # rank correlation from which on a trend is told; of 4 independent trials .4 pass it by chance


def summary(words: Words) -> list[str]:
    """One line per hyperparameter of which the trials show something, and one of the failures.

    Of a number or an ordinal it is the side on which losses are lower (Spearman's rank correlation of value and
    loss), or the range of the better half; of a choice the one with the lowest mean loss.
    """
    trials = words.problem.observations
    told = [trial for trial in trials if trial.loss is not None]
    failed = sum(trial.status == "failed" for trial in trials)
    lines = [text for name in words.varying if (text := _trend(words, name, told))]
    if failed:
        lines.append(f"- {failed} of {failed + len(told)} failed")
    return ["What the trials show:", *lines] if lines else []


def _trend(words: Words, name: str, told: Sequence[Observation]) -> str | None:
    axis = words.axes[name]
    pairs = [(_index(words.grammar, axis, name, trial), trial.loss) for trial in told]
    known = [(index, loss) for index, loss in pairs if index is not None and loss is not None]
    if len(known) < FEWEST or len({index for index, _ in known}) < 2:
        return None
    values, losses = (np.array(column) for column in zip(*known, strict=True))
    label = words.quote(name)
    if isinstance(words.problem.space[name], hp.CategoricalHyperparameter):
        means = {index: losses[values == index].mean() for index in sorted(set(values.tolist()))}
        return f"- {label}: lowest mean loss with {words.guard(axis.text(min(means, key=means.__getitem__)))}"
    correlation = np.corrcoef(rankdata(values), rankdata(losses))[0, 1] if np.ptp(losses) else 0.0
    if abs(correlation) >= TREND:
        return f"- {label}: {'smaller' if correlation > 0 else 'larger'} was better"
    better = values[losses <= np.median(losses)]
    return f"- {label}: the better half from {axis.text(int(better.min()))} to {axis.text(int(better.max()))}"


def _index(grammar: Grammar, axis: Any, name: str, trial: Observation) -> int | None:
    """The place of the trial's value on its axis; None where it was not active."""
    config = grammar.snap(trial.config)
    return int(axis.index(config[name])) if name in config else None
