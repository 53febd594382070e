"""Prompts read in blocks: what is kept of them, and that nobody can tell from an answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ConfigSpace import ConfigurationSpace

from airtune.engine import Study, StudyFile, Task, export_jsonl, load_proposer
from airtune.grammars import space_grammar
from airtune.models import Completion, ModelError, Request, load_model
from airtune.models.backends.transformers import TransformersModel
from airtune.models.decoding.kv_cache import PreallocatedLayer, stacked
from airtune.models.decoding.prefix_cache import BLOCK, PrefixCache
from airtune.models.dialects.chat.dialect import ChatDialect
from tests.models.chat_checkpoint import save_random_chat_model

SPACE = ConfigurationSpace({"rate": (0.0, 1.0), "kind": ["a", "long"]})
GRAMMAR = space_grammar(SPACE)
# One token a byte. Two beginnings with the same text in the same places after them: its block is not the same block.
HEADS = ("A search with one beginning.... ", "The other beginning of a search ")
BODY = "Trials: 0.25 -> 0.5, 0.75 -> 0.125, and then 0.1 -> 0.625\n"
PROMPTS = [head + BODY + "0.5 -> 0.5\n" * n for n in range(4) for head in HEADS] + ["Short:"]


def model_with(path: Path, **settings: Any) -> TransformersModel:
    return TransformersModel(path, dialect=ChatDialect(), **{"prefix_block": 16, **settings})


def requests(prompts: Sequence[str]) -> list[Request]:
    return [Request(prompt, GRAMMAR, seed) for seed, prompt in enumerate(prompts)]


def bits(answers: Sequence[Completion]) -> list[object]:
    return [(one.text, one.token_ids, one.logprobs) for one in answers]


@pytest.fixture(scope="module")
def cold(byte_checkpoint: Path) -> list[object]:
    """Every prompt's answer by a model that has read nothing before."""
    return [bits(model_with(byte_checkpoint).generate([one]))[0] for one in requests(PROMPTS)]


@pytest.mark.parametrize("room", [0, 1, "70KiB", None])
def test_what_was_asked_before_and_the_room_change_no_bit(
    byte_checkpoint: Path, cold: list[object], room: int | str | None
) -> None:
    model = model_with(byte_checkpoint, prefix_cache=room)
    for _ in range(2):
        assert [bits(model.generate([one]))[0] for one in requests(PROMPTS)] == cold
    backwards = [bits(model.generate([one]))[0] for one in reversed(requests(PROMPTS))]
    assert backwards[::-1] == cold


@pytest.mark.parametrize("settings", [{}, {"max_batch_tokens": 40}])
def test_a_batch_answers_alike_with_and_without_what_is_kept(
    byte_checkpoint: Path, cold: list[object], settings: dict[str, Any]
) -> None:
    """Prompts of no, few and many blocks in one batch, some of them twice; to the bit against itself."""
    batch = [*requests(PROMPTS), *(Request(p, GRAMMAR, 50 + i) for i, p in enumerate(PROMPTS[:3]))]
    first = model_with(byte_checkpoint, **settings).generate(batch)
    model = model_with(byte_checkpoint, prefix_cache="100KiB", **settings)
    for one in requests(PROMPTS[::2]):
        model.generate([one])
    assert bits(model.generate(batch)) == bits(first)
    for mine, (_, ids, logprobs) in zip(first, cold, strict=False):  # type: ignore[misc]
        assert mine.token_ids == ids
        assert mine.logprobs == pytest.approx(logprobs, abs=1e-4)


