"""The released weights are better than random search where they never trained, and know no table by heart."""

import numpy as np
from evaluate_pocket import SHIPPED, expected_best, losses, on_tables

from airtune.models import load_model
from airtune.models.pocket.training.curriculum import split_tables
from tests.models.dialects.pocket.test_dialect import DIALECT


def test_it_beats_random_search_on_held_out_tables() -> None:
    """On tables kept out of training, best of 5 trials, against random search's exact expectation.

    Deterministic: a fixed seed on fixed tables. The bar (60 % of the tables) lies well below what was measured at
    release (docs/log/pocket.md), so that it fails on a broken model and not on another processor's rounding.
    """
    _, development = split_tables()
    tables = [t for name in ("svm", "sgd", "mlp") for t in development[name][:8]]
    curves = on_tables(load_model("pocket"), tables, 5, DIALECT.temperature, seed=0, default_first=False)
    ahead = [curve[-1] < expected_best(t.loss, 5)[-1] for curve, t in zip(curves, tables, strict=True)]
    assert np.mean(ahead) >= 0.6


def test_it_has_not_learnt_its_tables_by_heart() -> None:
    """Nats per position on rows of tables that it was trained on and on others; a guess has 6.9.

    The weights before these had 5.5 and 6.9, these 6.0 and 6.5 (docs/log/pocket.md).
    """
    found = losses(SHIPPED)
    assert found["development"] - found["training"] < 0.7
    assert found["development"] < 6.65
