"""The audit counts what it should, resumes, and would notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airtune.benchmarks.measures import grammar as module
from airtune.benchmarks.measures import model as model_audit
from airtune.benchmarks.measures.grammar import AuditResult, audit
from airtune.benchmarks.measures.model import audit_model
from airtune.benchmarks.measures.speed import proposals, ranked, side_by_side
from airtune.grammars import AirtuneError
from airtune.models import Completion, Request, load_model


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 3)
    monkeypatch.setattr(model_audit, "PIECE", 3)


def counts(result: AuditResult) -> dict[str, object]:
    return asdict(replace(result, seconds=0.0))


@pytest.mark.parametrize(
    ("engine", "tokenizer"), [("llguidance", "bytes"), ("llguidance", "bpe"), ("xgrammar", "bpe")]
)
def test_nothing_is_wrong(engine: str, tokenizer: str) -> None:
    result = audit(60, 6, seed=3, engine=engine, tokenizer=tokenizer)  # type: ignore[arg-type]
    assert result.proposals >= 60
    assert result.studies >= 6
    assert result.grammars > result.studies
    assert result.tokens > result.proposals
    assert (result.violations, result.repeats, result.examples) == (0, 0, [])


def test_resumes(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    whole = audit(60, 6, seed=4, path=file)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1][:20])  # killed while it wrote the second piece
    pieces: list[int] = []
    again = audit(60, 6, seed=4, path=file, on_piece=lambda total: pieces.append(total.studies))
    assert counts(again) == counts(whole)
    assert len(pieces) == len(lines) - 1
    with pytest.raises(AirtuneError, match="another audit"):
        audit(60, 6, seed=5, path=file)


def test_a_violation_and_a_repeat_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler that says something outside the language, and one that says the same thing for ever."""
    monkeypatch.setattr(module, "_sample", lambda *_: ('{"x":1}', 1))
    result = audit(20, 2)
    assert result.violations == result.studies > 0
    real, first = module._sample, {}
    monkeypatch.undo()
    monkeypatch.setattr(module, "PIECE", 3)
    monkeypatch.setattr(model_audit, "PIECE", 3)
    real = module._sample

    def parrot(engine: object, grammar: object, rng: np.random.Generator, canonical: bool) -> tuple[str, int]:
        space = grammar.space  # type: ignore[attr-defined]
        if id(space) not in first:
            first[id(space)] = (real(engine, grammar, rng, canonical), space)  # type: ignore[arg-type]
        return first[id(space)][0]  # type: ignore[no-any-return]

    monkeypatch.setattr(module, "_sample", parrot)
    result = module.audit_piece(0, 5, 1, "llguidance", "bytes")
    assert result.repeats + result.violations > 0


def test_bad_arguments() -> None:
    for bad in ({"proposals": 0}, {"proposals": 5, "spaces": 0}, {"proposals": 5, "jobs": 0}):
        with pytest.raises(AirtuneError, match="at least one"):
            audit(**bad)  # type: ignore[arg-type]


def test_speed_ratios() -> None:
    ratio = side_by_side("sum", lambda: sum(range(10)), lambda: sum(range(100_000)), repeats=3)
    assert ratio.low <= ratio.ratio <= ratio.high
    (ratio,) = proposals(
        load_model("scripted"), rivals=["random"], histories=[3], task="toy/branin", repeats=1
    )
    assert ratio.ours_s > 0
    assert "scripted against random" in ratio.what
    both = ranked(load_model("scripted"), rival="random", trials=4, studies=(1, 2), repeats=1)
    assert [ratio.what.split(" x ")[0] for ratio in both] == ["1", "2"]
    assert all(ratio.ours_s > 0 for ratio in both)


def test_a_model_in_place_of_random_logits(tmp_path: Path) -> None:
    model = load_model("scripted", context=100_000)
    file = tmp_path / "pieces.jsonl"
    whole = audit_model(model, 12, 6, seed=3, path=file)
    assert (whole.violations, whole.repeats) == (0, 0)
    assert whole.proposals >= 12
    assert whole.studies >= 6
    assert whole.grammars == whole.proposals + whole.redrawn
    resumed = audit_model(_Careless(model, "never asked"), 12, 6, seed=3, path=file)
    assert asdict(resumed) == asdict(whole)
    with pytest.raises(AirtuneError, match="another audit"):
        audit_model(model, 12, 6, seed=4, path=file)


class _Careless:
    """Answers without heeding what was tried, or with a text that is no configuration."""

    def __init__(self, inner: Any, text: str | None) -> None:
        self._inner, self._text = inner, text
        self.name, self.dialect = inner.name, inner.dialect

    def manifest(self) -> dict[str, Any]:
        return self._inner.manifest()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        answers = []
        for request in requests:
            grammar = self.dialect.grammar(request.grammar.space)
            text = grammar.encode(grammar.nth(0)) if self._text is None else self._text
            answers.append(Completion(text, (), (), "stop", 1, 0))
        return answers


def test_what_is_wrong_is_counted() -> None:
    inner = load_model("scripted")
    repeated = audit_model(_Careless(inner, None), 6, 3, seed=1)
    assert repeated.violations == 0
    assert repeated.repeats + repeated.exhausted == repeated.studies  # each study's second proposal
    assert all("a repeat" in example for example in repeated.examples)
    wrong = audit_model(_Careless(inner, "{}"), 3, 3, seed=1)
    assert wrong.violations == wrong.proposals == 3
