"""Optuna's own test cases for samplers, run on ours.

Not run, and why: `MultiObjectiveSamplerTestCase` (a study of several objectives is refused, which
`SingleOnlySamplerTestCase` holds).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from airtune.engine.integrations import AirtuneSampler
from airtune.models import LanguageModel, load_model


@pytest.fixture(scope="module")
def pocket() -> LanguageModel:
    return load_model("pocket")


@pytest.fixture(autouse=True)
def _quiet() -> object:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # Spaces of three values and ten trials are part of the cases.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="trial .* repeats trial")
        yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


class TestLanguageModel(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """With the bundled model."""

    @pytest.fixture
    def sampler(self, pocket: LanguageModel) -> Callable[[], optuna.samplers.BaseSampler]:
        return lambda: AirtuneSampler("default+lm", model=pocket)


class TestClassical(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """With a proposer that needs no model."""

    @pytest.fixture
    def sampler(self) -> Callable[[], optuna.samplers.BaseSampler]:
        return lambda: AirtuneSampler("random")
