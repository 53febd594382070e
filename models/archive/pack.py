"""Packs a model into one file for a machine without a network: the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from io import BufferedRandom, BytesIO
from pathlib import Path
from typing import IO

from airtune.grammars import replacing
from airtune.models.archive.manifest import (
    DATA,
    LICENSES,
    WHEELS,
    PackError,
    PackManifest,
    check_names,
    problem_with,
    refuse_existing,
)
from airtune.models.backends.checkpoint import MANIFEST, sha256_of
from airtune.models.inventory import model_info, verify_model
from airtune.models.names import BUNDLED, dialect_name, locate, recorded_at


@dataclass(frozen=True, slots=True)
class Packed:
    """A pack that was written.

    Attributes:
        path: The archive.
        sha256: Of the archive: what to compare on the other machine, by another way than the archive took.
        manifest: What is in it.
        left_out: Files beside the weights, or hidden ones among the data, that are not in it.
    """

    path: Path
    sha256: str
    manifest: PackManifest
    left_out: tuple[str, ...]


def pack_model(
    name: str | Path,
    output: str | Path,
    *,
    data: Sequence[str | Path] = (),
    wheels: str | Path | None = None,
) -> Packed:
    """Write a model, its licences, and what should travel with it, into one tar archive.

    The archive is not compressed (weights do not get smaller), begins with the manifest, and depends on nothing
    but names and contents: no times, owners or permissions.

    Args:
        name: A registry name, a directory, or a hub id in the local cache.
        output: The archive; must not be there yet.
        data: Folders that travel too, each as data/<its name>; without their hidden files.
        wheels: A folder of wheels (see `download_wheels`) that travel as wheels/.

    Raises:
        ModelError: If there is no such model, or its files are not those that its manifest records.
        PackError: If something cannot be packed, or the archive cannot be written.
    """
    source, target = recorded_at(name), Path(output)
    model_info(name)  # weights whose headers can be read
    if (source / MANIFEST).is_file():
        verify_model(name)
    refuse_existing(target, "remove it, or choose another -o")
    files, left_out = _checkpoint(source)
    files |= _licenses(str(name))
    if wheels is not None:
        files |= {f"{WHEELS}/{path.name}": path for path in sorted(Path(wheels).glob("*.whl"))}
    for folder in data:
        found, hidden = _data(Path(folder))
        if twice := sorted(files.keys() & found.keys()):
            raise PackError(
                f"two folders of data are called {Path(folder).resolve().name!r}",
                value=twice[0],
                hint="rename one",
            )
        files |= found
        left_out += hidden
    check_names(list(files))
    manifest = PackManifest(
        Path(str(name)).name if Path(str(name)).exists() else str(name),
        dialect_name(source),
        {file: sha256_of(path) for file, path in files.items()},
        {file: path.stat().st_size for file, path in files.items()},
    )
    with _new_file(target) as file:
        digest = _write(file, manifest, files)
    return Packed(target, digest, manifest, tuple(left_out))


def _checkpoint(source: Path) -> tuple[dict[str, Path], list[str]]:
    """The files beside the weights: packed by name, and the names of those that are not."""
    if source.is_file():  # a GGUF file
        return {source.name: source}, []
    beside = sorted(path for path in source.iterdir() if path.name != MANIFEST)
    packed = {p.name: p for p in beside if p.is_file() and not problem_with(p.name)}
    return packed, [p.name for p in beside if p.name not in packed]


def _licenses(name: str) -> dict[str, Path]:
    """Licence and description of a bundled model, which lie elsewhere; what an imported one brought."""
    if name not in BUNDLED:
        beside = recorded_at(name) / LICENSES
        return {f"{LICENSES}/{path.name}": path for path in sorted(beside.glob("*")) if path.is_file()}
    found = {f"{LICENSES}/CARD.md": locate(name).parent / "CARD.md"}
    for file in metadata.files("airtune") or ():
        path = Path(str(file.locate()))
        if file.name == "LICENSE" and path.is_file() and path.stat().st_size:
            found[f"{LICENSES}/LICENSE"] = path
    return found


def _data(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The files of a folder of data, and the hidden ones, which may be secrets and are left out."""
    if not folder.is_dir():
        raise PackError(f"{folder} is not a folder", value=str(folder), hint="give data= a folder")
    root, name = folder.resolve(), folder.resolve().name
    found: dict[str, Path] = {}
    hidden: list[str] = []
    for where, folders, files in os.walk(root):
        folders.sort()
        below = Path(where).relative_to(root)
        hidden += [str(folder / below / one) for one in (*folders, *files) if one.startswith(".")]
        folders[:] = [one for one in folders if not one.startswith(".")]
        for one in (*folders, *sorted(files)):
            path = Path(where) / one
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                if one.startswith("."):
                    continue
                raise PackError(
                    f"{path} is a link or no plain file",
                    value=str(path),
                    allowed="plain files and folders",
                    hint="put the file itself in its place: what a link shows elsewhere is not packed by mistake",
                )
            if one in files and not one.startswith("."):
                found[f"{DATA}/{name}/{(below / one).as_posix()}"] = path
    if not found:
        raise PackError(f"{folder} holds no files", value=str(folder), hint="give data= a folder with files")
    return found, hidden


@contextmanager
def _new_file(target: Path) -> Iterator[BufferedRandom]:
    """A file that appears under its name when it is whole, and not at all after an error."""
    try:
        with replacing(target) as beside, beside.open("w+b") as file:
            yield file
    except OSError as error:
        allowed = "a path in a folder that can be written to, with room for the model"
        raise PackError.unwritable(target, error, "choose another -o", allowed) from error


def _write(file: BufferedRandom, manifest: PackManifest, files: dict[str, Path]) -> str:
    """Write the archive; its SHA-256."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        document = manifest.to_json()
        archive.addfile(_member(MANIFEST, len(document)), BytesIO(document))
        for name, path in files.items():
            with path.open("rb") as content:
                checked = _Hashed(content)
                try:
                    archive.addfile(_member(name, manifest.sizes[name]), checked)  # type: ignore[arg-type]
                except OSError as error:
                    if "end of data" not in str(error):
                        raise
                    raise _changed(path) from error
            if checked.hexdigest() != manifest.files[name]:
                raise _changed(path)
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A header without anything that differs from one machine or day to another."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o644, 0
    return member


class _Hashed:
    """A file that remembers what was read from it, as a hash."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash = file, hashlib.sha256()
        self.hexdigest: Callable[[], str] = self._hash.hexdigest

    def read(self, size: int) -> bytes:
        part = self._file.read(size)
        self._hash.update(part)
        return part


def _changed(path: Path) -> PackError:
    return PackError(f"{path} was changed while it was packed", value=str(path), hint="pack again")
