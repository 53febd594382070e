"""Names, checkpoints, manifests, and every way in which a model directory can be wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airtune.models import ModelError, list_models, load_model, model_info, verify_model
from airtune.models.inventory import record_manifest
from airtune.models.tiny import byte_tokenizer, save_random_llama


@pytest.fixture
def copy(byte_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(byte_checkpoint, tmp_path / "model"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_import_is_light() -> None:
    heavy = "{'torch', 'transformers', 'llguidance'}"
    code = f"import sys, airtune.models; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("own", "given", "spoken"),
    [
        ("pocket+alphabet=1", None, "pocket+alphabet=1"),
        ("pocket+alphabet=1", "pocket", "pocket+alphabet=1"),
        ("pocket+alphabet=1", "pocket+names=hidden", "pocket+names=hidden+alphabet=1"),
        ("pocket+alphabet=1", "pocket+alphabet=2", "pocket"),
        ("pocket+alphabet=1", "chat", "chat"),
        ("pocket", "pocket+names=hidden", "pocket+names=hidden"),
        ("chat+history=turns", "chat", "chat"),
    ],
)
def test_the_alphabet_is_that_of_the_weights(copy: Path, own: str, given: str | None, spoken: str) -> None:
    """Whoever hides the names need not know which alphabet the weights have learnt."""
    (copy / "airtune.json").write_text(json.dumps({"dialect": own}))
    assert load_model(copy, dialect=given).dialect.name == spoken
    assert load_model(copy, "uniform", dialect=given).dialect.name == spoken


def test_manifest_pins_everything(copy: Path) -> None:
    manifest = load_model(copy, dtype="float32").manifest()
    assert set(manifest["files"]) == {p.name for p in copy.iterdir()}
    assert {"airtune", "torch", "transformers", "llguidance"} <= manifest["versions"].keys()
    assert manifest["settings"] == {
        "dtype": "float32",
        "device": "cpu",
        "mask_engine": "llguidance",
        "fast_forward": True,
        "threads": 1,
        "max_batch_tokens": 16384,
        "prefix_block": 0,
        "deterministic": "off",
    }
    assert manifest["weights"] == model_info(copy).parameters > 0
    assert manifest["weights_bytes"] == (copy / "model.safetensors").stat().st_size
    json.dumps(manifest)
    before = manifest["files"]["model.safetensors"]
    save_random_llama(copy, byte_tokenizer(), seed=1)
    assert load_model(copy).manifest()["files"]["model.safetensors"] != before


def test_hub_id_in_the_local_cache(byte_checkpoint: Path, hub: Path) -> None:
    folder = hub / "models--someone--tiny-llama"
    shutil.copytree(byte_checkpoint, folder / "snapshots" / "abc")
    assert model_info("someone/tiny-llama").path.name == "abc"
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    shutil.copytree(byte_checkpoint, folder / "snapshots" / "older")
    info = model_info("someone/tiny-llama")
    assert info.path.name == "abc"
    assert info.parameters > 10_000
    assert info.dialect == "chat"
    assert "someone/tiny-llama" in [model.name for model in list_models()]
    assert load_model("someone/tiny-llama").name == "someone/tiny-llama"


def test_unknown_model(hub: Path) -> None:
    with pytest.raises(ModelError, match="unknown model 'pockett'") as caught:
        load_model("pockett")
    assert "did you mean 'pocket'" in str(caught.value)
    for name in ("someone/absent", "/no/such/directory"):
        with pytest.raises(ModelError, match="unknown model"):
            load_model(name)


def test_unknown_backend_dialect_setting(copy: Path) -> None:
    with pytest.raises(ModelError, match="unknown backend 'vlm'"):
        load_model(copy, backend="vlm")
    with pytest.raises(ModelError, match="unknown dialect 'chatt'") as caught:
        load_model(copy, dialect="chatt")
    assert "'chat'" in str(caught.value)
    with pytest.raises(ModelError, match="dtyp"):
        load_model(copy, dtyp="float32")
    with pytest.raises(ModelError, match="unknown dtype 'float8'"):
        load_model(copy, dtype="float8")
    with pytest.raises(ModelError, match="unknown mask engine"):
        load_model(copy, mask_engine="outlines")
    with pytest.raises(ModelError, match="threads"):
        load_model(copy, threads=0)
    with pytest.raises(ModelError, match="cannot be used"):
        load_model(copy, device="nowhere")


def test_dialect_of_the_directory(copy: Path) -> None:
    (copy / "airtune.json").write_text('{"dialect": "nonsense"}')
    with pytest.raises(ModelError, match="unknown dialect 'nonsense'"):
        load_model(copy)
    assert load_model(copy, dialect="chat").dialect.name == "chat"
    for broken in ("{", "[]", '{"dialog": "chat"}'):
        (copy / "airtune.json").write_text(broken)
        with pytest.raises(ModelError, match="does not name a dialect"):
            load_model(copy)


def test_no_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        load_model(copy)


def test_pickle_weights_only(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickle only \(pytorch_model.bin\)"):
        load_model(copy)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_missing_or_broken_json(copy: Path, name: str) -> None:
    (copy / name).write_text("{")
    with pytest.raises(ModelError, match=f"{name} is not valid JSON"):
        load_model(copy)
    (copy / name).unlink()
    with pytest.raises(ModelError, match=f"has no {name}"):
        load_model(copy)


def test_broken_config_and_weights(copy: Path) -> None:
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(ModelError, match="not a checkpoint that transformers can load"):
        load_model(copy)
    (copy / "config.json").write_text(config)
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[:1000])
    with pytest.raises(ModelError, match="not a checkpoint that transformers can load"):
        load_model(copy)


def test_remote_code_is_never_run(copy: Path) -> None:
    """A config that asks for code of its own directory is refused; the code never runs."""
    config = json.loads((copy / "config.json").read_text())
    config["model_type"] = "unheard-of"
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\nclass Config: ...\nclass Model: ...\n")
    with pytest.raises(ModelError):
        load_model(copy)
    assert not (copy / "ran").exists()


def test_tokenizer_without_end(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    save_random_llama(tmp_path, tokenizer)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        load_model(tmp_path)


def test_tokenizer_larger_than_the_model(tmp_path: Path) -> None:
    save_random_llama(tmp_path, byte_tokenizer(), padding=-3)
    with pytest.raises(ModelError, match="logits have 255 columns but its tokenizer has 258 tokens"):
        load_model(tmp_path)


def test_verify(copy: Path) -> None:
    with pytest.raises(ModelError, match=r"no manifest\.json"):
        verify_model(copy)
    record_manifest(copy)
    assert set(verify_model(copy)) == {p.name for p in copy.iterdir()} - {"manifest.json"}
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config + " ")
    (copy / "extra.txt").write_text("")
    (copy / "generation_config.json").unlink()
    with pytest.raises(ModelError) as caught:
        verify_model(copy)
    for part in ("config.json differs", "extra.txt is new", "generation_config.json is missing"):
        assert part in str(caught.value)
    (copy / "manifest.json").write_text("[]")
    with pytest.raises(ModelError, match="not a manifest"):
        verify_model(copy)


def test_not_a_directory_of_a_model(tmp_path: Path) -> None:
    for call in (model_info, verify_model, load_model):
        with pytest.raises(ModelError, match="holds no weights"):
            call(tmp_path)


def test_no_progress_bar(byte_checkpoint: Path) -> None:
    code = f"from airtune.models import load_model; load_model({str(byte_checkpoint)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ""


def _sharded(path: Path, whole: Path) -> Path:
    """A copy with its weights in two files."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(whole, path)
    weights = sorted(load_file(path / "model.safetensors").items())
    (path / "model.safetensors").unlink()
    named = {}
    for i, some in enumerate((weights[::2], weights[1::2])):
        save_file(dict(some), path / f"model-{i}.safetensors", metadata={"format": "pt"})
        named |= {key: f"model-{i}.safetensors" for key, _ in some}
    index = {"metadata": {}, "weight_map": named}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def test_weights_in_several_files(copy: Path, tmp_path: Path) -> None:
    """What is counted is what is loaded; a part that is missing is told before anything is loaded."""
    sharded = _sharded(tmp_path / "sharded", copy)
    count = model_info(copy).parameters
    assert model_info(sharded).parameters == count
    load_model(sharded)
    shutil.copy(copy / "model.safetensors", sharded / "consolidated.safetensors")
    assert model_info(sharded).parameters == count
    (sharded / "model-1.safetensors").unlink()
    for use in (model_info, load_model):
        with pytest.raises(ModelError, match=r"lacks 1 of the files .* model-1.safetensors among them"):
            use(sharded)


