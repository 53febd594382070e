"""The command line with real language models: small random checkpoints, made here; and scripted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airtune.models.tiny import bpe_tokenizer, byte_tokenizer, save_random_llama

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with a byte-pair tokenizer, and no training at all."""
    return save_random_llama(tmp_path_factory.mktemp("models") / "tiny", bpe_tokenizer(600), context=4096)


def test_a_checkpoint_proposes_and_its_transcript_can_be_shown(folder: Folder, checkpoint: Path) -> None:
    command = (
        "tune",
        "toy/branin",
        "--proposer",
        "lm",
        "--model",
        str(checkpoint),
        "--budget",
        "3",
        "--seed",
        "5",
    )
    first = folder.call(*command, "--json").json
    assert [trial["status"] for trial in first["trials"]] == ["told"] * 3
    shown = folder.call("show", "airtune.sqlite", "--trial", "1").out
    for word in ("prompt", "answer", "log-probability", "grammar", str(checkpoint)):
        assert word in shown
    trial = folder.call("show", "airtune.sqlite", "--trial", "1", "--json").json
    assert trial["transcript"]["text"] in shown
    assert len(trial["transcript"]["token_ids"]) == len(trial["transcript"]["logprobs"])
    lines = folder.call("export", "airtune.sqlite", "--no-times").out
    assert lines.count('"kind": "transcript"') == 3
    assert '"kind": "transcript"' not in folder.call("export", "airtune.sqlite", "--no-transcripts").out
    folder.airtune(*command, "--study", "again.sqlite", environment={"PYTHONHASHSEED": "7"})
    assert folder.call("export", "again.sqlite", "--no-times").out == lines


@pytest.mark.parametrize("proposer", ["lm", "default+lm"])
def test_the_scripted_backend_needs_no_weights(folder: Folder, proposer: str) -> None:
    model = ("--model", "scripted", "--backend", "scripted", "--proposer", proposer)
    command = ("tune", "toy/branin", *model, "--budget", "6", "--json")
    trials = folder.call(*command).json["trials"]
    assert len({tuple(trial["config"].items()) for trial in trials}) == 6


def test_another_model_is_another_study(folder: Folder, checkpoint: Path) -> None:
    """Under one name in one file, a study does not go on with a model that it was not begun with."""
    command = ("tune", "toy/branin", "--study-name", "mine", "--budget", "1")
    folder.call(*command, "--model", "scripted", "--backend", "scripted")
    ended = folder.call(*command, "--model", str(checkpoint), code=2)
    assert "language model" in ended.err
    assert "--study-name" in ended.err
    ended = folder.call(*command, "--proposer", "random", code=2)
    assert "another proposer: 'default+lm+gp', now 'random'" in ended.err


def without_weights(path: Path) -> None:
    for file in path.glob("*.safetensors"):
        file.unlink()


def with_pickle_only(path: Path) -> None:
    for file in path.glob("*.safetensors"):
        file.rename(file.with_name("pytorch_model.bin"))


def without_tokenizer(path: Path) -> None:
    (path / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("damage", "value", "fix"),
    [
        (without_weights, "no weights", "safetensors"),
        (with_pickle_only, "pytorch_model.bin", "save_pretrained"),
        (without_tokenizer, "tokenizer.json", "copy the whole checkpoint"),
        (shutil.rmtree, "unknown model", ""),
    ],
    ids=["no weights", "pickle only", "no tokenizer", "no folder"],
)
def test_a_directory_that_is_no_model(
    folder: Folder, checkpoint: Path, damage: Callable[[Path], None], value: str, fix: str
) -> None:
    broken = folder.path / "broken"
    shutil.copytree(checkpoint, broken)
    damage(broken)
    ended = folder.call("tune", "toy/branin", "--model", str(broken), code=2)
    assert value in ended.err
    assert str(broken) in ended.err
    assert "  fix: " in ended.err
    assert fix in ended.err
    assert "Traceback" not in ended.err
    assert not (folder.path / "airtune.sqlite").exists()


def test_a_tokenizer_that_cannot_spell_the_grammar(folder: Folder) -> None:
    """A vocabulary without digits cannot write a number: said before anything is proposed."""
    mute = save_random_llama(folder.path / "mute", byte_tokenizer())
    tokenizer = json.loads((mute / "tokenizer.json").read_text())
    for digit in "0123456789":  # the ids stay, what they write changes to a pair of letters
        tokenizer["model"]["vocab"][f"z{'abcdefghij'[int(digit)]}"] = tokenizer["model"]["vocab"].pop(digit)
    (mute / "tokenizer.json").write_text(json.dumps(tokenizer))
    ended = folder.call("tune", "toy/branin", "--model", str(mute), code=2)
    assert "cannot spell" in ended.err
    assert "'0'" in ended.err
    assert "  fix: " in ended.err
    assert "Traceback" not in ended.err


def test_verify_tells_a_file_that_was_changed(folder: Folder, checkpoint: Path) -> None:
    """A check that does not hold is exit code 1; a model that is not there is bad input."""
    from airtune.models.inventory import record_manifest

    copy = folder.path / "copy"
    shutil.copytree(checkpoint, copy)
    assert "manifest.json" in folder.call("models", "verify", str(copy), code=1).err
    record_manifest(copy)
    assert folder.call("models", "verify", str(copy), "--json").json["ok"] is True
    with (copy / "config.json").open("a") as config:
        config.write("\n")
    ended = folder.call("models", "verify", str(copy), code=1)
    assert "config.json differs" in ended.err
    assert folder.call("models", "verify", str(copy), "--json", code=1).json["ok"] is False
