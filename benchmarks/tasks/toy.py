"""Two-dimensional test functions with known optima: `toy/*`.

Definitions and domains follow Surjanovic and Bingham, "Virtual Library of Simulation Experiments: Test
Functions and Datasets" (sfu.ca/~ssurjano), with one exception. A space's default is the middle of its ranges,
so a domain that is centred on the optimum would hand it to every `default+X` method: Ackley therefore has the
domain [-5, 10] x [-5, 10] of Eriksson et al., "Scalable Global Optimization via Local Bayesian Optimization"
(arXiv 1910.01739). The parameters are called x and y and the descriptions do not name the function: a
language model is to read the trials, not to remember the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ConfigSpace import ConfigurationSpace, Float

from airtune.engine.types import Task


@dataclass(frozen=True, slots=True)
class Function:
    """A function of x and y.

    Attributes:
        value: (x, y) -> value.
        x: Range of x.
        y: Range of y.
        minimum: Its least value on the domain.
        minimisers: Every point (x, y) that attains it, to six decimals.
        words: What may be said of it to a model.
    """

    value: Callable[[float, float], float]
    x: tuple[float, float]
    y: tuple[float, float]
    minimum: float
    minimisers: tuple[tuple[float, float], ...]
    words: str


def _rosenbrock(x: float, y: float) -> float:
    return 100.0 * (y - x * x) ** 2 + (1.0 - x) ** 2


def _branin(x: float, y: float) -> float:
    b, c, t = 5.1 / (4.0 * math.pi**2), 5.0 / math.pi, 1.0 / (8.0 * math.pi)
    return (y - b * x * x + c * x - 6.0) ** 2 + 10.0 * (1.0 - t) * math.cos(x) + 10.0


def _ackley(x: float, y: float) -> float:
    radius = math.sqrt(0.5 * (x * x + y * y))
    waves = 0.5 * (math.cos(2.0 * math.pi * x) + math.cos(2.0 * math.pi * y))
    return 20.0 * (1.0 - math.exp(-0.2 * radius)) + math.e - math.exp(waves)


def _himmelblau(x: float, y: float) -> float:
    return (x * x + y - 11.0) ** 2 + (x + y * y - 7.0) ** 2


def _quadratic(x: float, y: float, condition: float) -> float:
    """A quadratic with curvatures 1 and `condition`, axes turned by 30 degrees, minimum at (2, -1)."""
    cos, sin = math.sqrt(3.0) / 2.0, 0.5
    u, v = cos * (x - 2.0) + sin * (y + 1.0), cos * (y + 1.0) - sin * (x - 2.0)
    return 0.5 * (u * u + condition * v * v)


def _quadratic_well(x: float, y: float) -> float:
    return _quadratic(x, y, 2.0)


def _quadratic_ill(x: float, y: float) -> float:
    return _quadratic(x, y, 1000.0)


FUNCTIONS: Mapping[str, Function] = {
    "rosenbrock": Function(
        _rosenbrock, (-5.0, 10.0), (-5.0, 10.0), 0.0, ((1.0, 1.0),), "smooth, with a narrow curved valley"
    ),
    "branin": Function(
        _branin, (-5.0, 10.0), (0.0, 15.0), 0.39788735772973816,
        ((-math.pi, 12.275), (math.pi, 2.275), (3.0 * math.pi, 2.475)), "smooth, with a few basins",
    ),
    "ackley": Function(
        _ackley, (-5.0, 10.0), (-5.0, 10.0), 0.0, ((0.0, 0.0),), "rugged, with many shallow basins"
    ),
    "himmelblau": Function(
        _himmelblau, (-5.0, 5.0), (-5.0, 5.0), 0.0,
        ((3.0, 2.0), (-2.805118, 3.131313), (-3.779310, -3.283186), (3.584428, -1.848127)),
        "smooth, with a few basins",
    ),
    "quadratic-well": Function(
        _quadratic_well, (-5.0, 5.0), (-5.0, 5.0), 0.0, ((2.0, -1.0),),
        "a smooth bowl, about as steep in all directions",
    ),
    "quadratic-ill": Function(
        _quadratic_ill, (-5.0, 5.0), (-5.0, 5.0), 0.0, ((2.0, -1.0),),
        "a smooth bowl, far steeper in one direction than across it",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ToyObjective:
    """The function of that name as an objective: {"x": ..., "y": ...} -> its value."""

    function: str

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The function's value at `config`."""
        return FUNCTIONS[self.function].value(float(config["x"]), float(config["y"]))


def minimum(name: str) -> float:
    """The least value of the toy task `name`, for example "toy/branin"."""
    return FUNCTIONS[name.removeprefix("toy/")].minimum


def toy_names() -> list[str]:
    """The names of all toy tasks."""
    return [f"toy/{name}" for name in FUNCTIONS]


def toy_task(name: str) -> Task:
    """The toy task of that name (one of `toy_names()`)."""
    function = FUNCTIONS[name.removeprefix("toy/")]
    space = ConfigurationSpace(name=name)
    space.add(Float("x", function.x), Float("y", function.y))
    return Task(
        name=name,
        space=space,
        objective=ToyObjective(name.removeprefix("toy/")),
        metric="value",
        description=f"Minimise a function of two real numbers x and y. The function is {function.words}.",
    )
