"""What a header says of a table's hyperparameters, in either alphabet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from airtune.models.dialects.pocket import codec, words
from airtune.models.pocket.training.algorithms import Param
from airtune.models.pocket.training.episodes import (
    Headers,
    budget_ids,
    random_roles,
    random_words,
)
from airtune.models.pocket.training.tables import Table

HIDE_ALL, HIDE_ONE = 0.12, 0.06  # shares of the episodes without names, and of the names hidden in the others
SAID = 0.4  # share of the episodes on full trainings that say how long they are: users seldom do


def header_of(
    rng: np.random.Generator, headers: Headers, i: int, table: Table, params: Sequence[Param], alphabet: int
) -> None:
    """Write the header of episode `i` on a table, whose hyperparameters come in the order of `params`."""
    hide_all = rng.uniform() < HIDE_ALL
    role_token = codec.role_token if alphabet == 1 else words.role_token
    for j, p in enumerate(params):
        hidden = hide_all or rng.uniform() < HIDE_ONE
        role = codec.UNKNOWN_ROLE if hidden else role_token(p.role)
        headers.header[i, j] = [
            words.TOKEN_ID[t] for t in (role, p.kind, codec.range_token(p.lower), codec.range_token(p.upper))
        ]
    if alphabet == 1:
        return
    for j, p in enumerate(params):
        if p.kind == "C" and not hide_all and rng.uniform() >= HIDE_ONE:
            called = [words.word_token(choice) for choice in p.choices]
            headers.words[i, j, : len(called)] = [
                -1 if word is None else words.TOKEN_ID[word] for word in called
            ]
    tuned = any(words.role_of(p.role) == table.budget[0] for p in params) if table.budget else True
    if table.budget and not tuned and not hide_all and (table.short or rng.uniform() < SAID):
        headers.budget[i] = budget_ids(*table.budget)


def borrow_names(rng: np.random.Generator, headers: Headers, i: int, alphabet: int, share: float) -> None:
    """In a share of the episodes, names and words that mean nothing, in place of what episode `i` is of."""
    if rng.uniform() < share:
        headers.header[i, :, 0] = random_roles(rng, headers.header.shape[1], alphabet)
        told = headers.words[i] >= 0
        if told.any():
            headers.words[i][told] = random_words(rng, int(told.sum()))


def most_choices(tables: Sequence[Table]) -> int:
    """How many choices a categorical of these tables has at most."""
    return max((len(p.choices) for t in tables for p in t.params if p.kind == "C"), default=0)
