"""The reader of GGUF files: mutated bytes, and numbers of the header replaced by others."""

from __future__ import annotations

import struct
import tempfile
from functools import lru_cache
from pathlib import Path
from random import Random

from airtune.models.backends.gguf import require_language_model
from airtune.models.backends.gguf_header import MOST_HEADER, read_header
from tests.fuzz.mutate import mutated_bytes
from tests.models.gguf_files import write_gguf


@lru_cache
def whole() -> bytes:
    """A tiny model."""
    with tempfile.TemporaryDirectory() as folder:
        return write_gguf(Path(folder) / "whole.gguf").read_bytes()


def ggufs(random: Random) -> None:
    """Read. What is taken lies in the file, and none of it is large."""
    data = bytearray(whole())
    if random.random() < 0.3:
        data = bytearray(mutated_bytes(random, bytes(data)))
    else:
        code = random.choice("BIQ")
        at = random.randrange(random.choice([32, 500, 8000, len(data)]))
        number = random.choice(
            [0, 1, 7, 255, random.randrange(1 << 16), (1 << 8 * struct.calcsize(code)) - 1]
        )
        data[at : at + struct.calcsize(code)] = struct.pack(
            f"<{code}", number % (1 << 8 * struct.calcsize(code))
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gguf"
        path.write_bytes(data)
        found = read_header(path)
        require_language_model(found)
    assert sum(tensor.bytes for tensor in found.tensors) <= len(data)
    assert len(str(found.metadata)) < 2 * MOST_HEADER
