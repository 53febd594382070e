"""Made-up comparisons: runs whose figures are known, for the statistics and the reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from airtune.benchmarks.analysis.comparison import Run
from airtune.benchmarks.running.plan import Plan
from airtune.benchmarks.running.suites import get_suite
from airtune.engine.types import Trial

METHODS = ("lm", "random", "default+random", "default+tpe", "default+gp")
SKILL = {"lm": 1.4, "random": 1.0, "default+random": 1.2, "default+tpe": 1.5, "default+gp": 2.0}


def make_plan(methods: Sequence[str] = METHODS, seeds: int = 4, budget: int = 12, suite: str = "toy") -> Plan:
    """A plan of the suite."""
    return Plan(suite=suite, methods=tuple(methods), seeds=seeds, budget=budget, model="pocket")


def make_runs(plan: Plan, failures: float = 0.1) -> list[Run]:
    """Runs of random losses, lower where a method has more skill; a share of the trials failed."""
    rng = np.random.default_rng(0)
    runs = []
    for method in plan.methods:
        for task in get_suite(plan.suite).tasks:
            for seed in range(plan.seeds):
                trials = [
                    _trial(rng, number, SKILL.get(method, 1.0), failures) for number in range(plan.budget)
                ]
                origins = [
                    "default" if method.startswith("default+") and t.number == 0 else method for t in trials
                ]
                runs.append(Run(method, task, seed, trials, origins))
    return runs


def _trial(rng: np.random.Generator, number: int, skill: float, failures: float) -> Trial:
    config = {"x": round(float(rng.uniform(-5, 10)), 3), "y": round(float(rng.uniform(0, 15)), 3)}
    if rng.random() < failures:
        return Trial(number, config, "failed", reason="ValueError: it diverged", proposal_s=0.01)
    loss = float(rng.exponential(1.0 / skill)) + 0.4
    info = {"test_loss": loss + 0.1}
    return Trial(number, config, "told", loss, info=info, proposal_s=0.01, evaluation_s=0.5)
