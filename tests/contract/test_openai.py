"""The contract of model backends, held by the `openai` backend against a server that speaks like each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ConfigSpace import Configuration

from airtune.models import Completion, LanguageModel, Request, TextRequest, load_model
from airtune.models.backends.replay import RecordingModel
from tests.contract.test_models import (
    GRAMMARS,
    GREEDY,
    MIXED,
    PROMPTS,
    SEEDS,
    ModelContract,
    one,
)
from tests.servers.fake_openai import FakeServer, serve

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


class ServedContract(ModelContract):
    """What every kind of server must do; a subclass says which it is."""

    settings: ClassVar[dict[str, Any]]

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[FakeServer]:
        with serve() as running:
            yield running

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, server: FakeServer) -> LanguageModel:
        server.grammars = list(GRAMMARS.values())
        return load_model("tuner", "openai", base_url=server.url, **cls.settings)

    def test_answers_are_in_the_grammar(self, model: LanguageModel) -> None:
        for request, answer in zip(MIXED, model.generate(MIXED), strict=True):
            Configuration(request.grammar.space, values=request.grammar.decode(answer.text))
            assert answer.finish_reason == "stop"
            assert (answer.prompt_tokens or 0) > 0
            assert answer.decode_steps is None
            self.check_tokens(answer)

    def check_tokens(self, answer: Completion) -> None:
        assert answer.token_ids is None
        assert answer.logprobs is None

    def test_what_was_received_is_kept(self, model: LanguageModel) -> None:
        (answer,) = model.generate([one("flat")])
        assert answer.details["served_model"] == "tuner-2026-11-01"
        assert answer.details["system_fingerprint"] == "fp_1"
        assert answer.details["usage"]["requests"] == 1

    def test_a_recording_answers_as_the_server_did(
        self, model: LanguageModel, server: FakeServer, tmp_path: Path
    ) -> None:
        recorded = RecordingModel(model, tmp_path / "answers.jsonl").generate(MIXED)
        asked = len(server.seen)
        replayed = load_model(tmp_path / "answers.jsonl", "replay")
        assert replayed.generate(MIXED) == recorded
        assert replayed.manifest() == model.manifest()
        assert (replayed.name, replayed.dialect.name) == (model.name, model.dialect.name)
        assert len(server.seen) == asked


class ExactContract(ServedContract):
    """Servers that are given the grammar: they answer as the model behind them does when it is asked directly."""

    def test_as_the_model_itself(self, model: LanguageModel) -> None:
        direct = load_model("scripted").generate([*MIXED, *SEEDS, *GREEDY])
        served = model.generate([*MIXED, *SEEDS, *GREEDY])
        assert [a.text for a in served] == [a.text for a in direct]
        assert [a.prompt_tokens for a in served] == [a.prompt_tokens for a in direct]

    def test_cut_by_max_tokens(self, model: LanguageModel) -> None:
        whole, cut = model.generate([one("flat"), Request(PROMPTS[0], GRAMMARS["flat"], 0, max_tokens=4)])
        assert cut.finish_reason == "length"
        assert whole.text.startswith(cut.text)
        assert len(cut.text) < len(whole.text)


class TestVLLMRegex(ExactContract):
    settings: ClassVar[dict[str, Any]] = {"server": "vllm", "endpoint": "completions"}

    def check_tokens(self, answer: Completion) -> None:
        assert answer.token_ids is not None
        assert answer.logprobs is not None
        assert len(answer.token_ids) == len(answer.logprobs) > 0
        assert all(logprob <= 0 for logprob in answer.logprobs)


class TestVLLMLarkChat(ExactContract):
    settings: ClassVar[dict[str, Any]] = {"server": "vllm", "constraint": "lark"}
    check_tokens = TestVLLMRegex.check_tokens


class TestVLLMGBNF(ExactContract):
    settings: ClassVar[dict[str, Any]] = {"server": "vllm", "constraint": "gbnf", "concurrency": 1}
    check_tokens = TestVLLMRegex.check_tokens


class TestLlamaCpp(ExactContract):
    settings: ClassVar[dict[str, Any]] = {"server": "llama.cpp", "logprobs": False}


class TestSGLang(ExactContract):
    settings: ClassVar[dict[str, Any]] = {"server": "sglang", "logprobs": False}


class TestStrictSchema(ServedContract):
    """A closed service: a JSON schema, no ranges, nothing of what was tried."""

    settings: ClassVar[dict[str, Any]] = {"server": "openai", "api_key_env": "", "attempts": 8}

    def test_only_what_strict_schemas_know(self, model: LanguageModel, server: FakeServer) -> None:
        model.generate([one("conditional")])
        sent = server.seen[-1][2]["response_format"]["json_schema"]
        assert sent["strict"] is True
        schema = sent["schema"]
        assert schema.keys() == {"type", "properties", "required", "additionalProperties"}
        assert set(schema["required"]) == set(schema["properties"]) == {"kernel", "gamma", "n"}
        assert schema["properties"]["gamma"]["type"] == ["number", "null"]
        assert "max_completion_tokens" in server.seen[-1][2]


class TestFreeText(ServedContract):
    settings: ClassVar[dict[str, Any]] = {"server": "other", "attempts": 8}

    def test_it_is_told_what_was_wrong(self, model: LanguageModel, server: FakeServer) -> None:
        """The server's first guess is another space: only the complaint can tell it."""
        (answer,) = model.generate([one("conditional")])
        rejected = answer.details["rejected"][0]
        assert "there is no hyperparameter 'C'; there are kernel, n, gamma" in rejected["reason"]
        first, second = (body for _, _, body in server.seen[-2:])
        assert [m["role"] for m in second["messages"]] == ["user", "assistant", "user"]
        assert second["messages"][1]["content"] == rejected["text"]
        assert rejected["reason"] in second["messages"][2]["content"]
        assert first["seed"] != second["seed"]
        assert answer.details["usage"] == {"requests": 2, "prompt_tokens": 20, "completion_tokens": 10}


def test_free_text_for_reasoning() -> None:
    with serve() as server:
        model: Any = load_model("tuner", "openai", base_url=server.url, server="vllm")
        (thought,) = model.write([TextRequest("Think.", 3, max_tokens=50, stop=("\n",))])
    assert thought.text == "I think so.\n"
    assert server.seen[-1][2]["stop"] == ["\n"]
    assert "structured_outputs" not in server.seen[-1][2]
