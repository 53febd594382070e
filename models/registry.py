"""Names of models: the bundled ones, directories, and hub ids in the local cache. No network, ever."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from airtune.grammars import unknown_name
from airtune.models.backends.checkpoint import (
    FOLDERS,
    MANIFEST,
    SETTINGS,
    file_hashes,
    folder_hashes,
    require_safetensors,
    weights_count,
)
from airtune.models.types import Dialect, LanguageModel, ModelError

BUNDLED = ("pocket",)
BACKENDS = ("transformers", "vllm", "openai", "scripted", "uniform", "replay")
WITHOUT_WEIGHTS = ("scripted", "uniform")  # names of models that are backends of themselves
DIALECTS = {
    "chat": ("airtune.models.dialects.chat.dialect", "ChatDialect"),
    "pocket": ("airtune.models.dialects.pocket.dialect", "PocketDialect"),
}


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


def make_dialect(name: str) -> Dialect:
    """The dialect called `name`, with its settings if it has any: "chat+history=turns+reasoning=on".

    Raises:
        ModelError: If there is none, or it has no such setting.
    """
    plain, *given = name.split("+")
    if plain not in DIALECTS:
        raise ModelError.unknown("dialect", plain, DIALECTS)
    module, cls = DIALECTS[plain]
    made: Any = getattr(import_module(module), cls)
    settings = dict(setting.partition("=")[::2] for setting in given)
    if settings and (not hasattr(made, "configured") or len(settings) < len(given)):
        raise ModelError(
            f"a setting is given twice in {name!r}"
            if hasattr(made, "configured")
            else f"the dialect {plain!r} has no settings",
            value=name,
            allowed="chat, chat+history=turns, chat+detail=space+reasoning=on, ...",
            hint=f"write {plain!r}",
        )
    dialect: Dialect = made.configured(settings) if settings else made()
    return dialect


def _hub_cache() -> Path:
    """Where the Hugging Face libraries keep their snapshots."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()


def _snapshot(hub_id: str) -> Path | None:
    """The snapshot of a hub id in the local cache (the one `main` points at), or None."""
    folder = _hub_cache() / ("models--" + hub_id.replace("/", "--"))
    reference = folder / "refs" / "main"
    if reference.is_file():
        path = folder / "snapshots" / reference.read_text().strip()
        return path if path.is_dir() else None
    found = sorted((folder / "snapshots").glob("*")) if (folder / "snapshots").is_dir() else []
    return found[0] if len(found) == 1 else None


def _cached_ids() -> list[str]:
    """Hub ids in the local cache."""
    if not _hub_cache().is_dir():
        return []
    names = (p.name.removeprefix("models--").replace("--", "/") for p in _hub_cache().glob("models--*"))
    return sorted(filter(_snapshot, names))


def locate(name: str | Path) -> Path:
    """The directory of a model: a bundled name, a directory, or a hub id in the local cache.

    Raises:
        ModelError: If there is no such model here.
    """
    text = str(name)
    if text in BUNDLED:
        return Path(str(resources.files(f"airtune.models.{text}"))) / "weights"
    path = Path(text).expanduser()
    if path.is_dir():
        return path
    if "/" in text and not text.startswith((".", "/", "~")) and (found := _snapshot(text)) is not None:
        return found
    message, allowed, hint = unknown_name("model", text, [*BUNDLED, *_cached_ids()])
    raise ModelError(message, value=text, allowed=f"{allowed}, or a directory with a checkpoint", hint=hint)


def dialect_name(path: Path) -> str:
    """The dialect a checkpoint asks for in its airtune.json; "chat" where there is none.

    Raises:
        ModelError: If airtune.json cannot be read.
    """
    file = path / SETTINGS
    if not file.is_file():
        return "chat"
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        return str(settings["dialect"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{file} does not name a dialect: {error!r}",
            allowed='{"dialect": "chat"} or {"dialect": "pocket"}',
            hint="correct or remove the file",
        ) from error


def spoken_dialect(name: str | Path) -> str:
    """The dialect of a model that is named: what its checkpoint asks for; "chat" of one without weights.

    Raises:
        ModelError: If there is no such model here.
    """
    return "chat" if str(name) in WITHOUT_WEIGHTS else dialect_name(locate(name))


def load_model(
    name_or_path: str | Path,
    backend: str | None = None,
    *,
    dialect: str | None = None,
    record: str | Path | None = None,
    **settings: Any,
) -> LanguageModel:
    """Load a model.

    Args:
        name_or_path: A registry name ("pocket"), a directory, or a hub id found in the local cache. For the
            `replay` backend: a JSONL file of recorded completions. For `openai`: the model's name on the
            server. For `scripted`: any name. For `uniform`: that, or the model whose dialect it speaks.
        backend: "transformers" (default), "vllm", "openai", "scripted", "uniform" or "replay".
        dialect: A dialect's name, with settings if need be: "chat+history=turns+reasoning=on". By default
            what the checkpoint, or the recording, says, else "chat".
        record: A file to which every answer is appended, for the `replay` backend; what is in it already is
            not asked again.
        settings: Settings of the backend, for example dtype="float32", device="cpu",
            mask_engine="llguidance".

    Raises:
        ModelError: If the model, backend, dialect or a setting is unknown, or the checkpoint cannot be used.
    """
    backend = backend or (str(name_or_path) if str(name_or_path) in WITHOUT_WEIGHTS else "transformers")
    if backend not in BACKENDS:
        raise ModelError.unknown("backend", backend, BACKENDS)
    model = _load(name_or_path, backend, dialect, settings)
    # In a recording, what was thought is part of what was recorded.
    if backend != "replay" and getattr(model.dialect, "reasoning", "off") == "on":
        from airtune.models.dialects.chat.reasoning import with_reasoning

        model = with_reasoning(model)
    if record is None:
        return model
    from airtune.models.backends.replay import RecordingModel

    return RecordingModel(model, record)


def _load(
    name_or_path: str | Path, backend: str, dialect: str | None, settings: Mapping[str, Any]
) -> LanguageModel:
    try:
        if backend == "scripted":
            from airtune.models.backends.scripted import ScriptedModel

            return ScriptedModel(name=str(name_or_path), dialect=make_dialect(dialect or "chat"), **settings)
        if backend == "uniform":
            from airtune.models.backends.uniform import UniformModel

            return UniformModel(dialect=make_dialect(dialect or spoken_dialect(name_or_path)), **settings)
        if backend == "replay":
            from airtune.models.backends.recording import read_recording
            from airtune.models.backends.replay import ReplayModel

            found = read_recording(name_or_path)
            spoken = dialect or (found.model["dialect"] if found.model else "chat")
            return ReplayModel(found, dialect=make_dialect(spoken), name=str(name_or_path), **settings)
        if backend == "openai":
            from airtune.models.backends.openai.backend import OpenAIModel

            return OpenAIModel(str(name_or_path), dialect=make_dialect(dialect or "chat"), **settings)
        path = locate(name_or_path)
        speaks = make_dialect(dialect or dialect_name(path))
        if backend == "vllm":
            from airtune.models.backends.vllm.backend import VLLMModel

            return VLLMModel(path, name=str(name_or_path), dialect=speaks, **settings)
        require_safetensors(path)
        from airtune.models.backends.transformers import TransformersModel

        return TransformersModel(path, name=str(name_or_path), dialect=speaks, **settings)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ModelError(
            f"unknown setting of backend {backend!r}: {error}", value=sorted(settings)
        ) from error


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
    for name in (*BUNDLED, *_cached_ids()):
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
            hint="record one while you trust the files: airtune.models.registry.record_manifest(path)",
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
