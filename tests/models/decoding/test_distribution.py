"""Sampling under the mask has exactly the right distribution.

The distribution is defined step by step: at every step the model's distribution, tempered, is renormalised over the
tokens that the grammar allows there (locally normalised; it is not the model's distribution conditioned on
the whole language). Where tokens are forced, they come with probability one. The exact probability of every text is
the sum over all token sequences that spell it, each worked out by a plain forward pass without cache; the
samples come from the batched loop.

False-alarm probability: a chi-square p-value below 1e-6 has probability 1e-6 per case under the right distribution,
were the seeds drawn at random; they are fixed, so each case fails always or never.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from ConfigSpace import ConfigurationSpace, EqualsCondition
from scipy.stats import chisquare

from airtune.grammars import EnumeratedAxis, Grammar, Lattice, Notation, lattice_grammar, space_grammar
from airtune.models import Request
from airtune.models.backends.transformers import TransformersModel
from airtune.models.dialects.chat.dialect import ChatDialect

PROMPT = "Trials: 0.25 -> 0.5\nNext:"
SAMPLES = 2000
ALARM = 1e-6


def bare() -> Grammar:
    """Texts of digits without marks: several tokens can start each, so a text has several spellings."""
    space = ConfigurationSpace({"n": [1, 12, 123, 45], "m": [6, 78]})
    axes = {
        "n": EnumeratedAxis([("1001", 1), ("1012", 12), ("1123", 123), ("2045", 45)]),
        "m": EnumeratedAxis([("6", 6), ("78", 78)]),
    }
    return lattice_grammar(Lattice(space, axes, Notation.bare()))


def conditional() -> Grammar:
    space = ConfigurationSpace({"a": ["x", "yy"], "n": (8, 11)})
    space.add(EqualsCondition(space["n"], space["a"], "x"))
    return space_grammar(space, [{"a": "x", "n": 9}])


def open_ended() -> Grammar:
    """No closing mark: after `1` the end of sequence competes with more digits."""
    space = ConfigurationSpace({"n": [1, 12, 123, 2]})
    axis = EnumeratedAxis([("1", 1), ("12", 12), ("123", 123), ("2", 2)])
    return lattice_grammar(Lattice(space, {"n": axis}, Notation("", ";", "", keys=False)))


def exact_distribution(model: TransformersModel, grammar: Grammar, temperature: float) -> dict[str, float]:
    """Probability of every text, by teacher forcing all token sequences that the masks allow."""
    exact: Counter[str] = Counter()
    prompt = model.prompts.encode(PROMPT)
    # prefixes by length: one pass each
    open_: dict[int, list[tuple[tuple[int, ...], float]]] = {0: [((), 1.0)]}
    while open_:
        length = min(open_)
        branching = []
        for taken, probability in open_.pop(length):
            matcher = model.engine.compile(grammar)
            for token in taken:
                matcher.advance(token)
            forced = matcher.forced(canonical=model.fast_forward)
            if matcher.finished:
                exact[model.vocabulary.text(taken)] += probability
            elif forced:
                open_.setdefault(length + len(forced), []).append(((*taken, *forced), probability))
            else:
                branching.append((taken, probability, matcher.allowed()))
        if branching:
            with torch.inference_mode():
                logits = model.model(torch.tensor([[*prompt, *taken] for taken, _, _ in branching])).logits[
                    :, -1
                ]
            for (taken, probability, allowed), line in zip(branching, logits.double(), strict=True):
                chances = torch.softmax(line[torch.from_numpy(allowed)] / temperature, dim=0).tolist()
                longer = open_.setdefault(length + 1, [])
                longer += [((*taken, int(t)), probability * p) for t, p in zip(allowed, chances, strict=True)]
    return dict(exact)


@pytest.mark.parametrize(
    ("kind", "make", "fast_forward", "temperature"),
    [
        ("byte", conditional, True, 1.0),
        ("byte", open_ended, False, 1.0),
        ("bpe", bare, False, 1.0),
        ("bpe", bare, True, 0.6),
        ("bpe", conditional, True, 1.0),
        ("bpe", open_ended, True, 1.5),
    ],
)
def test_exact_distribution(
    request: pytest.FixtureRequest, kind: str, make: object, fast_forward: bool, temperature: float
) -> None:
    path: Path = request.getfixturevalue(f"{kind}_checkpoint")
    model = TransformersModel(path, dialect=ChatDialect(), fast_forward=fast_forward)
    grammar = make()  # type: ignore[operator]
    exact = exact_distribution(model, grammar, temperature)
    assert sum(exact.values()) == pytest.approx(1)
    assert set(exact) == {text for text in exact if grammar.accepts(text)}
    assert len(exact) == grammar.count()

    requests = [Request(PROMPT, grammar, seed, temperature) for seed in range(SAMPLES)]
    seen = Counter(
        answer.text for i in range(0, SAMPLES, 500) for answer in model.generate(requests[i : i + 500])
    )
    assert set(seen) <= set(exact)
    texts = sorted(exact, key=exact.__getitem__)
    expected = np.array([exact[text] for text in texts]) * SAMPLES
    observed = np.array([seen[text] for text in texts])
    # Cells expected less than five times are pooled from the rarest up, as the chi-square test needs.
    pooled = np.searchsorted(np.cumsum(expected), 5) + 1
    if expected[0] < 5 and pooled < len(texts):
        expected = np.array([expected[:pooled].sum(), *expected[pooled:]])
        observed = np.array([observed[:pooled].sum(), *observed[pooled:]])
    assert chisquare(observed, expected).pvalue > ALARM


def test_the_test_can_fail(bpe_checkpoint: Path) -> None:
    """The same statistic rejects the distribution of twice the temperature: it has power at this sample size."""
    model = TransformersModel(bpe_checkpoint, dialect=ChatDialect())
    grammar = bare()
    right, wrong = (exact_distribution(model, grammar, t) for t in (1.0, 2.0))
    texts = sorted(right)
    drawn = [
        model.generate([Request(PROMPT, grammar, s) for s in range(i, i + 500)])
        for i in range(0, SAMPLES, 500)
    ]
    seen = Counter(answer.text for answers in drawn for answer in answers)
    observed = [seen[text] for text in texts]
    assert chisquare(observed, [wrong[text] * SAMPLES for text in texts]).pvalue < ALARM
