"""What a comparison is: a suite's tasks x methods x seeds, cut into groups of studies that advance together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airtune.benchmarks import get_task
from airtune.benchmarks.running.suites import get_suite
from airtune.engine.evaluation.noise import read_noise
from airtune.engine.proposers import PROPOSERS, load_proposer, needs_model
from airtune.engine.seeds import derive_seed
from airtune.engine.types import DEFAULT_PROPOSER
from airtune.grammars import AirtuneError, unknown_name
from airtune.models.spec import parse_spec

UNIFORM = "uniform"  # the model that knows nothing
KNOW_NOTHING = (UNIFORM, "scripted")  # names and backends of models that have learnt nothing
LOCAL = "default+local"
HIDDEN = "names=hidden"  # the setting of a dialect
# What a language model is compared with: random search, and what the default adds to it, to two optimizers, and to
# steps from the incumbent.
BASELINES = ("random", "default+random", "default+tpe", "default+gp", LOCAL)
DEFAULT_METHODS = (DEFAULT_PROPOSER, "lm", *BASELINES)
DEFAULT_MODEL = "pocket"
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
        suite: A name for `airtune.benchmarks.running.suites.get_suite`.
        methods: Proposer names; one that asks a language model may name it: "lm:pocket", or any other
            one-word form of `airtune.models.spec`.
        seeds: Studies per method and task.
        budget: Evaluations per study.
        model: The language model of the methods that ask one and do not name it.
        temperature: The models' sampling temperature; None for their dialects' own.
        noise: On the losses that the methods see, in the form of `engine.evaluation.noise.read_noise`; None.
    """

    suite: str
    methods: tuple[str, ...] = DEFAULT_METHODS
    seeds: int = 10
    budget: int = 30
    model: str = DEFAULT_MODEL
    temperature: float | None = None
    noise: str | None = None

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


def with_controls(methods: Sequence[str], model: str) -> tuple[str, ...]:
    """The methods, and what tells how much their models add.

    Each that asks one around a model that knows nothing and with the names hidden; and steps from the incumbent.

    >>> with_controls(["lm"], "pocket")
    ('lm', 'lm:uniform@pocket', 'lm:pocket@pocket+names=hidden', 'default+local')

    Args:
        methods: Proposers, with their models or without.
        model: The model of those that name none.
    """
    made = list(methods)
    for method in methods:
        asked = method.partition(":")[2] or model
        if needs_model(proposer_of(method)) and not knows_nothing(asked) and not names_hidden(asked):
            made += [f"{proposer_of(method)}:{control}" for control in (control_of(asked), hidden(asked))]
    return tuple(dict.fromkeys([*made, LOCAL]))


def control_of(model: str) -> str:
    """The model that knows nothing and has to answer in the same language as another one."""
    return f"{UNIFORM}@{parse_spec(model).spoken}"


def hidden(model: str) -> str:
    """The model, told of its problems in neutral words."""
    return varied(model, HIDDEN)


def varied(model: str, settings: str) -> str:
    """The model with settings added to its dialect: `history=turns+detail=space`."""
    spec = parse_spec(model)
    return f"{model}+{settings}" if spec.dialect else f"{model}@{spec.spoken}+{settings}"


def names_hidden(model: str) -> bool:
    """Whether the model is told of its problems in neutral words."""
    return HIDDEN in (parse_spec(model).dialect or "").split("+")


def knows_nothing(model: str) -> bool:
    """Whether the model has learnt nothing."""
    spec = parse_spec(model)
    return spec.backend in KNOW_NOTHING or spec.name in KNOW_NOTHING


def method_label(method: str) -> str:
    """A method as tables of all commands call it: as it was named, a model in a few words.

    >>> method_label("default+lm+gp"), method_label("lm:./models/llama@chat+history=turns")
    ('default+lm+gp', 'lm:llama (history=turns)')
    """
    proposer, colon, model = method.partition(":")
    return f"{proposer}:{parse_spec(model).label}" if colon else proposer


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
    if plan.noise is not None:
        read_noise(plan.noise)
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
