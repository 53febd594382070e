"""GGUF files: read strictly, refused in words whatever they claim, and used as models."""

from __future__ import annotations

import re
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from airtune.models import ModelError, Request, load_model, model_info
from airtune.models.backends.gguf import find_gguf, require_language_model
from airtune.models.backends.gguf_header import MOST_ELEMENTS, GGUFError, GGUFHeader, read_header
from tests.models.gguf_files import WIDTH, header, text, write_gguf


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(GGUFError) as caught:
        read_header(path)
    assert caught.value.hint
    return caught.value.message


def test_the_header_is_what_the_library_reads(tiny: Path) -> None:
    """Its own reader is the oracle: fields, shapes, formats, sizes."""
    import gguf

    ours, theirs = read_header(tiny), gguf.GGUFReader(tiny)
    assert ours.metadata["tokenizer.ggml.tokens"] == theirs.fields["tokenizer.ggml.tokens"].contents()
    assert ours.metadata["llama.block_count"] == theirs.fields["llama.block_count"].contents() == 2
    assert [(t.name, t.shape, t.kind, t.bytes) for t in ours.tensors] == [
        (t.name, tuple(t.shape.tolist()), t.tensor_type.name, t.n_bytes) for t in theirs.tensors
    ]
    assert ours.parameters == sum(t.n_elements for t in theirs.tensors)
    require_language_model(ours)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.9, 0.999])
def test_a_file_that_is_cut_off(tiny: Path, tmp_path: Path, share: float) -> None:
    """One whose weights are cut off has a whole header: only the extents of its tensors tell."""
    data = tiny.read_bytes()
    assert "cut off" in refusal(tmp_path / "cut.gguf", data[: int(share * len(data))])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04" + bytes(40), "it begins with"),
        (header(version=1), "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (header(count=1 << 63), "fields, 4,096 at most"),
        (header(tensors=1 << 40), "tensors, 65,536 at most"),
        (header(struct.pack("<Q", 1 << 60), count=1), "bytes in a field's name"),
        (header(text("a") + struct.pack("<IQ", 8, 1 << 62), count=1), "bytes in the value of 'a'"),
        (header(text("a") + struct.pack("<IQ", 8, 1 << 20), count=1), "cut off at byte"),
        (header(text("a") + struct.pack("<I", 13), count=1), "unknown type 13"),
        (header(text("a") + struct.pack("<IIQ", 9, 8, MOST_ELEMENTS + 1), count=1), "elements in 'a'"),
        (header(text("a") + struct.pack("<IIQ", 9, 9, 1), count=1), "array of the type 9"),
        (header(text("a") + struct.pack("<IIQ", 9, 12, 1 << 20), count=1), "cut off"),
        (header(text("a") + struct.pack("<IB", 7, 2), count=1), "true or false"),
        (header(text(b"\xff\xfe"), count=1), "a field's name is no text"),
        (header(2 * (text("a") + struct.pack("<IB", 0, 1)), count=2), "'a' twice"),
        (header(text("general.alignment") + struct.pack("<II", 4, 3), count=1), "aligned to 3"),
        (header(text("\u202ea\n") + struct.pack("<I", 99), count=1), "'\\u202ea\\n'"),
        (header(), "no tensors"),
        (header(text("w") + struct.pack("<I", 5), tensors=1), "5 dimensions"),
        (header(text("w") + struct.pack("<IQIQ", 1, 4, 77, 0), tensors=1), "unknown format 77"),
        (header(text("w") + struct.pack("<IQIQ", 1, 33, 3, 0), tensors=1), "format Q4_1 has the shape (33,)"),
        (header(text("w") + struct.pack("<IQQIQ", 2, 1 << 40, 1 << 40, 0, 0), tensors=1), "has the shape"),
        (header(text("w") + struct.pack("<IQIQ", 1, 4, 0, 7), tensors=1), "at byte 7"),
        (header(2 * (text("w") + struct.pack("<IQIQ", 1, 4, 0, 0)) + bytes(99), tensors=2), "one name"),
        (
            header(
                b"".join(text(n) + struct.pack("<IQIQ", 1, 64, 0, 0) for n in "vw") + bytes(999), tensors=2
            ),
            "overlaps",
        ),
    ],
)  # fmt: skip
def test_what_a_header_must_not_say(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in refusal(tmp_path / "bad.gguf", data)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"architecture": "lama"}, "unknown architecture of a GGUF file 'lama'"),
        ({"leave_out": ("tokenizer.ggml.tokens",)}, "no tokenizer"),
        ({"leave_out": ("tokenizer.ggml.model",)}, "no tokenizer"),
        ({"leave_out": ("tokenizer.chat_template",)}, "no chat template"),
        ({"without": "token_embd.weight"}, "no embeddings"),
        ({"block_count": 10**9}, "'llama.block_count' is 1000000000"),
        ({"feed_forward_length": 1 << 30}, "more than anything in it has"),
        ({"embedding_length": 0}, "llama.embedding_length is 0"),
    ],
)
def test_no_language_model(tmp_path: Path, given: dict[str, object], words: str) -> None:
    """Sizes that nothing in the file has would have a library take memory for them."""
    path = write_gguf(tmp_path / "bad.gguf", **given)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=words.replace("(", r"\(")):
        require_language_model(read_header(path))
    with pytest.raises(ModelError, match=words.replace("(", r"\(")):
        load_model(path)


