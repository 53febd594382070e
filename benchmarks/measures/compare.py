"""`airtune bench compare`: language models against each other on the same tasks, seeds and budgets.

Open ones, closed ones behind a server, recorded ones, and one model under several dialects. The studies are a
comparison like any other (`runner`): the same command again goes on, more models may be added later, and all of
`airtune show` and `airtune report` works on them. Beside the quality of what they found stands what they took.
"""

from __future__ import annotations

from collections.abc import Sequence

from airtune.benchmarks.running.plan import Plan, check_plan
from airtune.grammars import AirtuneError


def compare_plan(
    models: Sequence[str],
    *,
    suite: str = "toy",
    proposer: str = "lm",
    baselines: Sequence[str] = ("random", "default+random"),
    seeds: int = 3,
    budget: int = 10,
    temperature: float | None = None,
) -> Plan:
    """The plan of a comparison of models.

    Args:
        models: Models in the one-word form of `airtune.models.spec`.
        suite: What they tune.
        proposer: What asks them: "lm", "lm+gp", "lm+self", "hybrid", or "default+" one of them.
        baselines: Proposers beside them; "random" is always among them.
        seeds: Studies per model and task.
        budget: Trials per study.
        temperature: Of sampling; None for each dialect's own.

    Raises:
        AirtuneError: If something in it cannot be used: before anything runs.
    """
    if not models:
        raise AirtuneError(
            "no models to compare were given",
            allowed="--models A,B,...",
            hint="for example --models pocket,pocket@chat,replay:answers.jsonl",
        )
    others = dict.fromkeys([*baselines, "random"])
    methods = (*(f"{proposer}:{model}" for model in models), *others)
    plan = Plan(
        suite=suite, methods=methods, seeds=seeds, budget=budget, model=models[0], temperature=temperature
    )
    check_plan(plan)
    return plan
