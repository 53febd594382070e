"""The released weights: intact, and valid under the grammar."""

import pytest

from airtune.models import LanguageModel, Problem, Request, load_model, verify_model
from tests.models.dialects.pocket.test_dialect import DIALECT, small_spaces


@pytest.fixture(scope="module")
def pocket() -> LanguageModel:
    return load_model("pocket")


def test_the_shipped_files_are_the_recorded_ones() -> None:
    verify_model("pocket")


def test_every_answer_is_valid_and_new_on_random_spaces(pocket: LanguageModel) -> None:
    for space in small_spaces(12):
        tried: list[dict[str, object]] = []
        for trial in range(6):
            grammar = DIALECT.grammar(space, tried)
            if grammar.count() == 0:
                break
            prompt = DIALECT.render(Problem("t", "", space, "loss"))
            (completion,) = pocket.generate([Request(prompt, grammar, trial, DIALECT.temperature)])
            config = DIALECT.parse(completion.text, grammar)
            assert config not in tried
            tried.append(config)
