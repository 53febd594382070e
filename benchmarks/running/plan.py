"""What a comparison is: a suite's tasks x methods x seeds, cut into groups of studies that advance together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airtune.benchmarks import get_task
from airtune.benchmarks.running.suites import get_suite
from airtune.engine.proposers import PROPOSERS, load_proposer, needs_model
from airtune.engine.seeds import derive_seed
from airtune.engine.types import DEFAULT_PROPOSER
from airtune.grammars import AirtuneError, unknown_name
from airtune.models.spec import parse_spec

# What a language model is compared with: random search, and what the default adds to it, to two optimizers, and to
# steps from the incumbent.
BASELINES = ("random", "default+random", "default+tpe", "default+gp", "default+local")
DEFAULT_METHODS = (DEFAULT_PROPOSER, "lm", *BASELINES)
DEFAULT_MODEL = "pocket"
UNIFORM = "uniform"  # the model that knows nothing
TASKS_PER_GROUP = 16


@dataclass(frozen=True, slots=True)
class Group:
    """Studies that advance in lock step: one method, one seed, up to `TASKS_PER_GROUP` tasks.

    A language model gets the requests of a group as one batch, and in another batch its last bits may differ. So
    a group's composition must not depend on what may be added to a comparison later: seeds, methods, trials.
    """

    method: str
    seed: int
    tasks: tuple[str, ...]

    @property
    def studies(self) -> tuple[str, ...]:
        """The names of its studies, one per task."""
        return tuple(study_name(task, self.method, self.seed) for task in self.tasks)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared.

    Attributes:
        suite: A key of `airtune.benchmarks.running.suites.SUITES`.
        methods: Proposer names; one that asks a language model may name it: "lm:pocket", or any other
            one-word form of `airtune.models.spec`.
        seeds: Studies per method and task.
        budget: Evaluations per study.
        model: The language model of the methods that ask one and do not name it.
        temperature: The models' sampling temperature; None for their dialects' own.
    """

    suite: str
    methods: tuple[str, ...] = DEFAULT_METHODS
    seeds: int = 10
    budget: int = 30
    model: str = DEFAULT_MODEL
    temperature: float | None = None

    def groups(self) -> Iterator[Group]:
        """All groups, language models first because they take longest, then seed by seed."""
        tasks = get_suite(self.suite).tasks
        for method in sorted(self.methods, key=lambda method: not needs_model(proposer_of(method))):
            for seed in range(self.seeds):
                for start in range(0, len(tasks), TASKS_PER_GROUP):
                    yield Group(method, seed, tasks[start : start + TASKS_PER_GROUP])

    def model_of(self, method: str) -> str | None:
        """The language model that the method asks, or None."""
        return (method.partition(":")[2] or self.model) if needs_model(proposer_of(method)) else None


def with_models(methods: Sequence[str], models: Sequence[str]) -> tuple[str, ...]:
    """The methods, with each that asks a model it does not name once for each of several models.

    The know-nothing model `uniform` beside others speaks their dialects.

    >>> with_models(["lm", "random"], ["pocket", "./mine"])
    ('lm:pocket', 'lm:./mine', 'random')
    >>> with_models(["lm"], ["pocket", "uniform"])
    ('lm:pocket', 'lm:uniform@pocket')
    """
    made: list[str] = []
    if UNIFORM in models and len(models) > 1:
        others = [model for model in models if model != UNIFORM]
        models = list(dict.fromkeys([*others, *map(control_of, others)]))
    for method in methods:
        expand = len(models) > 1 and ":" not in method and needs_model(method)
        made += [f"{method}:{model}" for model in models] if expand else [method]
    return tuple(made)


def control_of(model: str) -> str:
    """The model that knows nothing and has to answer in the same language as another one."""
    return f"{UNIFORM}@{parse_spec(model).spoken}"


def proposer_of(method: str) -> str:
    """The name of a method's proposer: the method without its model."""
    return method.partition(":")[0]


def study_name(task: str, method: str, seed: int) -> str:
    """The name of one study of a comparison in its study file; sorts by task, method and seed."""
    return f"{task}/{method}/seed={seed:03d}"


def study_seed(task: str, method: str, seed: int) -> int:
    """The seed of one study of a comparison.

    No two methods share random numbers, but language models behind one proposer do: it is they that are compared,
    and a recording of a model's answers is found again under whatever name it is replayed.
    """
    return derive_seed("bench", task, proposer_of(method), seed)


def check_plan(plan: Plan, jobs: int = 1) -> None:
    """Raise an AirtuneError for what is wrong with the plan."""
    if not get_suite(plan.suite).tasks:
        raise AirtuneError(
            f"the suite {plan.suite!r} has no tasks here: its tables are not in this installation",
            value=plan.suite,
            hint="install a release of airtune, or build them: python scripts/build_hpobench_tables.py",
        )
    get_task(get_suite(plan.suite).tasks[0])  # refuses tables that are not installed
    known = [*PROPOSERS, *(f"default+{name}" for name in PROPOSERS)]
    for method in plan.methods:
        name, colon, model = method.partition(":")
        if name not in known:
            message, allowed, hint = unknown_name("proposer", name, known)
            raise AirtuneError(message, value=method, allowed=allowed, hint=hint)
        if not needs_model(name) and not colon:
            load_proposer(name)  # refuses what is not installed: now, not when its turn comes
        if colon and not (model and needs_model(name)):
            raise AirtuneError(
                f"method {method!r} names a model that it does not ask"
                if model
                else f"{method!r} names no model",
                value=method,
                allowed="a proposer that asks a language model, a colon, and the model: lm:pocket",
                hint=f"write {name!r}",
            )
    for spec in dict.fromkeys(plan.model_of(method) for method in plan.methods):
        if spec is not None:
            parse_spec(spec).check()
    if len(set(plan.methods)) < len(plan.methods) or not plan.methods:
        raise AirtuneError("a comparison needs one or more methods, all different", value=plan.methods)
    for what, value in (("seeds", plan.seeds), ("budget", plan.budget), ("jobs", jobs)):
        if value < 1:
            raise AirtuneError(f"{what} is {value}", value=value, allowed="1 or more")
