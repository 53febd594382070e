"""The contract of model backends, held by vLLM on the CPU: with `pocket`, a model of Llama 3's form, and a real one.

One engine per class, as one start takes tens of seconds. Run by `.ci/vllm`, in an environment of its own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pytest_socket import disable_socket, enable_socket

from airtune.benchmarks import get_task
from airtune.benchmarks.running.lockstep import LockStepRunner
from airtune.engine.evaluation.outcome import evaluate
from airtune.engine.manifest import study_manifest
from airtune.engine.proposers import load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.engine.seeds import derive_seed
from airtune.engine.state import StudyState
from airtune.engine.storage.export import export_jsonl
from airtune.engine.storage.study_file import StudyFile
from airtune.engine.types import Task, Trial
from airtune.models import LanguageModel, ModelError, Request, load_model
from airtune.models.dialects.pocket.dialect import PocketDialect
from airtune.models.masks.base import make_engine
from airtune.models.tiny import chat_tokenizer
from tests.contract.real_model import Loading, RealModelContract
from tests.contract.test_models import Cases, LiveModelContract
from tests.models.chat_checkpoint import save_random_chat_model

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]
pytest.importorskip("vllm", reason="vLLM has an environment of its own: .ci/vllm")

VOCABULARY = 128_000


@contextmanager
def loopback() -> Iterator[None]:
    """vLLM binds a port of this machine when it starts; nothing needs a socket after that."""
    enable_socket()
    try:
        yield
    finally:
        disable_socket(allow_unix_socket=True)


def started(path: str | Path, **settings: Any) -> LanguageModel:
    with loopback():
        return load_model(path, "vllm", **settings)


def made_up_words(number: int) -> list[str]:
    """Enough different words for a vocabulary of this size."""
    rng = np.random.default_rng(0)
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er")]
    words: dict[str, None] = {}
    while len(words) < number:
        for row in rng.integers(len(syllables), size=(number, 4)):
            words["".join(syllables[i] for i in row[: 2 + row[0] % 3])] = None
    return [" ".join(chunk) for chunk in np.array_split(list(words), number // 100)]


class VLLMContract(LiveModelContract):
    """What the vllm backend must do besides."""

    def test_log_probabilities(self, model: LanguageModel) -> None:
        """Against transformers: one plain forward pass over prompt and answer, the mask of our own engine."""
        import torch

        reference = load_model(model.path, dialect=self.cases.dialect.name)
        mixed = self.cases.mixed
        for request, answer in zip(mixed, model.generate(mixed), strict=True):
            prompt = model.prompts.encode(request.prompt)
            with torch.inference_mode():
                logits = reference.model(torch.tensor([[*prompt, *answer.token_ids]])).logits[0].double()
            matcher = make_engine("llguidance", model.vocabulary).compile(request.grammar)
            for at, (token, told) in enumerate(zip(answer.token_ids, answer.logprobs, strict=True)):
                allowed = matcher.allowed()
                assert token in allowed
                if request.temperature == 0 or len(allowed) == 1:
                    assert told == 0.0
                else:
                    line = logits[len(prompt) + at - 1][torch.from_numpy(allowed)] / request.temperature
                    mine = torch.log_softmax(line, dim=0)[int(np.searchsorted(allowed, token))]
                    assert told == pytest.approx(float(mine), abs=1e-3)
                matcher.advance(token)
            assert matcher.finished

    def test_the_callers_random_state_is_left_alone(self, model: LanguageModel) -> None:
        import torch

        torch.manual_seed(5)
        random.seed(5)
        np.random.seed(5)
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
        threads = torch.get_num_threads()
        model.generate(self.cases.seeds[:2])
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())
        assert torch.get_num_threads() == threads

    def test_threads_can_still_be_set(self, model: LanguageModel) -> None:
        """vLLM puts a function that does nothing in place of torch's own."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(3)
        try:
            assert torch.get_num_threads() == 3
        finally:
            torch.set_num_threads(before)

    def test_temperatures_that_vllm_would_change(self, model: LanguageModel) -> None:
        with pytest.raises(ModelError, match=r"temperature 0\.001"):
            model.generate([self.cases.one("flat", temperature=0.001)])

    def test_manifest_pins_what_decides_an_answer(self, model: LanguageModel) -> None:
        found = model.manifest()
        assert found["versions"]["vllm"].startswith("0.")
        assert "model.safetensors" in found["files"]
        assert found["settings"]["dtype"] == "float32"
        assert found["settings"]["threads"] == 1
        assert found["settings"]["enable_chunked_prefill"] is False
        json.dumps(found, allow_nan=False)

    def test_answers_that_are_no_good_are_asked_for_again(
        self, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The real engine, with grammars that allow what the request's own grammar does not."""
        request = self.cases.one("small", 3)
        good, bad = model._grammar_text(request.grammar), model._grammar_text(self.cases.grammars["flat"])
        texts = iter([bad, bad, good])
        params = model._params
        asked: list[int] = []

        def other(request: Request, limit: int, grammar: str, *rest: Any) -> Any:
            made = params(request, max(limit, 200), bad, *rest)
            return made

        run = model._run

        def ask(batch: Any) -> Any:
            for _, one in batch:
                one.structured_outputs.grammar = next(texts)
                asked.append(one.seed)
            return run(batch)

        monkeypatch.setattr(model, "_params", other)
        monkeypatch.setattr(model, "_run", ask)
        (answer,) = model.generate([request])
        assert request.grammar.accepts(answer.text)
        rejected = answer.details["rejected_by_backend"]
        assert [one["finish_reason"] for one in rejected] == ["stop", "stop"]
        assert all(self.cases.grammars["flat"].accepts(one["text"]) for one in rejected)
        assert len(set(asked)) == 3
        assert asked[0] == request.seed

        texts = iter([bad] * 4)
        with pytest.raises(ModelError, match="no usable answer in 4 attempts; the last one was"):
            model.generate([request])

    def test_a_grammar_that_vllm_refuses(self, model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
        request = self.cases.one("small")
        with monkeypatch.context() as patch:
            patch.setattr(model, "_grammar_text", lambda grammar: "start: NOTHING_SUCH")
            with pytest.raises(ModelError, match="vLLM failed"):
                model.generate([self.cases.one("flat"), request])
        # the engine lives, nothing is left in it
        assert request.grammar.accepts(model.generate([request])[0].text)


class TestPocket(VLLMContract):
    cases: ClassVar[Cases] = Cases(PocketDialect())

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> LanguageModel:
        return started("pocket")

    def test_greedy_as_the_transformers_backend(self, model: LanguageModel) -> None:
        task = get_task("toy/branin")
        assert play(model, task, 12) == play(load_model("pocket"), task, 12)

    def test_unknown_settings(self) -> None:
        with pytest.raises(ModelError, match="tensor_parallel_size"):
            load_model("pocket", "vllm", tensor_parallel=2)
        with pytest.raises(ModelError, match="trust_remote_code"):
            load_model("pocket", "vllm", trust_remote_code=True)
        with pytest.raises(ModelError, match="load_format"):
            load_model("pocket", "vllm", load_format="pt")


class TestLlama3(VLLMContract):
    """A random checkpoint: Llama 3's architecture, special tokens and template, 128,000 byte-level tokens."""

    @pytest.fixture(scope="class")
    @classmethod
    def checkpoint(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        tokenizer = chat_tokenizer("llama3", VOCABULARY, made_up_words(150_000))
        assert len(tokenizer) == VOCABULARY
        return save_random_chat_model(
            tmp_path_factory.mktemp("llama3"), "llama3", tokenizer=tokenizer, context=2048, width=128
        )

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, checkpoint: Path) -> LanguageModel:
        return started(checkpoint)

    def test_a_long_history_is_thinned(self, model: LanguageModel) -> None:
        """A prompt that would outgrow the context drops trials, and the answer still comes."""
        task = get_task("toy/branin")
        grammar = model.dialect.grammar(task.space)
        rng = np.random.default_rng(0)
        history = tuple(Trial(i, grammar.sample(rng), "told", float(rng.random())) for i in range(150))
        proposal = propose_one(load_proposer("lm", model=model), task, history, (), 1)
        assert proposal.transcript["prompt_tokens"] < 2048
        assert proposal.config not in [trial.config for trial in history]


@pytest.mark.real
@pytest.mark.slow
class TestSmolLM2(RealModelContract, VLLMContract):
    @pytest.fixture(scope="class")
    @classmethod
    def loading(cls, smollm2: Path) -> Loading:
        return str(smollm2), {"backend": "vllm", "dtype": "float32"}

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, loading: Loading) -> LanguageModel:
        with loopback():
            return load_model(loading[0], **loading[1])

    def test_a_replay_gives_the_same_bits(self, study: Path) -> None:
        with loopback():
            super().test_a_replay_gives_the_same_bits(study)

    # Two more engines in this process would end what the first one and those after it stand on.
    test_a_study_of_programs_is_written_and_replayed = None  # type: ignore[assignment]


class TestDeterministic(LiveModelContract):
    """With `deterministic`: the contract, the self-test, and answers that are equal bit for bit in any batch."""

    cases: ClassVar[Cases] = Cases(PocketDialect())

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> LanguageModel:
        return started("pocket", deterministic="strict", dtype="float32")

    def test_bits_do_not_depend_on_the_batch(self, model: LanguageModel) -> None:
        mixed = self.cases.mixed
        together = model.generate([*mixed, *self.cases.seeds, *mixed])
        assert [model.generate([request])[0] for request in mixed] == together[: len(mixed)]
        assert together[: len(mixed)] == together[-len(mixed) :]

    def test_the_self_test_is_in_the_manifest(self, model: LanguageModel) -> None:
        found = model.manifest()
        assert found["self_test"] == {
            "passed": True, "requests": 8, "answers_differ": 0, "bits_differ": 0, "first": None
        }  # fmt: skip
        assert found["settings"]["deterministic"] == "strict"
        assert found["settings"]["environment"]["VLLM_CPU_ATTN_SPLIT_KV"] == "0"

    def test_a_study_alone_and_among_others(self, model: LanguageModel, tmp_path: Path) -> None:
        alone = together(model, tmp_path / "alone.airtune", [3])
        among = together(model, tmp_path / "among.airtune", range(17))
        assert alone == among


def test_bfloat16_is_deterministic_or_refused() -> None:
    """Where the processor has AMX, vLLM chooses its kernels of bfloat16 by the size of the batch."""
    hint = None
    try:
        model = started("pocket", deterministic="strict", dtype="bfloat16")
    except ModelError as refused:
        hint = refused.hint or ""
    if hint is None:
        assert model.manifest()["self_test"]["passed"]
    else:
        assert torch.cpu.get_capabilities()["amx_bf16"]
        assert "float32" in hint


def together(model: LanguageModel, path: Path, seeds: Sequence[int], budget: int = 6) -> str:
    """The export of the study with seed 3, which advanced in one batch with those of the other seeds."""
    task, proposer = get_task("toy/branin"), load_proposer("lm", model=model)
    with StudyFile(path) as file:
        studies = [StudyState(f"study {s}", task, s) for s in seeds]
        manifests = {f"study {s}": study_manifest(task, proposer, s) for s in seeds}
        file.acquire(*(study.name for study in studies))
        runner = LockStepRunner(file, proposer, studies, manifests)
        while runner.step(budget):
            pass
        return "".join(export_jsonl(file, "study 3", times=False, transcripts=True))


def play(model: LanguageModel, task: Task, budget: int) -> list[Any]:
    """The configurations of a greedy study."""
    proposer = load_proposer("lm", model=model, temperature=0.0)
    history: list[Trial] = []
    for number in range(budget):
        proposal = propose_one(proposer, task, tuple(history), (), derive_seed(0, number))
        loss = evaluate(task.objective, proposal.config).loss
        history.append(Trial(number, proposal.config, "told", loss))
    return [trial.config for trial in history]
