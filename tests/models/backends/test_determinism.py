"""The self-test of batch invariance: what passes, what fails, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airtune.models import Completion, ModelError, Request, load_model
from airtune.models.backends.determinism import probes, read_mode, require_deterministic, self_test


class Rounding:
    """The scripted model, with log-probabilities that depend on how many answers are generated at once."""

    def __init__(self, inner: Any, by: float, *, order: bool = False) -> None:
        self._inner, self._by, self._order = inner, by, order
        self.name, self.dialect = inner.name, inner.dialect

    def manifest(self) -> dict[str, Any]:
        return self._inner.manifest()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        answers = self._inner.generate(requests)
        moved = []
        for i, answer in enumerate(answers):
            off = self._by * (i if self._order else len(answers))
            moved.append(replace(answer, logprobs=tuple(value - off for value in answer.logprobs)))
        return moved


@pytest.fixture(scope="module")
def scripted() -> Any:
    return load_model("scripted")


def test_a_model_that_heeds_no_other_request(scripted: Any) -> None:
    found = self_test(scripted)
    assert found.json() == {
        "passed": True, "requests": 8, "answers_differ": 0, "bits_differ": 0, "first": None
    }  # fmt: skip


def test_prompts_differ_in_length_and_share_prefixes(scripted: Any) -> None:
    requests = probes(scripted)
    lengths = [len(request.prompt) for request in requests]
    assert sorted(set(lengths)) == sorted(lengths)
    assert len({request.grammar.hash for request in requests}) == len(requests)


@pytest.mark.parametrize(("order", "first"), [(False, "together"), (True, "together")])
def test_last_bits_that_depend_on_the_batch(scripted: Any, order: bool, first: str) -> None:
    found = self_test(Rounding(scripted, 1e-12, order=order))
    assert not found.passed
    assert (found.answers_differ, found.first) == (0, first)
    assert found.bits_differ >= 7  # the first in a batch keeps its place, whatever comes after it


def test_what_follows(scripted: Any) -> None:
    bad = Rounding(scripted, 1e-12)
    assert require_deterministic(bad, "off") is None
    assert require_deterministic(scripted, "strict") == self_test(scripted)
    with pytest.raises(
        ModelError, match="depend on what is generated beside them: of 8 test requests, 0 had"
    ):
        require_deterministic(bad, "strict")
    with pytest.warns(UserWarning, match="going on, as asked"):
        found = require_deterministic(bad, "warn")
    assert found is not None
    assert not found.passed


@pytest.mark.parametrize(
    ("given", "mode"), [(True, "strict"), (False, "off"), ("warn", "warn"), ("strict", "strict")]
)
def test_modes(given: object, mode: str) -> None:
    assert read_mode(given) == mode


@pytest.mark.parametrize("given", ["yes", 1.0, None, "stirct"])
def test_unknown_modes(given: object) -> None:
    with pytest.raises(ModelError, match="deterministic"):
        read_mode(given)


def test_transformers_generates_each_answer_by_itself(byte_checkpoint: Path) -> None:
    plain, alone = load_model(byte_checkpoint), load_model(byte_checkpoint, deterministic=True)
    requests = probes(alone)
    assert alone.generate(requests) == [plain.generate([request])[0] for request in requests]
    found = alone.manifest()
    assert found["settings"]["deterministic"] == "strict"
    assert found["self_test"]["passed"] is True
    assert "self_test" not in plain.manifest()
