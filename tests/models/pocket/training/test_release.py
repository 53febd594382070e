"""The released weights: intact, valid under the grammar, and better than random search where they never trained."""

import numpy as np
import pytest

from airtune.models import LanguageModel, Problem, Request, load_model, verify_model
from airtune.models.pocket.training.curriculum import split_tables
from airtune.models.pocket.training.evaluate import SHIPPED, expected_best, losses, on_tables
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


def test_it_beats_random_search_on_held_out_tables(pocket: LanguageModel) -> None:
    """On tables kept out of training, best of 5 trials, against random search's exact expectation.

    Deterministic: a fixed seed on fixed tables. The bar (60 % of the tables) lies well below what was measured at
    release (docs/log/pocket.md), so that it fails on a broken model and not on another processor's rounding.
    """
    _, development = split_tables()
    tables = [t for name in ("svm", "sgd", "mlp") for t in development[name][:8]]
    curves = on_tables(pocket, tables, 5, DIALECT.temperature, seed=0, default_first=False)
    ahead = [curve[-1] < expected_best(t.loss, 5)[-1] for curve, t in zip(curves, tables, strict=True)]
    assert np.mean(ahead) >= 0.6


def test_it_has_not_learnt_its_tables_by_heart() -> None:
    """Nats per position on rows of tables that it was trained on and on others; a guess has 6.9.

    The weights before these had 5.5 and 6.9, these 6.0 and 6.5 (docs/log/pocket.md).
    """
    found = losses(SHIPPED)
    assert found["development"] - found["training"] < 0.7
    assert found["development"] < 6.65


def test_expected_best_is_exact() -> None:
    """Against brute force over all orders of three losses."""
    from itertools import permutations

    losses = np.array([0.3, 0.1, 0.2])
    brute = [np.mean([min(p[:n]) for p in permutations(losses)]) for n in (1, 2, 3)]
    np.testing.assert_allclose(expected_best(losses, 3), brute)
