"""Random search spaces, for audits and property tests: every kind of hyperparameter, condition and clause."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ConfigSpace import (
    AndConjunction,
    BetaFloatHyperparameter,
    BetaIntegerHyperparameter,
    CategoricalHyperparameter,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenEqualsRelation,
    ForbiddenGreaterThanClause,
    ForbiddenGreaterThanEqualsClause,
    ForbiddenGreaterThanEqualsRelation,
    ForbiddenGreaterThanRelation,
    ForbiddenInClause,
    ForbiddenLessThanClause,
    ForbiddenLessThanEqualsClause,
    ForbiddenLessThanEqualsRelation,
    ForbiddenLessThanRelation,
    ForbiddenOrConjunction,
    GreaterThanCondition,
    InCondition,
    LessThanCondition,
    NormalFloatHyperparameter,
    NormalIntegerHyperparameter,
    NotEqualsCondition,
    OrConjunction,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from airtune.grammars import SpaceError, space_grammar
from airtune.grammars.space_check import check_space

# What names and choices look like in the wild, and what breaks escaping.
NAMES = (
    "lr", "C", "gamma", "max_depth", "model:svm:C", "a.b", "a b", "two  spaces", 'say "hi"', "it's",
    "back\\slash",
    "größe", "λ", "学习率",
    "tab\there", "new\nline", "50%", "$x", "{curly}", "[0]", "(p|q)*", "a/b", "^top$", "-1",
    "1e-3", "", "null", "#", "&~", "emoji🙂", "a,b", "a:b",
)  # fmt: skip
CHOICES: tuple[tuple[Any, ...], ...] = (
    ("relu", "tanh", "gelu"),
    ("a", "ab", "abc", "b"),
    ('"quoted"', "back\\slash", "sl/ash", "new\nline"),
    ("λ", "学习", "🙂", ""),
    (1, 2, 10, 100),
    (0.1, 0.01, 1e-05, 1.5),
    (True, False),
    ("auto", None, 3, True, 0.5),
    ("1", 1, "true", None),
    ("only",),
    ("x*", "x+", "x?", "[x]", "(x)", "x|y", "^x$", "{x}", "x.y"),
)
ORDINALS: tuple[tuple[Any, ...], ...] = (
    ("small", "medium", "large"),
    (1, 2, 4, 8, 16),
    (0.1, 0.5, 0.9),
    ("zero", "one"),
    (32, 16, 8),
)
_RELATIONS = (
    ForbiddenLessThanRelation,
    ForbiddenLessThanEqualsRelation,
    ForbiddenEqualsRelation,
    ForbiddenGreaterThanRelation,
    ForbiddenGreaterThanEqualsRelation,
)
_ORDER_CLAUSES = (
    ForbiddenLessThanClause,
    ForbiddenLessThanEqualsClause,
    ForbiddenGreaterThanClause,
    ForbiddenGreaterThanEqualsClause,
)
_ORDERED = (
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
    NormalFloatHyperparameter,
    NormalIntegerHyperparameter,
    BetaFloatHyperparameter,
    BetaIntegerHyperparameter,
    OrdinalHyperparameter,
)

Piece = Callable[[ConfigurationSpace], Any]


def random_space(
    rng: np.random.Generator,
    *,
    min_size: int = 1,
    max_size: int = 8,
    large: bool = True,
    floats: bool = True,
    min_count: int = 1,
) -> ConfigurationSpace:
    """Draw a search space.

    Args:
        rng: The only source of randomness.
        min_size: Least number of hyperparameters.
        max_size: Greatest number of hyperparameters.
        large: Allow axes of up to 1e12 values; otherwise integers have at most 6 values.
        floats: Allow float hyperparameters.
        min_count: Least number of configurations that its canonical grammar must have.

    Returns:
        A space whose default configuration is valid and whose grammar counts at least `min_count`.
    """
    while True:
        space = _draw(rng, int(rng.integers(min_size, max_size + 1)), large, floats)
        if space is not None and space_grammar(space).count() >= min_count:
            return space


def _draw(rng: np.random.Generator, size: int, large: bool, floats: bool) -> ConfigurationSpace | None:
    names = [NAMES[i] for i in rng.permutation(len(NAMES))[:size]]
    makers = [_hyperparameter(rng, name, large, floats) for name in names]
    pieces: list[Piece] = []
    space = _assemble(makers, pieces)
    if space is None:
        return space
    # A permutation fixes who may be whose parent, so that conditions nest without cycles.
    order = [names[i] for i in rng.permutation(size)]
    candidates: list[Piece] = []
    for at, child in enumerate(order[1:], start=1):
        if rng.random() < 0.5:
            candidates.append(_condition(rng, child, order[:at], space))
    candidates += [_forbidden(rng, order, space) for _ in range(int(rng.integers(0, 5)))]
    for piece in candidates:
        grown = _assemble(makers, [*pieces, piece])
        if grown is not None:
            pieces.append(piece)
            space = grown
    return space


def _assemble(makers: Sequence[Callable[[], Any]], pieces: Sequence[Piece]) -> ConfigurationSpace | None:
    """The space, or None where ConfigSpace refuses it (for example a default that a clause forbids)."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # ConfigSpace 1.2.2 prints in one of its clauses
            space = ConfigurationSpace()
            space.add([make() for make in makers])
            for piece in pieces:
                space.add(piece(space))
            check_space(space)
            return space
    except (
        ValueError,
        TypeError,
        KeyError,  # a clause on a name whose value has no vector form
        SpaceError,  # two conditions that it takes for one
    ):
        return None


