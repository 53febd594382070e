"""Where the models lie: bundled and imported ones, directories, GGUF files, hub ids in the local cache. No network."""

from __future__ import annotations

import json
import os
import re
from importlib import resources
from pathlib import Path

from airtune.grammars import unknown_name
from airtune.models.backends.checkpoint import MANIFEST, SETTINGS
from airtune.models.backends.gguf import find_gguf
from airtune.models.types import ModelError

BUNDLED = ("pocket",)
OBTAINABLE = ("smollm2",)  # by `airtune models get`
# Neither a path nor what `models.spec` takes apart.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def models_folder() -> Path:
    """Where imported models are kept: AIRTUNE_MODELS, or the user's data folder as XDG has it."""
    if given := os.environ.get("AIRTUNE_MODELS"):
        return Path(given).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data).expanduser() / "airtune" / "models"


def is_name(name: str) -> bool:
    """Whether an imported model may be called so."""
    return _NAME.fullmatch(name) is not None


def imported_names() -> list[str]:
    """Names of the models in the user's folder."""
    folder = models_folder()
    return (
        sorted(p.name for p in folder.iterdir() if is_name(p.name) and p.is_dir()) if folder.is_dir() else []
    )


def _hub_cache() -> Path:
    """Where the Hugging Face libraries keep their snapshots."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()


def _snapshot(hub_id: str) -> Path | None:
    """The snapshot of a hub id in the local cache (the one `main` points at), or None."""
    folder = _hub_cache() / ("models--" + hub_id.replace("/", "--"))
    reference = folder / "refs" / "main"
    if os.path.isfile(reference):
        path = folder / "snapshots" / reference.read_text(errors="replace").strip()
        return path if path.is_dir() else None
    found = sorted((folder / "snapshots").glob("*")) if os.path.isdir(folder / "snapshots") else []
    return found[0] if len(found) == 1 else None


def cached_ids() -> list[str]:
    """Hub ids in the local cache."""
    if not _hub_cache().is_dir():
        return []
    names = (p.name.removeprefix("models--").replace("--", "/") for p in _hub_cache().glob("models--*"))
    return sorted(filter(_snapshot, names))


def locate(name: str | Path) -> Path:
    """Where a model lies: a bundled or imported name, a directory, a GGUF file, or a hub id in the local cache.

    Returns:
        A directory with a checkpoint; or a GGUF file, of a directory that holds nothing but that.

    Raises:
        ModelError: If there is no such model here.
    """
    text = str(name)
    if text in BUNDLED:
        return Path(str(resources.files(f"airtune.models.{text}"))) / "weights"
    if is_name(text) and (models_folder() / text).is_dir():
        return models_folder() / text
    # By functions that say no where those of Path raise: at a name too long for a file, and "~" of nobody.
    path = Path(os.path.expanduser(text))
    if os.path.isfile(path) and path.suffix.lower() == ".gguf":
        return path
    if text and os.path.isdir(path):
        alone = not (path / "config.json").exists() and not any(path.glob("*.safetensors"))
        return (find_gguf(path) if alone else None) or path
    if "/" in text and not text.startswith((".", "/", "~")) and (found := _snapshot(text)) is not None:
        return found
    message, allowed, hint = unknown_name("model", text, [*BUNDLED, *imported_names(), *cached_ids()])
    if text in OBTAINABLE:
        hint = f"get it once: airtune models get {text}"
    raise ModelError(
        message, value=text, allowed=f"{allowed}, a directory with a checkpoint, or FILE.gguf", hint=hint
    )


def recorded_at(name: str | Path) -> Path:
    """Where a model's files are recorded: as `locate`, but a folder with a manifest is not only the GGUF file in it.

    Raises:
        ModelError: If there is no such model here.
    """
    path = locate(name)
    named = path.is_file() and os.path.isdir(os.path.expanduser(str(name)))
    return path.parent if named and (path.parent / MANIFEST).is_file() else path


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
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{file} does not name a dialect: {error!r}",
            allowed='{"dialect": "chat"} or {"dialect": "pocket"}',
            hint="correct or remove the file",
        ) from error
