"""The dialect `pocket` speaks: spaces and histories as product tokens, on a lattice of a thousand positions per scale.

Everything the grammar contract promises holds on this coarser lattice: each of its configurations lies on the
canonical lattice and has exactly one text, and what was tried (or would look the same to the model) is excluded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    Hyperparameter,
    IntegerHyperparameter,
    NumericalHyperparameter,
    OrdinalHyperparameter,
)

from airtune.grammars import (
    Axis,
    EnumeratedAxis,
    Grammar,
    Lattice,
    Notation,
    SpaceError,
    canonical_lattice,
    lattice_grammar,
    once_per_space,
)
from airtune.grammars.space_check import is_finite_number
from airtune.models.dialects.hidden import NAMES, revealed, told_problem, told_space
from airtune.models.dialects.pocket import words
from airtune.models.dialects.pocket.codec import (
    BINS,
    CHOICES,
    LETTERS,
    is_log,
    number_kind,
    range_token,
    role_token,
    score_text,
    scores,
    to_bin,
    trial_text,
)
from airtune.models.dialects.settings import Allowed, check_settings, full_name, read_settings
from airtune.models.types import Observation, Problem

AnyHyperparameter: TypeAlias = Hyperparameter[Any, Any]

# Histories in training have at most 100 trials. A longer one is thinned to its best 50 and 50 of the others, spread
# evenly over their ranks: what is good matters most, and what is bad only as a map of where not to look.
MAX_TRIALS = 100
SETTINGS: Allowed = {"names": NAMES, "alphabet": range(1, 3)}
_BEST = 50
_OTHER = "use another proposer (for example tpe)"


def _numbers(hp: AnyHyperparameter) -> tuple[float, ...] | None:
    """The values of an ordinal whose values are numbers, ascending, each with a bin of its own; otherwise None.

    Such an ordinal is a grid on a number's range, and is told as that number.
    """
    if not isinstance(hp, OrdinalHyperparameter):
        return None
    if len(hp.sequence) < 2 or not all(map(is_finite_number, hp.sequence)):
        return None
    values = tuple(map(float, hp.sequence))
    if any(a >= b for a, b in pairwise(values)) or not math.isfinite(values[-1] - values[0]):
        return None
    to_unit, _ = _scale(values[0], values[-1], is_log(values))
    bins = [to_bin(to_unit(v)) for v in values]
    return values if len(set(bins)) == len(bins) else None


def _scale(
    lower: float, upper: float, log: bool
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Value -> position on [0, 1] and back, on a linear or logarithmic scale."""
    if upper <= lower:
        return lambda _: 0.0, lambda _: lower
    if log:
        a, b = math.log(lower), math.log(upper)
        return lambda v: (math.log(v) - a) / (b - a), lambda u: math.exp(a + u * (b - a))
    return lambda v: (v - lower) / (upper - lower), lambda u: lower + u * (upper - lower)


def _refusal(hp: AnyHyperparameter, what: str, value: object, allowed: str, hint: str = _OTHER) -> SpaceError:
    return SpaceError(f"pocket cannot speak of {hp.name!r}: {what}", value=value, allowed=allowed, hint=hint)