@pytest.mark.parametrize(
    "index", ["[]", "{", '{"weight_map": {}}', '{"weight_map": {"w": "../copy/model.safetensors"}}']
)
def test_an_index_of_other_files(copy: Path, tmp_path: Path, index: str) -> None:
    """Weights outside of the folder would be loaded, and no hash would pin them."""
    sharded = _sharded(tmp_path / "sharded", copy)
    (sharded / "model.safetensors.index.json").write_text(index)
    for use in (model_info, load_model):
        with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
            use(sharded)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("airtune.json", b"{"), ("airtune.json", b"[" * 100_000), ("config.json", b"[" * 100_000),
        ("model.safetensors", b"xx"), ("model.safetensors", bytes(100)),
    ],
)  # fmt: skip
def test_a_broken_model_does_not_hide_the_others(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    """`airtune models list` ended with a traceback of the library's."""
    (copy / name).write_bytes(content)
    monkeypatch.setenv("AIRTUNE_MODELS", str(tmp_path / "models"))
    shutil.copytree(copy, tmp_path / "models" / "broken")
    with pytest.raises(ModelError, match=name):
        model_info("broken")
    assert "pocket" in [one.name for one in list_models()]


def test_a_broken_reference_in_the_cache(hub: Path) -> None:
    reference = hub / "models--someone--odd" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_bytes(b"\xff\xfe")
    assert "pocket" in [one.name for one in list_models()]


@pytest.mark.parametrize("name", ["", "~nobody-of-that-name/x", "x" * 5000, "a/" + "x" * 5000, "a\0b"])
def test_names_that_are_no_paths_either(hub: Path, name: str) -> None:
    (hub / "models--a--b").mkdir(parents=True)
    with pytest.raises(ModelError, match="unknown model"):
        load_model(name)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fast_forward": "False"}, "fast_forward=false"), ({"max_batch_tokens": "many"}, "a whole number"),
        ({"dtype": ["float32"]}, "a text"), ({"device": None}, "a text"), ({"mask_engine": {}}, "a text, null"),
        ({"path": "/x"}, "unknown setting"), ({"name": "x"}, "unknown setting"), ({"dtyp": "float32"}, "dtype"),
        ({"record": 5}, "no text"), ({"dialect": 5}, "no text"),
    ],
)  # fmt: skip
def test_settings_of_another_type(copy: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(copy, **settings)
    assert said in str(caught.value)


@pytest.mark.parametrize("number", [0, -1])
def test_a_prefill_of_no_tokens(copy: Path, number: int) -> None:
    """Bug: it was taken for one prompt at a time, and written into manifests as it was."""
    with pytest.raises(
        ModelError, match=f"max_batch_tokens must be a number of tokens, not {number}"
    ) as caught:
        load_model(copy, max_batch_tokens=number)
    assert (caught.value.allowed, caught.value.hint) == ("1, 2, ...", "leave it out")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allow_network": "False", "base_url": "https://example.org/v1"}, "allow_network=false"),
        ({"logprobs": "True"}, "logprobs=true"), ({"timeout_s": "30s"}, "a number"),
        ({"max_retries": "many"}, "a whole number"), ({"max_wait_s": None}, "a number"),
        ({"server": ["vllm"]}, "a text"), ({"base_url": 5}, "a text, null"), ({"api_key_env": 5}, "a text, null"),
        ({"extra": "x"}, "a JSON object"), ({"attempts": True}, "a whole number"), ({"clock": 5}, "clock"),
    ],
)  # fmt: skip
def test_settings_of_a_server(settings: dict[str, Any], said: str) -> None:
    """The text "False" was taken for true, and prompts might have left the machine."""
    with pytest.raises(ModelError) as caught:
        load_model("m", "openai", **{"server": "vllm", "base_url": "http://127.0.0.1:1/v1", **settings})
    assert said in str(caught.value)
