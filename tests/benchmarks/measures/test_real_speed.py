"""`airtune bench speed --only real`: what it asks, and of which model."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from airtune.benchmarks.measures.real_speed import measure_real, search_requests, with_and_without_cache
from airtune.grammars import AirtuneError
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.tiny import byte_tokenizer, save_random_llama

TASK = "sklearn/svm/digits"


def test_each_request_has_a_trial_more() -> None:
    """And none may be proposed again: the same prompts over and over would all be found read."""
    requests = search_requests(ChatDialect(), TASK, 3, 4)
    rows = [sum(" -> " in line for line in request.prompt.splitlines()) - 1 for request in requests]
    assert rows == [3, 4, 5, 6]
    left = [request.grammar.count() for request in requests]
    assert [a - b for a, b in pairwise(left)] == [1, 1, 1]


def test_ours_against_ours(tmp_path: Path) -> None:
    path = save_random_llama(tmp_path / "m", byte_tokenizer(), context=8000)
    ten, thirty = with_and_without_cache(str(path), TASK, repeats=1)
    assert "10 trials" in ten.what
    assert "30 trials" in thirty.what
    assert min(ten.ratio, thirty.ratio) > 0


def test_pocket_is_no_chat_model() -> None:
    with pytest.raises(AirtuneError, match="real chat model"):
        measure_real("pocket", TASK, 1)
