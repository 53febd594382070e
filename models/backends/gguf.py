"""GGUF files as models: where one is, and whether it has what a study needs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airtune.models.backends.gguf_header import OF_TOKENS, GGUFError, GGUFHeader, read_header, refused, shown

# Integers that say how far a model looks, not how large it is; all others are sizes of something in the file.
_NOT_SIZES = re.compile(r"context_length|sliding_window|rope|freq|_id$|_ids$|scale|temperature|base")


def find_gguf(path: Path) -> Path | None:
    """The GGUF file of a model: the path itself, or the only one in a folder; None if there is none.

    Raises:
        GGUFError: If a folder holds several.
    """
    if not path.is_dir():
        return path if path.suffix.lower() == ".gguf" else None
    found = sorted(p for p in path.iterdir() if p.suffix.lower() == ".gguf" and p.is_file())
    if len(found) > 1:
        raise GGUFError(
            f"{path} holds {len(found)} GGUF files", value=[p.name for p in found],
            allowed="one model", hint=f"name the file itself, for example {found[0]}",
        )  # fmt: skip
    return found[0] if found else None


def require_gguf(path: Path) -> Path:
    """The GGUF file of a model, its header checked: before a library reads it, which trusts what it reads.

    Raises:
        GGUFError: If there is none, or it holds no language model that can be used.
    """
    found = find_gguf(path)
    if found is None or not found.is_file():
        raise GGUFError(
            f"{path} is no GGUF file, and no folder with one",
            value=str(path),
            allowed="FILE.gguf, or its folder",
        )
    require_language_model(read_header(found))
    return found


@contextmanager
def alone(gguf: Path) -> Iterator[Path]:
    """A folder that holds nothing but a link to a GGUF file: libraries mix what lies beside a file into it."""
    with tempfile.TemporaryDirectory(prefix="airtune-gguf-") as folder:
        (Path(folder) / "model.gguf").symlink_to(gguf.absolute())
        yield Path(folder)


def require_language_model(header: GGUFHeader) -> None:
    """Refuse a file without what a study needs: a known architecture, a tokenizer, a chat template, sizes that agree.

    Raises:
        GGUFError: Naming what is missing.
    """
    from gguf import MODEL_ARCH_NAMES

    path, architecture = header.path, header.text("general.architecture")
    known = sorted(MODEL_ARCH_NAMES.values())
    if architecture not in known:
        raise GGUFError.unknown("architecture of a GGUF file", architecture, known)
    kind, parts = header.metadata.get("general.type", "model"), header.metadata.get("split.count", 1)
    if kind != "model":
        raise refused(path, f"it holds no language model but {shown(kind)}", "give the model's own file")
    if parts not in (0, 1):
        raise refused(path, f"it is one of {shown(parts)} parts", "merge them with llama-gguf-split --merge")
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if not header.text("tokenizer.ggml.model") or not isinstance(tokens, list) or len(tokens) < 2:
        raise refused(path, "it has no tokenizer", "give a whole model: weights and tokenizer in one file")
    if not isinstance(tokens[0], str):
        raise refused(path, "its tokens are no texts")
    for key in OF_TOKENS:
        one_each = header.metadata.get(key, tokens)
        if not isinstance(one_each, list) or len(one_each) != len(tokens):
            count = len(one_each) if isinstance(one_each, list) else shown(one_each)
            raise refused(path, f"its {key} has {count} elements for {len(tokens)} tokens")
    if not header.text("tokenizer.chat_template").strip():
        raise refused(
            path, "it has no chat template, so it is a base model, or was converted without",
            "give an instruction-tuned model, converted with its template",
        )  # fmt: skip
    for key in ("bos", "eos", "padding", "unknown"):
        number = header.metadata.get(f"tokenizer.ggml.{key}_token_id", 0)
        if not isinstance(number, int) or not 0 <= number < len(tokens):
            raise refused(path, f"its {key} token is {shown(number)} of {len(tokens)} tokens")
    embedding = next((t for t in header.tensors if t.name == "token_embd.weight"), None)
    if embedding is None or len(embedding.shape) != 2 or embedding.shape[1] < len(tokens):
        raise refused(path, f"it has no embeddings of its {len(tokens)} tokens")
    _check_sizes(header, architecture)


def _check_sizes(header: GGUFHeader, architecture: str) -> None:
    """No size of the model may be larger than everything in the file: a library would take memory for it."""
    most = max(len(header.tensors), max(max(tensor.shape) for tensor in header.tensors))
    for key in ("embedding_length", "block_count", "context_length"):
        number = header.metadata.get(f"{architecture}.{key}")
        if not isinstance(number, int) or not 0 < number < 1 << 31:
            raise refused(header.path, f"its {architecture}.{key} is {shown(number)}")
    for key, value in header.metadata.items():
        if not key.startswith(f"{architecture}.") or _NOT_SIZES.search(key):
            continue
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and not -1 <= number <= most:
                raise refused(
                    header.path, f"its {shown(key)} is {shown(number)}, more than anything in it has"
                )
