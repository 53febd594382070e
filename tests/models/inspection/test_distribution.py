"""The law of a model's answers, told exactly: it is what `generate` draws from, and it sums to one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition

from airtune.grammars import (
    DecodeError,
    EnumeratedAxis,
    Grammar,
    Lattice,
    Notation,
    lattice_grammar,
    space_grammar,
)
from airtune.models import LanguageModel, ModelError, Observation, Problem, Request, load_model
from airtune.models.backends.replay import ReplayModel
from airtune.models.inspection.distribution import answer_distribution

PROMPT = "Trials: 0.25 -> 0.5\nNext:"


def enumerable() -> ConfigurationSpace:
    """Conditional, and small enough to write all of it down."""
    space = ConfigurationSpace({"a": ["x", "yy", "xy"], "n": (99, 102), "f": ["p", "q"]})
    space.add(EqualsCondition(space["n"], space["a"], "x"))
    return space


TRIED = [{"a": "x", "n": 99, "f": "p"}, {"a": "xy", "f": "q"}, {"a": "x", "n": 100, "f": "p"}]


def digits() -> Grammar:
    """No marks between values, and one text that goes on where another ends."""
    space = ConfigurationSpace({"n": [1, 12, 123, 2]})
    axis = EnumeratedAxis([("1", 1), ("12", 12), ("123", 123), ("2", 2)])
    return lattice_grammar(Lattice(space, {"n": axis}, Notation("", ";", "", keys=False)))


@pytest.fixture(scope="module", params=["pocket", "byte", "bpe", "scripted"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    name = request.param
    return load_model(
        name if name in ("pocket", "scripted") else request.getfixturevalue(f"{name}_checkpoint")
    )


def ask(
    model: LanguageModel, space: ConfigurationSpace, tried: list[dict[str, object]]
) -> tuple[str, Grammar]:
    observations = tuple(Observation(config, 1.0 / (i + 1)) for i, config in enumerate(tried))
    problem = Problem("t", "", space, "loss", observations)
    return model.dialect.render(problem), model.dialect.grammar(space, tried)


def texts_of(grammar: Grammar) -> list[str]:
    return [grammar.encode(grammar.nth(i)) for i in range(grammar.count())]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 3.0])
def test_is_the_law_of_the_answers(model: LanguageModel, temperature: float) -> None:
    """The sum of `Completion.logprobs`, where a text has one spelling; elsewhere that of the spelling drawn."""
    prompt, grammar = ask(model, enumerable(), TRIED)
    law = answer_distribution(model, prompt, grammar, temperature)
    answers = model.generate([Request(prompt, grammar, seed, temperature) for seed in range(12)])
    told = law.log_probabilities([answer.text for answer in answers])
    for answer, logprob in zip(answers, told, strict=True):
        at = law.along(answer.token_ids)
        drawn = [
            step.logprob(answer.token_ids[len(step.written) + len(step.forced)])
            for step in at
            if len(step.allowed)
        ]
        assert sum(drawn) == pytest.approx(sum(answer.logprobs), abs=1e-4)
        assert logprob >= sum(answer.logprobs) - 1e-4
        if model.name in ("pocket", "scripted"):
            assert logprob == pytest.approx(sum(answer.logprobs), abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 2.0])
@pytest.mark.parametrize("tried", [[], TRIED], ids=["untried", "tried"])
def test_sums_to_one(model: LanguageModel, temperature: float, tried: list[dict[str, object]]) -> None:
    prompt, grammar = ask(model, enumerable(), tried)
    texts = texts_of(grammar)
    assert len(texts) == 2 * 4 + 4 - len(tried)
    chances = np.exp(answer_distribution(model, prompt, grammar, temperature).log_probabilities(texts))
    assert chances.sum() == pytest.approx(1, abs=1e-6)
    if temperature:
        assert (chances > 0).all()
    else:
        (greedy,) = model.generate([Request(prompt, grammar, 0, 0.0)])
        assert chances[texts.index(greedy.text)] == pytest.approx(1)


@pytest.mark.parametrize("fast_forward", [True, False])
def test_all_spellings_count(bpe_checkpoint: Path, fast_forward: bool) -> None:
    """`12` is one token or two: leaving one way out, the texts would not sum to one."""
    model = load_model(bpe_checkpoint, fast_forward=fast_forward)
    law = answer_distribution(model, PROMPT, digits(), 1.5)
    texts = texts_of(digits())
    every, own = law.log_probabilities(texts), law.log_probabilities(texts, spellings="canonical")
    assert np.exp(every).sum() == pytest.approx(1, abs=1e-6)
    assert (own <= every + 1e-5).all()
    assert np.exp(own).sum() < 0.999


def test_agrees_with_a_plain_forward_pass(bpe_checkpoint: Path) -> None:
    """No cache, no packing: the next token's law after each prefix of an answer."""
    import torch

    from airtune.models.backends.transformers import TransformersModel

    model = load_model(bpe_checkpoint)
    assert isinstance(model, TransformersModel)
    grammar = space_grammar(enumerable(), TRIED)
    law = answer_distribution(model, PROMPT, grammar, 0.5)
    answers = model.generate([Request(PROMPT, grammar, seed, 0.5) for seed in range(6)])
    prompt = model.prompts.encode(PROMPT)
    for answer in answers:
        for step in law.along(answer.token_ids):
            if not len(step.allowed):
                continue
            ids = [*prompt, *step.written, *step.forced]
            with torch.inference_mode():
                line = model.model(torch.tensor([ids])).logits[0, -1].double()
            expected = torch.log_softmax(line[torch.from_numpy(step.allowed)] / 0.5, dim=0).numpy()
            assert step.logprobs == pytest.approx(expected, abs=1e-4)
            assert np.exp(step.logprobs).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    "kind", ["LlamaForCausalLM", "Qwen2ForCausalLM", "MistralForCausalLM", "Gemma2ForCausalLM"]
)
def test_architectures(tmp_path: Path, kind: str) -> None:
    """Heads that are more than a product with the last hidden state, and sliding windows, agree with `generate`."""
    import torch
    import transformers

    from airtune.models.tiny import byte_tokenizer

    tokenizer = byte_tokenizer()
    cls = getattr(transformers, kind)
    config = cls.config_class(
        vocab_size=len(tokenizer) + 5, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512, initializer_range=0.3, pad_token_id=0,
        eos_token_id=1, bos_token_id=None, sliding_window=128,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cls(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    grammar = space_grammar(enumerable(), TRIED)
    answers = model.generate([Request(PROMPT, grammar, seed, 1.0) for seed in range(8)])
    told = answer_distribution(model, PROMPT, grammar).log_probabilities([answer.text for answer in answers])
    assert told == pytest.approx([sum(answer.logprobs) for answer in answers], abs=1e-4)
    if kind in ("MistralForCausalLM", "Gemma2ForCausalLM"):
        with pytest.raises(ModelError, match="last 128 tokens"):
            answer_distribution(model, PROMPT * 8, grammar).log_probabilities([answers[0].text])


def test_many_passes_tell_the_same(byte_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree too large for one pass is cut; the cut is not seen in the result."""
    model = load_model(byte_checkpoint)
    grammar = space_grammar(enumerable())
    texts = texts_of(grammar)
    whole = answer_distribution(model, PROMPT, grammar).log_probabilities(texts)
    monkeypatch.setattr("airtune.models.inspection.tree_logits.NODES", 24)
    assert answer_distribution(model, PROMPT, grammar).log_probabilities(texts) == pytest.approx(
        whole, abs=1e-5
    )


def test_next_tokens_start_the_answers(model: LanguageModel) -> None:
    prompt, grammar = ask(model, enumerable(), TRIED)
    law = answer_distribution(model, prompt, grammar, 0.7)
    (start,) = law.next_tokens([()])
    assert start.written == ()
    assert np.exp(start.logprobs).sum() == pytest.approx(1, abs=1e-9)
    longer = [(*start.forced, int(token)) for token in start.allowed]
    assert [step.written for step in law.next_tokens([*longer, longer[0]])] == [*longer, longer[0]]
    assert law.next_tokens([]) == []
    assert len(law.log_probabilities([])) == 0


def test_bad_input(model: LanguageModel) -> None:
    prompt, grammar = ask(model, enumerable(), TRIED)
    law = answer_distribution(model, prompt, grammar)
    with pytest.raises(DecodeError, match="not in the grammar"):
        law.log_probabilities(["nonsense"])
    with pytest.raises(ModelError, match="spellings"):
        law.log_probabilities([], spellings="some")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="token"):
        law.along([0])
    (answer,) = model.generate([Request(prompt, grammar, 0)])
    with pytest.raises(ModelError, match="cannot come after"):
        law.along([*answer.token_ids, answer.token_ids[0]])
    with pytest.raises(ModelError, match="temperature"):
        answer_distribution(model, prompt, grammar, -1.0)
    with pytest.raises(ModelError, match="empty"):
        answer_distribution(model, prompt, space_grammar(ConfigurationSpace({"a": [1]}), [{"a": 1}]))


def test_too_many_spellings(bpe_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airtune.models.inspection.distribution.MAX_SPELLINGS", 2)
    law = answer_distribution(load_model(bpe_checkpoint), PROMPT, digits())
    with pytest.raises(ModelError, match="more than 2 ways"):
        law.log_probabilities(["123"])
    assert np.isfinite(law.log_probabilities(["123"], spellings="canonical")).all()


def test_a_backend_that_does_not_show_its_law() -> None:
    model = ReplayModel([], dialect=load_model("scripted").dialect)
    with pytest.raises(ModelError, match="backend 'replay'") as caught:
        answer_distribution(model, PROMPT, digits())
    assert "transformers" in str(caught.value)
