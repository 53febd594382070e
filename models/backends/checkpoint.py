"""Checkpoints on disk: which directories are accepted, and the hashes that pin them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from contextlib import redirect_stderr
from functools import lru_cache, partial
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Any

from airtune.models.backends.gguf import alone, find_gguf, require_gguf
from airtune.models.backends.gguf_header import read_header
from airtune.models.types import ModelError

MANIFEST = "manifest.json"  # recorded hashes, beside the files
FOLDERS = ("licenses", "wheels", "data")  # what came with it in a pack
SETTINGS = "airtune.json"  # {"dialect": "pocket"}: how Airtune talks to this model
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"  # where transformers looks for weights
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_PACKAGES = ("airtune", "gguf", "llguidance", "numpy", "tokenizers", "torch", "transformers")


def require_weights(path: Path) -> Path | None:
    """Refuse what no backend in this process can load safely.

    Returns:
        None for a directory with safetensors; otherwise the GGUF file that holds the weights, its header checked.

    Raises:
        ModelError: Naming what is missing.
    """
    if (path.is_dir() and any(path.glob("*.safetensors"))) or find_gguf(path) is None:
        require_safetensors(path)
        return None
    gguf = require_gguf(path)
    if path.is_dir():
        _require_json(path)
    return gguf


def require_safetensors(path: Path) -> None:
    """Refuse a directory that holds no checkpoint, or one that is only safe to load if its author is trusted.

    Raises:
        ModelError: Naming what is missing.
    """
    if not path.is_dir():
        raise ModelError(
            f"{path} is not a directory",
            value=str(path),
            hint="give a directory with a checkpoint; airtune models import makes one of a GGUF file",
        )
    names = sorted(p.name for p in path.iterdir() if p.is_file())
    if not any(name.endswith(".safetensors") for name in names):
        pickles = [name for name in names if name.endswith(_PICKLES)]
        if pickles:
            raise ModelError(
                f"{path} has its weights as pickle only ({', '.join(pickles[:3])}), which can run code",
                value=pickles,
                allowed="*.safetensors",
                hint="convert it once where you trust it: model.save_pretrained writes safetensors",
            )
        raise ModelError(
            f"{path} holds no weights",
            value=names[:10],
            allowed="*.safetensors",
            hint="copy the whole checkpoint: config.json, tokenizer.json and *.safetensors"
            if find_gguf(path) is None
            else "import it with its weights as safetensors: airtune models import FILE",
        )
    _require_json(path)
    if missing := [file.name for file in weight_files(path) if file.name not in names]:
        raise ModelError(
            f"{path} lacks {len(missing)} of the files that {_INDEX} names, {missing[0]} among them",
            value=missing[:10],
            hint="copy the whole checkpoint",
        )


def _require_json(path: Path) -> None:
    names = sorted(p.name for p in path.iterdir() if p.is_file())
    for name in ("config.json", "tokenizer.json"):
        if name not in names:
            raise ModelError(f"{path} has no {name}", value=names[:10], hint="copy the whole checkpoint")
        _read_json(path / name)


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is not valid JSON: {error}", hint="copy the file again") from error


def load_weights(path: Path, gguf: Path | None, dtype: Any) -> Any:
    """The model of a checkpoint as transformers has it.

    Args:
        path: What `require_weights` was told.
        gguf: What it returned.
        dtype: Of the weights, torch's.

    Raises:
        ModelError: If weights are missing, which transformers would draw at random.
    """
    from transformers import AutoModelForCausalLM

    load = partial(
        AutoModelForCausalLM.from_pretrained, dtype=dtype, local_files_only=True, output_loading_info=True
    )
    if gguf is None:
        model, report = load(path, use_safetensors=True)
    else:
        # The library draws a progress bar that cannot be switched off.
        with alone(gguf) as folder, redirect_stderr(StringIO()):
            model, report = load(folder, gguf_file="model.gguf")
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{path} lacks {len(missing)} of its model's weights, {missing[0]} among them",
            value=missing[:10],
            hint="copy the whole checkpoint again",
        )
    return model


def broken_checkpoint(path: Path, error: Exception) -> ModelError:
    """The error to raise where transformers cannot load a checkpoint."""
    if path.is_file():
        return ModelError(
            f"transformers cannot read the GGUF file {path}: {error}",
            value=str(path),
            hint="use a checkpoint of this model with safetensors, or a backend that reads this architecture",
        )
    return ModelError(
        f"{path} is not a checkpoint that transformers can load: {error}",
        value=str(path),
        hint="config.json, tokenizer.json and *.safetensors must belong together: copy all of them",
    )


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; read again only when its size or time changed."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


def file_hashes(path: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint, by name, `manifest.json` itself left out; or of a GGUF file."""
    if path.is_file():
        return {path.name: sha256_of(path)}
    return {p.name: sha256_of(p) for p in sorted(path.iterdir()) if p.is_file() and p.name != MANIFEST}


def folder_hashes(path: Path, folders: Iterable[str]) -> dict[str, str]:
    """SHA-256 of every file in folders of a checkpoint, by name with "/"."""
    files = sorted(file for folder in folders for file in (path / folder).rglob("*"))
    return {f.relative_to(path).as_posix(): sha256_of(f) for f in files if f.is_file() or f.is_symlink()}


def weight_files(path: Path) -> list[Path]:
    """The files that hold the weights of a checkpoint: its safetensors, or where there are none its GGUF file.

    Raises:
        ModelError: If the index of its safetensors cannot be read, or names files elsewhere, which nothing pins.
    """
    files = sorted(path.glob("*.safetensors"))
    if not files:
        return [] if (gguf := find_gguf(path)) is None else [gguf]
    if path / _WHOLE in files:  # others beside it hold the same weights once more
        return [path / _WHOLE]
    if not (index := path / _INDEX).is_file():
        return files
    document = _read_json(index)
    named = document.get("weight_map") if isinstance(document, dict) else None
    names = sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []
    if not names or any("/" in name or "\\" in name for name in names):
        raise ModelError(
            f"{index} does not name the files of the weights", value=names[:10],
            allowed='{"weight_map": {TENSOR: "FILE.safetensors"}}, in the same folder', hint="copy it again",
        )  # fmt: skip
    return [path / name for name in names]


@lru_cache(maxsize=64)
def _count(file: Path, size: int, mtime_ns: int) -> int:
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return read_header(file).parameters
    try:
        with safe_open(str(file), framework="numpy") as tensors:
            return sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"the weights in {file} cannot be read: {error}", value=str(file), hint="copy the file again"
        ) from error


def weights_count(path: Path) -> int:
    """Number of weights of a checkpoint, read from the headers of its safetensors, or of its GGUF file.

    They are read again only when the file's size or time changed.
    """
    stats = [(file, file.stat()) for file in weight_files(path)]
    return sum(_count(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats)


def weights_size(path: Path) -> dict[str, int]:
    """How large a checkpoint is: {"weights": how many there are, "weights_bytes": of the files that hold them}."""
    size = sum(file.stat().st_size for file in weight_files(path))
    return {"weights": weights_count(path), "weights_bytes": size}


def versions() -> dict[str, str]:
    """Versions of the packages that decide what a model answers."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def checkpoint_manifest(path: Path) -> dict[str, Any]:
    """What pins a checkpoint, {"files": hashes, "versions": versions}, and its size: see `weights_size`."""
    return {"files": file_hashes(path), **weights_size(path), "versions": versions()}