def _encode(
    hp: AnyHyperparameter, letter: str, canonical: Axis
) -> tuple[str, tuple[float, float], EnumeratedAxis]:
    """How a hyperparameter is told: its kind, its range, and the values that have a token, in order.

    The values are a subset of the canonical axis.
    """
    size = canonical.size
    if isinstance(hp, CategoricalHyperparameter):
        if size > len(CHOICES):
            hint = "use another proposer (for example tpe), or fewer choices"
            raise _refusal(hp, f"it has {size} choices", size, f"at most {len(CHOICES)} choices", hint)
        choices = [(letter + CHOICES[i], canonical.value(i)) for i in range(size)]
        return "C", (0.0, float(size)), EnumeratedAxis(choices)
    if isinstance(hp, OrdinalHyperparameter):
        if size > BINS:
            raise _refusal(hp, f"it has {size} values", size, f"at most {BINS} values")
        numbers, kind, ends = _numbers(hp), "O", (0.0, float(size))
        if numbers is not None:
            kind = number_kind(all(v.is_integer() for v in numbers), is_log(numbers))
            ends = numbers[0], numbers[-1]
        numbers = numbers or tuple(map(float, range(size)))
        to_unit, _ = _scale(numbers[0], numbers[-1], kind in "LJ")
        grid = [(f"{letter}{to_bin(to_unit(v)):03d}", canonical.value(i)) for i, v in enumerate(numbers)]
        return kind, ends, EnumeratedAxis(grid)
    if not isinstance(hp, NumericalHyperparameter):
        kinds = "numbers, categoricals, ordinals and constants"
        raise _refusal(hp, f"it is a {type(hp).__name__}", type(hp).__name__, kinds)
    ends, log = (float(hp.lower), float(hp.upper)), bool(getattr(hp, "log", False))
    to_unit, to_value = _scale(*ends, log)
    nearest: dict[int, tuple[float, Any]] = {}
    # A value is told by the bin it lies in; where several lie in one bin, the one nearest to its middle is kept.
    for b in range(BINS):
        value = canonical.value(canonical.nearest(to_value(b / (BINS - 1))))
        unit = to_unit(value)
        home = to_bin(unit)
        distance = abs(unit * (BINS - 1) - home)
        if home not in nearest or distance < nearest[home][0]:
            nearest[home] = (distance, value)
    entries = [(f"{letter}{b:03d}", nearest[b][1]) for b in sorted(nearest)]
    kind = number_kind(isinstance(hp, IntegerHyperparameter), log)
    return kind, ends, EnumeratedAxis(entries, ordered=True, log=log)


def _choice_words(axis: EnumeratedAxis, kind: str) -> list[str]:
    """Each choice that is called something the model knows, and what it is called."""
    if kind != "C":
        return []
    called = [(axis.text(i), words.word_token(axis.value(i))) for i in range(axis.size)]
    return [token for text, word in called if word is not None for token in (text, word)]


class _Encoding:
    """One space as the model reads it: its lattice, and the header that never changes, by alphabet."""

    def __init__(self, space: ConfigurationSpace) -> None:
        canonical = canonical_lattice(space)
        axes: dict[str, Axis] = {}
        first: list[str] = []
        second = [
            token
            for n, hp in space.items()
            if isinstance(hp, Constant)
            for token in words.budget_tokens(n, hp.value)
        ]
        self._axes: dict[str, EnumeratedAxis] = {}
        varying = [n for n in canonical.names if not isinstance(space[n], Constant)]
        if len(varying) > len(LETTERS):
            raise SpaceError(
                f"pocket cannot speak of {len(varying)} hyperparameters",
                value=len(varying), allowed=f"at most {len(LETTERS)} that are not constants",
                hint="use another proposer (for example tpe), or make some of them constants",
            )  # fmt: skip
        for name, full in zip(canonical.names, canonical.axes, strict=True):
            if name not in varying:
                axes[name] = full
                continue
            hp = space[name]
            kind, ends, axis = _encode(hp, LETTERS[len(self._axes)], full)
            axes[name] = self._axes[name] = axis
            default = axis.text(axis.nearest(hp.default_value))
            facts = [kind, *map(range_token, ends)]
            first += [role_token(name), *facts, default]
            second += [words.role_token(name), *facts, *_choice_words(axis, kind), default]
        self.headers = {1: "".join(first) + ";", 2: "".join(second) + ";"}
        silent = frozenset(axes) - frozenset(self._axes)
        self.lattice = Lattice(space, axes, Notation.bare(silent=silent))

    def values(self, config: Mapping[str, Any]) -> list[str]:
        """The value tokens of a configuration's active hyperparameters, each the nearest there is."""
        return [axis.text(axis.nearest(config[name])) for name, axis in self._axes.items() if name in config]


# A study asks for the same space again and again; building its lattice takes tens of milliseconds.
_encoding = once_per_space(_Encoding)


@lru_cache(maxsize=1)
def _scores() -> Grammar:
    """The language of scores, as a space of one ordinal: masks, recordings and servers take it as any other."""
    space = ConfigurationSpace(space=[OrdinalHyperparameter("score", list(range(BINS)))])
    axis = EnumeratedAxis([(score_text(score), score) for score in range(BINS)], ordered=True)
    return lattice_grammar(Lattice(space, {"score": axis}, Notation.bare()))


