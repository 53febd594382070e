"""What is in a pack, and which names may be: the document that comes first in the archive, and its rules."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airtune.models.backends.checkpoint import FOLDERS, MANIFEST
from airtune.models.types import ModelError

FORMAT = "airtune-pack/1"
LICENSES, WHEELS, DATA = FOLDERS
# A checkpoint is weights (safetensors, GGUF), tokenizer, configuration and texts: no pickles and no code.
SUFFIXES = (".safetensors", ".gguf", ".json", ".txt", ".md", ".model", ".jinja", ".tiktoken")
LICENSE_NAMES = ("LICENSE", "LICENCE", "NOTICE", "COPYING")
TEXTS = (*LICENSE_NAMES, "README", "USE_POLICY")
MOST_BYTES = 32 << 20  # of the manifest: some hundred thousand files
_SHA256 = re.compile(r"[0-9a-f]{64}")


class PackError(ModelError):
    """A pack that cannot be made, or must not be unpacked."""


@dataclass(frozen=True, slots=True)
class PackManifest:
    """What a pack holds.

    Attributes:
        name: The model's name where it was packed.
        dialect: The dialect it speaks.
        files: SHA-256 by name, in the order of the archive; folders are part of the name, with "/".
        sizes: Bytes by name.
    """

    name: str
    dialect: str
    files: Mapping[str, str]
    sizes: Mapping[str, int]

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())

    def to_json(self) -> bytes:
        """The document as it is stored; `files` has the form that `airtune models verify` reads."""
        document = {
            "format": FORMAT,
            "name": self.name,
            "dialect": self.dialect,
            "files": dict(self.files),
            "bytes": dict(self.sizes),
        }
        return json.dumps(document, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> PackManifest:
        """Read and check the document.

        Raises:
            PackError: If it is not one, or names a file that no pack may hold.
        """
        try:
            document = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise _no_pack(f"its {MANIFEST} is not JSON: {error}") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else document
            raise _no_pack(f"its {MANIFEST} has the format {_short(found)}, not {FORMAT!r}")
        name, dialect = document.get("name"), document.get("dialect")
        files, sizes = document.get("files"), document.get("bytes")
        if not (isinstance(name, str) and isinstance(dialect, str)):
            raise _no_pack(f"its {MANIFEST} names no model and dialect")
        if not (isinstance(files, dict) and isinstance(sizes, dict) and files.keys() == sizes.keys()):
            raise _no_pack(f"its {MANIFEST} does not give hash and size of the same files")
        for file, digest in files.items():
            size = sizes[file]
            if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
                raise _no_pack(f"the hash of {_short(file)} is {_short(digest)}")
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise _no_pack(f"the size of {_short(file)} is {_short(size)}")
        check_names(list(files))
        return cls(name, dialect, files, sizes)


def refuse_existing(target: Path, hint: str) -> None:
    """Raise a PackError if something is at the path already, be it a link to nothing."""
    if target.is_symlink() or target.exists():
        raise PackError(f"{target} is there already", value=str(target), hint=hint)


def check_names(names: list[str]) -> None:
    """Refuse names that would leave the folder, collide on some file system, or are none of a pack's.

    Raises:
        PackError: Naming the first one.
    """
    files, folders = {_folded(MANIFEST)}, set()
    for name in names:
        if why := problem_with(name):
            raise PackError(
                f"the pack holds {_short(name)}, {why}",
                value=name,
                allowed="files of a checkpoint, and relative names below " + ", ".join(FOLDERS),
                hint="do not use this pack: it was not made by airtune models pack",
            )
        whole, *above = reversed(list(_prefixes(_folded(name))))
        if whole in files or whole in folders or not files.isdisjoint(above):
            raise PackError(
                f"the pack holds {_short(name)} twice, or as a file and as a folder",
                value=name,
                allowed="every name once, upper and lower case not told apart",
                hint="do not use this pack: it was not made by airtune models pack",
            )
        files.add(whole)
        folders.update(above)


def problem_with(name: str) -> str | None:
    """Why a pack must not hold a file of this name, or None."""
    parts = name.split("/")
    if name.startswith("/"):
        return "an absolute path"
    if any(part in ("", ".", "..") for part in parts):
        return "a path that leaves its folder or is not in its simplest form"
    if not name.isprintable() or "\\" in name or ":" in name:
        return "a name with characters that not every system takes literally"
    if any(len(part.encode()) > 200 for part in parts) or len(name.encode()) > 1000:
        return "a name that is too long"
    if len(parts) > 1 and parts[0] not in FOLDERS:
        return f"a folder other than {', '.join(FOLDERS)}"
    if len(parts) == 1 and not belongs_to_a_checkpoint(name):
        return "which is neither weights (safetensors, GGUF), tokenizer, configuration nor a text"
    if parts[0] == WHEELS and not name.endswith(".whl"):
        return "which is no wheel"
    return None


def belongs_to_a_checkpoint(name: str) -> bool:
    """Whether a file beside the weights is packed: never pickles, code or hidden files."""
    if name.startswith(".") or name == MANIFEST:
        return False
    return name.endswith(SUFFIXES) or name.partition(".")[0].upper() in TEXTS


def _folded(name: str) -> str:
    """Equal for names that one file system or another takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _prefixes(name: str) -> list[str]:
    """The folders above a name, the outermost first, then the name itself."""
    parts = name.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _short(value: object) -> str:
    """A value that anybody may have written, to show in a message."""
    shown = repr(value) if not isinstance(value, int) else repr(value)[:100]
    return ascii(value)[:100] if len(shown) > 100 or not shown.isprintable() else shown


def _no_pack(why: str) -> PackError:
    return PackError(
        f"this is not a pack: {why}",
        allowed="an archive written by airtune models pack",
        hint="copy it again, or pack it again",
    )
