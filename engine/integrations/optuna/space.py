"""One search space in two forms: Optuna's distributions and ConfigSpace's hyperparameters, with their values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from airtune.engine.integrations.optuna.numbers import Values, number_range, reader
from airtune.engine.proposers.base import active_part, is_valid
from airtune.engine.proposers.optuna import distribution_of_number
from airtune.grammars import SpaceError, check_space
from airtune.grammars.axes import copied, plain
from airtune.grammars.space_check import EXACT, is_wide


@dataclass(frozen=True, slots=True)
class OptunaSpace:
    """A search space in both forms.

    Attributes:
        space: As the proposers know it.
        distributions: As Optuna knows it, by parameter name; of a constant, its only value.
    """

    space: ConfigurationSpace
    distributions: Mapping[str, BaseDistribution]
    _values: Mapping[str, Values]
    _made: Callable[[], OptunaSpace]

    def __reduce__(self) -> tuple[Callable[[], OptunaSpace], tuple[()]]:
        return self._made, ()

    def params(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration's values in Optuna's form; inactive parameters are absent."""
        return {name: copied(self._values[name].to_param(value)) for name, value in config.items()}

    def config(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """Optuna's parameters as a configuration of this space, or None if they are none.

        Parameters that this space does not have, or that are inactive in it, are left out. A parameter that is
        missing, out of range or forbidden makes them none.
        """
        values: dict[str, Any] = {n: hp.value for n, hp in self.space.items() if isinstance(hp, Constant)}
        try:
            values |= {n: v.to_config(params[n]) for n, v in self._values.items() if n in params}
            config = active_part(self.space, values)
        except (KeyError, ValueError, TypeError):
            return None
        return config if is_valid(self.space, config) else None


def from_distributions(distributions: Mapping[str, BaseDistribution]) -> OptunaSpace:
    """The space of Optuna distributions, without conditions; equal distributions give the same object.

    Ranges keep their scale. A range with steps is an ordinal of its values (a very long one: their positions). A
    choice keeps its text; where choices are not all texts, each is told as the JSON that it is written in.

    Raises:
        SpaceError: If a distribution cannot be searched.
    """
    return _from_distributions(_Distributions(dict(sorted(distributions.items()))))


@dataclass(frozen=True, slots=True, eq=False)
class _Distributions:
    """Distributions by name, as a key: choices may be lists, which have no hash."""

    named: Mapping[str, BaseDistribution]

    def __hash__(self) -> int:
        return hash(tuple(self.named))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Distributions) or repr(self.named) != repr(other.named):
            return False  # of Optuna's distributions those of [0, 1] and of [False, True] are equal
        try:
            return self.named == other.named
        except ValueError:  # choices that are arrays, which are equal in parts
            return False


@lru_cache(maxsize=64)  # proposers keep what they build for a space by the space's identity
def _from_distributions(key: _Distributions) -> OptunaSpace:
    items = key.named.items()
    made = {name: _hyperparameter(name, distribution) for name, distribution in items}
    space = ConfigurationSpace(space=[hp for hp, _ in made.values()])
    check_space(space)
    return OptunaSpace(
        space,
        dict(items),
        {name: values for name, (_, values) in made.items()},
        partial(_from_distributions, key),
    )


def from_space(space: ConfigurationSpace) -> OptunaSpace:
    """The Optuna form of a ConfigSpace space; its conditions stay with the space, values are the same in both.

    Ordinals become categorical distributions (Optuna has no ordinal), constants those of a single choice.

    Raises:
        SpaceError: If the space cannot be searched, or Optuna has no form for a hyperparameter.
    """
    check_space(space)
    same = {name: Values(reader(hp), plain) for name, hp in space.items()}
    return OptunaSpace(
        space, {name: distribution_of(hp) for name, hp in space.items()}, same, partial(from_space, space)
    )


def distribution_of(hp: Hyperparameter[Any, Any]) -> BaseDistribution:
    """The Optuna distribution that has the hyperparameter's values.

    Raises:
        SpaceError: If there is none.
    """
    if isinstance(hp, IntegerHyperparameter) and is_wide(hp.lower, hp.upper):
        raise SpaceError(
            f"Optuna cannot keep the integers of {hp.name!r} exactly: it writes them as floats",
            value=(hp.lower, hp.upper),
            allowed=f"bounds from {-EXACT} to {EXACT}",
            hint="narrow the range, or tune it without Optuna",
        )
    if isinstance(hp, FloatHyperparameter | IntegerHyperparameter):
        return distribution_of_number(hp)
    if isinstance(hp, CategoricalHyperparameter | OrdinalHyperparameter | Constant):
        choices = [plain(choice) for choice in _choices(hp)]
        unfit = [c for c in choices if c is not None and not isinstance(c, bool | int | float | str)]
        if not unfit:
            return CategoricalDistribution(choices)
        raise SpaceError(
            f"Optuna cannot keep the choice {unfit[0]!r} of {hp.name!r}",
            value=unfit[0],
            allowed="None, truth values, numbers and texts",
            hint="name the choice by a text, and look it up in the objective",
        )
    raise SpaceError(
        f"Optuna has no distribution for {hp.name!r}, a {type(hp).__name__}",
        value=type(hp).__name__,
        allowed="floats, integers, categoricals, ordinals and constants",
        hint="leave it out of the space",
    )


def _choices(
    hp: CategoricalHyperparameter | OrdinalHyperparameter | Constant,
) -> tuple[Any, ...]:
    if isinstance(hp, Constant):
        return (hp.value,)
    return tuple(hp.sequence if isinstance(hp, OrdinalHyperparameter) else hp.choices)


def _hyperparameter(name: str, distribution: BaseDistribution) -> tuple[Hyperparameter[Any, Any], Values]:
    if isinstance(distribution, CategoricalDistribution):
        texts = _labels(distribution.choices)
        # Of choices that Optuna cannot tell apart, such as 1 and True, only the first one ever comes back.
        choices = {texts[int(distribution.to_internal_repr(c))]: c for c in reversed(distribution.choices)}
        own = [text for text in dict.fromkeys(texts) if text in choices]

        def label(choice: Any) -> str:
            return texts[int(distribution.to_internal_repr(choice))]

        return CategoricalHyperparameter(name, own), Values(label, lambda text: choices[str(text)])
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return number_range(name, distribution)
    raise SpaceError(
        f"{type(distribution).__name__} of {name!r} is not known",
        value=distribution,
        allowed="FloatDistribution, IntDistribution, CategoricalDistribution",
        hint="suggest it with suggest_float, suggest_int or suggest_categorical",
    )


def _labels(choices: tuple[Any, ...]) -> list[str]:
    """Different texts for the choices."""
    if all(isinstance(choice, str) for choice in choices):
        return list(choices)
    with suppress(TypeError, ValueError):  # objects, which only Optuna's memory storage takes
        texts = [json.dumps(choice) for choice in choices]
        if len(set(texts)) == len(texts):  # not so of (1, 2) and [1, 2]
            return texts
    return [f"choice {i}" for i in range(len(choices))]