def _thin(ranked: list[Observation]) -> list[Observation]:
    """At most MAX_TRIALS of the observations, which come worst first: see MAX_TRIALS."""
    if len(ranked) <= MAX_TRIALS:
        return ranked
    others, best = ranked[:-_BEST], ranked[-_BEST:]
    kept = np.linspace(0, len(others) - 1, MAX_TRIALS - _BEST).round().astype(int)
    return [others[i] for i in kept] + best


@dataclass(frozen=True)
class PocketDialect:
    """See the module's docstring and `codec`. Descriptions and metric names are not read.

    Attributes:
        names: "hidden": no hyperparameter has a name that the model knows; "permuted": each has another's
            (`airtune.models.dialects.hidden`).
        alphabet: 2: headers tell what choices are called and how long a training is, and know more roles (`words`). 1:
            they do not, as the first four versions of the weights read them. Which one weights have learnt stands in
            their `airtune.json`.

    Raises:
        ModelError: If one of them has no such value.
    """

    names: str = "shown"
    alphabet: int = 2

    # All texts that a value may have.
    value_texts = frozenset(
        letter + place for letter in LETTERS for place in (*CHOICES, *(f"{b:03d}" for b in range(BINS)))
    )
    # Chosen on development tables and functions, after a look at the toy functions (docs/log/pocket.md): below 0.5 it
    # repeats itself where the names tell it nothing, at 1 it is too broad for ten trials where they do.
    temperature = 0.7

    def __post_init__(self) -> None:
        check_settings("pocket", SETTINGS, self)

    @classmethod
    def configured(cls, settings: Mapping[str, str]) -> PocketDialect:
        """The dialect with settings as texts: {"names": "hidden"}; raises ModelError if there is no such setting."""
        return cls(**read_settings("pocket", SETTINGS, settings))

    @property
    def name(self) -> str:
        """`pocket`, and its setting where that is not the default."""
        return full_name("pocket", SETTINGS, self)

    def _prefix(self, problem: Problem) -> str:
        problem = told_problem(problem, self.names)
        encoding = _encoding(problem.space)
        done = [o for o in problem.observations if o.status in ("told", "failed")]
        failed = [o for o in done if o.loss is None]
        told = sorted((o for o in done if o.loss is not None), key=lambda o: -float(o.loss or 0.0))
        shown = _thin(failed + told)
        losses = np.array([o.loss for o in told], dtype=np.float64)
        score = {id(o): int(s) for o, s in zip(told, scores(losses, losses), strict=True)} if told else {}
        trials = (trial_text(encoding.values(o.config), score.get(id(o))) for o in shown)
        return encoding.headers[self.alphabet] + "".join(trials)

    def render(self, problem: Problem) -> str:
        """The prompt for the next proposal: header, trials from the worst to the best, and the mark `>`.

        Pending trials are not shown (the grammar excludes them).
        """
        return self._prefix(problem) + ">"

    def render_query(self, problem: Problem, config: Mapping[str, Any]) -> str:
        """The prompt after which the model's next token is its prediction of `config`'s score."""
        space, (config,) = told_space(problem.space, self.names, [config])
        return self._prefix(problem) + "?" + "".join(_encoding(space).values(config))

    def score_grammar(self) -> Grammar:
        """The language of scores: `=000` to `=999`, one token each; see `codec.scores`."""
        return _scores()

    def read_score(self, text: str) -> int:
        """The score, from 0 to 999, that a text stands for; raises DecodeError if it is none."""
        return int(_scores().decode(text)["score"])

    def grammar(self, space: ConfigurationSpace, exclude: Sequence[Mapping[str, Any]] = ()) -> Grammar:
        """The configurations on pocket's lattice, less what was tried or is nearest to what was tried.

        Raises:
            SpaceError: If the space has more hyperparameters or choices than pocket has letters for.
        """
        space, exclude = told_space(space, self.names, exclude)
        return lattice_grammar(_encoding(space).lattice, exclude)

    def parse(self, text: str, grammar: Grammar) -> dict[str, Any]:
        """The configuration a text stands for; raises DecodeError if it is not in the grammar's language."""
        config = grammar.decode(text)
        return config if self.names == "shown" else revealed(grammar.space, config)