@pytest.mark.parametrize("missing", [1, -1])
@pytest.mark.parametrize(("key", "value"), [("scores", 0.5), ("token_type", 1)])
def test_lists_of_tokens_that_do_not_fit(tiny: Path, key: str, value: float, missing: int) -> None:
    """Bug: llama.cpp reads a score and a type for each token, wherever their lists end."""
    found = read_header(tiny)
    count = len(found.metadata["tokenizer.ggml.tokens"])  # type: ignore[arg-type]

    def having(length: int) -> GGUFHeader:
        return replace(found, metadata={**found.metadata, f"tokenizer.ggml.{key}": [value] * length})

    require_language_model(having(count))
    said = f"its tokenizer.ggml.{key} has {count - missing} elements for {count} tokens"
    with pytest.raises(GGUFError, match=re.escape(said)):
        require_language_model(having(count - missing))


@pytest.mark.parametrize(
    ("key", "kind", "code"), [("scores", 0, "B"), ("token_type", 3, "h"), ("scores", 5, "i")]
)
def test_lists_of_tokens_of_another_type(tmp_path: Path, key: str, kind: int, code: str) -> None:
    """It reads four bytes for each one, too."""
    data = text(f"tokenizer.ggml.{key}") + struct.pack(f"<IIQ9{code}", 9, kind, 9, *range(9))
    assert f"an array of the type {kind}" in refusal(tmp_path / "bad.gguf", header(data, count=1))


def test_weights_that_are_missing_are_not_drawn_at_random(tmp_path: Path) -> None:
    """transformers draws them, says so in a log, and goes on."""
    path = write_gguf(tmp_path / "less.gguf", without="blk.1.ffn_down.weight")
    with pytest.raises(ModelError, match=r"lacks 1 of its model's weights, model.layers.1.mlp.down_proj"):
        load_model(path)


def test_a_gguf_file_is_a_model(tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By itself and as the only one of a folder; whatever else lies there is not mixed in."""
    from ConfigSpace import ConfigurationSpace

    from airtune.grammars import space_grammar

    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(tiny, folder / "tiny.gguf")
    (folder / "generation_config.json").write_text("{")
    model = load_model(folder)
    assert torch.equal(model.model.get_input_embeddings().weight, load_model(tiny).model.lm_head.weight)
    assert model.manifest()["files"].keys() == {"tiny.gguf"}
    space = ConfigurationSpace({"depth": (1, 9), "kernel": ["rbf", "linear"]})
    answer = model.generate([Request("Hello", space_grammar(space), seed=1)])[0]
    assert space_grammar(space).accepts(answer.text)
    assert model_info(tiny).parameters == read_header(tiny).parameters
    assert capfd.readouterr().err == ""
    shutil.copy(tiny, folder / "other.gguf")
    with pytest.raises(GGUFError, match="holds 2 GGUF files"):
        load_model(folder)


def test_the_weights_are_those_of_the_library(tiny: Path) -> None:
    import gguf

    (embedding,) = (t for t in gguf.GGUFReader(tiny).tensors if t.name == "token_embd.weight")
    expected = gguf.dequantize(embedding.data, embedding.tensor_type)
    found = load_model(tiny).model.get_input_embeddings().weight.detach().numpy()
    assert found.shape[1] == WIDTH
    assert np.array_equal(found, expected)


def test_find(tiny: Path, tmp_path: Path) -> None:
    assert find_gguf(tiny) == find_gguf(tiny.parent) == tiny
    assert find_gguf(tmp_path) is None
