"""Which models are here, and what is in them, without loading any."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from airtune.models.backends.checkpoint import (
    FOLDERS,
    MANIFEST,
    SETTINGS,
    file_hashes,
    folder_hashes,
    require_safetensors,
    weights_count,
)
from airtune.models.names import BUNDLED, cached_ids, dialect_name, locate
from airtune.models.types import ModelError


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known about a model without loading it.

    Attributes:
        name: What to call it in `load_model`.
        path: Its directory.
        dialect: The dialect it speaks.
        bytes: Size of all files.
        parameters: Number of weights, read from the safetensors headers.
        sha256: SHA-256 over the names and hashes of all files.
        description: One line.
    """

    name: str
    path: Path
    dialect: str
    bytes: int
    parameters: int
    sha256: str
    description: str


def model_info(name: str | Path) -> ModelInfo:
    """What is known about a model without loading it.

    Raises:
        ModelError: If there is no such model, or its directory holds no checkpoint.
    """
    path = locate(name)
    require_safetensors(path)
    hashes = file_hashes(path)
    listing = "".join(f"{file} {digest}\n" for file, digest in hashes.items())
    file = path / SETTINGS
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return ModelInfo(
        name=str(name),
        path=path,
        dialect=dialect_name(path),
        bytes=sum((path / file).stat().st_size for file in hashes),
        parameters=weights_count(path),
        sha256=hashlib.sha256(listing.encode()).hexdigest(),
        description=str(settings.get("description", "")),
    )


def list_models() -> list[ModelInfo]:
    """The models that can be loaded by name: the bundled ones, then usable ones in the local cache."""
    found = []
    for name in (*BUNDLED, *cached_ids()):
        try:
            found.append(model_info(name))
        except ModelError:  # an embedding model, a data set, a half download: not ours to offer
            continue
    return found


def verify_model(name: str | Path) -> dict[str, str]:
    """Hash every file of a model again and compare with its recorded manifest.

    Returns:
        SHA-256 by file name.

    Raises:
        ModelError: If no manifest was recorded, or naming every file that differs, is missing or is new.
    """
    path = locate(name)
    require_safetensors(path)
    file = path / MANIFEST
    if not file.is_file():
        raise ModelError(
            f"{path} has no {MANIFEST} to verify against",
            value=str(path),
            hint="record one while you trust the files: airtune.models.inventory.record_manifest(path)",
        )
    try:
        recorded: dict[str, str] = dict(json.loads(file.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        shape = '{"files": {name: sha256}}'
        raise ModelError(f"{file} is not a manifest: {error!r}", allowed=shape) from error
    # Those count where the manifest names them: it is that of a pack.
    folders = [folder for folder in FOLDERS if any(name.startswith(f"{folder}/") for name in recorded)]
    actual = file_hashes(path) | folder_hashes(path, folders)
    wrong = [f"{f} differs" for f in sorted(recorded.keys() & actual.keys()) if recorded[f] != actual[f]]
    wrong += [f"{f} is missing" for f in sorted(recorded.keys() - actual.keys())]
    wrong += [f"{f} is new" for f in sorted(actual.keys() - recorded.keys())]
    if wrong:
        raise ModelError(
            f"{name} is not the model that was recorded: {'; '.join(wrong)}",
            value=wrong,
            hint="install it again",
        )
    return actual


def record_manifest(path: str | Path) -> Path:
    """Write `manifest.json` with the SHA-256 of every file of a checkpoint, for `verify_model`."""
    file = Path(path) / MANIFEST
    text = json.dumps({"files": file_hashes(Path(path))}, indent=1, sort_keys=True)
    file.write_text(text + "\n", encoding="utf-8")
    return file
