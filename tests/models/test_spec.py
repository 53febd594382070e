"""Models in one word: backend, name, dialect and settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from airtune.models import ModelError
from airtune.models.spec import ModelSpec, parse_spec


@pytest.mark.parametrize(
    ("text", "spec", "label"),
    [
        ("pocket", ModelSpec("pocket"), "pocket"),
        ("vllm:pocket", ModelSpec("pocket", "vllm"), "vllm:pocket"),
        ("./my+dir/", ModelSpec("./my+dir/"), "my+dir"),
        ("meta-llama/L@ma-3", ModelSpec("meta-llama/L@ma-3"), "L@ma-3"),
        ("C:/models/x", ModelSpec("C:/models/x"), "x"),
        ("x@chat", ModelSpec("x", dialect="chat"), "x (chat)"),
        (
            "openai:gpt-x+server=openai+record=a/b.jsonl+attempts=3+allow_network=true@chat+history=turns+reasoning=on",
            ModelSpec(
                "gpt-x", "openai", "chat+history=turns+reasoning=on",
                {"server": "openai", "record": "a/b.jsonl", "attempts": 3, "allow_network": True},
            ),
            "openai:gpt-x (server=openai, attempts=3, allow_network=True, history=turns, reasoning=on)",
        ),
        ("replay:out/a.jsonl", ModelSpec("out/a.jsonl", "replay"), "replay:a.jsonl"),
        (
            "openai:m+base_url=http://127.0.0.1:80/v1",
            ModelSpec("m", "openai", None, {"base_url": "http://127.0.0.1:80/v1"}),
            "openai:m",
        ),
    ],
)  # fmt: skip
def test_parts(text: str, spec: ModelSpec, label: str) -> None:
    assert parse_spec(text) == spec
    assert spec.label == label


@pytest.mark.parametrize("text", ["", "@chat", "vllm:", "+dtype=float32", "x+a=1+a=2"])
def test_not_a_model(text: str) -> None:
    with pytest.raises(ModelError):
        parse_spec(text)


def test_given_apart() -> None:
    assert parse_spec("pocket").but("vllm", "chat") == parse_spec("vllm:pocket@chat")
    assert parse_spec("vllm:pocket").but("vllm") == parse_spec("vllm:pocket")
    with pytest.raises(ModelError, match="two backends are given"):
        parse_spec("vllm:pocket").but("transformers")
    with pytest.raises(ModelError, match="two dialects are given"):
        parse_spec("pocket@chat").but(dialect="pocket")


def test_loads_with_dialect_and_settings() -> None:
    model = parse_spec("scripted+context=5000@chat+history=turns").load()
    assert model.manifest()["dialect"] == "chat+history=turns"
    assert model.manifest()["settings"]["context"] == 5000


@pytest.mark.parametrize(
    "text",
    [
        "nowhere",
        "pocket@chat+histroy=turns",
        "replay:/nowhere.jsonl",
        "vllm:nowhere",
        "scripted+contxt=1",
        "pocket+dtyp=float32",
        "pocket+fast_forward=False",
        "scripted+backend=uniform",
    ],
)
def test_what_cannot_be_used_is_refused_before_it_is_loaded(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airtune.models.backends.vllm import start as vllm_start

    # installed or not: it is the name that counts
    monkeypatch.setattr(vllm_start, "require_vllm", lambda: "0.32.0")
    with pytest.raises(ModelError):
        parse_spec(text).check()


def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from airtune.models.backends.vllm import start as vllm_start

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(vllm_start.metadata, "version", missing)
    with pytest.raises(ModelError, match="not installed"):
        parse_spec("vllm:pocket").check()


def test_a_recording_is_not_begun_by_a_check(tmp_path: Path) -> None:
    parse_spec(f"scripted+record={tmp_path / 'a.jsonl'}").check()
    assert not (tmp_path / "a.jsonl").exists()


def test_a_dialect_that_is_misspelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was looked for as a part of the model's name."""
    monkeypatch.chdir(tmp_path)
    for text in ("pocket@chta", "pocket@Chat+history=none"):
        with pytest.raises(ModelError, match="unknown dialect") as caught:
            parse_spec(text)
        assert "did you mean 'chat'" in str(caught.value)
    (tmp_path / "mine@chta").mkdir()
    assert parse_spec("mine@chta").name == "mine@chta"
    assert parse_spec("openai:model@20260101").name == "model@20260101"
