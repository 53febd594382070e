"""The contract of model backends on llama.cpp: a tiny random model, and the real one where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from airtune.models import LanguageModel, load_model
from airtune.models.backends.determinism import probes
from airtune.models.tiny import chat_tokenizer, save_random_llama
from tests.contract.test_models import MIXED, SEEDS, LiveModelContract
from tests.models.tiny_gguf import save_gguf

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")


class LlamaCppContract(LiveModelContract):
    """What the llama_cpp backend must do besides."""

    def test_to_the_bit_in_any_batch_and_order(self, model: LanguageModel) -> None:
        """Of these precisions' kernels; attention that sums by the cells' numbers fails here."""
        together = model.generate([*MIXED, *SEEDS])
        assert model.generate([*MIXED, *SEEDS][::-1])[::-1] == together
        assert [model.generate([request])[0] for request in (*MIXED, *SEEDS)] == together

    def test_forced_tokens_cost_no_step(self, model: LanguageModel) -> None:
        for answer in model.generate(SEEDS):
            assert answer.logprobs is not None
            assert answer.decode_steps is not None
            assert answer.decode_steps < sum(logprob != 0.0 for logprob in answer.logprobs) + 1

    def test_the_callers_random_state_is_left_alone(self, model: LanguageModel) -> None:
        import torch

        torch.manual_seed(5)
        before = torch.get_rng_state()
        first = model.generate(SEEDS[:2])
        assert torch.equal(before, torch.get_rng_state())
        assert model.generate(SEEDS[:2]) == first

    def test_self_test_passes(self, model: LanguageModel) -> None:
        """The prompts of studies of several lengths, which share beginnings."""
        requests = probes(model)
        assert model.generate(requests) == [model.generate([request])[0] for request in requests]


class TestLlamaCpp(LlamaCppContract):
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
        folder = tmp_path_factory.mktemp("gguf")
        checkpoint = save_random_llama(folder / "m", chat_tokenizer("llama3"), width=64)
        return load_model(save_gguf(checkpoint, folder / "m.gguf"), "llama_cpp")


@pytest.mark.real
@pytest.mark.slow
class TestSmolLM2(LlamaCppContract):
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, smollm2_gguf: Path) -> LanguageModel:
        return load_model(smollm2_gguf, "llama_cpp", context=2048)
