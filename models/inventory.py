"""Which models are here, and what is in them, without loading any."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airtune.models.backends.checkpoint import (
    FOLDERS,
    MANIFEST,
    SETTINGS,
    file_hashes,
    folder_hashes,
    require_weights,
    weights_count,
)
from airtune.models.names import BUNDLED, cached_ids, dialect_name, imported_names, locate, recorded_at
from airtune.models.types import ModelError


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known about a model without loading it.

    Attributes:
        name: What to call it in `load_model`.
        path: Its directory, or GGUF file.
        dialect: The dialect it speaks.
        bytes: Size of all files.
        parameters: Number of weights, read from the safetensors headers.
        sha256: SHA-256 over the names and hashes of all files.
        description: One line.
        license: As the model or its package states it, or None.
        origin: The file it was imported from and its SHA-256, or None.
    """

    name: str
    path: Path
    dialect: str
    bytes: int
    parameters: int
    sha256: str
    description: str
    license: str | None = None
    origin: str | None = None


def model_info(name: str | Path) -> ModelInfo:
    """What is known about a model without loading it.

    Raises:
        ModelError: If there is no such model, or its directory holds no checkpoint.
    """
    path = locate(name)
    require_weights(path)
    hashes = file_hashes(path)
    listing = "".join(f"{file} {digest}\n" for file, digest in hashes.items())
    dialect = dialect_name(path)  # reads the settings, and refuses what are none
    file = path / SETTINGS
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    source = _manifest(path) if (path / MANIFEST).is_file() else {}
    return ModelInfo(
        name=str(name),
        path=path,
        dialect=dialect,
        bytes=sum((path / file if path.is_dir() else path).stat().st_size for file in hashes),
        parameters=weights_count(path),
        sha256=hashlib.sha256(listing.encode()).hexdigest(),
        description=str(settings.get("description", "")),
        license=source.get("license"),
        origin=source.get("origin"),
    )


def list_models() -> list[ModelInfo]:
    """The models that can be loaded by name: bundled and imported ones, then usable ones in the local cache."""
    found = []
    for name in (*BUNDLED, *imported_names(), *cached_ids()):
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
    require_weights(locate(name))
    path = recorded_at(name)
    if not (path / MANIFEST).is_file():
        raise ModelError(
            f"{path} has no {MANIFEST} to verify against",
            value=str(path),
            hint="record one while you trust the files: airtune models import copies them and does",
        )
    recorded = _manifest(path)["files"]
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


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return {**document, "files": dict(document["files"])}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        shape = '{"files": {name: sha256}}'
        raise ModelError(f"{file} is not a manifest: {error!r}", allowed=shape) from error


def record_manifest(path: str | Path, source: Mapping[str, str | None] | None = None) -> Path:
    """Write `manifest.json` with the SHA-256 of every file of a checkpoint, for `verify_model`.

    Args:
        path: The checkpoint.
        source: What is known of where it came from: "license", "origin".
    """
    path = Path(path)
    file = path / MANIFEST
    text = json.dumps(
        {"files": file_hashes(path) | folder_hashes(path, FOLDERS), **(source or {})},
        indent=1,
        sort_keys=True,
    )
    file.write_text(text + "\n", encoding="utf-8")
    return file
