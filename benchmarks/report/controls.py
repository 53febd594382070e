"""What the models add: the methods that tell it, and how much better than these one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from airtune.benchmarks.analysis.comparison import RANDOM, Array, Comparison
from airtune.benchmarks.analysis.significance import Verdicts, holm, over_sets, verdict_of
from airtune.benchmarks.analysis.statistics import Row, pairwise
from airtune.benchmarks.running.plan import HIDDEN, LOCAL, Plan, knows_nothing, names_hidden, proposer_of
from airtune.models.spec import ModelSpec, parse_spec

KNOW_NOTHING_MODEL = "same proposer, know-nothing model"
OTHER_DIALECT = "know-nothing model, other dialect"
HIDDEN_NAMES = "same model, names hidden"
WITHOUT_A_MODEL = {
    LOCAL: "the best, one value redrawn",
    "default+gp": "GP from the default",
    "default+random": "random search from the default",
    RANDOM: "random search",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """The focal method against another one.

    Attributes:
        row: Its figures, with the other method as the reference.
        verdicts: The tests over seeds, task by task.
        p: Of the test over the tasks' mean normalised regrets, Holm's in the table that it is printed in.
        direction: Of that test: -1 where the focal method's regrets are lower.
    """

    row: Row
    verdicts: Verdicts
    p: float
    direction: int

    @property
    def verdict(self) -> str:
        """What the test says, in a word or two."""
        return verdict_of(self.p, self.direction)


@dataclass(frozen=True, slots=True)
class Control:
    """A method that tells what another one's model adds; `what` it is, in words."""

    method: str
    reference: str
    what: str


@dataclass(frozen=True, slots=True)
class Added:
    """A method against one of its controls.

    Attributes:
        row: Its figures, with the control as the reference.
        what: What the control is.
        p: Of the test over the data sets' mean normalised regrets, Holm's over the table.
        direction: Of that test: -1 where the method's regrets are lower.
        test: The same figures of the test errors of what was chosen on validation; None where no task has any.
    """

    row: Row
    what: str
    p: float
    direction: int
    test: Row | None

    @property
    def verdict(self) -> str:
        """What the test says, in a word or two."""
        return verdict_of(self.p, self.direction)

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "method": self.row.method, "against": self.row.reference, "what": self.what, "p_value": self.p,
            "verdict": self.verdict, "row": self.row.json(), "test": self.test and self.test.json(),
        }  # fmt: skip


def focal_method(plan: Plan) -> str | None:
    """The first method whose model knows something and is told the names, else the first that asks a model."""
    asking = [method for method in plan.methods if plan.model_of(method) is not None]
    return next(iter([*_knowing(plan), *asking]), None)


def model_controls(plan: Plan, focal: str | None, dialects: Mapping[str, str]) -> list[Control]:
    """The controls of all methods whose models know something, those of the focal one first.

    Args:
        plan: What was compared.
        focal: The method that is also compared with those that ask no model.
        dialects: What each method's model speaks: the know-nothing model of the same dialect is the control.
    """
    if focal is None:
        return []
    first = _around(plan, focal, dialects)
    first += [Control(focal, reference, what) for reference, what in WITHOUT_A_MODEL.items()]
    others = [method for method in _knowing(plan) if method != focal]
    return [*first, *(one for method in others for one in _around(plan, method, dialects))]


def what_models_add(
    comparison: Comparison, controls: Sequence[Control], budget: int, means: Array
) -> list[Added]:
    """The methods against their controls after `budget` evaluations; `means` are `bootstrap_means`' of the losses."""
    best, test = comparison.best[..., budget - 1], comparison.test[..., budget - 1]
    sets = np.array(comparison.clusters)
    regret = comparison.regret[..., budget - 1].mean(axis=2)
    made = []
    for control in controls:
        both = [comparison.methods.index(name) for name in (control.method, control.reference)]
        names = (control.method, control.reference)
        (row,) = pairwise(best[both], names, names[0], budget, comparison.clusters, means[:, both])
        tested = ~np.isnan(test[both]).any(axis=(0, 2))
        on_test = None
        if tested.any():
            (on_test,) = pairwise(test[both][:, tested], names, names[0], budget, list(sets[tested]))
        own, other = regret[both]
        made.append(Added(row, control.what, *over_sets(own, other, comparison.clusters), on_test))
    adjusted = holm([one.p for one in made])
    return [replace(one, p=p) for one, p in zip(made, adjusted, strict=True)]


def _knowing(plan: Plan) -> list[str]:
    """The methods whose models know something and are told the names."""
    asked = {method: plan.model_of(method) for method in plan.methods}
    return [m for m, model in asked.items() if model and not knows_nothing(model) and not names_hidden(model)]


def _around(plan: Plan, method: str, dialects: Mapping[str, str]) -> list[Control]:
    """The controls of a method that have its proposer."""
    model = plan.model_of(method)
    same = {
        other: asked
        for other in plan.methods
        if other != method and proposer_of(other) == proposer_of(method) and (asked := plan.model_of(other))
    }
    unknowing = [other for other, asked in same.items() if knows_nothing(asked)]
    spoken = dialects.get(method, "").partition("+")[0]
    alike = [other for other in unknowing if dialects.get(other, "").partition("+")[0] == spoken]
    # One that answers in another language differs in more than what it knows; it is better than none.
    words = KNOW_NOTHING_MODEL if alike else OTHER_DIALECT
    return [
        *(Control(method, other, words) for other in alike or unknowing),
        *(
            Control(method, other, HIDDEN_NAMES)
            for other, asked in same.items()
            if model and names_hidden(asked) and _hides(parse_spec(asked), parse_spec(model), spoken)
        ),
    ]


def _hides(control: ModelSpec, spec: ModelSpec, spoken: str) -> bool:
    """Whether the control is the model but for the names."""
    settings = {*(control.dialect or "").split("+")} - {HIDDEN}
    alike = settings == {*(spec.dialect or spoken or (control.dialect or "").partition("+")[0]).split("+")}
    return alike and replace(control, dialect=None) == replace(spec, dialect=None)
