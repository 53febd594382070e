"""Chat models on the transformers backend: Llama 3, Qwen 3 and Gemma 3 (random weights, their own architectures and
templates), and a real one where it is.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace, Float

from airtune.engine import Job, Task, Trial, load_proposer
from airtune.engine.proposers.base import propose_one
from airtune.grammars import space_grammar
from airtune.models import LanguageModel, ModelError, TextRequest, TextWriter, load_model
from airtune.models.backends.transformers import TransformersModel
from airtune.models.tiny import FAMILIES
from tests.contract.real_model import Loading, RealModelContract
from tests.contract.test_models import TransformersContract
from tests.models.chat_checkpoint import save_random_chat_model

VARIANTS = (
    "chat",
    "chat+history=turns",
    "chat+detail=none+examples=1",
    "chat+reasoning=on+reasoning_tokens=24",
    "chat+history=turns+reasoning=on+reasoning_tokens=24+examples=1",
)


@pytest.fixture(scope="module", params=list(FAMILIES))
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_chat_model(
        tmp_path_factory.mktemp(request.param), request.param, size=1000, context=4096
    )


class FamilyContract(TransformersContract):
    family, seed = "", 0

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
        path = tmp_path_factory.mktemp(cls.family)
        return load_model(save_random_chat_model(path, cls.family, seed=cls.seed, size=1000, context=2048))


class TestLlama3(FamilyContract):
    family = "llama3"


class TestQwen3(FamilyContract):
    family = "qwen"


class TestGemma3(FamilyContract):
    """Half of its layers see a window of 64 tokens only."""

    family, seed = "gemma", 1


@pytest.mark.real
@pytest.mark.slow
class TestSmolLM2(RealModelContract, TransformersContract):
    @pytest.fixture(scope="class")
    @classmethod
    def loading(cls, smollm2: Path) -> Loading:
        return str(smollm2), {"backend": "transformers"}


def task() -> Task:
    space = ConfigurationSpace(
        {"C": Float("C", (1e-3, 1e3), log=True), "n": (1, 30), "kernel": ["rbf", "poly"]}
    )
    return Task("svm", space, lambda c: 0.0, metric="error", description="An SVM.")


def trials(count: int) -> list[Trial]:
    import numpy as np

    rng, grammar = np.random.default_rng(0), space_grammar(task().space)
    return [Trial(i, grammar.sample(rng), "told", 1.0 / (i + 1)) for i in range(count)]


@pytest.mark.parametrize("dialect", VARIANTS)
def test_every_variant_proposes(checkpoint: Path, dialect: str) -> None:
    """Valid and new proposals, both phases on record, the settings in the manifest, the same again alone."""
    model = load_model(checkpoint, dialect=dialect)
    assert model.manifest()["dialect"] == dialect
    jobs = [Job(task(), tuple(trials(k)), (), seed=k) for k in (0, 3)]
    proposer = load_proposer("lm", model=model)
    proposer.propose(jobs)
    for job in jobs:
        assert job.proposal is not None
        shown = job.proposal.transcript
        assert shown is not None
        assert shown["dialect"] == dialect
        assert json.loads(json.dumps(shown)) == shown
        assert shown["rejected"] == []
        alone = propose_one(proposer, job.task, job.history, (), job.seed)
        assert alone.config == job.proposal.config
        if "reasoning=on" not in dialect:
            assert "thought" not in shown.get("details", {})
            continue
        thought, answered = shown["details"]["thought"], shown["details"]["answer_prompt"]
        assert 0 < len(thought["token_ids"]) <= thought["max_tokens"] == 24
        assert thought["seed"] != shown["seed"]
        assert answered.startswith(shown["prompt"])  # the prefix cache pays
        assert answered.rstrip().endswith(("assistant<|end_header_id|>", "</think>", "<start_of_turn>model"))


def test_reasoning_leaves_room_for_itself(tmp_path: Path) -> None:
    """A history that fits without the thought is thinned so that it fits with it; nothing crashes."""
    path = save_random_chat_model(tmp_path / "m", "llama3", size=600, context=1400)
    model = load_model(path, dialect="chat+reasoning=on+reasoning_tokens=200")
    proposal = propose_one(load_proposer("lm", model=model), task(), trials(60), (), seed=0)
    assert proposal.transcript is not None
    assert "of 60; the worse ones are left out" in proposal.transcript["prompt"]
    assert proposal.transcript["prompt_tokens"] + 30 < 1400


def test_a_thought_is_cut_where_it_leaves_no_room_for_the_answer() -> None:
    """What was said in few tokens may take more when it is read again: bytes that are no text, special tokens."""
    from airtune.models.dialects.chat.dialect import ChatDialect

    dialect = ChatDialect(reasoning="on", count_tokens=len, max_tokens=400)
    prompt = dialect.conclude("x" * 100, "y" * 500, answer=30)
    assert 365 <= len(prompt) <= 370
    assert prompt.startswith("x" * 100 + "y" * 100)


def ask(model: LanguageModel, **settings: object) -> TextRequest:
    prompt = model.dialect.render(_problem())
    return replace(TextRequest(prompt, seed=3, max_tokens=40), **settings)  # type: ignore[arg-type]


def _problem():  # type: ignore[no-untyped-def]
    from airtune.models import Problem

    return Problem("svm", "", task().space, "loss")


def test_free_text(checkpoint: Path) -> None:
    """Capped, ended by a text or by the model's own end of a turn; its own seed; never a special token."""
    model = load_model(checkpoint)
    assert isinstance(model, TextWriter)
    assert isinstance(model, TransformersModel)
    requests = [ask(model, seed=seed, temperature=2.0) for seed in range(6)]
    together = model.write(requests)
    assert together == model.write(requests)
    assert len({one.text for one in together}) > 1
    for request, one in zip(requests, together, strict=True):
        (alone,) = model.write([request])
        assert alone.token_ids == one.token_ids
        assert one.token_ids is not None
        assert one.finish_reason == ("length" if len(one.token_ids) == 40 else "stop")
        spoken = one.token_ids[:-1] if one.finish_reason == "stop" else one.token_ids
        assert all(model.vocabulary.tokens[token] for token in spoken)
        assert model.vocabulary.text(spoken) == one.text
    (greedy,) = model.write([ask(model, temperature=0.0)])
    assert greedy == model.write([ask(model, temperature=0.0, seed=9)])[0]
    assert model.write([]) == []


def test_the_turns_own_end_ends_free_text(tmp_path: Path) -> None:
    """Gemma's tokenizer says <eos>, but its turns end with <end_of_turn>: only generation_config.json says so."""
    model = load_model(save_random_chat_model(tmp_path / "m", "gemma", size=300))
    assert isinstance(model, TransformersModel)
    end = model.tokenizer.convert_tokens_to_ids("<end_of_turn>")
    texts = model.write([ask(model, seed=s, temperature=1000.0, max_tokens=300) for s in range(12)])
    # Nearly uniform over 300 tokens, two of which end the text: it never comes up with probability 0.5 ** 12.
    assert end in {one.token_ids[-1] for one in texts if one.token_ids}


def test_a_model_that_cannot_write_is_refused() -> None:
    from airtune.models.dialects.chat.dialect import ChatDialect
    from airtune.models.dialects.chat.reasoning import with_reasoning

    class Mute:
        name, dialect = "mute", ChatDialect(reasoning="on")

        def manifest(self) -> dict[str, object]:
            return {}

        def generate(self, requests: object) -> list[object]:
            return []

    with pytest.raises(ModelError, match="cannot write free text"):
        with_reasoning(Mute())  # type: ignore[arg-type]
