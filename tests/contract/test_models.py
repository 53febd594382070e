"""The contract of every model backend: a subclass supplies a model and inherits every requirement."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from ConfigSpace import Categorical, Configuration, ConfigurationSpace, EqualsCondition, Float, Integer

from airtune.models import (
    Completion,
    Dialect,
    LanguageModel,
    ModelError,
    Request,
    TextRequest,
    TextWriter,
    load_model,
)
from airtune.models.backends.replay import ReplayModel
from airtune.models.backends.transformers import TransformersModel
from airtune.models.dialects.chat.dialect import ChatDialect
from airtune.models.dialects.pocket.dialect import PocketDialect
from airtune.models.masks.base import make_engine
from airtune.models.tiny import bpe_tokenizer, byte_tokenizer, save_random_llama


def flat() -> ConfigurationSpace:
    return ConfigurationSpace(
        {"C": Float("C", (1e-3, 1e3), log=True), "n": (1, 30), "kernel": ["rbf", "linear", "poly"]}
    )


def small() -> ConfigurationSpace:
    return ConfigurationSpace({"a": (1, 3), "k": ["x", "yy"]})


def conditional() -> ConfigurationSpace:
    space = ConfigurationSpace()
    kernel = Categorical("kernel", ["rbf", "linear"])
    gamma = Float("gamma", (1e-4, 1.0), log=True)
    space.add(kernel, gamma, Integer("n", (1, 5)), EqualsCondition(gamma, kernel, "rbf"))
    return space


def unicode_names() -> ConfigurationSpace:
    return ConfigurationSpace({"λ rate": (1, 9), 'quo"te': ["naïve", "日本", "a\\b"], "größe.x": (0.0, 1.0)})


SPACES = {"flat": flat, "small": small, "conditional": conditional, "unicode": unicode_names}
PROMPTS = ("Tune:", "Tune this, with a much longer prompt than the other one has: 0.25 -> 0.125\n")


class Cases:
    """The contract's requests, in the grammars of a dialect.

    Args:
        dialect: The dialect.
        few: Only some of them, which still have every space, temperature and prompt.
    """

    def __init__(self, dialect: Dialect, *, few: bool = False) -> None:
        self.dialect = dialect
        self.spaces = {name: make() for name, make in SPACES.items()}
        self.grammars = {name: dialect.grammar(space) for name, space in self.spaces.items()}
        self.mixed = [
            self.one(space, seed, temperature, prompt)
            for seed, (space, temperature, prompt) in enumerate(
                (s, t, p)
                for s in ("flat", "conditional", "unicode")
                for t in (0.0, 0.7, 1.0)
                for p in PROMPTS
            )
        ][:: 5 if few else 1]
        self.seeds = [self.one("flat", seed) for seed in range(4 if few else 12)]
        self.greedy = [self.one("flat", seed, 0.0) for seed in range(2 if few else 5)]

    def one(self, space: str, seed: int = 0, temperature: float = 1.0, prompt: str = PROMPTS[0]) -> Request:
        return Request(prompt, self.grammars[space], seed, temperature)

    def shrinking(self, model: LanguageModel) -> list[Completion]:
        """Ask until the small space is exhausted."""
        answers: list[Completion] = []
        tried: list[dict[str, object]] = []
        while (grammar := self.dialect.grammar(self.spaces["small"], tried)).count():
            answers += model.generate([Request(PROMPTS[0], grammar, seed=7)])
            tried.append(grammar.decode(answers[-1].text))
        return answers


CHAT = Cases(ChatDialect())
GRAMMARS, MIXED, SEEDS, GREEDY = CHAT.grammars, CHAT.mixed, CHAT.seeds, CHAT.greedy
one = CHAT.one


class ModelContract:
    """What every backend must do."""

    cases: ClassVar[Cases] = CHAT

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
        raise NotImplementedError

    def test_is_a_language_model(self, model: LanguageModel) -> None:
        assert isinstance(model, LanguageModel)
        assert model.dialect.name == self.cases.dialect.name
        assert {"model", "backend", "dialect", "files", "versions", "settings"} <= model.manifest().keys()

    def test_same_requests_same_answers(self, model: LanguageModel) -> None:
        assert model.generate(self.cases.mixed) == model.generate(self.cases.mixed)

    def test_answers_are_in_the_grammar(self, model: LanguageModel) -> None:
        for request, answer in zip(self.cases.mixed, model.generate(self.cases.mixed), strict=True):
            config = request.grammar.decode(answer.text)
            Configuration(request.grammar.space, values=config)  # raises where ConfigSpace finds a fault
            assert answer.finish_reason == "stop"
            assert len(answer.token_ids) == len(answer.logprobs) > 0
            assert all(logprob <= 0 for logprob in answer.logprobs)
            assert answer.prompt_tokens > 0
            assert 0 <= answer.decode_steps <= len(answer.token_ids)

    def test_alone_as_in_a_batch(self, model: LanguageModel) -> None:
        together = model.generate(self.cases.mixed)
        for request, answer in zip(self.cases.mixed, together, strict=True):
            (alone,) = model.generate([request])
            assert (alone.text, alone.token_ids) == (answer.text, answer.token_ids)
            assert alone.logprobs == pytest.approx(answer.logprobs, abs=1e-4)

    def test_order_of_requests_does_not_matter(self, model: LanguageModel) -> None:
        forward, backward = model.generate(self.cases.mixed), model.generate(self.cases.mixed[::-1])[::-1]
        assert [a.token_ids for a in forward] == [a.token_ids for a in backward]

    def test_seeds_vary_the_answer(self, model: LanguageModel) -> None:
        assert len({answer.text for answer in model.generate(self.cases.seeds)}) > 1

    def test_temperature_zero_ignores_the_seed(self, model: LanguageModel) -> None:
        assert len({answer.text for answer in model.generate(self.cases.greedy)}) == 1

    def test_what_was_tried_is_never_said_again(self, model: LanguageModel) -> None:
        texts = [answer.text for answer in self.cases.shrinking(model)]
        assert len(texts) == len(set(texts)) == self.cases.grammars["small"].count()

    def test_conditions_hold(self, model: LanguageModel) -> None:
        requests = [
            request for request in self.cases.mixed if request.grammar is self.cases.grammars["conditional"]
        ]
        for request, answer in zip(requests, model.generate(requests), strict=True):
            config = request.grammar.decode(answer.text)
            assert ("gamma" in config) == (config["kernel"] == "rbf")

    def test_no_requests(self, model: LanguageModel) -> None:
        assert model.generate([]) == []

    def test_empty_grammar(self, model: LanguageModel) -> None:
        space = ConfigurationSpace({"a": (1, 2)})
        empty = self.cases.dialect.grammar(space, [{"a": 1}, {"a": 2}])
        with pytest.raises(ModelError, match="empty"):
            model.generate([Request("Tune:", empty, seed=0)])


class LiveModelContract(ModelContract):
    """What every backend must do that makes its answers itself."""

    too_long: ClassVar[str] = " x" * 3000

    def test_prompt_too_long(self, model: LanguageModel) -> None:
        with pytest.raises(ModelError, match=r"the prompt has \d+ .* context of \d+"):
            model.generate([self.cases.one("flat", prompt=self.too_long)])

    def test_cut_by_max_tokens(self, model: LanguageModel) -> None:
        grammar = self.cases.grammars["flat"]
        whole, cut = model.generate([self.cases.one("flat"), Request(PROMPTS[0], grammar, 0, max_tokens=2)])
        assert cut.finish_reason == "length"
        assert cut.token_ids == whole.token_ids[:2]
        assert whole.text.startswith(cut.text)

    def test_free_text(self, model: LanguageModel) -> None:
        assert isinstance(model, TextWriter)
        requests = [TextRequest(PROMPTS[1], seed, max_tokens=24) for seed in range(4)]
        answers = model.write(requests)
        assert answers == model.write(requests)
        assert len({answer.text for answer in answers}) > 1
        for answer in answers:
            assert len(answer.token_ids) == len(answer.logprobs) <= 24
            assert answer.finish_reason in ("stop", "length")
            assert answer.finish_reason == "stop" or len(answer.token_ids) == 24
            assert all(logprob <= 0 for logprob in answer.logprobs)

    def test_free_text_ends_before_a_stop(self, model: LanguageModel) -> None:
        whole = model.write([TextRequest(PROMPTS[1], 3, max_tokens=24)])[0].text
        stop = next(char for char in whole[1:] if char.isascii() and char.isprintable())
        (cut,) = model.write([TextRequest(PROMPTS[1], 3, max_tokens=24, stop=(stop,))])
        assert (cut.text, cut.finish_reason) == (whole.partition(stop)[0], "stop")

    @pytest.mark.parametrize("temperature", [-0.5, float("nan")])
    def test_bad_temperature(self, model: LanguageModel, temperature: float) -> None:
        with pytest.raises(ModelError, match="temperature"):
            model.generate([self.cases.one("flat", temperature=temperature)])

    def test_bad_max_tokens(self, model: LanguageModel) -> None:
        with pytest.raises(ModelError, match="max_tokens"):
            model.generate([Request(PROMPTS[0], self.cases.grammars["flat"], 0, max_tokens=0)])


class TransformersContract(LiveModelContract):
    """What the transformers backend must do besides."""

    def test_log_probabilities(self, model: TransformersModel) -> None:
        """Against one plain forward pass over prompt and answer: no cache, no batch, no fast-forward."""
        import torch

        for request, answer in zip(self.cases.mixed, model.generate(self.cases.mixed), strict=True):
            prompt = model.prompts.encode(request.prompt)
            with torch.inference_mode():
                logits = model.model(torch.tensor([[*prompt, *answer.token_ids]])).logits[0].double()
            matcher = make_engine("llguidance", model.vocabulary).compile(request.grammar)
            forced = 0
            for at, (token, told) in enumerate(zip(answer.token_ids, answer.logprobs, strict=True)):
                forced = forced or len(matcher.forced())
                allowed = matcher.allowed()
                assert token in allowed
                if forced or request.temperature == 0:
                    assert told == 0.0
                else:
                    line = logits[len(prompt) + at - 1][torch.from_numpy(allowed)] / request.temperature
                    mine = torch.log_softmax(line, dim=0)[int(np.searchsorted(allowed, token))]
                    assert told == pytest.approx(float(mine), abs=1e-4)
                if request.temperature == 0 and not forced:
                    line = logits[len(prompt) + at - 1][torch.from_numpy(allowed)]
                    assert int(allowed[int(line.argmax())]) == token
                forced = max(0, forced - 1)
                matcher.advance(token)
            assert matcher.finished

    def test_forced_tokens_cost_no_step(self, model: TransformersModel) -> None:
        for answer in model.generate(self.cases.seeds):
            drawn = sum(logprob != 0.0 for logprob in answer.logprobs)
            assert answer.decode_steps < drawn + 1

    def test_the_callers_random_state_is_left_alone(self, model: TransformersModel) -> None:
        import torch

        torch.manual_seed(5)
        before, threads = torch.get_rng_state(), torch.get_num_threads()
        first = model.generate(self.cases.seeds[:2])
        assert torch.equal(before, torch.get_rng_state())
        assert torch.get_num_threads() == threads
        torch.manual_seed(6)
        assert model.generate(self.cases.seeds[:2]) == first


class TestTransformersBytes(TransformersContract):
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
        return load_model(save_random_llama(tmp_path_factory.mktemp("bytes"), byte_tokenizer()))


class TestTransformersInBlocks(TransformersContract):
    """Prompts read in blocks, with room for a few of them."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
        path = save_random_llama(tmp_path_factory.mktemp("blocks"), bpe_tokenizer())
        return load_model(path, prefix_block=4, prefix_cache="64KiB")


