"""The contract of model backends on llama.cpp: a tiny random model, and the real one where it is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from airtune.models import LanguageModel, load_model
from airtune.models.backends.determinism import probes
from airtune.models.tiny import chat_tokenizer, save_random_llama
from tests.contract.real_model import Loading, RealModelContract
from tests.contract.test_models import LiveModelContract
from tests.models.tiny_gguf import save_gguf

pytestmark = pytest.mark.llama_cpp


class LlamaCppContract(LiveModelContract):
    """What the llama_cpp backend must do besides."""

    probed: ClassVar[int] = 8

    def test_to_the_bit_in_any_batch_and_order(self, model: LanguageModel) -> None:
        """Of these precisions' kernels; attention that sums by the cells' numbers fails here."""
        requests = [*self.cases.mixed, *self.cases.seeds]
        together = model.generate(requests)
        assert model.generate(requests[::-1])[::-1] == together
        assert [model.generate([request])[0] for request in requests] == together

    def test_forced_tokens_cost_no_step(self, model: LanguageModel) -> None:
        for answer in model.generate(self.cases.seeds):
            assert answer.logprobs is not None
            assert answer.decode_steps is not None
            assert answer.decode_steps < sum(logprob != 0.0 for logprob in answer.logprobs) + 1

    def test_the_callers_random_state_is_left_alone(self, model: LanguageModel) -> None:
        import torch

        torch.manual_seed(5)
        before = torch.get_rng_state()
        first = model.generate(self.cases.seeds[:2])
        assert torch.equal(before, torch.get_rng_state())
        assert model.generate(self.cases.seeds[:2]) == first

    def test_self_test_passes(self, model: LanguageModel) -> None:
        """The prompts of studies of several lengths, which share beginnings."""
        requests = probes(model)[: self.probed]
        assert model.generate(requests) == [model.generate([request])[0] for request in requests]


class TestLlamaCpp(LlamaCppContract):
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
        pytest.importorskip("llama_cpp")
        folder = tmp_path_factory.mktemp("gguf")
        checkpoint = save_random_llama(folder / "m", chat_tokenizer("llama3"), width=64)
        return load_model(save_gguf(checkpoint, folder / "m.gguf"), "llama_cpp")


@pytest.mark.real
@pytest.mark.slow
class TestSmolLM2(RealModelContract, LlamaCppContract):
    probed: ClassVar[int] = 4

    @pytest.fixture(scope="class")
    @classmethod
    def loading(cls, smollm2: Path) -> Loading:
        pytest.importorskip("llama_cpp")
        return str(smollm2), {"backend": "llama_cpp"}
