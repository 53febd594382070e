"""What a user knows already: configurations that are tried before anything is proposed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import IntegerHyperparameter, NumericalHyperparameter
from ConfigSpace.types import NotSet

from airtune.engine.proposers.base import Remaining, is_active
from airtune.engine.proposers.default import DefaultFirst
from airtune.engine.types import Job, Proposal, Proposer
from airtune.grammars import AirtuneError, DecodeError, canonical_grammar, unknown_name, violation
from airtune.grammars.space_check import is_finite_number

ORIGIN = "first"


class GivenFirst:
    """Proposes the first of the given configurations that is untried, and when all are tried what `inner` proposes.

    Its name is that of `inner`: the configurations stand in the manifest, as a part of what the study is.
    """

    def __init__(self, inner: Proposer, configs: Sequence[Mapping[str, Any]]) -> None:
        self.inner = inner
        self.name = inner.name
        self._configs = configs

    def propose(self, jobs: Sequence[Job]) -> None:
        """See `airtune.engine.types.Proposer.propose`."""
        for job in jobs:
            remaining = Remaining(job)
            admitted = (remaining.admit(config) for config in self._configs)
            first = next((config for config in admitted if config is not None), None)
            job.proposal = None if first is None else Proposal(first, ORIGIN)
        self.inner.propose([job for job in jobs if job.proposal is None])


def with_first(proposer: Proposer, configs: Sequence[Mapping[str, Any]]) -> Proposer:
    """The proposer with configurations to try before; of "default+" proposers, the default still comes first of all."""
    if not configs:
        return proposer
    if isinstance(proposer, DefaultFirst):
        return DefaultFirst(GivenFirst(proposer.inner, configs))
    return GivenFirst(proposer, configs)


def checked_first(space: ConfigurationSpace, configs: object) -> list[dict[str, Any]]:
    """The configurations, checked one by one, with numbers as the study writes them: three significant digits.

    Raises:
        AirtuneError: If one is none of the space, is incomplete, or is the same as another one.
    """
    if not isinstance(configs, Sequence) or isinstance(configs, str):
        raise AirtuneError(
            f"what to try first is no list: {configs!r}"[:200],
            value=configs,
            allowed='a list of configurations, for example [{"lr": 0.01}]',
            hint="put it into a list",
        )
    grammar, found, places = canonical_grammar(space), [], dict[str, int]()
    for place, config in enumerate(configs, 1):
        try:
            checked = _complete(space, config)
            try:
                checked = grammar.snap(checked)
            except DecodeError as error:
                if not isinstance(error.value, Mapping):  # a value; else a clause, and ConfigSpace says which
                    raise
            refused = violation(space, checked)
            if refused is not None:
                raise AirtuneError(
                    f"it is forbidden: {refused}",
                    value=config,
                    allowed="what the space's forbidden clauses permit",
                    hint="change one of its values",
                )
            same = places.setdefault(grammar.encode(checked), place)
            if same != place:
                raise AirtuneError(
                    f"it is the same as configuration {same}",
                    value=config,
                    allowed="each configuration once; numbers count to three significant digits",
                    hint="leave one of them out",
                )
        except AirtuneError as error:
            raise AirtuneError(
                f"configuration {place} of {len(configs)} to try first: {error.message}",
                value=error.value,
                allowed=error.allowed,
                hint=error.hint or "choose one of those",
            ) from error
        found.append(checked)
    return found


def _complete(space: ConfigurationSpace, config: object) -> dict[str, Any]:
    """The configuration, if it has a legal value for every active hyperparameter and for no other."""
    if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
        raise AirtuneError(
            f"it is no configuration: {config!r}"[:200],
            value=config,
            allowed="hyperparameters with their values: "
            + json.dumps(dict(space.get_default_configuration()), default=str),
            hint="write one such mapping for each configuration",
        )
    for name in config:
        if name not in space:
            message, allowed, hint = unknown_name("hyperparameter", name, list(space))
            raise AirtuneError(message, value=name, allowed=allowed, hint=hint)
    active: dict[str, Any] = dict.fromkeys(space, NotSet)
    missing: dict[str, Any] = {}
    for name, hyperparameter in space.items():  # parents before children
        if not is_active(space, name, active):
            if name in config:
                parents = sorted({parent.name for parent in space.parents_of[name]})
                raise AirtuneError(
                    f"{name!r} is not active in it: {_shown({parent: config.get(parent) for parent in parents})}",
                    value=config[name],
                    allowed="values for active hyperparameters only",
                    hint=f"leave {name!r} out, or change {' or '.join(map(repr, parents))}",
                )
        elif name in config:
            active[name] = _legal(name, hyperparameter, config[name])
        else:
            active[name] = missing[name] = hyperparameter.default_value
    if missing:
        raise AirtuneError(
            f"it has no value for {', '.join(map(repr, missing))}",
            value=dict(config),
            allowed="a value for every hyperparameter that is active in it",
            hint=f"add what you would take; the space's own defaults are {_shown(missing)}",
        )
    return {name: value for name, value in active.items() if value is not NotSet}


def _legal(name: str, hyperparameter: Any, value: Any) -> Any:
    """The value in plain Python, of a choice the space's own object: in JSON, a tuple is a list."""
    if hasattr(value, "tolist"):  # a NumPy scalar, an array, a tensor: comparing with one may raise anything
        value = value.tolist()
    if isinstance(hyperparameter, NumericalHyperparameter):
        low, high = hyperparameter.lower, hyperparameter.upper
        whole = isinstance(hyperparameter, IntegerHyperparameter)
        if not is_finite_number(value) or not low <= value <= high or (whole and value != int(value)):
            raise AirtuneError(
                f"{name!r} cannot be {value!r}",
                value=value,
                allowed=f"{'a whole number' if whole else 'a number'} from {low} to {high}",
                hint="choose one of those, or widen the space",
            )
        return value
    if isinstance(value, list | dict):
        choices = getattr(hyperparameter, "choices", getattr(hyperparameter, "sequence", ()))
        return next((one for one in choices if json.loads(json.dumps(one, default=repr)) == value), value)
    return value


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{json.dumps(name)}: {json.dumps(value, default=str)}" for name, value in values.items()
    )
