"""Reads packs, which anybody may have made: everything is checked before anything is written."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter
from pathlib import Path

from airtune.models.archive.manifest import MOST_BYTES, PackError, PackManifest, refuse_existing
from airtune.models.backends.checkpoint import MANIFEST
from airtune.models.inventory import model_info

CHUNK = 1 << 20
LONGEST_HEADER = 2048  # of an extension: one long name and one large size need less
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
}


def verify_pack(path: str | Path, sha256: str | None = None) -> PackManifest:
    """Read a pack from beginning to end and compare every byte with its manifest; write nothing.

    Args:
        path: The archive.
        sha256: What `pack_model` said that the archive's SHA-256 is, or None. The manifest tells damage from what
            was packed; only this tells a forged pack from the one that was made.

    Raises:
        PackError: If it is not a pack, or holds anything that its manifest does not account for.
    """
    with _opened(Path(path)) as file:
        if sha256 is not None:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
            if actual != sha256.lower():
                raise PackError(
                    f"{path} has the SHA-256 {actual}, not {sha256}", value=actual, allowed=sha256,
                    hint="copy the pack again; if it stays so, it is not the pack that was made",
                )  # fmt: skip
            file.seek(0)
        return _read(file, None)


def unpack_model(path: str | Path, to: str | Path, sha256: str | None = None) -> PackManifest:
    """Unpack a pack into a new folder: the model itself, and in it the folders licenses, wheels and data.

    The pack is verified first. It is then written beside the folder and takes its name when it is whole: after
    an error, or a kill, there is no such folder.

    Args:
        path: The archive.
        to: The folder; must not be there yet.
        sha256: See `verify_pack`.

    Raises:
        PackError: See `verify_pack`; or if the folder is there, or cannot be made.
    """
    target = Path(to)
    refuse_existing(target, "choose another to=, or remove it")
    manifest = verify_pack(path, sha256)
    try:
        free = shutil.disk_usage(target.absolute().parent).free
        if free < manifest.total:
            raise PackError(
                f"{target.absolute().parent} has room for {free:,} bytes, and the pack holds {manifest.total:,}",
                value=free, allowed=f"{manifest.total:,} bytes", hint="make room, or choose another to=",
            )  # fmt: skip
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name}-",
            suffix=".part",
            dir=target.absolute().parent,
            ignore_cleanup_errors=True,
        ) as temporary:
            folder = Path(temporary) / "pack"
            folder.mkdir(mode=0o755)
            with _opened(Path(path)) as file:
                if _read(file, folder) != manifest:
                    raise PackError(
                        f"{path} was changed while it was unpacked", value=str(path), hint="unpack again"
                    )
            model_info(folder)  # the headers of the weights
            refuse_existing(target, "choose another to=: it has appeared meanwhile")
            folder.rename(target)
    except OSError as error:
        allowed = "a new folder in one that exists and can be written to"
        raise PackError.unwritable(target, error, "choose another to=", allowed) from error
    return manifest


def _read(file: BufferedReader, folder: Path | None) -> PackManifest:
    """Check an archive against its manifest, and write it into a folder if there is one."""
    try:
        # Not compressed, so that nothing can be larger than it looks.
        with tarfile.open(fileobj=_Headers(file), mode="r:") as archive:  # type: ignore[call-overload]
            return _members(archive, file, folder)
    except (PackError, OSError):
        raise
    except (
        Exception
    ) as error:  # tarfile raises half a dozen types of its own, and of Python's, for damaged headers
        raise _damaged(f"{type(error).__name__}: {error}".split("\n")[0][:200]) from error


def _members(archive: tarfile.TarFile, file: BufferedReader, folder: Path | None) -> PackManifest:
    length = os.fstat(file.fileno()).st_size
    first = archive.next()
    if first is None or first.name != MANIFEST:
        raise _damaged(f"it does not begin with {MANIFEST}")
    _check_kind(first)
    if first.size > MOST_BYTES:
        raise _damaged(f"its {MANIFEST} would have {first.size} bytes, {MOST_BYTES} at most")
    document = b"".join(_content(file, first))
    manifest = PackManifest.from_json(document)
    if manifest.total > length:
        raise _damaged(f"its files would have {manifest.total} bytes, more than the archive's {length}")
    if folder is not None:
        (folder / MANIFEST).write_bytes(document)
    for name, size in manifest.sizes.items():
        member = archive.next()
        if member is None:
            raise _damaged(f"{name!r} is missing")
        if member.name != name:
            raise _damaged(f"it holds {ascii(member.name)[:100]} where its manifest has {name!r}")
        _check_kind(member)
        if member.size != size:
            raise _damaged(f"{name!r} has {member.size} bytes, its manifest says {size}")
        digest = hashlib.sha256()
        with _destination(folder, member) as destination:
            for part in _content(file, member):
                digest.update(part)
                if destination is not None:
                    destination.write(part)
        if digest.hexdigest() != manifest.files[name]:
            raise _damaged(
                f"{name!r} has the SHA-256 {digest.hexdigest()}, its manifest says {manifest.files[name]}"
            )
    if (more := archive.next()) is not None:
        raise _damaged(f"it holds {ascii(more.name)[:100]}, which its manifest does not name")
    _check_end(file, archive.offset, length)
    return manifest


def _check_kind(member: tarfile.TarInfo) -> None:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse is not None:
        raise _damaged(
            f"{ascii(member.name)[:100]} is {_KINDS.get(member.type, 'a special file')}, not a plain file"
        )


def _content(file: BufferedReader, member: tarfile.TarInfo) -> Iterator[bytes]:
    """What a member holds, in parts; exactly as much as its header says."""
    file.seek(member.offset_data)
    left = member.size
    while left > 0:
        part = file.read(min(CHUNK, left))
        if not part:
            raise _damaged(f"it ends within {ascii(member.name)[:100]}")
        left -= len(part)
        yield part


@contextmanager
def _destination(folder: Path | None, member: tarfile.TarInfo) -> Iterator[BufferedWriter | None]:
    """Where a member goes: a new file below the folder, with tarfile's own check of the name besides ours."""
    if folder is None:
        yield None
        return
    if hasattr(tarfile, "data_filter"):  # Python 3.11.4
        member = tarfile.data_filter(member, str(folder))
    path = folder / member.name
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with path.open("xb") as file:
        yield file


def _check_end(file: BufferedReader, end: int, length: int) -> None:
    """After the last member come two blocks of zeros, more to the end of a record, and nothing else."""
    expected = -(-(end + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    file.seek(end)
    if length != expected or file.read(length - end).strip(b"\0"):
        raise _damaged(f"it has {length} bytes, and what its manifest names ends at {expected}")


class _Headers:
    """A file as tarfile may read it: headers only, of the size they need, and never before its beginning.

    Headers of extensions may claim any size, and tarfile would read all of it at once and search it with a
    regular expression; negative ones would have it go round in circles.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_HEADER:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        if position < 0:
            raise tarfile.ReadError(f"a header points to {position}")
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        if path.exists() and not path.is_file():
            raise PackError(f"{path} is not a file", value=str(path), hint="give the archive that was packed")
        file = path.open("rb")
    except (OSError, ValueError) as error:
        raise PackError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}", value=str(path),
            allowed="an archive written by airtune models pack", hint="check the path",
        ) from error  # fmt: skip
    with file:
        yield file


def _damaged(why: str) -> PackError:
    return PackError(
        f"this pack is refused: {why}",
        allowed="an archive as airtune models pack wrote it",
        hint="copy it again, or pack it again; nothing was unpacked",
    )
