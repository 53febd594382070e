"""The pack reader: mutated bytes, headers with their checksum made right again, and mutated manifests."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from airtune.grammars import AirtuneError
from airtune.models.archive.pack import pack_model
from airtune.models.archive.unpack import unpack_model
from tests.fuzz.mutate import TEXTS, mutated_bytes, mutated_json, to_text

_FIELDS = [
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (156, 1),
    (157, 100),
    (257, 8),
    (345, 155),
]


@lru_cache
def whole() -> bytes:
    """A pack of a model with one weight, and some data."""
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory() as folder:
        model, data = Path(folder) / "model", Path(folder) / "data" / "deep"
        model.mkdir()
        data.mkdir(parents=True)
        save_file({"w": np.zeros(3, dtype=np.float32)}, model / "model.safetensors")
        for name in ("config.json", "tokenizer.json"):
            (model / name).write_text("{}")
        (data / ("long" * 40 + ".csv")).write_text("1\n")  # needs an extended header
        return pack_model(model, Path(folder) / "m.tar", data=[data.parent]).path.read_bytes()


def packs(random: Random) -> None:
    """Unpack. Whatever is refused leaves nothing; what is taken is as its manifest says and stays in its folder."""
    kind = random.randrange(4)
    data = whole()
    if kind == 0:
        data = mutated_bytes(random, data)
    elif kind == 1:
        data = _with_header(random, data)
    else:
        data = _with_manifest(random, data, consistent=kind == 3)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "m.tar").write_bytes(data)
        try:
            manifest = unpack_model(
                root / "m.tar", root / "in" / "out" if random.random() < 0.02 else root / "out"
            )
        except AirtuneError:
            assert [path.name for path in root.iterdir()] == ["m.tar"]
            raise
        found = {p.relative_to(root / "out").as_posix(): p for p in (root / "out").rglob("*") if p.is_file()}
        assert set(found) == {*manifest.files, "manifest.json"}
        assert {path.name for path in root.iterdir()} == {"m.tar", "out"}
        for name, digest in manifest.files.items():
            assert hashlib.sha256(found[name].read_bytes()).hexdigest() == digest
            assert not found[name].is_symlink()


def _with_header(random: Random, data: bytes) -> bytes:
    """One field of one header changed, its checksum right."""
    found = bytearray(data)
    at = random.choice([i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"])
    start, length = random.choice(_FIELDS)
    value = random.choice(
        [
            random.randbytes(length),
            b"\xff" * length,
            b"\x80" + b"\0" * (length - 2) + bytes([random.randrange(256)]),
            random.choice([b"0", b"1", b"2", b"3", b"5", b"6", b"g", b"x", b"L", b"K", b"S", b"V"]),
            oct(random.choice([0, 1, 511, 512, 1 << 20, 8**10])).encode()[2:],
            random.choice(TEXTS).encode("utf-8", "replace")[:length],
            b"../" * 30,
        ]
    )[:length]
    found[at + start : at + start + length] = value.ljust(length, b"\0")
    found[at + 148 : at + 156] = b"        "
    found[at + 148 : at + 156] = f"{sum(found[at : at + 512]):06o}\0 ".encode()
    return bytes(found) if random.random() < 0.9 else mutated_bytes(random, bytes(found))


def _with_manifest(random: Random, data: bytes, consistent: bool) -> bytes:
    """The manifest changed; with `consistent` the members are what it says, whatever that is."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        members = {m.name: f.read() for m in archive if (f := archive.extractfile(m)) is not None}
    document: Any = json.loads(members.pop("manifest.json"))
    if consistent:
        for _ in range(random.randrange(3)):
            name = random.choice([*TEXTS, "a", "b/c", "numbers.csv"])
            name = random.choice([name, f"data/{name}", f"{name}.json", f"wheels/{name}.whl"])
            members[name] = random.randbytes(random.randrange(20))
            document["files"][name] = hashlib.sha256(members[name]).hexdigest()
            document["bytes"][name] = len(members[name])
        if random.random() < 0.3:
            document = mutated_json(random, document)
    else:
        document = mutated_json(random, document)
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w:", format=random.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    ) as archive:
        for name, content in [("manifest.json", to_text(document).encode()), *members.items()]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            try:
                archive.addfile(member, io.BytesIO(content))
            except (ValueError, UnicodeError):  # a name that no archive can hold
                continue
    return out.getvalue()