class TestTransformersBPE(TransformersContract):
    @pytest.fixture(scope="class")
    @classmethod
    def checkpoint(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return save_random_llama(tmp_path_factory.mktemp("bpe"), bpe_tokenizer())

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, checkpoint: Path) -> LanguageModel:
        return load_model(checkpoint)

    def test_prefill_in_pieces(self, model: LanguageModel, checkpoint: Path) -> None:
        pieces = load_model(checkpoint, max_batch_tokens=64).generate(MIXED)
        assert [a.token_ids for a in pieces] == [a.token_ids for a in model.generate(MIXED)]

    def test_engines_give_the_same_answers(self, checkpoint: Path) -> None:
        """Without tokens forced as bytes (engines see more or fewer of them) only the masks count."""
        answers = [
            load_model(checkpoint, mask_engine=engine, fast_forward=False).generate(MIXED)
            for engine in ("llguidance", "xgrammar", "outlines_core")
        ]
        assert answers[0] == answers[1] == answers[2]


class TestScripted(LiveModelContract):
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> LanguageModel:
        return load_model("scripted", context=2000)


class UniformContract(ModelContract):
    test_cut_by_max_tokens = LiveModelContract.test_cut_by_max_tokens
    test_bad_temperature = LiveModelContract.test_bad_temperature
    test_bad_max_tokens = LiveModelContract.test_bad_max_tokens


