"""Where the models lie: the bundled ones, directories, and hub ids in the local cache. No network, ever."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

from airtune.grammars import unknown_name
from airtune.models.backends.checkpoint import SETTINGS
from airtune.models.types import ModelError

BUNDLED = ("pocket",)


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


def cached_ids() -> list[str]:
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
    if path.is_dir() or (path.is_file() and path.suffix.lower() == ".gguf"):
        return path
    if "/" in text and not text.startswith((".", "/", "~")) and (found := _snapshot(text)) is not None:
        return found
    message, allowed, hint = unknown_name("model", text, [*BUNDLED, *cached_ids()])
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
