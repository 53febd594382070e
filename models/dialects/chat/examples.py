"""Worked examples for the chat dialect: invented tasks, generated trials, an answer that does better.

The tasks are of no benchmark and of no library: pottery and bread. Trials, thoughts and answers are computed from
the invented losses, so the examples are as they would be in a real search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log10
from typing import Any

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from airtune.grammars import Grammar, space_grammar
from airtune.models.types import Observation, Problem

_CANDIDATES = 24  # the answer is the best of so many: better than the trials, not perfect


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example: a problem with some trials, and a configuration that does better.

    Attributes:
        problem: The invented problem.
        grammar: The canonical grammar of its space.
        answer: The configuration.
    """

    problem: Problem
    grammar: Grammar
    answer: Mapping[str, Any]

    def thought(self) -> str:
        """What the trials of an example show, in a few sentences worked out from them."""
        told = sorted(
            (o for o in self.problem.observations if o.loss is not None), key=lambda o: o.loss or 0.0
        )
        best, worst = told[0], told[-1]
        axes = dict(zip(self.grammar.lattice.names, self.grammar.lattice.axes, strict=True))

        def values(observation: Observation) -> str:
            return ", ".join(
                f"{name} {axes[name].text(axes[name].index(v))}" for name, v in observation.config.items()
            )

        moves = []
        for name, value in self.answer.items():
            before = best.config.get(name)
            if before is None:
                moves.append(f"set {name}")
            elif isinstance(value, str):
                moves.append(f"keep {name}" if value == before else f"try another {name}")
            elif value != before:
                moves.append(f"{'raise' if value > before else 'lower'} {name}")
        return (
            f"The best trial has {values(best)}; the worst has {values(worst)}. Nothing near the best one has been "
            f"tried yet, so I would start from it: {', '.join(moves)}."
        )


def _pottery() -> tuple[ConfigurationSpace, Callable[[Mapping[str, Any]], float]]:
    space = ConfigurationSpace(
        {
            "peak": Float("peak", (600.0, 1400.0), default=900.0, meta={"unit": "degrees Celsius"}),
            "hours": Float("hours", (0.5, 50.0), default=5.0, log=True),
            "glaze": ["ash", "salt", "tin"],
        }
    )

    def loss(config: Mapping[str, Any]) -> float:
        heat, time = (config["peak"] - 1120) / 300, log10(config["hours"] / 12)
        glaze: float = {"ash": 0.06, "salt": 0.0, "tin": 0.1}[config["glaze"]]
        return 0.03 + float(0.2 * heat**2 + 0.15 * time**2) + glaze

    return space, loss


def _bread() -> tuple[ConfigurationSpace, Callable[[Mapping[str, Any]], float]]:
    space = ConfigurationSpace()
    steam = Categorical("steam", ["yes", "no"])
    minutes = Integer("steam_minutes", (1, 30), default=5)
    space.add(Float("yeast", (1e-3, 1e-1), default=1e-2, log=True), Integer("rise_hours", (1, 24), default=3))
    space.add(steam, minutes, EqualsCondition(minutes, steam, "yes"))

    def loss(config: Mapping[str, Any]) -> float:
        rise = log10(config["yeast"] * config["rise_hours"] / 0.06)
        crust = abs(config["steam_minutes"] - 12) / 40 if config["steam"] == "yes" else 0.5
        return float(1.2 + rise**2 + crust)

    return space, loss


@lru_cache(maxsize=1)
def worked_examples() -> tuple[Example, ...]:
    """All examples, always the same."""
    made = []
    tasks = (
        ("pottery", "Firing a kiln of pots.", "share of cracked pots", _pottery, 4, None),
        ("bread", "Baking rye bread.", "distance to the ideal crumb", _bread, 5, 2),
    )
    for seed, (name, description, metric, make, trials, failing) in enumerate(tasks):
        space, loss = make()
        grammar, rng = space_grammar(space), np.random.default_rng(seed)
        seen = [
            Observation(config, None, "failed", "the dough collapsed")
            if i == failing
            else Observation(config, loss(config))
            for i, config in enumerate(grammar.sample(rng) for _ in range(trials))
        ]
        answer = min((grammar.sample(rng) for _ in range(_CANDIDATES)), key=loss)
        made.append(Example(Problem(name, description, space, metric, tuple(seen)), grammar, answer))
    return tuple(made)