def _hyperparameter(rng: np.random.Generator, name: str, large: bool, floats: bool) -> Callable[[], Any]:
    kinds = ["int", "log_int", "cat", "ord", "const", "normal_int", "beta_int"]
    weights = [3.0, 1.0, 4.0, 1.5, 0.7, 0.4, 0.4]
    if floats:
        kinds += ["float", "log_float", "normal_float", "beta_float"]
        weights += [2.0, 2.0, 0.4, 0.4]
    kind = str(rng.choice(kinds, p=np.asarray(weights) / sum(weights)))
    if kind == "cat":
        choices = CHOICES[int(rng.integers(len(CHOICES)))]
        kept = choices[: int(rng.integers(1, len(choices) + 1))]
        return lambda: CategoricalHyperparameter(name, kept)
    if kind == "ord":
        steps = ORDINALS[int(rng.integers(len(ORDINALS)))]
        return lambda: OrdinalHyperparameter(name, steps)
    if kind == "const":
        value = [1, "x", 0.5, True, 'say "hi"'][int(rng.integers(5))]
        return lambda: Constant(name, value)
    if kind.endswith("int"):
        log = kind == "log_int"
        lower = int(rng.integers(1, 20)) if log else int(rng.integers(-20, 20))
        span = int(10 ** rng.uniform(0.4, 12)) if large and rng.random() < 0.6 else int(rng.integers(1, 6))
        upper = lower + span
        if kind == "normal_int":
            return lambda: NormalIntegerHyperparameter(name, (lower + upper) / 2, 1 + span / 4, lower, upper)
        if kind == "beta_int":
            upper = min(upper, lower + 1000)  # ConfigSpace tabulates its density
            return lambda: BetaIntegerHyperparameter(name, 2, 3, lower, upper)
        return lambda: UniformIntegerHyperparameter(name, lower, upper, log=log)
    low, high = _float_range(rng, kind == "log_float", large)
    if kind == "normal_float":
        return lambda: NormalFloatHyperparameter(name, (low + high) / 2, (high - low) / 4, low, high)
    if kind == "beta_float":
        return lambda: BetaFloatHyperparameter(name, 2, 3, low, high)
    return lambda: UniformFloatHyperparameter(name, low, high, log=kind == "log_float")


def _float_range(rng: np.random.Generator, log: bool, large: bool) -> tuple[float, float]:
    if log:
        low = float(10 ** rng.uniform(-7, 1)) if large else 0.125
        high = low * (float(10 ** rng.uniform(0.3, 6)) if large else 1.5)
    else:
        low = float(rng.choice([0.0, -1.0, 0.1, -0.37, 1e-3, rng.normal() * 100]))
        high = low + float(rng.choice([1.0, 0.5, 0.01, 10 ** rng.uniform(-3, 5)]))
    if rng.random() < 0.5:  # the round numbers that people write
        low, high = float(f"{low:.2g}"), float(f"{high:.2g}")
    return (low, high) if low < high else (low, low + 1.0)


