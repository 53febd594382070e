"""The distribution of a model's answers, told exactly: it is what `generate` draws from, and it sums to one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, EqualsCondition

from airtune.grammars import Grammar, space_grammar
from airtune.models import LanguageModel, ModelError, Observation, Problem, Request, load_model
from airtune.models.backends.replay import ReplayModel
from airtune.models.inspection.distribution import answer_distribution
from tests.models.exact import branching_points, path_logprob, text_probabilities

PROMPT = "Trials: 0.25 -> 0.5\nNext:"


def enumerable() -> ConfigurationSpace:
    """Conditional, and small enough to write all of it down."""
    space = ConfigurationSpace({"a": ["x", "yy", "xy"], "n": (99, 102), "f": ["p", "q"]})
    space.add(EqualsCondition(space["n"], space["a"], "x"))
    return space


TRIED = [{"a": "x", "n": 99, "f": "p"}, {"a": "xy", "f": "q"}, {"a": "x", "n": 100, "f": "p"}]


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
def test_is_what_generate_draws_from(model: LanguageModel, temperature: float) -> None:
    """The sum of `Completion.logprobs`, where a text has one spelling; elsewhere that of the spelling drawn."""
    prompt, grammar = ask(model, enumerable(), TRIED)
    distribution = answer_distribution(model, prompt, grammar, temperature)
    chances = text_probabilities(distribution)
    for answer in model.generate([Request(prompt, grammar, seed, temperature) for seed in range(12)]):
        assert answer.logprobs is not None
        assert answer.token_ids is not None
        drawn = sum(answer.logprobs)
        assert path_logprob(distribution, answer.token_ids) == pytest.approx(drawn, abs=1e-4)
        assert np.log(chances[answer.text]) >= drawn - 1e-4
        if model.name in ("pocket", "scripted"):
            assert np.log(chances[answer.text]) == pytest.approx(drawn, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 2.0])
@pytest.mark.parametrize("tried", [[], TRIED], ids=["untried", "tried"])
def test_sums_to_one(model: LanguageModel, temperature: float, tried: list[dict[str, object]]) -> None:
    prompt, grammar = ask(model, enumerable(), tried)
    chances = text_probabilities(answer_distribution(model, prompt, grammar, temperature))
    assert sorted(chances) == sorted(texts_of(grammar))
    assert len(chances) == 2 * 4 + 4 - len(tried)
    assert sum(chances.values()) == pytest.approx(1, abs=1e-6)
    if temperature:
        assert min(chances.values()) > 0
    else:
        (greedy,) = model.generate([Request(prompt, grammar, 0, 0.0)])
        assert chances[greedy.text] == pytest.approx(1)


@pytest.mark.parametrize("fast_forward", [True, False])
def test_agrees_with_a_plain_forward_pass(bpe_checkpoint: Path, fast_forward: bool) -> None:
    """No cache, no tree: the next token's distribution after each prefix of an answer."""
    import torch

    from airtune.models.backends.transformers import TransformersModel

    model = load_model(bpe_checkpoint, fast_forward=fast_forward)
    assert isinstance(model, TransformersModel)
    grammar = space_grammar(enumerable(), TRIED)
    distribution = answer_distribution(model, PROMPT, grammar, 0.5)
    prompt = model.prompts.encode(PROMPT)
    for answer in model.generate([Request(PROMPT, grammar, seed, 0.5) for seed in range(6)]):
        steps = branching_points(distribution, answer.token_ids or ())
        assert steps
        for step in steps:
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
    distribution = answer_distribution(model, PROMPT, grammar)
    told = [path_logprob(distribution, answer.token_ids or ()) for answer in answers]
    assert told == pytest.approx([sum(answer.logprobs or ()) for answer in answers], abs=1e-4)
    if kind in ("MistralForCausalLM", "Gemma2ForCausalLM"):
        with pytest.raises(ModelError, match="last 128 tokens"):
            answer_distribution(model, PROMPT * 8, grammar).next_tokens([()])


def test_many_passes_tell_the_same(byte_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree too large for one pass is cut; the cut is not seen in the result."""
    model = load_model(byte_checkpoint)
    grammar = space_grammar(enumerable())
    whole = text_probabilities(answer_distribution(model, PROMPT, grammar))
    monkeypatch.setattr("airtune.models.inspection.tree_logits.NODES", 24)
    assert text_probabilities(answer_distribution(model, PROMPT, grammar)) == pytest.approx(whole, abs=1e-5)


def test_next_tokens_start_the_answers(model: LanguageModel) -> None:
    prompt, grammar = ask(model, enumerable(), TRIED)
    distribution = answer_distribution(model, prompt, grammar, 0.7)
    (start,) = distribution.next_tokens([()])
    assert start.written == ()
    assert np.exp(start.logprobs).sum() == pytest.approx(1, abs=1e-9)
    longer = [(*start.forced, int(token)) for token in start.allowed]
    assert [step.written for step in distribution.next_tokens([*longer, longer[0]])] == [*longer, longer[0]]
    assert distribution.next_tokens([]) == []


def test_bad_input(model: LanguageModel) -> None:
    prompt, grammar = ask(model, enumerable(), TRIED)
    (answer,) = model.generate([Request(prompt, grammar, 0)])
    ids = answer.token_ids or ()
    for stray in ([0], [*ids, ids[0]]):
        with pytest.raises(ModelError, match="not allowed"):
            answer_distribution(model, prompt, grammar).next_tokens([stray])
    with pytest.raises(ModelError, match="temperature"):
        answer_distribution(model, prompt, grammar, -1.0)
    with pytest.raises(ModelError, match="empty"):
        answer_distribution(model, prompt, space_grammar(ConfigurationSpace({"a": [1]}), [{"a": 1}]))


def test_a_backend_that_does_not_show_its_distribution() -> None:
    model = ReplayModel([], dialect=load_model("scripted").dialect)
    with pytest.raises(ModelError, match="backend 'replay'") as caught:
        answer_distribution(model, PROMPT, space_grammar(enumerable()))
    assert "transformers" in str(caught.value)