def test_blocks_say_what_whole_prompts_say(byte_checkpoint: Path) -> None:
    whole = model_with(byte_checkpoint, prefix_block=0)
    assert whole.prefixes is None
    for block in (1, 7, 16, 1000):
        mine = model_with(byte_checkpoint, prefix_block=block)
        assert mine.manifest()["settings"]["prefix_block"] == block
        for one in requests(PROMPTS):
            (a,), (b,) = mine.generate([one]), whole.generate([one])
            assert a.token_ids == b.token_ids
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_only_the_new_end_is_read(byte_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of the same size and places, and what is left of a prompt at once."""
    model = model_with(byte_checkpoint)
    assert model.prefixes is not None
    read: list[int] = []
    forward = model.prefixes._head.states

    def watched(keep: Any, **arguments: Any) -> torch.Tensor:
        read.append(arguments["input_ids"].shape[1])
        return forward(keep, **arguments)

    monkeypatch.setattr(model.prefixes._head, "states", watched)
    monkeypatch.setattr(model.decoder._head, "states", watched)
    start = len('{"kind":"')  # an answer's forced start is read with the prompt
    model.generate(requests(["x" * 50]))
    assert read[:4] == [16, 16, 16, 2 + start]
    read.clear()
    model.generate(requests(["x" * 50 + "y" * 20]))
    assert read[:2] == [16, 6 + start]
    read.clear()
    model.generate(requests(["x" * (64 - start)]))  # an answer starts after the last token: it is read again
    assert read[0] == 16


def test_room_is_kept_to_and_beginnings_stay_longest(byte_checkpoint: Path) -> None:
    model = model_with(byte_checkpoint)
    assert model.prefixes is not None
    model.generate(requests(["x" * 17]))
    one = model.prefixes.bytes
    small = model_with(byte_checkpoint, prefix_cache=3 * one + one // 2)
    assert small.prefixes is not None
    shared = "s" * 16
    for tail in ("abc", "def", "ghi"):
        small.generate(requests([shared + "".join(c * 16 for c in tail) + "."]))
        assert small.prefixes.bytes == 3 * one
        depths = sorted(len(key) for key in small.prefixes._kept)
        assert depths == [16, 32, 48]  # of four blocks the deepest went, and those of the prompt before


def test_a_layer_of_lines_of_several_lengths() -> None:
    def layer(n: int) -> PreallocatedLayer:
        made = PreallocatedLayer(9)
        if n:
            made.update(torch.full((1, 2, n, 3), float(n)), torch.full((1, 2, n, 4), -float(n)))
        return made

    both = stacked([layer(2), layer(0), layer(5)])
    assert (both.keys.shape, both.values.shape) == ((3, 2, 5, 3), (3, 2, 5, 4))
    assert both.keys[:, 0, :, 0].tolist() == [[0, 0, 0, 2, 2], [0] * 5, [5] * 5]
    both.update(torch.ones(3, 2, 1, 3), torch.ones(3, 2, 1, 4))
    both.batch_select_indices(torch.tensor([2, 0]))
    both.update(torch.ones(2, 2, 8, 3), torch.ones(2, 2, 8, 4))  # more than there was room for
    assert both.keys[1, 1, :, 0].tolist() == [0, 0, 0, 2, 2, *[1] * 9]
    assert both.values[0, 1, :, 0].tolist() == [*[-5] * 5, *[1] * 9]


def test_a_study_that_goes_on_without_what_was_kept(tmp_path: Path) -> None:
    """Uninterrupted, ended after every trial, with no room and with little: exports of the same bytes."""
    checkpoint = save_random_chat_model(tmp_path / "model", "llama3", size=600)
    task = Task("bowl", SPACE, lambda config: config["rate"] ** 2, metric="depth")

    def export(name: str, parts: Sequence[int], **settings: Any) -> str:
        path = tmp_path / f"{name}.sqlite"
        for until in parts:
            model = load_model(checkpoint, prefix_block=16, **settings)
            with Study(task, load_proposer("lm", model=model), seed=1, path=path, name="s") as study:
                while len(study.trials) < until:
                    trial = study.ask()
                    study.tell(trial, trial.config["rate"] ** 2)
        with StudyFile(path, readonly=True) as file:
            return "".join(export_jsonl(file, times=False, transcripts=True))

    whole = export("whole", [5])
    assert '"prefix_block":16' in whole.replace(" ", "")
    assert export("killed", [1, 2, 3, 5]) == whole
    assert export("none", [5], prefix_cache=0) == whole
    assert export("little", [2, 5], prefix_cache="200KiB") == whole


def test_sizes_and_models_that_cannot() -> None:
    plain = {"_attn_implementation": "sdpa", "layer_types": None}

    def model(weights: int, **config: Any) -> Any:
        told = SimpleNamespace(get_text_config=lambda: SimpleNamespace(**plain, **config))
        return SimpleNamespace(config=told, num_parameters=lambda: weights)

    for room in ("256 MB", "-1", "", -1, 1.5, True, "MiB"):
        with pytest.raises(ModelError, match="prefix_cache must be a size"):
            PrefixCache.of(model(1), 16, room)  # type: ignore[arg-type]
    for block in (-1, True, "16", 1.0):
        with pytest.raises(ModelError, match="prefix_block must be a number"):
            PrefixCache.of(model(1), block, None)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="cannot read its prompts in blocks"):
        PrefixCache.of(model(1, sliding_window=64), 16, None)
    with pytest.raises(ModelError, match="read whole") as caught:
        PrefixCache.of(model(1), None, "1MiB")
    assert f"prefix_block={BLOCK}" in str(caught.value.hint)
    assert PrefixCache.of(model(1), None, 0) is None
    assert PrefixCache.of(model(200_000_000, sliding_window=64), None, None) is None