class TestUniform(UniformContract):
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> LanguageModel:
        return load_model("uniform")


class TestUniformInPocketsPlace(UniformContract):
    cases: ClassVar[Cases] = Cases(PocketDialect())

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> LanguageModel:
        return load_model("pocket", "uniform")


class TestReplay(ModelContract):
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
        file = tmp_path_factory.mktemp("replay") / "answers.jsonl"
        recording = load_model("scripted", record=file)
        recording.generate([*MIXED, *SEEDS, *GREEDY])
        CHAT.shrinking(recording)
        return load_model(file, backend="replay")

    def test_repeats_the_recording(self, model: LanguageModel) -> None:
        assert model.generate(MIXED) == load_model("scripted").generate(MIXED)

    @pytest.mark.parametrize(
        "request_", [one("flat", 99), one("flat", 0, 0.5), one("flat", 0, prompt="?"), one("small", 0)]
    )
    def test_what_was_not_recorded(self, model: LanguageModel, request_: Request) -> None:
        with pytest.raises(ModelError, match="not recorded"):
            model.generate([request_])

    def test_bad_records(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="record 0"):
            ReplayModel([{"prompt": "x"}], dialect=ChatDialect())
        entry = {"prompt": "x", "grammar_hash": "g", "seed": 1, "temperature": 1.0, "text": "a"}
        with pytest.raises(ModelError, match="contradicts"):
            ReplayModel([entry, {**entry, "text": "b"}], dialect=ChatDialect())
        (tmp_path / "bad").write_text("{")
        with pytest.raises(ModelError, match="cannot read"):
            load_model(tmp_path / "bad", backend="replay")
