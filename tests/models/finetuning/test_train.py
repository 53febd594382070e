"""Fine-tuning a small random chat model: the loss, resuming, what is written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from airtune.grammars import AirtuneError
from airtune.models import ModelError, load_model, verify_model
from airtune.models.backends.prompts import PromptTokenizer
from airtune.models.finetuning import train
from airtune.models.finetuning.episodes import draw_episode
from airtune.models.finetuning.release import ADAPTER, WEIGHTS, finetune_model
from airtune.models.finetuning.train import Run, answers_loss, encode
from airtune.models.inventory import model_info, record_manifest
from airtune.models.pocket.training.algorithms import HELD_OUT
from airtune.models.pocket.training.curriculum import split_tables
from airtune.models.registry import make_dialect
from airtune.models.tiny import chat_tokenizer, save_random_llama


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base")
    (path / "LICENSE").write_text("terms\n")
    (path / "licenses").mkdir()  # as an imported model has it
    (path / "licenses" / "NOTICE").write_text("more terms\n")
    save_random_llama(path, chat_tokenizer("qwen", 600), width=32, spread=0.05)
    record_manifest(path, {"license": "apache-2.0"})
    return path


@pytest.fixture(autouse=True)
def few_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train.held_out_loss, "__defaults__", (2,))


RUN = Run(steps=4, episodes=1, rank=4, learning_rate=1e-2)


def weights(out: Path) -> bytes:
    return (out / WEIGHTS / "model.safetensors").read_bytes()


def test_an_answer_reads_the_prompt_and_itself(base: Path) -> None:
    """The loss over answers side by side is that of each answer alone: no answer sees another."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base).eval()
    prompts = PromptTokenizer(base)
    dialect = prompts.bind(make_dialect("chat"), 2048)
    episode = draw_episode(np.random.default_rng(4), {})
    example = encode(episode, dialect, prompts, prompts.tokenizer.eos_token_id)
    assert example is not None
    assert example.part.max() >= 2
    together = float(answers_loss(model, example, torch.device("cpu")).detach())
    total, count = 0.0, 0
    prompt = prompts.encode(dialect.render(episode.problem))
    for k in range(1, int(example.part.max()) + 1):
        mine = example.part == k
        ids = torch.cat([torch.tensor(prompt[:-1]), example.tokens[mine]])
        assert ids[: len(prompt)].tolist() == prompt
        with torch.inference_mode():
            logits = model(ids[None]).logits[0, len(prompt) - 1 :]
        wanted = example.targets[mine]
        assert wanted[-1] == prompts.tokenizer.eos_token_id
        total += float(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum"))
        count += len(wanted)
    assert together == pytest.approx(total / count, rel=1e-4)


def test_the_loss_falls_and_the_result_is_a_model(base: Path, tmp_path: Path) -> None:
    curve = finetune_model(base, tmp_path, Run(steps=12, episodes=2, rank=8, learning_rate=3e-2))
    watched = [record["held_out"] for record in curve if "held_out" in record]
    assert watched[-1] < watched[0] - 0.15
    verify_model(tmp_path / WEIGHTS)
    assert (tmp_path / WEIGHTS / "LICENSE").read_text() == "terms\n"
    assert (tmp_path / WEIGHTS / "licenses" / "NOTICE").read_text() == "more terms\n"
    info = model_info(tmp_path / WEIGHTS)
    assert info.license == "apache-2.0"
    assert model_info(base).sha256 in str(info.origin)
    assert f"{watched[-1]:.4f}" in (tmp_path / WEIGHTS / "CARD.md").read_text()
    assert json.loads((tmp_path / ADAPTER / "adapter_config.json").read_text())["r"] == 8
    model = load_model(tmp_path / WEIGHTS)
    assert model.dialect.name == "chat"
    assert weights(tmp_path) != (base / "model.safetensors").read_bytes()


def test_what_is_watched_and_what_suites_report_on_is_not_trained_on(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[int]] = {"trained": set(), "watched": set()}
    algorithms: set[str] = set()

    def drawn(rng, tables):
        watched = rng.bit_generator.seed_seq.entropy == [train.HELD_OUT_SEED]
        seen["watched" if watched else "trained"] |= {
            id(one.loss) for group in tables.values() for one in group
        }
        algorithms.update(tables)
        return draw_episode(rng, tables)

    kept = split_tables()
    monkeypatch.setattr(train, "split_tables", lambda: kept)
    monkeypatch.setattr(train, "draw_episode", drawn)
    finetune_model(base, tmp_path, RUN)
    assert seen["trained"]
    assert seen["watched"]
    assert not seen["trained"] & seen["watched"]
    assert not algorithms & set(HELD_OUT)


@pytest.mark.parametrize("rank", [4, 0])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    run = Run(steps=4, episodes=1, rank=rank, learning_rate=1e-2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    finetune_model(base, whole, run)
    plain = train.finetune

    def interrupted(*args, **kwargs):
        def say(record):
            if record["step"] == 3:
                raise KeyboardInterrupt

        return plain(*args, **{**kwargs, "save_every": 2, "say": say})

    monkeypatch.setattr("airtune.models.finetuning.release.finetune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetune_model(base, parts, run)
    assert not (parts / WEIGHTS).exists()
    monkeypatch.undo()
    finetune_model(base, parts, run)
    assert weights(parts) == weights(whole)


def test_another_run_in_the_same_folder_is_refused(base: Path, tmp_path: Path) -> None:
    finetune_model(base, tmp_path, RUN)
    before = weights(tmp_path)
    with pytest.raises(AirtuneError, match="holds another run"):
        finetune_model(base, tmp_path, Run(steps=5, episodes=1, rank=4, learning_rate=1e-2))
    assert weights(tmp_path) == before


def test_a_base_that_lacks_weights_is_refused(base: Path, tmp_path: Path) -> None:
    """transformers draws them at random, and the updates would be of a model that nobody has."""
    from safetensors.numpy import load_file, save_file

    part = shutil.copytree(base, tmp_path / "part")
    weights = load_file(part / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, part / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of its model's weights, model\.layers\.1\.mlp\.up_proj"):
        finetune_model(part, tmp_path / "out", RUN)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_fine_tuned_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="speaks the dialect 'pocket'"):
        finetune_model("pocket", tmp_path, RUN)
    with pytest.raises(ModelError, match="threads"):
        finetune_model(base, tmp_path, RUN, threads=0)
    for wrong in ({"steps": 0}, {"rank": -1}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}):
        with pytest.raises(AirtuneError):
            Run(**wrong)
    assert not list(tmp_path.iterdir())