def _value(rng: np.random.Generator, hp: Any) -> Any:
    """A legal value, often one on the lattice."""
    if isinstance(hp, Constant):
        return hp.value
    if isinstance(hp, CategoricalHyperparameter):
        return hp.choices[int(rng.integers(hp.size))]
    if isinstance(hp, OrdinalHyperparameter):
        return hp.sequence[int(rng.integers(hp.size))]
    if isinstance(hp.lower, int):
        return int(rng.integers(hp.lower, hp.upper + 1))
    draw = float(rng.choice([hp.lower, hp.upper, rng.uniform(hp.lower, hp.upper)], p=[0.2, 0.2, 0.6]))
    rounded = float(f"{draw:.2g}")
    return rounded if hp.lower <= rounded <= hp.upper and rng.random() < 0.7 else draw


def _condition(
    rng: np.random.Generator, child: str, before: Sequence[str], space: ConfigurationSpace
) -> Piece:
    # Often the nearest one, so that chains get long.
    parents = [before[-1], *(before[int(i)] for i in rng.permutation(len(before))[:2])]
    parents = list(dict.fromkeys(parents))

    def single(parent: str) -> Piece:
        hp = space[parent]
        values = [_value(rng, hp) for _ in range(int(rng.integers(1, 4)))]
        kinds: list[Any] = [EqualsCondition, NotEqualsCondition, InCondition]
        if isinstance(hp, _ORDERED):
            kinds += [LessThanCondition, GreaterThanCondition, LessThanCondition, GreaterThanCondition]
        kind = kinds[int(rng.integers(len(kinds)))]
        if kind is InCondition:
            return lambda s: InCondition(s[child], s[parent], values)
        return lambda s: kind(s[child], s[parent], values[0])

    if len(parents) == 1 or rng.random() < 0.6:
        return single(parents[0])
    parts = [single(parent) for parent in parents]
    both = AndConjunction if rng.random() < 0.5 else OrConjunction
    if len(parts) == 3 and rng.random() < 0.5:  # nested: a and (b or c), and the other way round
        inner = OrConjunction if both is AndConjunction else AndConjunction
        return lambda s: both(parts[0](s), inner(parts[1](s), parts[2](s)))
    return lambda s: both(*(part(s) for part in parts))


def _forbidden(rng: np.random.Generator, names: Sequence[str], space: ConfigurationSpace) -> Piece:
    def clause() -> Piece:
        name = names[int(rng.integers(len(names)))]
        hp = space[name]
        values = [_value(rng, hp) for _ in range(int(rng.integers(1, 4)))]
        kinds: list[Any] = [ForbiddenEqualsClause, ForbiddenInClause]
        if isinstance(hp, _ORDERED):
            kinds += _ORDER_CLAUSES
        kind = kinds[int(rng.integers(len(kinds)))]
        if kind is ForbiddenInClause:
            return lambda s: ForbiddenInClause(s[name], values)
        return lambda s: kind(s[name], values[0])

    def relation() -> Piece:
        numeric = [n for n in names if hasattr(space[n], "lower")]
        if len(numeric) < 2:
            return clause()
        left, right = (numeric[int(i)] for i in rng.permutation(len(numeric))[:2])
        kind = _RELATIONS[int(rng.integers(len(_RELATIONS)))]
        return lambda s: kind(s[left], s[right])

    shape = rng.random()
    if shape < 0.2:
        return clause()
    if shape < 0.45:
        return relation()
    parts = [clause() if rng.random() < 0.8 else relation() for _ in range(int(rng.integers(2, 4)))]
    if shape < 0.85:
        return lambda s: ForbiddenAndConjunction(*(part(s) for part in parts))
    nested = ForbiddenOrConjunction if rng.random() < 0.5 else ForbiddenAndConjunction
    return lambda s: ForbiddenAndConjunction(parts[0](s), nested(*(part(s) for part in parts[1:])))
