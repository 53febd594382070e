"""What a part of the paper is here: what was found there, what is run, what is looked at, what counts as success.

Methods are written as templates, filled in for every language model: {model} is the model, {model+SETTING=VALUE} the
model with settings of its dialect, {control} the one that knows nothing and answers in the same dialect; {model@code}
writes programs, if it speaks chat.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from airtune.benchmarks.analysis.comparison import needs_random
from airtune.benchmarks.running.plan import Plan, control_of, knows_nothing, varied
from airtune.benchmarks.running.suites import get_suite
from airtune.grammars import AirtuneError
from airtune.grammars.errors import counted
from airtune.models.spec import parse_spec

RANDOM = "random"
LIMITS = "limits"  # where the paper names what may go wrong, and gives no figure of it
Speech = Literal["any", "chat"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure of the paper, or what it says without one.

    Attributes:
        key: What a part's evaluation calls it.
        words: What it is.
        source: Where the paper has it.
        low: The figure, or the lower end where the paper gives a range; None where it gives none.
        high: The upper end; None where there is one figure.
        unit: Of the figure, "%" or nothing.
        lower_is_better: Whether less is better.
    """

    key: str
    words: str
    source: str
    low: float | None = None
    high: float | None = None
    unit: str = "%"
    lower_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Arm:
    """One comparison of a part; its studies are in one file.

    Attributes:
        name: Of its folder.
        suite: What is tuned, a name for `get_suite`.
        methods: Templates; see the module's docstring.
        budget: Evaluations.
        seeds: Studies per method and task.
        looks: Numbers of evaluations at which it is looked at.
        models: Only these, where another number of them would take too long; None for all of the part.
        noise: On the losses that the methods see.
    """

    name: str
    suite: str
    methods: tuple[str, ...]
    budget: int = 10
    seeds: int = 3
    looks: tuple[int, ...] = (10,)
    models: tuple[str, ...] | None = None
    noise: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A table or figure of the paper, and how it is done again.

    Attributes:
        name: What `--part` calls it.
        title: What it is about.
        question: What the first screen of the report answers.
        paper: What the paper did and found.
        claims: Its figures.
        arms: What is run.
        success: What counts as success, decided before anything is run.
        tests: What is tested, and how.
        departs: How what is run differs from the paper, and why.
        lead: The template of the method that the first screen is about.
        speech: Which models it can be done with.
    """

    name: str
    title: str
    question: str
    paper: str
    claims: tuple[Claim, ...]
    arms: tuple[Arm, ...]
    success: str
    tests: str
    departs: str = ""
    lead: str = "lm:{model}"
    speech: Speech = "any"

    def claim(self, key: str) -> Claim:
        """The claim of that key."""
        return next(claim for claim in self.claims if claim.key == key)


@dataclass(frozen=True, slots=True)
class Options:
    """What a user asked for in place of what the plans say; each is a departure that the report shows.

    Attributes:
        models: The language models, the one that the first screen is about first; empty for those of the plan.
        suite: In place of every suite.
        budget: Evaluations; it is looked at after all of them, too.
        seeds: Studies per method and task.
    """

    models: tuple[str, ...] = ()
    suite: str | None = None
    budget: int | None = None
    seeds: int | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """A part as it is run: with its models, and what departs from the plan.

    Attributes:
        part: With the arms that are run.
        models: The language models.
        departures: What is not as the plan says, a sentence each.
        options: What the user asked for.
    """

    part: Part
    models: tuple[str, ...]
    departures: tuple[str, ...] = ()
    options: Options = field(default_factory=lambda: Options())

    @property
    def command(self) -> list[str]:
        """The command line that runs it again."""
        words = ["airtune", "bench", "paper", "--part", self.part.name]
        words += ["--models", ",".join(self.options.models)] if self.options.models else []
        for name in ("suite", "budget", "seeds"):
            value = getattr(self.options, name)
            words += [] if value is None else [f"--{name}", str(value)]
        return [*words, "--out", "paper"]

    def plans(self) -> dict[str, Plan]:
        """The comparison of each arm."""
        return {arm.name: self._plan(arm) for arm in self.part.arms}

    def _plan(self, arm: Arm) -> Plan:
        models = self.models if arm.models is None else arm.models
        methods = tuple(dict.fromkeys(filled(method, model) for method in arm.methods for model in models))
        if needs_random(methods, get_suite(arm.suite).tasks, arm.noise):
            methods = (*methods, RANDOM)
        return Plan(arm.suite, methods, arm.seeds, arm.budget, models[0], noise=arm.noise)


def filled(template: str, model: str) -> str:
    """A method's template with a model.

    >>> filled("lm:{model}", "pocket"), filled("lm:{control}", "pocket"), filled("lm:{model+names=hidden}", "pocket")
    ('lm:pocket', 'lm:uniform@pocket', 'lm:pocket@pocket+names=hidden')
    >>> filled("lm:{model@code}", "scripted"), filled("lm:{model@code}", "pocket")
    ('lm:scripted@code', 'lm:pocket')
    """
    found = re.fullmatch(r"([^{]*)(?:\{(model|control)(@code)?(?:\+([^}]*))?\})?", template)
    if found is None:
        raise ValueError(template)
    before, what, code, settings = found.groups()
    if what is None:
        return template
    asked = control_of(model) if what == "control" else model
    if code and parse_spec(asked).spoken == "chat":
        asked = f"{asked.rpartition('@')[0] if parse_spec(asked).dialect else asked}@code"
    return before + (varied(asked, settings) if settings else asked)


def protocol_of(part: Part, models: Sequence[str], options: Options) -> Protocol:
    """A part as it is run with a user's options.

    Args:
        part: The part.
        models: The plan's language models.
        options: What the user asked for.

    Raises:
        AirtuneError: If no model can do it, or an option makes no sense.
    """
    said: list[str] = []
    chosen = options.models or tuple(models)
    able = _able(chosen, part)
    if not able:
        raise AirtuneError(
            f"the part {part.name!r} is about chat prompts, and none of the models speaks that dialect",
            value=list(chosen),
            allowed="a model that speaks chat",
            hint="for example --models llama_cpp:smollm2, after airtune models get smollm2",
        )
    # Models of the plan that are not among the user's need not be here, and are not looked at.
    others = not set(chosen) <= set(models) or able != _able(models, part)
    if others:
        said.append(f"models {', '.join(chosen)} in place of {', '.join(models)}")
    unable = [model for model in chosen if model not in able]
    if unable and others:
        said.append(f"{', '.join(unable)} left out: it speaks no chat")
    if all(knows_nothing(model) for model in able):
        said.append("the models know nothing: a dry run")
    arms = tuple(_changed(arm, options, said, others) for arm in part.arms)
    return Protocol(replace(part, arms=arms), able, tuple(dict.fromkeys(said)), options)


def _able(models: Sequence[str], part: Part) -> tuple[str, ...]:
    """Those that a part can be done with."""
    return tuple(model for model in models if part.speech == "any" or parse_spec(model).spoken == part.speech)


def _changed(arm: Arm, options: Options, said: list[str], others: bool) -> Arm:
    """An arm with a user's options, among them other models; what departs from the plan is said."""
    new = arm
    if others:
        new = replace(new, models=None)
    if options.suite is not None and options.suite != arm.suite:
        moved = "moved/" if arm.suite.startswith("moved/") else ""
        if moved and options.suite.startswith("moved/"):
            raise AirtuneError(
                f"suite {options.suite!r} is on other ranges already, and {arm.name!r} is what moves it",
                value=options.suite,
                allowed="a suite as it is",
                hint=f"--suite {options.suite.removeprefix('moved/')}",
            )
        get_suite(options.suite)
        new = replace(new, suite=moved + options.suite)
        said.append(f"suite {new.suite} in place of {arm.suite}")
    if options.seeds is not None and options.seeds != arm.seeds:
        new = replace(new, seeds=options.seeds)
        said.append(f"{counted(options.seeds, 'seed')} in place of {arm.seeds}")
    if options.budget is not None and options.budget != arm.budget:
        looks = tuple(sorted({min(look, options.budget) for look in arm.looks} | {options.budget}))
        new = replace(new, budget=options.budget, looks=looks)
        said.append(f"{counted(options.budget, 'evaluation')} in place of {arm.budget}")
    return new
